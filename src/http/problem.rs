//! Every refusal: RFC 9457 problem details. Which kind an error of the engine is; a kind has its
//! status code in `problem_kinds`.

use std::{borrow::Cow, fmt::Write};

use ::http::{
    HeaderValue, StatusCode,
    header::{ALLOW, HeaderMap, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::{Serialize, ser::SerializeMap};

pub use super::problem_kinds::Kind;
use super::{
    Response,
    accept::{self, Media},
    reply,
};
use crate::{
    domain::{
        FieldError, InstanceError,
        error::{MOST_ERRORS, chain},
    },
    engine::EngineError,
};

/// The longest place and the longest detail of a fault, in bytes.
const LONGEST_TEXT: usize = 1024;

/// Why a request was refused. It changed nothing.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    more: Option<Box<More>>,
}

/// What only some problems have.
#[derive(Debug, Default)]
struct More {
    instance_id: Option<String>,
    task_id: Option<String>,
    errors: Vec<Fault>,
    error: Option<InstanceError>,
    should_stop: Option<bool>,
    header: Option<(HeaderName, HeaderValue)>,
    /// The chain of causes, for our log only.
    cause: Option<String>,
}

/// One thing wrong with one place of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What is wrong.
    pub detail: String,
}

/// A place of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// An RFC 6901 pointer into the body as sent.
    Pointer(String),
    /// A query parameter.
    Parameter(String),
}

impl Fault {
    /// A fault in the body.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Fault { place: Place::Pointer(pointer.into()), detail: detail.into() }
    }

    /// A fault of a query parameter.
    pub fn of(parameter: impl Into<String>, detail: impl Into<String>) -> Self {
        Fault { place: Place::Parameter(parameter.into()), detail: detail.into() }
    }
}

impl From<FieldError> for Fault {
    fn from(error: FieldError) -> Self {
        Fault::at(error.pointer, error.detail)
    }
}

/// Cuts what a client may have made as long as its body, and would get back for each of its faults.
fn shorten(text: &mut String) {
    if text.len() > LONGEST_TEXT {
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        text.push('…');
    }
}

impl Problem {
    /// A problem of a kind, told to the client.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let problem = Problem { kind, detail: detail.into(), more: None };
        if problem.status() == StatusCode::SERVICE_UNAVAILABLE {
            return problem.header(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        problem
    }

    /// 400 for a query parameter.
    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let told = format!("the query parameter `{name}` cannot be read: {detail}");
        Problem::new(Kind::MalformedRequest, told).faults(vec![Fault::of(name, detail)])
    }

    /// 400 for a header.
    pub fn unreadable_header(name: &str, detail: &str) -> Self {
        Problem::new(Kind::MalformedRequest, format!("the header {name} cannot be read: {detail}"))
    }

    /// 422 with what is wrong, field by field.
    pub fn invalid(faults: Vec<Fault>) -> Self {
        Problem::new(Kind::InvalidRequest, "the request can be read, but not all of it makes sense").faults(faults)
    }

    /// 422 for a batch; one in which nothing but inputs is wrong is refused for its inputs.
    pub fn invalid_batch(faults: Vec<Fault>) -> Self {
        let in_inputs = |fault: &Fault| match &fault.place {
            Place::Pointer(pointer) => pointer.split('/').nth(3) == Some("inputs"),
            Place::Parameter(_) => false,
        };
        if faults.iter().all(in_inputs) {
            return Problem::new(Kind::InvalidInputs, "the inputs are not valid for their tasks").faults(faults);
        }
        Problem::invalid(faults)
    }

    /// 422 for inputs.
    pub fn invalid_inputs(task_id: &str, faults: Vec<Fault>) -> Self {
        let detail = format!("the inputs are not valid for the task `{task_id}`");
        Problem::new(Kind::InvalidInputs, detail).task_id(task_id).faults(faults)
    }

    /// 404 for a text that names no instance.
    pub fn unknown_instance(key: &str) -> Self {
        let key: String = key.chars().take(128).collect();
        Problem::new(Kind::TaskInstanceNotFound, format!("there is no instance `{key}`")).instance_id(key)
    }

    /// 406, with what there is.
    pub fn not_acceptable(offers: &[Media]) -> Self {
        let list = offers.iter().map(|media| media.essence()).collect::<Vec<_>>().join(", ");
        Problem::new(Kind::NotAcceptable, format!("Accept excludes everything there is: {list}"))
    }

    /// 500 with nothing internal in it; `cause` goes to the log.
    pub fn internal(cause: String) -> Self {
        let mut problem = Problem::new(
            Kind::Internal,
            "something went wrong in the server; its log tells what, under this request_id",
        );
        problem.more().cause = Some(cause);
        problem
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// Names the instance.
    #[must_use]
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.more().instance_id = Some(id.into());
        self
    }

    /// Names the task.
    #[must_use]
    pub fn task_id(mut self, id: &str) -> Self {
        self.more().task_id = Some(id.chars().take(200).collect());
        self
    }

    /// Lists what is wrong; at most 100.
    #[must_use]
    pub fn faults(mut self, mut faults: Vec<Fault>) -> Self {
        faults.truncate(MOST_ERRORS);
        for Fault { place: Place::Pointer(text) | Place::Parameter(text), detail } in &mut faults {
            shorten(text);
            shorten(detail);
        }
        self.more().errors = faults;
        self
    }

    /// Says where the faults stand in the request as sent.
    #[must_use]
    pub fn placed(mut self, place: impl Fn(&mut Place)) -> Self {
        if let Some(more) = &mut self.more {
            more.errors.iter_mut().for_each(|fault| place(&mut fault.place));
        }
        self
    }

    /// Adds the error of a failed instance.
    #[must_use]
    pub fn error(mut self, error: Option<&InstanceError>) -> Self {
        self.more().error = error.cloned();
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more().header = Some((name, value));
        self
    }

    /// 405 with the methods there are.
    pub fn method_not_allowed(allow: &str) -> Self {
        let problem = Problem::new(Kind::MethodNotAllowed, format!("this route has only {allow}"));
        match HeaderValue::from_str(allow) {
            Ok(value) => problem.header(ALLOW, value),
            Err(_) => problem,
        }
    }

    /// 401 with its challenge (RFC 6750).
    pub fn unauthorized(detail: &'static str, challenge: &'static str) -> Self {
        Problem::new(Kind::Unauthorized, detail).header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// A report that comes too late: the writer should end.
    pub fn over(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut problem = Problem::new(kind, detail);
        problem.more().should_stop = Some(true);
        problem
    }

    /// Its status code.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status()).expect("every kind has a valid status")
    }

    /// What our log should say about it, if anything.
    pub fn cause(&self) -> Option<&str> {
        self.more.as_ref().and_then(|more| more.cause.as_deref())
    }

    /// The answer, in the form that the client prefers.
    pub fn into_response(self, request_id: &str, headers: &HeaderMap) -> Response {
        let media = accept::choose(headers, &[Media::Problem, Media::Json, Media::Text]).unwrap_or(Media::Problem);
        let status = self.status();
        let (media, body) = match media {
            Media::Text => (Media::Text, self.line() + "\n"),
            _ => (Media::Problem, self.json(request_id)),
        };
        let mut response = reply::with_body(status, media, body);
        if let Some(More { header: Some((name, value)), .. }) = self.more.map(|more| *more) {
            response.headers_mut().insert(name, value);
        }
        response
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let mut line = self.detail.clone().into_owned();
        for Fault { place, detail } in self.more.iter().flat_map(|more| &more.errors) {
            match place {
                // The detail of a single bad parameter already stands in the line.
                Place::Parameter(_) if self.kind == Kind::MalformedRequest => {}
                Place::Parameter(name) => _ = write!(line, "; {name}: {detail}"),
                Place::Pointer(pointer) if pointer.is_empty() => _ = write!(line, "; {detail}"),
                Place::Pointer(pointer) => _ = write!(line, "; {pointer}: {detail}"),
            }
        }
        if let Some(error) = self.more.as_ref().and_then(|more| more.error.as_ref()) {
            _ = write!(line, ": {}", error.message);
        }
        line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }

    fn json(&self, request_id: &str) -> String {
        let document = Document { problem: self, request_id };
        let mut body = serde_json::to_string(&document).unwrap_or_else(|_| "{}".to_owned());
        body.push('\n');
        body
    }
}

struct Document<'a> {
    problem: &'a Problem,
    request_id: &'a str,
}

impl Serialize for Document<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Problem { kind, detail, more } = self.problem;
        let mut map = serializer.serialize_map(None)?;
        // Stable: what clients compare is the same behind every proxy.
        map.serialize_entry("type", &format_args!("/problems/{}", kind.slug()))?;
        map.serialize_entry("title", kind.title())?;
        map.serialize_entry("status", &kind.status())?;
        map.serialize_entry("detail", detail)?;
        if let Some(more) = more {
            if let Some(id) = &more.instance_id {
                map.serialize_entry("instance_id", id)?;
            }
            if let Some(id) = &more.task_id {
                map.serialize_entry("task_id", id)?;
            }
            if !more.errors.is_empty() {
                map.serialize_entry("errors", &more.errors)?;
            }
            if more.error.is_some() || *kind == Kind::TaskCancelled {
                map.serialize_entry("error", &more.error)?;
            }
            if let Some(should_stop) = more.should_stop {
                map.serialize_entry("should_stop", &should_stop)?;
            }
        }
        map.serialize_entry("request_id", self.request_id)?;
        map.end()
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let told = error.to_string();
        match error {
            EngineError::UnknownTask { task, .. } => Problem::new(Kind::TaskDefinitionNotFound, told).task_id(&task),
            EngineError::UnknownInstance(error) => Problem::unknown_instance(&error.instance_id),
            EngineError::InvalidInputs { task_id, errors } => {
                Problem::invalid_inputs(&task_id, errors.into_iter().map(Fault::from).collect())
            }
            EngineError::InvalidOptions { errors } | EngineError::InvalidOutput { errors } => {
                Problem::invalid(errors.into_iter().map(Fault::from).collect())
            }
            EngineError::InvalidBatch { errors } => {
                Problem::invalid_batch(errors.into_iter().map(Fault::from).collect())
            }
            EngineError::DefinitionTaken { .. }
            | EngineError::DefinitionDiffers { .. }
            | EngineError::DefinitionFixed { .. } => Problem::new(Kind::DefinitionExists, told),
            EngineError::DefinitionInUse { id } => Problem::new(Kind::DefinitionInUse, told).task_id(&id),
            EngineError::KeyReused => Problem::new(Kind::IdempotencyKeyReused, told),
            EngineError::QueueFull { .. } => Problem::new(Kind::QueueFull, told),
            EngineError::Draining | EngineError::EndedFirst { .. } => Problem::new(Kind::Draining, told),
            EngineError::Unavailable(ref source) => {
                let cause = source.as_ref().map(|_| chain(&error));
                let mut problem = Problem::new(Kind::StoreUnavailable, told);
                problem.more().cause = cause;
                problem
            }
            EngineError::Unreadable(_) => Problem::internal(chain(&error)),
            EngineError::Refused { .. } => Problem::internal(told),
            EngineError::NotDone { .. } => Problem::new(Kind::InstanceNotDone, told),
            EngineError::AttemptOver => Problem::over(Kind::AttemptOver, told),
            EngineError::AttemptNotRunning => Problem::over(Kind::AttemptNotRunning, told),
            EngineError::VersionMismatch { .. } => Problem::new(Kind::PreconditionFailed, told),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn body(problem: Problem, accept: Option<&'static str>) -> (HeaderMap, String) {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(::http::header::ACCEPT, HeaderValue::from_static(accept));
        }
        let (parts, body) = problem.into_response("r1", &headers).into_parts();
        let bytes = body.collect().await.expect("a body in memory").to_bytes();
        (parts.headers, String::from_utf8(bytes.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn a_problem_has_the_form_of_rfc_9457() {
        let problem = Problem::invalid(vec![Fault::at("/priority", "must be an integer"), Fault::of("wait", "no")]);
        let (headers, text) = body(problem, None).await;
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(
            text,
            concat!(
                r#"{"type":"/problems/invalid-request","title":"Invalid request","status":422,"#,
                r#""detail":"the request can be read, but not all of it makes sense","#,
                r#""errors":[{"pointer":"/priority","detail":"must be an integer"},{"parameter":"wait","detail":"no"}],"#,
                r#""request_id":"r1"}"#,
                "\n"
            )
        );
    }

    #[tokio::test]
    async fn plain_text_is_one_line() {
        let (headers, text) = body(Problem::unknown_instance("a\nb"), Some("text/plain")).await;
        assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(text, "there is no instance `a b`\n");
        let (headers, _) = body(Problem::unknown_instance("7"), Some("image/png")).await;
        assert_eq!(headers["content-type"], "application/problem+json");
    }

    #[tokio::test]
    async fn every_503_says_when_to_come_again() {
        for error in
            [EngineError::Draining, EngineError::QueueFull { pending: 1, limit: 1 }, EngineError::Unavailable(None)]
        {
            let (headers, _) = body(error.into(), None).await;
            assert_eq!(headers["retry-after"], "1");
        }
    }

    #[test]
    fn a_batch_with_bad_inputs_only_is_refused_for_them() {
        let kind = |pointers: &[&str]| {
            let errors = pointers.iter().map(|pointer| FieldError::new(*pointer, "x")).collect();
            Problem::from(EngineError::InvalidBatch { errors }).kind
        };
        assert_eq!(kind(&["/instances/1/inputs/seconds"]), Kind::InvalidInputs);
        assert_eq!(kind(&["/instances/1/inputs/seconds", "/instances/2/task_id"]), Kind::InvalidRequest);
    }
}

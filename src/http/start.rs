//! The two ways to start one instance.

use ::http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, LOCATION},
};
use serde_json::value::RawValue;

use super::{
    Response,
    accept::Media,
    body,
    call::Call,
    fields::{self, Fields},
    options,
    prefer::Wait,
    problem::{Fault, Place, Problem},
    query::{Parameter, Query, flag},
    reply,
};
use crate::{
    domain::{InstanceKey, Json},
    engine::{EngineError, IdempotencyKey, StartRequest, Started},
};

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const PARAMETERS: &[Parameter] = &[flag("wait"), flag("dry_run")];
/// The forms of the answer: the instance, or its id for a script.
pub const FORMS: [Media; 2] = [Media::Json, Media::Text];

/// `POST /v1/definitions/{id}/instances`: the body is the bare inputs, options are query parameters.
pub async fn with_bare_inputs(call: &mut Call) -> Result<Response, Problem> {
    let media = call.accept(&FORMS)?;
    let limit = call.app.settings().body.bytes();
    let has_body = body::check_optional(call, limit)?;
    call.engine().accepting()?;
    let key = call.idempotency_key()?;
    let inputs = match has_body {
        true => body::value(&body::read(call, limit).await?)?,
        false => Json::empty_object(),
    };
    let mut faults = Vec::new();
    let remedy = "; inputs are given as JSON in the body";
    let query = Query::parse_with_remedy(call.parts.uri.query(), options::PARAMETERS, remedy)?;
    let wait = Wait::of(&query, call.headers())?;
    let dry_run = query.flag("dry_run")?;
    let options = options::from_query(&query, &mut faults)?;
    let task = call.id();
    let definition = call.engine().definition(&task)?;
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    if !inputs.is_object() {
        let detail = format!("the inputs must be an object, not {}", fields::kind(inputs.raw()));
        return Err(Problem::invalid_inputs(definition.id.as_str(), vec![Fault::at("", detail)]));
    }
    let request = StartRequest { task: task.into_owned(), inputs, options };
    let refused = |error| {
        let is_options = matches!(error, EngineError::InvalidOptions { .. });
        // An option stands in the query here.
        Problem::from(error).placed(|place| match place {
            Place::Pointer(pointer) if is_options => {
                let name = match pointer.trim_start_matches('/') {
                    "labels" => "label",
                    name => name,
                };
                *place = Place::Parameter(name.to_owned());
            }
            Place::Pointer(_) | Place::Parameter(_) => {}
        })
    };
    carry_out(call, Wanted { request, key, wait, dry_run, media }, refused).await
}

/// What a request to start asks for.
struct Wanted {
    request: StartRequest,
    key: Option<IdempotencyKey>,
    wait: Wait,
    dry_run: bool,
    media: Media,
}

/// Starts it, or only checks it, and answers. `refused` says what an error of the engine is in this request.
async fn carry_out(call: &Call, wanted: Wanted, refused: impl Fn(EngineError) -> Problem) -> Result<Response, Problem> {
    let Wanted { request, key, wait, dry_run, media } = wanted;
    if dry_run {
        call.engine().validate(&request).map_err(refused)?;
        return Ok(valid(media));
    }
    let mut started = begin(call, request, key, wait).await.map_err(refused)?;
    if started.replayed {
        // It was not started here, so nobody has waited for it yet.
        started = settle(call, started, wait).await?;
    }
    answer(call, started, wait, media)
}

/// Starts it, and waits for its end as long as the client would.
async fn begin(
    call: &Call,
    request: StartRequest,
    key: Option<IdempotencyKey>,
    wait: Wait,
) -> Result<Started, EngineError> {
    if wait.time.is_zero() {
        return call.engine().start(request, key).await;
    }
    let patience = async {
        tokio::select! {
            () = tokio::time::sleep(wait.time) => {}
            () = call.app.closing() => {}
        }
    };
    call.engine().start_and_wait(request, key, patience).await
}

/// `POST /v1/instances`: everything stands in the body.
pub async fn with_task_id(call: &mut Call) -> Result<Response, Problem> {
    let media = call.accept(&FORMS)?;
    let limit = call.app.settings().body.bytes();
    body::check(call, limit)?;
    call.engine().accepting()?;
    let bytes = body::read(call, limit).await?;
    let text = body::text(&bytes)?;
    let query = call.query(PARAMETERS)?;
    let wait = Wait::of(&query, call.headers())?;
    let dry_run = query.flag("dry_run")?;
    let key = call.idempotency_key()?;
    let mut faults = Vec::new();
    let request = request(call, body::raw(&text)?, "", &mut faults, Unknown::Refuse)?;
    let Some(request) = request.filter(|_| faults.is_empty()) else { return Err(refusal(call, &text, faults)) };
    carry_out(call, Wanted { request, key, wait, dry_run, media }, refused).await
}

/// What an error of the engine is in a request whose body has the inputs as a member.
pub fn refused(error: EngineError) -> Problem {
    let below = if matches!(error, EngineError::InvalidInputs { .. }) { "/inputs" } else { "" };
    Problem::from(error).placed(|place| {
        if let Place::Pointer(pointer) = place {
            pointer.insert_str(0, below);
        }
    })
}

/// A start whose inputs are no object, and nothing else is wrong, is refused for its inputs.
fn refusal(call: &Call, text: &str, faults: Vec<Fault>) -> Problem {
    let in_inputs = |fault: &Fault| matches!(&fault.place, Place::Pointer(pointer) if pointer == "/inputs");
    if !faults.iter().all(in_inputs) {
        return Problem::invalid(faults);
    }
    let task = body::raw(text)
        .ok()
        .and_then(|raw| Fields::of(raw, "", &[], &mut Vec::new())?.string("task_id", &mut Vec::new()));
    match task.map(|task| call.engine().definition(&task)) {
        Some(Ok(definition)) => Problem::invalid_inputs(definition.id.as_str(), faults),
        _ => Problem::invalid(faults),
    }
}

/// What to do with a task that there is not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// 404, before anything else that is wrong.
    Refuse,
    /// A fault beside the others.
    Note,
}

/// Reads `{task_id, inputs, …options}` that stands at the pointer `at`. None, and faults, where it makes no sense.
///
/// # Errors
/// 404 for an unknown task, if that is what the caller wants.
pub fn request(
    call: &Call,
    raw: &RawValue,
    at: &str,
    faults: &mut Vec<Fault>,
    unknown: Unknown,
) -> Result<Option<StartRequest>, Problem> {
    const KNOWN: [&str; 11] = {
        let mut known = ["task_id"; 11];
        known[1] = "inputs";
        let mut n = 0;
        while n < options::MEMBERS.len() {
            known[2 + n] = options::MEMBERS[n];
            n += 1;
        }
        known
    };
    let before = faults.len();
    let Some(fields) = Fields::of(raw, at, &KNOWN, faults) else { return Ok(None) };
    let task = fields.string("task_id", faults);
    match &task {
        Some(task) => {
            if let Err(error) = call.engine().definition(task) {
                match unknown {
                    Unknown::Refuse => return Err(error.into()),
                    Unknown::Note => faults.push(fields.fault("task_id", error.to_string())),
                }
            }
        }
        None if fields.raw("task_id").is_none() => faults.push(fields.fault("task_id", "is missing: name a task")),
        None => {}
    }
    let inputs = inputs(&fields, faults);
    let options = options::from_fields(&fields, faults);
    Ok(match task {
        Some(task) if faults.len() == before => {
            let inputs = inputs.unwrap_or_else(Json::empty_object);
            Some(StartRequest { task: task.into_owned(), inputs, options })
        }
        _ => None,
    })
}

/// The member `inputs`; None where it is not given.
pub fn inputs(fields: &Fields<'_>, faults: &mut Vec<Fault>) -> Option<Json> {
    let raw = fields.raw_or_null("inputs")?;
    if !raw.get().starts_with('{') {
        faults.push(fields.fault("inputs", format!("must be an object, not {}", fields::kind(raw))));
        return None;
    }
    Some(Json::from(raw.to_owned()))
}

/// Answers a start that was only to be checked, and would be taken.
fn valid(media: Media) -> Response {
    let body = match media {
        Media::Text => "valid\n",
        _ => "{\"valid\":true}\n",
    };
    reply::fresh(StatusCode::OK, media, body)
}

/// The same start with its instance once that is done, or as it is when the wait is over.
pub async fn settle(call: &Call, started: Started, wait: Wait) -> Result<Started, Problem> {
    if wait.time.is_zero() || started.instance.is_done() {
        return Ok(started);
    }
    let instance = call.settled(InstanceKey::Id(started.instance.id), wait.time).await?;
    Ok(Started { instance, ..started })
}

/// Answers a start.
pub fn answer(call: &Call, started: Started, wait: Wait, media: Media) -> Result<Response, Problem> {
    let Started { instance, replayed } = started;
    let status = if replayed { StatusCode::OK } else { StatusCode::CREATED };
    let mut response = match media {
        Media::Text => reply::fresh(status, Media::Text, format!("{}\n", instance.id)),
        _ => reply::instance(call, status, &instance),
    };
    let location = HeaderValue::from_str(&format!("{}/v1/instances/{}", call.base_path(), instance.id));
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    wait.tell(&mut response);
    tell_replay(&mut response, replayed);
    Ok(response)
}

/// Tells whether an earlier request with the same key did what this one asked for.
pub fn tell_replay(response: &mut Response, replayed: bool) {
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
}

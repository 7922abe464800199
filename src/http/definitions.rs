//! `GET /v1/definitions`, and `GET`, `PUT`, `DELETE /v1/definitions/{id}`: shows tasks, and registers and removes commands
//! where the operator allows it.

use ::http::{HeaderValue, StatusCode, header::LOCATION};
use axum::body::Body;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::value::RawValue;

use super::{
    Response,
    accept::Media,
    body,
    call::Call,
    fields::{self, Fields},
    options,
    problem::{Fault, Kind, Problem},
    render, reply,
};
use crate::domain::{Definition, DefinitionId, Json, Source, Workload, bounds};

/// The members of a definition that can be given.
const MEMBERS: [&str; 12] = [
    "name",
    "description",
    "command",
    "timeout",
    "queue_timeout",
    "max_attempts",
    "retry_delay",
    "concurrency",
    "input_schema",
    "output_schema",
    "app_id",
    "app_version_id",
];
const CONCURRENCY: std::ops::RangeInclusive<i64> = 1..=bounds::MOST_AT_ONCE as i64;
const COMMAND: &str = "give [\"program\", \"argument\"] or \"program argument\"";
/// What needs no encoding in a segment of a path (RFC 3986 §3.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Every definition, by id.
pub async fn list(call: &mut Call) -> Result<Response, Problem> {
    call.accept(&[Media::Json])?;
    call.query(&[])?;
    let definitions = call.engine().definitions();
    let body = reply::json(|out| {
        out.extend_from_slice(b"{\"definitions\":");
        render::array(out, &definitions, render::value);
        out.push(b'}');
    });
    Ok(reply::with_body(StatusCode::OK, Media::Json, body))
}

/// One definition.
pub async fn show(call: &mut Call) -> Result<Response, Problem> {
    call.query(&[])?;
    let definition = call.engine().definition(&call.id())?;
    call.accept(&[Media::Json])?;
    Ok(reply::with_body(StatusCode::OK, Media::Json, reply::json(|out| render::value(out, &definition))))
}

/// Registers a command; 201 where it is new, 200 where the same one is there.
pub async fn register(call: &mut Call) -> Result<Response, Problem> {
    allowed(call)?;
    call.accept(&[Media::Json])?;
    let limit = call.app.settings().body.bytes();
    body::check(call, limit)?;
    call.engine().taking_work()?;
    let bytes = body::read(call, limit).await?;
    let text = body::text(&bytes)?;
    call.query(&[])?;
    let mut faults = Vec::new();
    let id = id(call, &mut faults);
    let definition = definition(body::raw(&text)?, id.as_ref(), &mut faults);
    let Some(definition) = definition.filter(|_| faults.is_empty()) else {
        return Err(Problem::invalid(faults));
    };
    let registered = call.engine().register(definition).await?;
    let definition = registered.definition;
    let status = if registered.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = reply::with_body(status, Media::Json, reply::json(|out| render::value(out, &definition)));
    if registered.is_new {
        let id = utf8_percent_encode(definition.id.as_str(), ENCODED);
        if let Ok(location) = HeaderValue::from_str(&format!("{}/v1/definitions/{id}", call.base_path())) {
            response.headers_mut().insert(LOCATION, location);
        }
    }
    Ok(response)
}

/// Removes a registered command of which no instance is pending or running.
pub async fn remove(call: &mut Call) -> Result<Response, Problem> {
    allowed(call)?;
    call.engine().taking_work()?;
    call.query(&[])?;
    call.engine().unregister(&call.id()).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn allowed(call: &Call) -> Result<(), Problem> {
    if call.engine().takes_definitions() {
        return Ok(());
    }
    let detail = "definitions cannot be changed over HTTP here: the operator may allow it with definitions.remote = true, \
        or add the command to [[tasks]]";
    Err(Problem::new(Kind::RemoteDefinitionsOff, detail))
}

/// The id that the path gives. Unlike where a definition is only looked up, nothing in it may be replaced.
fn id(call: &Call, faults: &mut Vec<Fault>) -> Option<DefinitionId> {
    let segment = call.parts.uri.path().split('/').nth(3).unwrap_or_default();
    let read = match percent_decode_str(segment).decode_utf8() {
        Ok(text) => text.parse().map_err(|error: crate::domain::definition::InvalidDefinitionId| error.to_string()),
        Err(_) => Err("must be UTF-8, percent-encoded".to_owned()),
    };
    read.map_err(|detail| faults.push(Fault::of("id", detail))).ok()
}

/// What a registration says.
pub fn definition(raw: &RawValue, id: Option<&DefinitionId>, faults: &mut Vec<Fault>) -> Option<Definition> {
    let fields = Fields::of(raw, "", &MEMBERS, faults)?;
    let name = fields.string("name", faults).and_then(|name| {
        let name = name.parse::<DefinitionId>();
        name.map_err(|error| faults.push(fields.fault("name", error.to_string()))).ok()
    });
    let text = |name, faults: &mut Vec<Fault>| fields.string(name, faults).map(|text| text.into_owned());
    let description = text("description", faults);
    let command = command(&fields, faults);
    let timeout = fields.duration("timeout", faults);
    let queue_timeout = fields.duration("queue_timeout", faults);
    let max_attempts = fields.integer("max_attempts", options::ATTEMPTS, faults).and_then(|n| n.try_into().ok());
    let retry_delay = fields.duration("retry_delay", faults);
    let concurrency = fields.integer("concurrency", CONCURRENCY, faults).and_then(|n| n.try_into().ok());
    let input_schema = schema(&fields, "input_schema", faults);
    let output_schema = schema(&fields, "output_schema", faults);
    let (app_id, app_version_id) = (text("app_id", faults), text("app_version_id", faults));
    let default = Definition::new(id?.clone(), Workload::Remote, Source::Registered);
    Some(Definition {
        name: name.unwrap_or_else(|| default.id.clone()),
        description,
        command: Some(command?),
        timeout,
        queue_timeout,
        max_attempts: max_attempts.unwrap_or(default.max_attempts),
        retry_delay: retry_delay.unwrap_or(default.retry_delay),
        concurrency,
        input_schema,
        output_schema,
        app_id,
        app_version_id,
        ..default
    })
}

/// An argument vector, or one text that is split as a shell splits words.
fn command(fields: &Fields<'_>, faults: &mut Vec<Fault>) -> Option<Vec<String>> {
    let Some(raw) = fields.raw("command") else {
        faults.push(fields.fault("command", format!("is missing: {COMMAND}")));
        return None;
    };
    let argv = match raw.get().as_bytes().first() {
        Some(b'[') => fields.strings("command", faults)?.into_iter().map(|word| word.into_owned()).collect(),
        Some(b'"') => match shell_words::split(&fields.string("command", faults)?) {
            Ok(argv) => argv,
            Err(_) => {
                faults.push(fields.fault("command", "has a quote that is not closed"));
                return None;
            }
        },
        _ => {
            let detail = format!("must be an array of strings or a string, not {}: {COMMAND}", fields::kind(raw));
            faults.push(fields.fault("command", detail));
            return None;
        }
    };
    if argv.first().is_none_or(String::is_empty) {
        faults.push(fields.fault("command", format!("names no program: {COMMAND}")));
        return None;
    }
    Some(argv)
}

fn schema(fields: &Fields<'_>, name: &str, faults: &mut Vec<Fault>) -> Option<Json> {
    let raw = fields.raw(name)?;
    if !matches!(raw.get().as_bytes().first(), Some(b'{' | b't' | b'f')) {
        faults.push(fields.fault(name, format!("must be a JSON Schema, an object, not {}", fields::kind(raw))));
        return None;
    }
    Some(Json::from(raw.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::problem::Place;

    fn wanted(text: &str) -> Result<Definition, Vec<String>> {
        let raw = RawValue::from_string(text.to_owned()).expect("JSON");
        let mut faults = Vec::new();
        let id = "a b".parse().expect("an id");
        let definition = definition(&raw, Some(&id), &mut faults);
        let place = |fault: Fault| match fault.place {
            Place::Pointer(pointer) => pointer,
            Place::Parameter(name) => name,
        };
        if faults.is_empty() { Ok(definition.expect("read")) } else { Err(faults.into_iter().map(place).collect()) }
    }

    #[test]
    fn only_the_command_is_needed() {
        let least = wanted(r#"{"command":"sh -c 'echo \"$0\"' a\\ b","timeout":null}"#).expect("valid");
        assert_eq!(least.command.as_deref().expect("a command"), ["sh", "-c", "echo \"$0\"", "a b"]);
        assert_eq!((least.id.as_str(), least.name.as_str(), least.max_attempts), ("a b", "a b", 1));
        assert_eq!((least.workload, least.source), (Workload::Remote, Source::Registered));
        let full = wanted(
            r#"{"name":"n","description":"d","command":["x",""],"timeout":"1m","queue_timeout":2,"max_attempts":3,
            "retry_delay":0.5,"concurrency":4,"input_schema":{"a":1.0},"output_schema":true,"app_id":"i","app_version_id":"v"}"#,
        );
        let full = full.expect("valid");
        assert_eq!(full.command.as_deref().expect("a command"), ["x", ""]);
        assert_eq!((full.timeout, full.retry_delay), (Some(Duration::from_secs(60)), Duration::from_millis(500)));
        assert_eq!(full.input_schema.map(|schema| schema.to_string()).as_deref(), Some(r#"{"a":1.0}"#));
    }

    #[test]
    fn every_member_at_fault_is_named() {
        for (text, places) in [
            ("{}", &["/command"] as &[_]),
            ("[]", &[""]),
            (r#"{"command":3}"#, &["/command"]),
            (r#"{"command":[]}"#, &["/command"]),
            (r#"{"command":["",1]}"#, &["/command/1"]),
            (r#"{"command":[""]}"#, &["/command"]),
            (r#"{"command":"echo 'a"}"#, &["/command"]),
            (r#"{"command":" "}"#, &["/command"]),
            (r#"{"command":"x","env":{},"id":"a"}"#, &["/env", "/id"]),
            (r#"{"command":"x","name":"a/b","description":1,"timeout":0}"#, &["/name", "/description", "/timeout"]),
            (r#"{"command":"x","max_attempts":1001,"concurrency":0}"#, &["/max_attempts", "/concurrency"]),
            (r#"{"command":"x","input_schema":"x","output_schema":[]}"#, &["/input_schema", "/output_schema"]),
        ] {
            assert_eq!(wanted(text).expect_err(text), places, "{text}");
        }
    }
}

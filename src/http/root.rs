//! `GET /`: a page that tells what to do next, with this host and these tasks; for a browser the dashboard.

use std::{fmt::Write, sync::Arc};

use ::http::header::HOST;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Response,
    accept::{self, Media},
    call::Call,
    dashboard,
    host::Authority,
    problem::Problem,
    reply,
};
use crate::{
    domain::{Definition, Json},
    engine::{StartOptions, StartRequest},
};

/// How many tasks the page names.
const SHOWN: usize = 20;
/// What needs no encoding in a segment of a path, and means nothing to a shell within quotes.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The page as text for curl, the dashboard for a browser.
pub async fn show(call: &mut Call) -> Result<Response, Problem> {
    if accept::choose(call.headers(), &[Media::Text, Media::Html]) == Some(Media::Html) {
        return dashboard::page(call).await;
    }
    call.query(&[])?;
    Ok(reply::page(Media::Text, text(call)))
}

fn text(call: &Call) -> String {
    let mut page = format!("Taskwright {}\n\nTasks:\n", env!("CARGO_PKG_VERSION"));
    let definitions = call.engine().definitions();
    for definition in definitions.iter().take(SHOWN) {
        let about = definition.description.as_deref().and_then(|text| text.lines().next()).unwrap_or_default();
        let line = format!("  {:<20} {}", definition.id.as_str(), printable(about));
        page.push_str(line.trim_end());
        page.push('\n');
    }
    match definitions.len() {
        0 => page.push_str("  none yet: add [[tasks]] to the configuration\n"),
        n if n > SHOWN => _ = writeln!(page, "  and {} more", n - SHOWN),
        _ => {}
    }
    let (task, inputs) = example(call, &definitions);
    let task = utf8_percent_encode(&task, ENCODED);
    let inputs = in_json(&inputs).replace('\'', "'\\''");
    let url = format!("{}{}", origin(call), call.base_path());
    // With tokens configured nothing below works without one.
    let curl = if call.app.settings().tokens.is_empty() {
        "curl"
    } else {
        page.push_str("\nEach call needs a token:\n  export TASKWRIGHT_TOKEN=tw_...\n");
        "curl -H \"Authorization: Bearer $TASKWRIGHT_TOKEN\""
    };
    let start = format!("{url}/v1/definitions/{task}/instances");
    let one = format!("{url}/v1/instances/$id");
    let docs = if cfg!(feature = "docs-ui") { format!(", and {url}/docs the contract") } else { String::new() };
    _ = write!(
        page,
        r#"
Start one and wait for it:
  {curl} --json '{inputs}' '{start}?wait=10'

Start one and keep its id:
  id=$({curl} -s -H 'Accept: text/plain' --json '{inputs}' '{start}')

How far it is:
  {curl} -H 'Accept: text/plain' "{one}/status"
  {curl} "{one}?pretty"

Follow its changes, then its log:
  {curl} -N "{one}/events"
  {curl} -N -H 'Accept: text/plain' "{one}/logs?follow"

Its result; fails if the task did:
  {curl} --fail-with-body "{one}/result?wait=60"

Stop it; the record stays:
  {curl} -X DELETE "{one}"

All instances, and every change of any as it comes:
  {curl} '{url}/v1/instances?pretty'
  {curl} -N '{url}/v1/events'

The tasks, and the whole contract:
  {curl} '{url}/v1/definitions?pretty'
  curl '{url}/openapi.yaml'

In a browser this address is the dashboard{docs}.
"#
    );
    page
}

/// One line for a terminal: control characters, which could steer it or begin another line, are shown as escapes.
fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c.is_control() {
            shown.extend(c.escape_default())
        } else {
            shown.push(c)
        }
        shown
    })
}

/// A JSON text without control characters, which can stand in it only within strings.
fn in_json(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut json, c| {
        if c.is_control() {
            _ = write!(json, "\\u{:04x}", u32::from(c))
        } else {
            json.push(c)
        }
        json
    })
}

/// Where the client reached us.
fn origin(call: &Call) -> String {
    let headers = call.headers();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).filter(|host| Authority::parse(host).is_some());
    let bound = call.app.settings().bound;
    let host = match host {
        Some(host) => host.to_owned(),
        None if bound.ip().is_unspecified() => format!("localhost:{}", bound.port()),
        None => bound.to_string(),
    };
    format!("{}://{host}", if call.came_by_tls() { "https" } else { "http" })
}

/// A task, and inputs that it takes.
fn example(call: &Call, definitions: &[Arc<Definition>]) -> (String, String) {
    let takes = |definition: &Definition, inputs: &Json| {
        let (task, inputs) = (definition.id.to_string(), inputs.clone());
        call.engine().check(0, &StartRequest { task, inputs, options: StartOptions::default() }).is_ok()
    };
    let sleep = definitions.iter().filter(|definition| definition.id.as_str() == "sleep");
    let seconds = Json::parse("{\"seconds\":3}").ok();
    for definition in sleep.chain(definitions) {
        let given = [seconds.clone(), Some(Json::empty_object()), first_example(definition)];
        let inputs = given.into_iter().flatten().find(|inputs| takes(definition, inputs));
        if let Some(inputs) = inputs {
            return (definition.id.to_string(), inputs.as_str().to_owned());
        }
    }
    let task = definitions.first().map_or("TASK".to_owned(), |definition| definition.id.to_string());
    (task, "{}".to_owned())
}

/// The first of the examples that a task's schema gives.
fn first_example(definition: &Definition) -> Option<Json> {
    #[derive(Deserialize)]
    struct Schema<'a> {
        #[serde(borrow, default)]
        examples: Vec<&'a RawValue>,
    }
    let schema: Schema<'_> = serde_json::from_str(definition.input_schema.as_ref()?.as_str()).ok()?;
    Json::parse(schema.examples.first()?.get()).ok()
}

//! `GET /`: a page that tells what to do next, with this host and these tasks.

use std::fmt::Write;

use ::http::header::HOST;

use super::{
    Response,
    accept::{self, Media},
    call::Call,
    problem::Problem,
    reply,
};

/// How many tasks the page names.
const SHOWN: usize = 20;

/// The page, as text for curl and as HTML for a browser.
pub async fn show(call: &mut Call) -> Result<Response, Problem> {
    call.query(&[])?;
    let text = text(call);
    Ok(match accept::choose(call.headers(), &[Media::Text, Media::Html]) {
        Some(Media::Html) => {
            let base = reply::escape_html(call.base_path());
            let text = reply::escape_html(&text);
            let page = format!(
                "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Taskwright</title></head>\n\
                 <body><h1>Taskwright</h1>\n<pre>{text}</pre>\n\
                 <p><a href=\"{base}/v1/definitions\">tasks</a> · <a href=\"{base}/v1/instances\">instances</a> · \
                 <a href=\"{base}/openapi.yaml\">openapi.yaml</a></p></body></html>\n"
            );
            reply::page(Media::Html, page)
        }
        _ => reply::page(Media::Text, text),
    })
}

fn text(call: &Call) -> String {
    let settings = call.app.settings();
    let host = call.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = host.map_or_else(|| settings.bound.to_string(), str::to_owned);
    let url = format!("http://{host}{}", settings.base_path);
    let mut page = format!("Taskwright {}\n\nTasks:\n", env!("CARGO_PKG_VERSION"));
    let definitions = call.engine().definitions();
    for definition in definitions.iter().take(SHOWN) {
        let about = definition.description.as_deref().unwrap_or_default();
        _ = writeln!(page, "  {:<20} {about}", definition.id.as_str().escape_debug().to_string());
    }
    match definitions.len() {
        0 => page.push_str("  none yet: add [[tasks]] to the configuration\n"),
        n if n > SHOWN => _ = writeln!(page, "  and {} more", n - SHOWN),
        _ => {}
    }
    let sleep = definitions.iter().any(|definition| definition.id.as_str() == "sleep");
    let (task, inputs) = match definitions.first() {
        Some(_) if sleep => ("sleep".to_owned(), "{\"seconds\":3}"),
        Some(first) => (encode(first.id.as_str()), "{}"),
        None => ("TASK".to_owned(), "{}"),
    };
    // With tokens configured nothing below works without one.
    let auth = if settings.tokens.is_empty() { "" } else { " -H \"Authorization: Bearer $TOKEN\"" };
    _ = write!(
        page,
        "\nStart one and wait for it:\n  curl{auth} --json '{inputs}' '{url}/v1/definitions/{task}/instances?wait=10'\n\
         \nStart one and keep its id:\n  id=$(curl -s{auth} -H 'Accept: text/plain' --json '{inputs}' {url}/v1/definitions/{task}/instances)\n\
         \nLook at it, stop it:\n  curl{auth} {url}/v1/instances/$id\n  curl{auth} \"{url}/v1/instances/$id/logs?follow\"\n\
         \x20 curl{auth} -X DELETE {url}/v1/instances/$id\n\
         \nEverything else:\n  curl{auth} {url}/v1/instances\n  curl{auth} {url}/v1/definitions\n  curl {url}/openapi.yaml\n"
    );
    page
}

/// A task's id as a segment of a path that a shell takes as one word.
fn encode(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}

//! `api`: one request as it is, and its answer as it is.

use http::{
    HeaderName, HeaderValue, Method,
    header::{ACCEPT, CONTENT_TYPE},
    uri::PathAndQuery,
};

use super::{
    exit_code, inputs,
    output::{self, Reader},
    session::Session,
};
use crate::{
    cli::{
        args::client::Api,
        failure::{Failure, USAGE},
    },
    client::{Call, Opened, Refusal},
};

/// How much of a refusal is kept to say why; the body goes to stdout whole.
const LONGEST_REASON: usize = 64 << 10;

pub(super) fn run(api: Api) -> Result<(), Failure> {
    let call = call(&api)?;
    let session = Session::raw(api.daemon)?;
    session.run(async {
        let mut opened = session.client.open(call).await.map_err(|error| session.failure(&error))?;
        if api.include && output::stream(&head(&opened))? == Reader::Gone {
            return Ok(());
        }
        let mut start = Vec::new();
        while let Some(chunk) = opened.chunk().await.map_err(|error| session.failure(&error))? {
            if !opened.is_success() && start.len() < LONGEST_REASON {
                start.extend_from_slice(&chunk);
            }
            if output::stream(&chunk)? == Reader::Gone {
                return Ok(());
            }
        }
        if !opened.is_refusal() {
            return Ok(());
        }
        let refusal = Refusal::read(opened.status, &start);
        Err(Failure::new(exit_code::of_refusal(&refusal), format!("{}: {}", opened.status, refusal.text())))
    })
}

fn call(api: &Api) -> Result<Call, Failure> {
    let usage = |message: String| Failure::new(USAGE, message);
    let method = Method::from_bytes(api.method.to_uppercase().as_bytes())
        .map_err(|_| usage(format!("`{}` is no method: write GET, POST, PUT or DELETE", api.method)))?;
    let path = if api.path.starts_with('/') { api.path.clone() } else { format!("/{}", api.path) };
    if path.parse::<PathAndQuery>().is_err() {
        return Err(usage(format!("`{path}` is no path: write what is special in it as %XX, a space as %20")));
    }
    // As curl does: the daemon then answers with what a route has.
    let mut call = Call::new(method, path).header(ACCEPT, HeaderValue::from_static("*/*"));
    if let Some(data) = &api.data {
        call = call
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(inputs::argument("--data", data)?);
    }
    for header in &api.header {
        let pair = header.split_once(':').and_then(|(name, value)| {
            Some((name.trim().parse::<HeaderName>().ok()?, HeaderValue::from_str(value.trim()).ok()?))
        });
        let (name, value) = pair.ok_or_else(|| usage(format!("`{header}` is no header: write 'NAME: VALUE'")))?;
        call = call.header(name, value);
    }
    Ok(call)
}

fn head(opened: &Opened) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {}\r\n", opened.status_line()).into_bytes();
    for (name, value) in &opened.headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

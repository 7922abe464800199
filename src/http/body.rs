//! Reads a body: declared as JSON, within its limit and its deadline.

use std::{borrow::Cow, time::Duration};

use ::http::{
    HeaderValue,
    header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE},
};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use serde_json::value::RawValue;
use tokio::time::{timeout, timeout_at};

use super::{
    call::Call,
    problem::{Kind, Problem},
};
use crate::domain::{Json, json};

/// How long a body may take from the end of the head, however it trickles.
const DEADLINE: Duration = Duration::from_secs(30);
/// How much of a refused body is read so that the client gets to read the refusal, and for how long.
const DISCARDED: usize = 32 << 20;
const DISCARDING: Duration = Duration::from_secs(1);

/// Checks what a head says about its body.
///
/// # Errors
/// 415 unless it is plain JSON, 413 if it is declared too large.
pub fn check(call: &Call, limit: usize) -> Result<(), Problem> {
    let mut types = call.headers().get_all(CONTENT_TYPE).iter();
    let is_json = match (types.next(), types.next()) {
        (Some(value), None) => value.to_str().is_ok_and(is_json),
        _ => false,
    };
    if !is_json {
        return Err(unsupported(
            "send the body as `Content-Type: application/json`; with curl, use --json in place of -d",
        ));
    }
    if call
        .headers()
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(unsupported("the body must not be compressed: leave Content-Encoding out"));
    }
    check_size(call, limit)
}

/// [`check`] for a route where nothing at all means `{}`. Answers whether there is a body.
///
/// # Errors
/// As [`check`].
pub fn check_optional(call: &Call, limit: usize) -> Result<bool, Problem> {
    if call.body.is_empty {
        return Ok(false);
    }
    check(call, limit).map(|()| true)
}

fn check_size(call: &Call, limit: usize) -> Result<(), Problem> {
    if call.body.at_least > limit as u64 { Err(too_large(limit)) } else { Ok(()) }
}

fn unsupported(detail: &'static str) -> Problem {
    Problem::new(Kind::UnsupportedMediaType, detail).header(ACCEPT, HeaderValue::from_static("application/json"))
}

fn too_large(limit: usize) -> Problem {
    Problem::new(Kind::BodyTooLarge, format!("the body is larger than the {limit} bytes that are allowed here"))
}

fn is_json(value: &str) -> bool {
    let mut pieces = value.split(';').map(str::trim);
    let essence = pieces.next().unwrap_or_default().to_ascii_lowercase();
    let json = match essence.strip_prefix("application/") {
        Some(subtype) => subtype == "json" || (subtype.len() > 5 && subtype.ends_with("+json")),
        None => false,
    };
    json && pieces.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
        }
        _ => true,
    })
}

/// Reads the body.
///
/// # Errors
/// 413, 408, or 400 if it breaks off.
pub async fn read(call: &mut Call, limit: usize) -> Result<Bytes, Problem> {
    let Some(mut body) = call.body.take() else { return Ok(Bytes::new()) };
    let read = timeout_at(call.begun + DEADLINE, collect(&mut body, limit)).await;
    match read {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(problem)) => {
            // What is left of it is the dispatcher's to discard.
            call.body.put_back(body);
            Err(problem)
        }
        Err(_) => Err(Problem::new(Kind::BodyTimeout, "the body did not arrive within 30 seconds")),
    }
}

async fn collect(body: &mut Body, limit: usize) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|_| Problem::new(Kind::MalformedRequest, "the body broke off, or its chunks are malformed"))?;
        // Trailers say nothing that we would use.
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&std::mem::take(&mut first));
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Reads and drops what a client still sends after it was refused, within bounds.
pub async fn discard(mut body: Body) {
    let drop_all = async {
        let mut dropped = 0;
        while let Some(Ok(frame)) = body.frame().await {
            dropped += frame.data_ref().map_or(0, Bytes::len);
            if dropped > DISCARDED {
                return;
            }
        }
    };
    // Out of time is as good as done: the connection is closed either way.
    _ = timeout(DISCARDING, drop_all).await;
}

/// The bytes as checked, compact JSON.
///
/// # Errors
/// 400 with the fault and where it is.
pub fn text(bytes: &[u8]) -> Result<Cow<'_, str>, Problem> {
    json::compact_bytes(bytes).map_err(malformed)
}

/// [`text`], kept.
///
/// # Errors
/// As [`text`].
pub fn value(bytes: &[u8]) -> Result<Json, Problem> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Json::parse(text).map_err(malformed),
        Err(_) => text(bytes).and_then(|text| Json::parse(&text).map_err(malformed)),
    }
}

/// A checked text as one raw value.
///
/// # Errors
/// Never for a text that [`text`] returned.
pub fn raw(text: &str) -> Result<&RawValue, Problem> {
    serde_json::from_str(text).map_err(|error| Problem::internal(format!("checked JSON is not read: {error}")))
}

fn malformed(error: json::InvalidJson) -> Problem {
    Problem::new(Kind::MalformedRequest, format!("the body cannot be read as JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_many_names() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/cloudevents+json",
            "application/json;a=b",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "text/json",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin1",
            "application/+json",
        ] {
            assert!(!is_json(bad), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let mut body = Body::from("abc");
        assert_eq!(collect(&mut body, 3).await.expect("fits"), "abc");
        let mut body = Body::from_stream(tokio_stream::iter([Ok::<_, std::io::Error>("ab"), Ok("cd")]));
        assert_eq!(collect(&mut body, 4).await.expect("fits"), "abcd");
        let mut body = Body::from_stream(tokio_stream::iter([Ok::<_, std::io::Error>("ab"), Ok("cd")]));
        assert_eq!(collect(&mut body, 3).await.expect_err("too large").status(), 413);
    }
}

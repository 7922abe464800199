//! How answers are put together.

use ::http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, VARY, X_CONTENT_TYPE_OPTIONS},
};
use axum::body::Body;
use bytes::Bytes;

use super::{Response, accept::Media, call::Call, render};
use crate::domain::Instance;

const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const VARY_ON: HeaderValue = HeaderValue::from_static("Prefer, Accept");

/// An answer with a body.
pub fn with_body(status: StatusCode, media: Media, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    response
}

/// A 200 that differs by `Accept`.
pub fn page(media: Media, body: impl Into<Bytes>) -> Response {
    let mut response = with_body(StatusCode::OK, media, body);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if media == Media::Html {
        // These pages need nothing that could be loaded or run.
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
        );
    }
    response
}

/// An answer that tells something of an instance, and so is never kept.
pub fn fresh(status: StatusCode, media: Media, body: impl Into<Bytes>) -> Response {
    let mut response = with_body(status, media, body);
    response.headers_mut().insert(CACHE_CONTROL, NO_CACHE);
    response.headers_mut().insert(VARY, VARY_ON);
    response
}

/// A JSON document made of `write`'s text and a newline.
pub fn json(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut body = Vec::with_capacity(1024);
    write(&mut body);
    body.push(b'\n');
    body
}

/// A whole instance, with its `ETag`.
pub fn instance(call: &Call, status: StatusCode, instance: &Instance) -> Response {
    let reason = call.engine().pending_reason(instance);
    let mut response = fresh(status, Media::Json, json(|out| render::instance(out, instance, reason)));
    response.headers_mut().insert(ETAG, etag(instance.version));
    response
}

/// 304 for an instance.
pub fn not_modified(version: u64) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    headers.insert(ETAG, etag(version));
    headers.insert(CACHE_CONTROL, NO_CACHE);
    headers.insert(VARY, VARY_ON);
    response
}

fn etag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits in quotes are a header value")
}

/// `text` for the body of an HTML page.
pub fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

//! What event and log streams share: their forms, their number, heartbeats, and where a reader resumes.

use std::{
    fmt::{Display, Write},
    io,
    time::Duration,
};

use ::http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, VARY},
};
use axum::body::Body;
use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Response,
    accept::Media,
    call::Call,
    problem::{Kind, Problem},
    query::Query,
};

/// How long a stream may be silent.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How a stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// One JSON document a line.
    Ndjson,
    /// As it comes.
    Text,
}

impl Framing {
    /// The framing of a media type that was negotiated.
    pub fn of(media: Media) -> Self {
        match media {
            Media::EventStream => Framing::Sse,
            Media::Ndjson => Framing::Ndjson,
            _ => Framing::Text,
        }
    }

    fn media(self) -> Media {
        match self {
            Framing::Sse => Media::EventStream,
            Framing::Ndjson => Media::Ndjson,
            Framing::Text => Media::Text,
        }
    }

    /// What is sent before anything else.
    pub fn preamble(self) -> &'static str {
        match self {
            Framing::Sse => "retry: 2000\n\n",
            Framing::Ndjson | Framing::Text => "",
        }
    }

    /// What shows that the stream is alive; nothing can be put between lines of plain text.
    pub fn heartbeat(self) -> &'static str {
        match self {
            Framing::Sse => ":\n\n",
            Framing::Ndjson => "\n",
            Framing::Text => "",
        }
    }

    /// The beginning of one server-sent event; its data and two newlines follow.
    pub fn begin_event(out: &mut Vec<u8>, event: &str, id: impl Display) {
        let mut head = String::with_capacity(48);
        _ = write!(head, "event: {event}\nid: {id}\ndata: ");
        out.extend_from_slice(head.as_bytes());
    }

    /// One event with the JSON that `data` writes: a server-sent one, else a line.
    pub fn event(self, out: &mut Vec<u8>, event: &str, id: impl Display, data: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Framing::Sse => {
                Framing::begin_event(out, event, id);
                data(out);
                out.extend_from_slice(b"\n\n");
            }
            Framing::Ndjson | Framing::Text => {
                out.extend_from_slice(format!("{{\"event\":\"{event}\",\"id\":\"{id}\",\"data\":").as_bytes());
                data(out);
                out.extend_from_slice(b"}\n");
            }
        }
    }
}

/// Takes a place for a stream.
///
/// # Errors
/// 503 `too-many-streams`.
pub fn permit(call: &Call) -> Result<OwnedSemaphorePermit, Problem> {
    call.app.stream_permit().ok_or_else(|| {
        let limit = call.app.settings().streams;
        Problem::new(Kind::TooManyStreams, format!("{limit} streams are open, as many as limits.streams allows"))
    })
}

/// The id after which a reader resumes, as `read` reads it: `Last-Event-ID`, which a reconnecting browser sends to the address that it
/// opened, else `?after=`.
///
/// # Errors
/// 400 for what is no id of ours.
pub fn resume_after<T>(call: &Call, query: &Query<'_>, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
    let after = match query.value("after") {
        None => None,
        Some(text) => match read(text) {
            Some(id) => Some(id),
            None => return Err(Problem::parameter("after", format!("`{text}` is no id of an event here"))),
        },
    };
    match call.headers().get(LAST_EVENT_ID) {
        // An empty one means that no event has been read yet.
        Some(value) if value.is_empty() => Ok(after),
        Some(value) => match value.to_str().ok().and_then(read) {
            Some(id) => Ok(Some(id)),
            None => Err(Problem::unreadable_header("Last-Event-ID", "send the id of the last event as it came")),
        },
        None => Ok(after),
    }
}

/// The answer that a stream is.
pub fn answer(framing: Framing, frames: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    use futures_util::StreamExt;
    let mut response = Response::new(Body::from_stream(frames.map(Ok::<_, io::Error>)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(framing.media().content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// 204: nothing is left to be streamed. It keeps an `EventSource` from coming again.
pub fn nothing_left() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

//! The kinds of problem, and the page that each `type` leads to.

use super::{
    Response,
    accept::{self, Media},
    call::Call,
    problem::Problem,
    reply,
};

macro_rules! kinds {
    ($($(#[doc = $about:literal])+ $name:ident = $status:literal, $slug:literal, $title:literal;)+) => {
        /// A kind of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $($(#[doc = $about])+ $name,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$(Kind::$name),+];

            /// The status code.
            pub fn status(self) -> u16 {
                match self { $(Kind::$name => $status),+ }
            }

            /// The last segment of `type`.
            pub fn slug(self) -> &'static str {
                match self { $(Kind::$name => $slug),+ }
            }

            /// The same for every problem of this kind.
            pub fn title(self) -> &'static str {
                match self { $(Kind::$name => $title),+ }
            }

            /// What it means and what to do.
            pub fn about(self) -> &'static str {
                match self { $(Kind::$name => concat!($($about),+)),+ }
            }
        }
    };
}

kinds! {
    /// The request cannot be read: no JSON, a duplicate key, an unknown query parameter, a bad cursor, duration or
    /// header. Send it as the detail says; nothing was changed.
    MalformedRequest = 400, "malformed-request", "Malformed request";
    /// No token came, or one that is not known. Send `Authorization: Bearer TOKEN`.
    Unauthorized = 401, "unauthorized", "Unauthorized";
    /// The token does not have the scope that this needs, or speaks for another instance.
    Forbidden = 403, "forbidden", "Forbidden";
    /// A web page of another origin tried to change something.
    ForeignOrigin = 403, "foreign-origin", "Foreign origin";
    /// Commands can be registered and removed over HTTP only where the operator allows it: `definitions.remote = true`.
    RemoteDefinitionsOff = 403, "remote-definitions-off", "Remote definitions are off";
    /// There is no such route. Paths have no trailing slash.
    NotFound = 404, "not-found", "Not found";
    /// No task has this id or name. GET /v1/definitions lists them.
    TaskDefinitionNotFound = 404, "task-definition-not-found", "Task definition not found";
    /// No instance has this id or number, or it was removed by the retention.
    TaskInstanceNotFound = 404, "task-instance-not-found", "Task instance not found";
    /// The route does not have this method; `Allow` lists those it has.
    MethodNotAllowed = 405, "method-not-allowed", "Method not allowed";
    /// `Accept` excludes every form that this answer has.
    NotAcceptable = 406, "not-acceptable", "Not acceptable";
    /// The body did not arrive in time. Send it again, faster.
    BodyTimeout = 408, "body-timeout", "Body timeout";
    /// Only a done instance can be run again. Stop it first, or start a new one.
    InstanceNotDone = 409, "instance-not-done", "Instance not done";
    /// The instance is pending: no attempt runs that could report.
    AttemptNotRunning = 409, "attempt-not-running", "Attempt not running";
    /// Another attempt has begun or the instance is done: the reporting program should end.
    AttemptOver = 409, "attempt-over", "Attempt over";
    /// The id or name is that of another task, or the task is compiled in or configured, which cannot be changed over HTTP.
    /// GET /v1/definitions tells where each comes from.
    DefinitionExists = 409, "definition-exists", "Definition exists";
    /// Instances of the definition are pending or running. Stop them or wait, then remove it.
    DefinitionInUse = 409, "definition-in-use", "Definition in use";
    /// The task failed, so that there is no result; `error` tells why.
    TaskFailed = 409, "task-failed", "Task failed";
    /// The task was stopped, so that there is no result.
    TaskCancelled = 409, "task-cancelled", "Task cancelled";
    /// The instance has changed since the version in `If-Match`. Read it again.
    PreconditionFailed = 412, "precondition-failed", "Precondition failed";
    /// The body is larger than `limits.body` (of a batch: `limits.batch_body`) allows.
    BodyTooLarge = 413, "body-too-large", "Body too large";
    /// The request line is longer than 8 KiB.
    UriTooLong = 414, "uri-too-long", "URI too long";
    /// The body is not declared as JSON. With curl, use `--json`.
    UnsupportedMediaType = 415, "unsupported-media-type", "Unsupported media type";
    /// The Host is not this server. Use localhost, or add the name to `server.hosts`.
    MisdirectedRequest = 421, "misdirected-request", "Misdirected request";
    /// The request can be read, but a field is unknown, of the wrong type or out of range. `errors` lists them.
    InvalidRequest = 422, "invalid-request", "Invalid request";
    /// The inputs do not satisfy the task. `errors` lists the fields.
    InvalidInputs = 422, "invalid-inputs", "Invalid inputs";
    /// The idempotency key was used for another request. Use a new key.
    IdempotencyKeyReused = 422, "idempotency-key-reused", "Idempotency key reused";
    /// A defect of the server, or something in its store that cannot be read, which `taskwright fsck` names. Its log tells more
    /// under the `request_id`.
    Internal = 500, "internal", "Internal error";
    /// As many instances are pending as `limits.pending` allows. Try again after `Retry-After` seconds.
    QueueFull = 503, "queue-full", "Queue full";
    /// The server is shutting down and takes no new work.
    Draining = 503, "draining", "Draining";
    /// The store cannot be read or written now: busy, full or failed. Nothing was changed.
    StoreUnavailable = 503, "store-unavailable", "Store unavailable";
    /// As many streams are open as `limits.streams` allows.
    TooManyStreams = 503, "too-many-streams", "Too many streams";
}

/// `GET /problems/{name}`
pub async fn show(call: &mut Call) -> Result<Response, Problem> {
    call.query(&[])?;
    let slug = call.segment(2);
    let kind = Kind::ALL.iter().find(|kind| kind.slug() == slug).ok_or_else(|| {
        let known: Vec<_> = Kind::ALL.iter().map(|kind| kind.slug()).collect();
        let hint = crate::domain::suggest::hint(&slug, &known);
        Problem::new(Kind::NotFound, format!("there is no problem `{slug}`{hint}"))
    })?;
    let about = kind.about().split_whitespace().collect::<Vec<_>>().join(" ");
    let (status, title) = (kind.status(), kind.title());
    Ok(match accept::choose(&call.parts.headers, &[Media::Text, Media::Html]) {
        Some(Media::Html) => {
            let about = reply::escape_html(&about);
            let page = format!(
                "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
                 <body><h1>{title}</h1>\n<p>Status {status}, <code>{slug}</code></p>\n<p>{about}</p></body></html>\n"
            );
            reply::page(Media::Html, page)
        }
        _ => reply::page(Media::Text, format!("{title}\n\nstatus {status}, {slug}\n\n{about}\n")),
    })
}

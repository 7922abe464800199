//! Our own HTTP client: what the command line and a task's own program speak with the daemon. HTTP/1.1 without TLS, one
//! connection a request, each bounded in time and size.
//!
//! [`Client`] speaks with a daemon ([`calls`] is what it asks, [`exchange`] how), which [`discovery`] finds;
//! [`AttemptClient`] speaks for one attempt, [`environment`] says for which; [`RemoteTaskController`] is the last two
//! behind a handler's controller.

pub mod attempt;
pub mod calls;
mod current;
pub mod discovery;
pub mod endpoint;
pub mod environment;
pub mod exchange;
pub mod image;
mod remote;
mod servers;

use std::{io, time::Duration};

use http::{HeaderValue, Method, Uri};
use serde::{Deserialize, de::DeserializeOwned};

pub use attempt::{AttemptClient, AttemptFacts};
pub use calls::{Filter, LogSlice, Start};
pub use current::{ControllerError, get_task_controller, get_task_inputs};
pub use discovery::{Found, discover};
pub use environment::Environment;
pub use exchange::{Answer, Call, Lines, Opened};
pub use image::{AttemptImage, DefinitionImage, Image, LineImage};
pub use remote::{RemoteError, RemoteTaskController};

/// How long an exchange may take by default.
const PATIENCE: Duration = Duration::from_secs(30);

/// Speaks with one daemon.
#[derive(Clone)]
pub struct Client {
    url: String,
    host: String,
    port: u16,
    authority: HeaderValue,
    prefix: String,
    bearer: Option<HeaderValue>,
    patience: Duration,
}

/// An exchange that did not go as asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL makes no sense.
    #[error("`{url}` is no URL of a daemon: write http://ADDRESS:PORT")]
    Url {
        /// As given.
        url: String,
    },
    /// The token cannot stand in a header.
    #[error("the token holds characters that no token has")]
    Token,
    /// Nobody listens there.
    #[error("no daemon answers at {url}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It took too long.
    #[error("the daemon at {url} did not answer within {} s", after.as_secs_f64())]
    Timeout {
        /// Where.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke, or what came was no HTTP.
    #[error("the connection to {url} broke")]
    Broken {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The daemon refused.
    #[error("{}", .0.text())]
    Refused(Refusal),
    /// The answer is not what this version knows.
    #[error("the answer of {url} is not understood: is it a taskwright of this version?")]
    Answer {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl ClientError {
    /// Whether the same request may do better soon: the daemon is away, or it or a proxy before it cannot do it now.
    pub fn may_pass(&self) -> bool {
        match self {
            ClientError::Unreachable { .. } | ClientError::Broken { .. } | ClientError::Timeout { .. } => true,
            ClientError::Refused(refusal) => matches!(refusal.status, 502..=504),
            ClientError::Url { .. } | ClientError::Token | ClientError::Answer { .. } => false,
        }
    }
}

/// What the daemon said when it refused (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The last part of the problem's type, such as `attempt-over`; empty where it sent no problem.
    pub kind: String,
    /// The HTTP status.
    pub status: u16,
    /// What it said, for people.
    pub detail: String,
}

impl Refusal {
    /// What it said, or that it said nothing.
    pub fn text(&self) -> String {
        match self.detail.as_str() {
            "" => format!("what answers there is no taskwright, or a proxy before it: status {}", self.status),
            detail => detail.to_owned(),
        }
    }

    /// What kind of no it is.
    pub fn nature(&self) -> Nature {
        match self.status {
            // Every refusal of a daemon is a problem: this is somebody else's.
            _ if self.kind.is_empty() => Nature::Unable,
            400 => Nature::Unreadable,
            404 => Nature::Unknown,
            500.. => Nature::Unable,
            _ => Nature::Refused,
        }
    }

    /// Whether the attempt that reported no longer counts.
    pub fn is_late(&self) -> bool {
        self.kind == "attempt-over"
    }

    /// Reads what came with `status`.
    pub fn read(status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Problem {
            r#type: String,
            title: String,
            detail: Option<String>,
            errors: Vec<Field>,
        }
        #[derive(Deserialize)]
        struct Field {
            pointer: Option<String>,
            detail: String,
        }
        let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
        let mut detail = problem.detail.unwrap_or(problem.title);
        for field in problem.errors {
            let pointer = field.pointer.unwrap_or_default();
            detail.push_str(if pointer.is_empty() { ": " } else { "; " });
            if !pointer.is_empty() {
                detail.push_str(&format!("{pointer}: "));
            }
            detail.push_str(&field.detail);
        }
        let kind = problem.r#type.rsplit('/').next().unwrap_or_default().to_owned();
        Refusal { kind, status, detail }
    }
}

/// Why a daemon does not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// It cannot read the request: a duration, a time, JSON (400).
    Unreadable,
    /// There is no such task, instance or path (404).
    Unknown,
    /// It may not be, or does not fit (401, 403, 409, 422 and the other 4xx).
    Refused,
    /// The daemon cannot do it now (5xx): it drains, its queue is full, its store cannot be written.
    Unable,
}

/// The answer to a report.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Receipt {
    /// Whether the attempt should end.
    pub should_stop: bool,
    /// Why: `stop` or `shutdown`.
    pub reason: Option<String>,
    /// The instance's version after the report.
    pub version: u64,
}

impl Client {
    /// A client of the daemon at `url`: `http://ADDRESS:PORT`, with the path under which a proxy serves it.
    ///
    /// # Errors
    /// [`ClientError::Url`].
    pub fn new(url: &str) -> Result<Client, ClientError> {
        let invalid = || ClientError::Url { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| invalid())?;
        let authority = uri.authority().ok_or_else(invalid)?;
        if uri.scheme_str() != Some("http") || authority.as_str().contains('@') || uri.query().is_some() {
            return Err(invalid());
        }
        Ok(Client {
            url: url.trim_end_matches('/').to_owned(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| invalid())?,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            bearer: None,
            patience: PATIENCE,
        })
    }

    /// Speaks as the bearer of `token`.
    ///
    /// # Errors
    /// [`ClientError::Token`].
    pub fn with_token(mut self, token: &str) -> Result<Client, ClientError> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ClientError::Token)?;
        bearer.set_sensitive(true);
        self.bearer = Some(bearer);
        Ok(self)
    }

    /// Gives each exchange `patience`, from connecting to the last byte.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Client {
        self.patience = patience;
        self
    }

    /// Where the daemon is, as given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks for `path` and takes any answer of success.
    ///
    /// # Errors
    /// [`ClientError`]; a refusal is [`ClientError::Refused`].
    pub async fn probe(&self, path: &str) -> Result<(), ClientError> {
        self.exchange(Method::GET, path, None).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<T, ClientError> {
        self.exchange(method, path, body).await?.read()
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<String>) -> Result<Answer, ClientError> {
        let call = Call::new(method, path);
        self.send(match body {
            Some(body) => call.body(body),
            None => call,
        })
        .await
    }
}

/// `text` as one segment of a path.
fn segment(text: &str) -> impl std::fmt::Display {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_plain_http() {
        for url in ["https://localhost", "localhost:8080", "http://", "http://u:p@localhost", "http://localhost?x"] {
            assert!(matches!(Client::new(url), Err(ClientError::Url { .. })), "{url}");
        }
        let client = Client::new("http://[::1]:8081/tasks/").expect("a URL");
        assert_eq!((client.host.as_str(), client.port, client.prefix.as_str()), ("::1", 8081, "/tasks"));
    }

    #[test]
    fn a_refusal_says_what_the_problem_says() {
        let body = br#"{"type":"/problems/invalid-request","title":"Invalid request","status":422,"detail":"the report is not valid","errors":[{"pointer":"/progress","detail":"must be from 0 to 1"}]}"#;
        let refusal = Refusal::read(422, body);
        assert_eq!(refusal.kind, "invalid-request");
        assert_eq!(refusal.text(), "the report is not valid; /progress: must be from 0 to 1");
        assert!(!refusal.is_late());
        assert_eq!(
            Refusal::read(502, b"<html>").text(),
            "what answers there is no taskwright, or a proxy before it: status 502"
        );
    }
}

//! Our own HTTP client: what `report`, `healthcheck` and a task's own program speak with the daemon. HTTP/1.1 without TLS,
//! one connection a request, each bounded in time and size.
//!
//! [`Client`] speaks with a daemon, [`AttemptClient`] for one attempt, [`environment`] says for which;
//! [`RemoteTaskController`] is all three behind a handler's controller.

pub mod attempt;
mod current;
pub mod environment;
mod remote;

use std::{io, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::net::TcpStream;

pub use attempt::{AttemptClient, Facts};
pub use current::{ControllerError, get_task_controller, get_task_inputs};
pub use environment::Environment;
pub use remote::{RemoteError, RemoteTaskController};

/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 16 << 20;

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
    fn text(&self) -> String {
        match self.detail.as_str() {
            "" => format!("the daemon answered with status {}", self.status),
            detail => detail.to_owned(),
        }
    }

    /// Whether the attempt that reported no longer counts.
    pub fn is_late(&self) -> bool {
        self.kind == "attempt-over"
    }

    fn read(status: u16, body: &[u8]) -> Self {
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
        let answer = self.exchange(method, path, body).await?;
        serde_json::from_slice(&answer).map_err(|source| ClientError::Answer { url: self.url.clone(), source })
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<String>) -> Result<Bytes, ClientError> {
        match tokio::time::timeout(self.patience, self.exchange_unbounded(method, path, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout { url: self.url.clone(), after: self.patience }),
        }
    }

    async fn exchange_unbounded(&self, method: Method, path: &str, body: Option<String>) -> Result<Bytes, ClientError> {
        let url = || self.url.clone();
        let broken = |source: hyper::Error| ClientError::Broken { url: url(), source: source.into() };
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|source| ClientError::Unreachable { url: url(), source })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let connection = tokio::spawn(connection);

        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(HOST, &self.authority)
            .header(ACCEPT, "application/json");
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|source| ClientError::Broken { url: url(), source: source.into() })?;
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST_ANSWER)
            .collect()
            .await
            .map_err(|source| ClientError::Broken { url: url(), source })?
            .to_bytes();
        connection.abort();
        if status.is_success() { Ok(body) } else { Err(ClientError::Refused(Refusal::read(status.as_u16(), &body))) }
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
        assert_eq!(Refusal::read(502, b"<html>").text(), "the daemon answered with status 502");
    }
}

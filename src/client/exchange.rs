//! One exchange with a daemon: a connection, a request, and its answer whole or as it comes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{net::TcpStream, task::JoinHandle};

use super::{Client, ClientError, Refusal};

/// The largest answer that is read as a whole, in bytes. A page of long log lines is the largest there is.
const LARGEST_ANSWER: usize = 64 << 20;

/// The longest line of a stream, in bytes: a log line with every byte escaped, or an instance with its output.
const LONGEST_LINE: usize = 16 << 20;

/// A stream that is silent for so long is broken: the daemon sends a heartbeat every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// What is asked of a daemon.
#[derive(Debug, Clone)]
pub struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    patience: Option<Duration>,
}

impl Call {
    /// `method` on `path`, which begins with `/` and may have a query. Asks for JSON.
    pub fn new(method: Method, path: impl Into<String>) -> Call {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        Call { method, path: path.into(), headers, body: Bytes::new(), patience: None }
    }

    /// A GET of `path`.
    pub fn get(path: impl Into<String>) -> Call {
        Call::new(Method::GET, path)
    }

    /// With this header, in place of another of its name.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Call {
        self.headers.insert(name, value);
        self
    }

    /// With this body, which is JSON unless a header says otherwise.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Call {
        self.body = body.into();
        self.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        self
    }

    /// Gives it `patience` in place of the client's.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Call {
        self.patience = Some(patience);
        self
    }
}

/// A whole answer of success.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status of the answer.
    pub status: u16,
    url: String,
    body: Bytes,
}

impl Answer {
    /// Whether what was asked for was made by this request; a replayed one made it before.
    pub fn is_new(&self) -> bool {
        self.status == 201
    }

    /// The body as it came.
    pub fn text(&self) -> &str {
        // What is no UTF-8 is no JSON of a daemon; reading it says so.
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// The body as what it stands for.
    ///
    /// # Errors
    /// [`ClientError::Answer`].
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|source| ClientError::Answer { url: self.url.clone(), source })
    }
}

/// An answer of any status whose body is read as it comes.
pub struct Opened {
    /// The status of the answer.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    url: String,
    body: Incoming,
    _connection: Connection,
}

/// Ends with whoever holds it.
struct Connection(JoinHandle<Result<(), hyper::Error>>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Opened {
    /// The status with its usual words, such as `404 Not Found`.
    pub fn status_line(&self) -> String {
        http::StatusCode::from_u16(self.status).map_or_else(|_| self.status.to_string(), |status| status.to_string())
    }

    /// Whether it was refused, or could not be done.
    pub fn is_refusal(&self) -> bool {
        self.status >= 400
    }

    /// Whether it was what was asked for.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What came next, None at the end. Waits as long as the daemon does.
    ///
    /// # Errors
    /// [`ClientError::Broken`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            let frame = frame.map_err(|source| ClientError::Broken { url: self.url.clone(), source: source.into() })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    async fn whole(self) -> Result<Bytes, ClientError> {
        let Opened { url, body, _connection, .. } = self;
        let collected = Limited::new(body, LARGEST_ANSWER).collect().await;
        Ok(collected.map_err(|source| ClientError::Broken { url, source })?.to_bytes())
    }
}

/// Lines that come as things happen.
///
/// # Cancel safety
/// A call of [`Lines::next`] that is dropped loses nothing.
pub struct Lines {
    opened: Opened,
    buffer: BytesMut,
    /// How much of the buffer holds no line's end.
    searched: usize,
}

impl Lines {
    /// The next line without its end; heartbeats, which are blank, are passed over. None at the end.
    ///
    /// # Errors
    /// [`ClientError::Broken`], also for a last line that was cut; [`ClientError::Timeout`] after 45 s of silence.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let mut line = self.buffer.split_to(self.searched + at + 1);
                self.searched = 0;
                line.truncate(line.len() - 1);
                if !line.is_empty() {
                    return Ok(Some(line.freeze()));
                }
                continue;
            }
            self.searched = self.buffer.len();
            let broken = |why: &str| ClientError::Broken { url: self.opened.url.clone(), source: why.into() };
            if self.buffer.len() > LONGEST_LINE {
                return Err(broken("a line without end came"));
            }
            match tokio::time::timeout(SILENCE, self.opened.chunk()).await {
                Err(_) => return Err(ClientError::Timeout { url: self.opened.url.clone(), after: SILENCE }),
                Ok(chunk) => match chunk? {
                    Some(chunk) => self.buffer.extend_from_slice(&chunk),
                    None if self.buffer.is_empty() => return Ok(None),
                    None => {
                        return Err(ClientError::Broken { url: self.opened.url.clone(), source: "it was cut".into() });
                    }
                },
            }
        }
    }
}

impl Client {
    /// Sends `call` and reads the whole answer.
    ///
    /// # Errors
    /// [`ClientError`]; what is no success is [`ClientError::Refused`].
    pub async fn send(&self, call: Call) -> Result<Answer, ClientError> {
        let patience = call.patience.unwrap_or(self.patience);
        let exchange = async {
            let opened = self.open(call).await?;
            let (status, is_success) = (opened.status, opened.is_success());
            let body = opened.whole().await?;
            if is_success {
                Ok(Answer { status, url: self.url.clone(), body })
            } else {
                Err(ClientError::Refused(Refusal::read(status, &body)))
            }
        };
        match tokio::time::timeout(patience, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout { url: self.url.clone(), after: patience }),
        }
    }

    /// Sends `call` and reads the answer line by line, as newline-delimited JSON.
    ///
    /// # Errors
    /// [`ClientError`]; what is no success is [`ClientError::Refused`].
    pub async fn lines(&self, call: Call) -> Result<Lines, ClientError> {
        let call = call.header(ACCEPT, HeaderValue::from_static("application/x-ndjson"));
        let patience = call.patience.unwrap_or(self.patience);
        let open = async {
            let opened = self.open(call).await?;
            if opened.is_success() {
                return Ok(Lines { opened, buffer: BytesMut::new(), searched: 0 });
            }
            let status = opened.status;
            Err(ClientError::Refused(Refusal::read(status, &opened.whole().await?)))
        };
        match tokio::time::timeout(patience, open).await {
            Ok(lines) => lines,
            Err(_) => Err(ClientError::Timeout { url: self.url.clone(), after: patience }),
        }
    }

    /// Sends `call` and hands out whatever is answered as soon as its head is there. Unbounded in time.
    ///
    /// # Errors
    /// [`ClientError`], but never [`ClientError::Refused`].
    pub async fn open(&self, call: Call) -> Result<Opened, ClientError> {
        let url = || self.url.clone();
        let broken = |source: hyper::Error| ClientError::Broken { url: url(), source: source.into() };
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|source| ClientError::Unreachable { url: url(), source })?;
        // A short request that waits for company waits in vain.
        let _ = stream.set_nodelay(true);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let connection = Connection(tokio::spawn(connection));
        let mut request = Request::builder()
            .method(call.method)
            .uri(format!("{}{}", self.prefix, call.path))
            .body(Full::new(call.body))
            .map_err(|source| ClientError::Broken { url: url(), source: source.into() })?;
        request.headers_mut().insert(HOST, self.authority.clone());
        if let Some(bearer) = &self.bearer {
            request.headers_mut().insert(AUTHORIZATION, bearer.clone());
        }
        request.headers_mut().extend(call.headers);
        let answer = sender.send_request(request).await.map_err(broken)?;
        let (head, body) = answer.into_parts();
        Ok(Opened { status: head.status.as_u16(), headers: head.headers, url: url(), body, _connection: connection })
    }
}

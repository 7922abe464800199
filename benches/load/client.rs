//! The load client: HTTP/1.1 on kept-alive connections, requests formatted once, as little work per reply as possible.
//!
//! Threads with a runtime each and a share of the connections: no task moves between cores, so the client costs little
//! and the same against both servers.

use std::{
    net::SocketAddr,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Runtime},
    task::LocalSet,
};

use crate::Failure;

/// The most requests of one connection in one measurement: bounds memory and the store, whatever the machine.
const MOST_REQUESTS: usize = 500_000;
/// No reply takes longer unless something is broken.
const REPLY_TIMEOUT: Duration = Duration::from_secs(90);
const THREADS: usize = 2;

/// One request, formatted once and sent many times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// Where the server listens.
    pub(crate) to: SocketAddr,
    /// The bytes to send.
    pub(crate) bytes: &'a [u8],
    /// The status that every reply must have.
    pub(crate) status: u16,
    /// What the body of every reply must contain.
    pub(crate) contains: Option<&'a str>,
}

/// What a closed loop of requests measured.
#[derive(Debug)]
pub(crate) struct Sample {
    /// When the first request was sent.
    pub(crate) began: Instant,
    /// From the first request to the last reply.
    pub(crate) took: Duration,
    /// The latency of every request, sorted.
    pub(crate) latencies: Vec<Duration>,
}

impl Sample {
    /// Replies a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    /// The latency that this share of the requests did not exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }
}

/// Sends `request` over `connections` connections for `length`, each connection its next when the reply has come.
pub(crate) fn closed_loop(request: Request<'_>, connections: u16, length: Duration) -> Result<Sample, Failure> {
    let threads = THREADS.min(usize::from(connections));
    let ready = Barrier::new(threads);
    let parts = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|index| {
                let share = (usize::from(connections) + index) / threads;
                let ready = &ready;
                scope.spawn(move || worker(request, share, length, ready))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err("a client thread panicked".into())))
            .collect::<Result<Vec<_>, Failure>>()
    })?;
    let began = parts.iter().map(|part| part.0).min().ok_or("no client thread ran")?;
    let ended = parts.iter().map(|part| part.1).max().ok_or("no client thread ran")?;
    let mut latencies: Vec<Duration> = parts.into_iter().flat_map(|part| part.2).collect();
    if latencies.is_empty() {
        return Err("not one reply came".into());
    }
    latencies.sort_unstable();
    Ok(Sample { began, took: ended - began, latencies })
}

type Part = (Instant, Instant, Vec<Duration>);

fn worker(request: Request<'_>, connections: usize, length: Duration, ready: &Barrier) -> Result<Part, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // Owned by the thread so that its tasks need no borrow from another one.
    let bytes: std::rc::Rc<[u8]> = request.bytes.into();
    let contains: Option<std::rc::Rc<str>> = request.contains.map(Into::into);
    runtime.block_on(LocalSet::new().run_until(async move {
        let mut open = Vec::with_capacity(connections);
        let mut failed = None;
        for _ in 0..connections {
            match Connection::open(request.to).await {
                Ok(connection) => open.push(connection),
                Err(failure) => {
                    failed = Some(failure);
                    break;
                }
            }
        }
        // Every thread comes here, also one that failed: the others would wait for ever.
        ready.wait();
        if let Some(failure) = failed {
            return Err(failure);
        }
        let began = Instant::now();
        let end = began + length;
        let tasks: Vec<_> = open
            .into_iter()
            .map(|mut connection| {
                let (bytes, contains) = (bytes.clone(), contains.clone());
                tokio::task::spawn_local(async move {
                    let mut latencies = Vec::new();
                    let mut sent = Instant::now();
                    while sent < end && latencies.len() < MOST_REQUESTS {
                        connection.exchange(&bytes, request.status, contains.as_deref()).await?;
                        let replied = Instant::now();
                        latencies.push(replied - sent);
                        sent = replied;
                    }
                    Ok::<_, Failure>(latencies)
                })
            })
            .collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(tokio::time::timeout(length + REPLY_TIMEOUT, task).await???);
        }
        Ok((began, Instant::now(), latencies))
    }))
}

/// One kept-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(to: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Vec::with_capacity(8192) })
    }

    /// Sends a request and reads its whole reply, which must have this status and contain this text.
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        status: u16,
        contains: Option<&str>,
    ) -> Result<&str, Failure> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let body = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the server closed the connection in the middle of a reply".into());
            }
            if let Some(body) = complete_body(&self.buffer)? {
                break body;
            }
        };
        let reply = std::str::from_utf8(&self.buffer)?;
        if reply.get(9..12) != Some(status.to_string().as_str()) {
            return Err(format!("expected status {status}, got: {reply}").into());
        }
        let body = reply.get(body..).unwrap_or_default();
        match contains {
            Some(text) if !body.contains(text) => Err(format!("expected {text} in the reply, got: {body}").into()),
            _ => Ok(body),
        }
    }
}

/// A connection for calls one after another, without a runtime around it.
#[derive(Debug)]
pub(crate) struct Caller {
    runtime: Runtime,
    connection: Connection,
    to: SocketAddr,
}

impl Caller {
    /// Connects.
    pub(crate) fn open(to: SocketAddr) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connection = runtime.block_on(Connection::open(to))?;
        Ok(Caller { runtime, connection, to })
    }

    /// How long one exchange takes.
    pub(crate) fn time(&mut self, request: Request<'_>) -> Result<Duration, Failure> {
        let began = Instant::now();
        self.runtime.block_on(self.connection.exchange(request.bytes, request.status, request.contains))?;
        Ok(began.elapsed())
    }

    /// The body that GET answers with 200.
    pub(crate) fn get(&mut self, path: &str) -> Result<String, Failure> {
        self.exchange(&get(self.to, path), 200)
    }

    /// The body that POST answers with 201.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> Result<String, Failure> {
        self.exchange(&post(self.to, path, body), 201)
    }

    fn exchange(&mut self, request: &[u8], status: u16) -> Result<String, Failure> {
        Ok(self.runtime.block_on(self.connection.exchange(request, status, None))?.to_owned())
    }
}

/// Where the body begins, once all of it is there.
fn complete_body(reply: &[u8]) -> Result<Option<usize>, Failure> {
    let Some(head) = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let length = reply[..head]
        .split(|byte| *byte == b'\n')
        .find_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            line[..colon].eq_ignore_ascii_case(b"content-length").then(|| line[colon + 1..].trim_ascii())
        })
        .ok_or("a reply without Content-Length")?;
    let length: usize = std::str::from_utf8(length)?.parse()?;
    Ok((reply.len() >= head + 4 + length).then_some(head + 4))
}

/// The token that every request carries; the measured daemon asks for it, bare axum does not care.
pub(crate) const TOKEN: &str = "tw_bench-bench-bench-bench-bench-bench-bench-0";

/// A request with a JSON body, as bytes.
pub(crate) fn post(to: SocketAddr, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: {to}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A request without a body, as bytes.
pub(crate) fn get(to: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n").into_bytes()
}

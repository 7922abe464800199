//! One connection: hyper's HTTP/1.1, with deadlines on everything that a peer could leave undone.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ::http::Request;
use axum::{
    Router,
    body::{Body, HttpBody},
};
use bytes::Bytes;
use hyper::{body::Frame, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, sleep_until},
};
use tower::Service;

use super::{
    App,
    deadlines::Deadlines,
    framing::{BareLineFeed, LineEnds},
};

/// The largest head of a request.
const LONGEST_HEAD: usize = 16 * 1024;
/// How much is kept of an answer that its reader does not take, beside the frame that goes beyond it, and read at once.
const BUFFERED: usize = 32 * 1024;
/// The most headers of a request.
const MOST_HEADERS: usize = 100;

/// Serves one connection until either side ends it.
pub async fn drive(stream: TcpStream, app: App, router: Router) {
    let deadlines = Arc::new(Deadlines::new());
    let service = service_fn(|mut request: Request<Incoming>| {
        if deadlines.asked() == LineEnds::Bare {
            request.extensions_mut().insert(BareLineFeed);
        }
        let deadlines = Arc::clone(&deadlines);
        let answer = router.clone().call(request);
        async move {
            let response = answer.await?;
            Ok::<_, std::convert::Infallible>(if response.body().size_hint().exact().is_some() {
                deadlines.answered();
                response
            } else {
                // A stream counts as being answered until its last frame.
                response.map(|body| Body::new(Tracked { body, deadlines }))
            })
        }
    });
    let io = TokioIo::new(Watched { stream, deadlines: Arc::clone(&deadlines) });
    let connection = http1::Builder::new()
        .max_headers(MOST_HEADERS)
        .max_header_size(LONGEST_HEAD)
        // Hyper's own bound is 400 kB, which a thousand streams that stall would take.
        .max_buf_size(BUFFERED)
        // The deadline on the head is ours: hyper's would also cut connections that wait between two requests.
        .header_read_timeout(None)
        .serve_connection(io, service)
        // A connection that becomes a WebSocket is done here: that has deadlines of its own.
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut alarm = Alarm::new();
    let mut closing = pin!(app.closing());
    let mut told = false;
    poll_fn(|cx| {
        // Polled once to leave our waker there; the flag says the rest.
        if !told && closing.as_mut().poll(cx).is_ready() {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        if connection.as_mut().poll(cx).is_ready() || alarm.rings(&deadlines, cx) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Wakes the connection's task when its deadline has come. Set again only where a deadline moves forward, so that a
/// busy connection costs no timers.
struct Alarm {
    sleep: Pin<Box<tokio::time::Sleep>>,
    set: Option<Instant>,
}

impl Alarm {
    fn new() -> Self {
        Alarm { sleep: Box::pin(sleep_until(Instant::now() + Duration::from_secs(5))), set: None }
    }

    fn rings(&mut self, deadlines: &Deadlines, cx: &mut Context<'_>) -> bool {
        loop {
            let deadline = deadlines.deadline();
            if let Some(deadline) = deadline
                && self.set.is_none_or(|set| deadline < set)
            {
                self.sleep.as_mut().reset(deadline);
                self.set = Some(deadline);
            }
            if self.set.is_none() || self.sleep.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.set = None;
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return true;
            }
        }
    }
}

/// A socket that tells what comes and goes.
struct Watched {
    stream: TcpStream,
    deadlines: Arc<Deadlines>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.deadlines.received(&buffer.filled()[before..]);
        }
        read
    }
}

impl Watched {
    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        self.deadlines.wrote(written.is_ready());
        written
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The body of a stream, which tells when it is over.
struct Tracked {
    body: Body,
    deadlines: Arc<Deadlines>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.deadlines.answered();
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

//! The streams of a command, on their way into the log.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::watch,
    time::Instant,
};

use super::attempt::{Attempt, Intake};
use crate::{
    domain::{Stream, instance::LONGEST_MESSAGE},
    process::LineSplitter,
};

/// An unfinished line (a prompt, a progress bar) is shown after so long without its end.
const PARTIAL_LINE_AFTER: Duration = Duration::from_millis(500);

/// As much as a pipe holds.
const READ_AT_ONCE: usize = 64 << 10;

/// Reads one stream to its end, or until the time that `until` comes to hold, line by line into the log; keeps the last
/// line in `last`, where it is wanted.
pub async fn pump(
    attempt: Arc<Attempt>,
    stream: Stream,
    mut reader: impl AsyncRead + Unpin,
    mut until: watch::Receiver<Option<Instant>>,
    last: Option<Arc<Mutex<Option<String>>>>,
) {
    let mut splitter = LineSplitter::new();
    let mut newest = Newest::default();
    // Not zeroed: most programs print little, and few anything at all.
    let mut buffer = Vec::with_capacity(READ_AT_ONCE);
    loop {
        buffer.clear();
        let read = async {
            tokio::select! {
                biased;
                read = reader.read_buf(&mut buffer) => read,
                () = over(&mut until) => Ok(0),
            }
        };
        let read = if splitter.pending().is_some() || !newest.is_empty() {
            match tokio::time::timeout(PARTIAL_LINE_AFTER, read).await {
                Ok(read) => read,
                Err(_) => {
                    let mut lines = newest.take(&attempt, &mut splitter);
                    lines.extend(splitter.flush());
                    write(&attempt, stream, &lines, last.as_deref()).await;
                    continue;
                }
            }
        } else {
            read.await
        };
        // A pipe that cannot be read any more has ended as far as the log goes.
        let Some(bytes) = read.ok().filter(|n| *n > 0).map(|n| &buffer[..n]) else {
            let mut lines = newest.take(&attempt, &mut splitter);
            lines.extend(splitter.finish());
            write(&attempt, stream, &lines, last.as_deref()).await;
            return;
        };
        let lines = match attempt.intake() {
            Intake::Every if newest.is_empty() => splitter.push(bytes),
            Intake::Hold => {
                newest.push(bytes);
                continue;
            }
            Intake::Every | Intake::Newest => {
                newest.push(bytes);
                newest.take(&attempt, &mut splitter)
            }
        };
        write(&attempt, stream, &lines, last.as_deref()).await;
    }
}

/// Resolves when the time that `until` comes to hold has come.
async fn over(until: &mut watch::Receiver<Option<Instant>>) {
    // Whoever would tell has gone: then this task is cancelled.
    let Ok(Some(until)) = until.wait_for(Option::is_some).await.map(|until| *until) else {
        return std::future::pending().await;
    };
    tokio::time::sleep_until(until).await;
}

/// The newest bytes of a stream that is not stored as fast as it comes. Cutting lines that will be dropped anyway
/// would cost more than all the rest.
#[derive(Default)]
struct Newest {
    bytes: Vec<u8>,
    lost: u64,
}

impl Newest {
    /// So many are kept: about what one chunk of the log holds.
    const KEEP: usize = 192 << 10;

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Cut at twice the size, so that what is kept is moved once for each time it is replaced.
        if self.bytes.len() > 2 * Self::KEEP {
            let from = self.bytes.len() - Self::KEEP;
            // A line that has lost its beginning goes too.
            let cut = memchr::memchr(b'\n', &self.bytes[from..]).map_or(from, |at| from + at + 1);
            self.lost += memchr::memchr_iter(b'\n', &self.bytes[..cut]).count() as u64;
            self.bytes.drain(..cut);
        }
    }

    fn take(&mut self, attempt: &Attempt, splitter: &mut LineSplitter) -> Vec<String> {
        if self.bytes.is_empty() {
            return Vec::new();
        }
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            attempt.log_skip(lost);
        }
        splitter.push(&std::mem::take(&mut self.bytes))
    }
}

async fn write(attempt: &Arc<Attempt>, stream: Stream, lines: &[String], last: Option<&Mutex<Option<String>>>) {
    for line in lines {
        log(attempt, stream, line, last).await;
    }
}

async fn log(attempt: &Arc<Attempt>, stream: Stream, line: &str, last: Option<&Mutex<Option<String>>>) {
    if let Some(last) = last
        && !line.trim().is_empty()
    {
        let mut kept = line.to_owned();
        kept.truncate(kept.floor_char_boundary(LONGEST_MESSAGE));
        *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }
    attempt.log_line(stream, line).await;
}

//! The log of an instance: lines numbered through all its attempts, stored in chunks.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::time::Micros;

/// The longest line, in bytes; a longer one is split.
pub const LONGEST_LINE: usize = 16 * 1024;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// A command's standard output.
    Stdout,
    /// A command's standard error.
    Stderr,
    /// Written by the task through its controller.
    Task,
    /// Written by the daemon.
    System,
}

impl Stream {
    /// Every stream.
    pub const ALL: [Stream; 4] = [Stream::Stdout, Stream::Stderr, Stream::Task, Stream::System];

    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
            Stream::Task => "task",
            Stream::System => "system",
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no stream: use stdout, stderr, task or system")]
pub struct UnknownStream(pub String);

impl FromStr for Stream {
    type Err = UnknownStream;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Stream::ALL.into_iter().find(|stream| stream.as_str() == word).ok_or_else(|| UnknownStream(word.to_owned()))
    }
}

/// One line of an instance's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its place in the log, from 1 through all attempts.
    pub seq: u64,
    /// When the daemon read it.
    pub time: Micros,
    /// The attempt that wrote it.
    pub attempt: u32,
    /// Where it came from.
    pub stream: Stream,
    /// The line, without its newline.
    pub text: String,
}

/// Consecutive lines of one instance, written as one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// The number of the instance.
    pub instance: u64,
    /// The lines; not empty, `seq` rising by one.
    pub lines: Vec<LogLine>,
    /// Lines with a `seq` below this are deleted by the same commit, to keep within `limits.log`; 1 deletes nothing.
    pub keep_from: u64,
    /// How many lines this instance has lost so far, by that deletion or because they came too fast.
    pub dropped: u64,
}

/// Which lines to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogQuery {
    /// The number of the instance.
    pub instance: u64,
    /// Where in the log to read.
    pub window: LogWindow,
    /// The most lines to return, from 1.
    pub limit: usize,
    /// Only lines of this stream.
    pub stream: Option<Stream>,
    /// Only lines that contain this text.
    pub grep: Option<String>,
}

/// The part of a log that a query reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogWindow {
    /// Lines with this `seq` or a later one, oldest first.
    From(u64),
    /// The last lines that match, in order.
    Tail,
}

impl Default for LogWindow {
    fn default() -> Self {
        LogWindow::From(1)
    }
}

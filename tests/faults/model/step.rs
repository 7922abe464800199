//! What can happen to the store and to its model.

use std::time::Duration;

use taskwright::domain::{Status, VerdictStatus};

/// The tasks of the model.
pub const TASKS: [&str; 2] = ["a", "b"];

/// Something that happens.
#[derive(Debug, Clone)]
pub enum Step {
    /// One commit.
    Commit(Vec<Item>),
    /// Time passes.
    Wait(Duration),
    /// The daemon dies; another one opens the store, settles what ran and looks for what is due.
    Crash,
}

/// Something to be committed.
#[derive(Debug, Clone)]
pub enum Item {
    /// A new instance.
    Start(NewStart),
    /// A stop, with its deadline in seconds from now.
    Stop { who: usize, deadline: i64, only: Option<Status> },
    /// A report.
    Report { who: usize, attempt: Which, patch: Patch },
    /// The end of an attempt.
    Finish { who: usize, attempt: Which, how: How, patch: Patch, hint: Hint },
    /// A look for what is due.
    Promote,
    /// Room for so many of each task, and so many slots.
    Claim { rooms: [u32; 2], slots: u32 },
}

/// What a new instance is.
#[derive(Debug, Clone)]
pub struct NewStart {
    pub task: usize,
    pub attempts: u32,
    pub priority: i16,
    pub delay: u64,
    pub queue_timeout: Option<u64>,
    /// Key and fingerprint.
    pub key: Option<(u8, u8)>,
}

/// Which attempt somebody says to be.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    Current,
    Previous,
    Next,
}

/// What is reported. The output is an object with this number.
#[derive(Debug, Clone)]
pub struct Patch {
    pub progress: Option<u8>,
    pub output: Option<Option<u8>>,
    pub verdict: Option<Option<VerdictStatus>>,
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Returned,
    Failed,
    FailedForGood,
    Stopped,
    Interrupted,
}

/// What a finish believes of its instance: it must never change what becomes of it.
#[derive(Debug, Clone, Copy)]
pub enum Hint {
    None,
    Right,
    Stale,
}

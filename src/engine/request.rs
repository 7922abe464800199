//! What callers ask the engine for, and what they get.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use crate::domain::{Instance, Json, Labels, LogLine, Micros, Progress, Stream, Verdict, Workload};

/// A request to start one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct StartRequest {
    /// The id or name of the definition.
    pub task: String,
    /// A JSON object.
    pub inputs: Json,
    /// What replaces the definition's values.
    pub options: StartOptions,
}

/// What a start says in place of its definition. None keeps the definition's value. Durations are above 0 and at most 365
/// days, attempts at most 1,000.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StartOptions {
    /// The longest an attempt may run.
    pub timeout: Option<Duration>,
    /// The longest it may wait for its first attempt.
    pub queue_timeout: Option<Duration>,
    /// How many attempts it has.
    pub max_attempts: Option<u32>,
    /// The delay before the second attempt.
    pub retry_delay: Option<Duration>,
    /// Higher runs first.
    pub priority: Option<i16>,
    /// Labels; for a retry, None keeps the original's.
    pub labels: Option<Labels>,
    /// When it may run.
    pub when: When,
    /// What the caller believes the task to be; another is refused.
    pub workload: Option<Workload>,
}

/// When an instance may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// At once.
    #[default]
    Now,
    /// Not before this time; the past means now.
    At(Micros),
    /// Not before so long after the start.
    After(Duration),
}

/// A key under which a start may be repeated without making a second instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Whose key: keys of different principals never meet.
    pub principal: Arc<str>,
    /// The key, without quotes.
    pub key: Arc<str>,
}

/// A start that was accepted.
#[derive(Debug, Clone)]
pub struct Started {
    /// The instance, as committed; on a replay as it is now.
    pub instance: Arc<Instance>,
    /// Whether an earlier start with the same key made it.
    pub replayed: bool,
}

/// A batch that was accepted.
#[derive(Debug, Clone)]
pub struct StartedBatch {
    /// The instances, in order.
    pub instances: Vec<Arc<Instance>>,
    /// Whether an earlier batch with the same key made them.
    pub replayed: bool,
}

/// How to stop an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopOptions {
    /// The time until the deadline, at most an hour; None takes `worker.stop_grace`.
    pub grace: Option<Duration>,
    /// No grace at all.
    pub force: bool,
    /// The instance's own attempt asked: its command gets no signal before the deadline.
    pub by_itself: bool,
}

/// What a stop of many did, counted in instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct StopCounts {
    /// That were pending or running and matched: the sum of the others.
    pub matched: u64,
    /// That were pending, and are cancelled.
    pub cancelled: u64,
    /// That run and are to stop, those included that were stopping already.
    pub stopping: u64,
}

/// For whom a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// This attempt only.
    Attempt(u32),
    /// Whichever attempt runs now.
    Current,
}

/// What a report changes. None leaves a part as it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReportPatch {
    /// The progress.
    pub progress: Option<Progress>,
    /// The output: an object, or None to clear it.
    pub output: Option<Option<Json>>,
    /// The verdict, or None to withdraw it.
    pub verdict: Option<Option<Verdict>>,
}

impl ReportPatch {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.progress.is_none() && self.output.is_none() && self.verdict.is_none()
    }

    /// Takes over what `newer` changes.
    pub fn merge(&mut self, newer: ReportPatch) {
        self.progress = newer.progress.or(self.progress.take());
        self.output = newer.output.or(self.output.take());
        self.verdict = newer.verdict.or(self.verdict.take());
    }
}

/// The answer to a committed report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// Whether the attempt should end.
    pub should_stop: bool,
    /// Why.
    pub reason: Option<ReceiptReason>,
    /// The instance's version after the report.
    pub version: u64,
}

/// Why an attempt should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptReason {
    /// Somebody asked for a stop.
    Stop,
    /// The daemon shuts down.
    Shutdown,
}

/// A line to be added to a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLine {
    /// Where it comes from.
    pub stream: Stream,
    /// The text; may hold newlines.
    pub text: String,
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPage {
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Where to read on: None once a done instance is read out.
    pub next: Option<u64>,
}

//! One run of a definition: the only thing that changes.

use std::{ops::Deref, str::FromStr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{attempt_end::Ended, error::InstanceError, json::Json, labels::Labels, status::Status, time::Micros};

/// Where a task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// A handler in the daemon.
    Local,
    /// A process outside the daemon.
    Remote,
}

impl Workload {
    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Workload::Local => "local",
            Workload::Remote => "remote",
        }
    }
}

impl FromStr for Workload {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "local" => Ok(Workload::Local),
            "remote" => Ok(Workload::Remote),
            _ => Err(()),
        }
    }
}

/// How far along an instance is; what only a done instance has stands in its variant.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Waiting to run.
    Pending,
    /// An attempt is running.
    Running,
    /// Ended for good.
    Done {
        /// How.
        outcome: Outcome,
        /// When.
        finished_at: Micros,
    },
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// `completed`.
    Completed,
    /// `failed`, and why.
    Failed(Box<InstanceError>),
    /// `cancelled`.
    Cancelled,
}

impl Phase {
    /// The status that this phase shows as.
    pub fn status(&self) -> Status {
        match self {
            Phase::Pending => Status::Pending,
            Phase::Running => Status::Running,
            Phase::Done { outcome, .. } => outcome.status(),
        }
    }
}

impl Outcome {
    /// The terminal status of this outcome.
    pub fn status(&self) -> Status {
        match self {
            Outcome::Completed => Status::Completed,
            Outcome::Failed(_) => Status::Failed,
            Outcome::Cancelled => Status::Cancelled,
        }
    }

    /// The error of a failed outcome.
    pub fn error(&self) -> Option<&InstanceError> {
        match self {
            Outcome::Failed(error) => Some(error),
            Outcome::Completed | Outcome::Cancelled => None,
        }
    }
}

/// How far a task says it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    value: f64,
    /// What it says beside the number.
    pub message: Option<Arc<str>>,
}

/// The longest message beside a progress or a verdict, or of an error or one of its causes, in bytes.
pub const LONGEST_MESSAGE: usize = 4096;
/// The longest chain of causes that is kept of an error.
pub const MOST_CAUSES: usize = 32;

/// Why a progress was refused.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum InvalidProgress {
    /// Outside the range, infinite or no number.
    #[error("progress must be a finite number from 0.0 to 1.0, not {0}")]
    OutOfRange(f64),
    /// The message is too long.
    #[error("the message is {0} bytes long; at most {LONGEST_MESSAGE} are kept")]
    MessageTooLong(usize),
}

impl Progress {
    /// Before anything was reported.
    pub const NONE: Progress = Progress { value: 0.0, message: None };

    /// Checks a reported progress.
    ///
    /// # Errors
    /// [`InvalidProgress`]; nothing is changed then.
    pub fn new(value: f64, message: Option<&str>) -> Result<Self, InvalidProgress> {
        if !(0.0..=1.0).contains(&value) {
            return Err(InvalidProgress::OutOfRange(value));
        }
        match message {
            Some(text) if text.len() > LONGEST_MESSAGE => Err(InvalidProgress::MessageTooLong(text.len())),
            // Adding zero turns -0.0 into 0.0, which is what people expect to read.
            _ => Ok(Progress { value: value + 0.0, message: message.map(Arc::from) }),
        }
    }

    /// The number, from 0.0 to 1.0.
    pub fn value(&self) -> f64 {
        self.value
    }
}

/// What a handler states about its own end; it takes effect when the attempt ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The status stated.
    pub status: VerdictStatus,
    /// Why; becomes the error's message of a failed instance.
    pub message: Option<String>,
}

/// The statuses that a verdict can state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictStatus {
    /// `completed`.
    Completed,
    /// `failed`.
    Failed,
    /// `cancelled`.
    Cancelled,
}

/// The limits of one instance: its definition's, or what the start said in their place.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// The longest an attempt may run.
    pub timeout: Option<Duration>,
    /// The longest it may wait for its first attempt, from `run_at`.
    pub queue_timeout: Option<Duration>,
    /// How many attempts it has.
    pub max_attempts: u32,
    /// The delay before the second attempt; doubled before each further one.
    pub retry_delay: Duration,
    /// Higher runs first.
    pub priority: i16,
}

/// A stop that was asked for. It is sticky.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopRequest {
    /// When it was first asked for.
    pub requested_at: Micros,
    /// When what still runs is dropped or killed.
    pub deadline: Micros,
}

/// An instance without its inputs and output: what lists and events hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// UUIDv7.
    pub id: Uuid,
    /// Its place in the store's sequence, from 1.
    pub number: u64,
    /// The definition it was started from.
    pub task_id: Arc<str>,
    /// Where it runs.
    pub workload: Workload,
    /// How far along it is.
    pub phase: Phase,
    /// What it last reported.
    pub progress: Progress,
    /// The latest attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// Its limits.
    pub limits: Limits,
    /// The stop, if one was asked for.
    pub stop: Option<StopRequest>,
    /// What the running attempt stated about its end.
    pub verdict: Option<Verdict>,
    /// The caller's labels.
    pub labels: Labels,
    /// Not to be run before.
    pub run_at: Micros,
    /// When it was accepted.
    pub created_at: Micros,
    /// When the latest attempt began.
    pub started_at: Option<Micros>,
    /// When it last changed.
    pub updated_at: Micros,
    /// How many commits changed it, the start included.
    pub version: u64,
    /// The done instance that it runs again.
    pub retry_of: Option<Uuid>,
    /// The node of the latest attempt.
    pub node: Option<Arc<str>>,
    /// The number of the commit that last changed it: what a reader must wait for before it shows this image,
    /// so that a list never runs ahead of what single reads answer.
    pub batch: u64,
}

impl Summary {
    /// Its status.
    pub fn status(&self) -> Status {
        self.phase.status()
    }

    /// Whether it has ended for good.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done { .. })
    }

    /// When it ended.
    pub fn finished_at(&self) -> Option<Micros> {
        match self.phase {
            Phase::Done { finished_at, .. } => Some(finished_at),
            Phase::Pending | Phase::Running => None,
        }
    }

    /// Why it failed.
    pub fn error(&self) -> Option<&InstanceError> {
        match &self.phase {
            Phase::Done { outcome, .. } => outcome.error(),
            Phase::Pending | Phase::Running => None,
        }
    }
}

/// A whole instance, as of one commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Everything but the payloads.
    pub summary: Summary,
    /// What the handler gets: a JSON object.
    pub inputs: Json,
    /// What the handler set or returned: a JSON object.
    pub output: Option<Json>,
}

impl Deref for Instance {
    type Target = Summary;

    fn deref(&self) -> &Summary {
        &self.summary
    }
}

/// Why an instance is not running. Computed when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingReason {
    /// This daemon knows no such task.
    UnknownTask,
    /// It waits for its next attempt.
    Retrying,
    /// Its `run_at` is ahead.
    Scheduled,
    /// As many of its task run as may.
    Concurrency,
    /// All slots are taken, or it is about to be claimed.
    Slots,
}

/// One execution of an instance, as the attempts list shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its number, from 1.
    pub attempt: u32,
    /// Where it ran.
    pub node: Arc<str>,
    /// When it began.
    pub started_at: Micros,
    /// When it ended, and how; None while it runs.
    pub end: Option<AttemptRecord>,
}

/// How an attempt ended, as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRecord {
    /// When.
    pub finished_at: Micros,
    /// The word for how.
    pub ended: Ended,
    /// Why it failed.
    pub error: Option<InstanceError>,
    /// The exit code of a command that exited.
    pub exit_code: Option<i32>,
    /// The signal that ended a command.
    pub signal: Option<i32>,
}

/// Instances for unit tests.
#[cfg(test)]
pub mod fixture {
    use super::*;
    use crate::domain::{Labels, Limits};

    /// One that was just accepted: number 7 of the task `a`, with one attempt, all its times the epoch.
    pub fn pending() -> Summary {
        Summary {
            id: Uuid::nil(),
            number: 7,
            task_id: Arc::from("a"),
            workload: Workload::Local,
            phase: Phase::Pending,
            progress: Progress::NONE,
            attempt: 0,
            limits: Limits {
                timeout: None,
                queue_timeout: None,
                max_attempts: 1,
                retry_delay: Duration::from_secs(1),
                priority: 0,
            },
            stop: None,
            verdict: None,
            labels: Labels::default(),
            run_at: Micros(0),
            created_at: Micros(0),
            started_at: None,
            updated_at: Micros(0),
            version: 1,
            retry_of: None,
            node: None,
            batch: 1,
        }
    }
}

//! What is written together, and what became of it.
//!
//! Sections are applied in the order: logs and finishes, reports, stops, starts, promotions, claims, the change of
//! definitions, purge. Each outcome
//! stands at the index of its item. Instances are named by their number.

use std::sync::Arc;

use uuid::Uuid;

use super::{Answer, Synced};
use crate::domain::{
    Definition, Ended, InstanceError, Json, Labels, Limits, LogChunk, Micros, Outcome, Progress, Status, Verdict,
    Workload,
};

/// Everything that one commit writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Rises with each batch, through all boots. Several items of one batch on one instance are one version.
    pub number: u64,
    /// The time of everything in this batch.
    pub now: Micros,
    /// What expires at this time or before is over: `now`, unless the clock was set a short while ago.
    pub expiry: Micros,
    /// The daemon that writes.
    pub node: Arc<str>,
    /// How the clock was set since the last batch that promotes; this one does too.
    pub clock_sets: Vec<ClockSet>,
    /// Lines of logs.
    pub logs: Vec<LogChunk>,
    /// Attempts that ended.
    pub finishes: Vec<Finish>,
    /// What running attempts reported.
    pub reports: Vec<Report>,
    /// Stops.
    pub stops: Vec<Stop>,
    /// New instances.
    pub starts: Vec<Start>,
    /// Whether to look for instances whose `run_at` has come or whose queue timeout is over. Also asks for
    /// [`Committed::next_due`].
    pub promote: bool,
    /// What may run now.
    pub claims: Option<Claims>,
    /// A change of the registered definitions. It sees what this batch starts.
    pub definition: Option<DefinitionChange>,
    /// What is kept no longer.
    pub purge: Option<Purge>,
    /// When the commit is answered.
    pub answer: Answer,
}

/// The clock was set: it would have shown one time, and shows another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockSet {
    /// What it would have shown.
    pub from: Micros,
    /// What it shows.
    pub to: Micros,
}

impl Batch {
    /// A batch with nothing in it.
    pub fn new(number: u64, now: Micros, node: Arc<str>) -> Self {
        Batch {
            number,
            now,
            expiry: now,
            node,
            clock_sets: Vec::new(),
            logs: Vec::new(),
            finishes: Vec::new(),
            reports: Vec::new(),
            stops: Vec::new(),
            starts: Vec::new(),
            promote: false,
            claims: None,
            definition: None,
            purge: None,
            answer: Answer::Synced,
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.stops.is_empty() && self.holds_at_most_stops()
    }

    /// Whether it stops instances and does nothing else.
    pub fn stops_only(&self) -> bool {
        !self.stops.is_empty() && self.holds_at_most_stops()
    }

    fn holds_at_most_stops(&self) -> bool {
        self.clock_sets.is_empty()
            && self.logs.is_empty()
            && self.finishes.is_empty()
            && self.reports.is_empty()
            && self.starts.is_empty()
            && !self.promote
            && self.claims.is_none()
            && self.definition.is_none()
            && self.purge.is_none()
    }
}

/// The end of an attempt. Applies only while that attempt is the running one.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// The instance.
    pub instance: u64,
    /// The attempt that ended: the fence.
    pub attempt: u32,
    /// What the instance is believed to be, where no stop was requested. Where it is right nothing need be read back.
    pub expected: Option<Expected>,
    /// What becomes of the instance when no stop was requested.
    pub unless_stopped: Ending,
    /// What becomes of it when one was.
    pub if_stopped: Ending,
    /// The last progress, where one was not yet committed.
    pub progress: Option<Progress>,
    /// The output, where it was not yet committed or the task returned one. `Some(None)` clears it.
    pub output: Option<Option<Json>>,
    /// The exit code of a command that exited.
    pub exit_code: Option<i32>,
    /// The signal that ended a command.
    pub signal: Option<i32>,
}

/// A running instance as its daemon knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its version: the store writes nothing unless it is that of the row.
    pub version: u64,
    /// Its task. That never changes.
    pub task_id: Arc<str>,
    /// When the attempt began. That is the same as long as the attempt is.
    pub started_at: Micros,
}

/// One of the two ways in which a finish may apply.
#[derive(Debug, Clone, PartialEq)]
pub struct Ending {
    /// What the instance becomes.
    pub then: Then,
    /// The word for the attempt.
    pub ended: Ended,
    /// The error of the attempt.
    pub error: Option<InstanceError>,
}

/// What an instance becomes when its attempt has ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// Done. A failed outcome's error is the instance's.
    Done(Outcome),
    /// Pending again, not to run before this time. Ready at once if it is not ahead.
    Again {
        /// When.
        run_at: Micros,
    },
}

/// What an attempt reported. Applies only while that attempt is the running one.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The instance.
    pub instance: u64,
    /// The attempt that reports: the fence.
    pub attempt: u32,
    /// Its progress, where it changed.
    pub progress: Option<Progress>,
    /// Its output, where it changed. `Some(None)` clears it.
    pub output: Option<Option<Json>>,
    /// Its verdict, where it changed. `Some(None)` withdraws it.
    pub verdict: Option<Option<Verdict>>,
}

/// A request to stop. A pending instance is cancelled at once; a running one keeps the earliest deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The instance.
    pub instance: u64,
    /// When what still runs is dropped or killed.
    pub deadline: Micros,
    /// Only while it is in this status, pending or running.
    pub only: Option<Status>,
}

/// One request to start: one instance or many, all or none.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// The instances, in order.
    pub instances: Vec<NewInstance>,
    /// The key under which it may be repeated.
    pub idempotency: Option<IdempotencyClaim>,
}

/// An instance to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewInstance {
    /// Its UUIDv7.
    pub id: Uuid,
    /// Its definition.
    pub task_id: Arc<str>,
    /// Where it runs.
    pub workload: Workload,
    /// A JSON object.
    pub inputs: Json,
    /// Its limits.
    pub limits: Limits,
    /// Its labels.
    pub labels: Labels,
    /// Not to run before; the batch's own time where None.
    pub run_at: Option<Micros>,
    /// The done instance that it runs again.
    pub retry_of: Option<Uuid>,
}

/// An idempotency key and what it stands for. Kept 24 h.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyClaim {
    /// Whose key.
    pub principal: Arc<str>,
    /// The key.
    pub key: Arc<str>,
    /// What was asked for under it.
    pub fingerprint: [u8; 32],
}

/// How much may be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The tasks with room. One that is not named costs nothing.
    pub rooms: Vec<Room>,
    /// Free slots for handlers.
    pub local_slots: u32,
    /// Free slots for commands.
    pub command_slots: u32,
}

/// How many instances of one task may be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// The task.
    pub task_id: Arc<str>,
    /// Which slots it takes.
    pub workload: Workload,
    /// At most so many.
    pub n: u32,
    /// Whether instances from before this batch may be ready; false spares the look for them.
    pub older: bool,
}

/// A change of the registered definitions.
#[derive(Debug, Clone, PartialEq)]
pub enum DefinitionChange {
    /// A new one. Its id and name are not in use.
    Register(Arc<Definition>),
    /// One that goes, unless an instance of it is pending or running.
    Remove {
        /// Its id.
        id: Arc<str>,
    },
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Committed {
    /// For each finish.
    pub finishes: Vec<FinishOutcome>,
    /// For each report.
    pub reports: Vec<Written>,
    /// For each stop.
    pub stops: Vec<StopOutcome>,
    /// For each start.
    pub starts: Vec<StartOutcome>,
    /// Pending instances that failed by their queue timeout.
    pub expired: Vec<Expired>,
    /// Tasks of which instances became ready because their time had come.
    pub promoted: Vec<Arc<str>>,
    /// What runs from now on, in order of claim.
    pub claimed: Vec<Claimed>,
    /// When the next promotion is due; only where the batch asked for promotions.
    pub next_due: Option<Micros>,
    /// For the change of definitions, where there was one.
    pub definition: Option<DefinitionOutcome>,
    /// What was purged; only where the batch asked for it.
    pub purged: Purged,
    /// When it is synced to disk: it is already, unless the batch asked for an answer before that.
    pub synced: Synced,
}

/// What became of a change of definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefinitionOutcome {
    /// It is kept.
    Registered,
    /// It is gone.
    Removed,
    /// Instances of it are pending or running: it stays.
    InUse,
    /// It was not there.
    NotFound,
}

/// What became of a fenced write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was written.
    Applied {
        /// The instance's version now.
        version: u64,
    },
    /// Another attempt has begun, or none runs.
    Fenced,
    /// The instance is done.
    Done,
    /// There is no such instance.
    NotFound,
}

/// What became of a finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishOutcome {
    /// It was written.
    Applied {
        /// The instance's version now.
        version: u64,
        /// Whether a stop had been requested: which of the two endings was written.
        stopped: bool,
    },
    /// Another attempt has begun, none runs, or the instance is done or gone: nothing was written.
    Fenced,
}

/// What became of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOutcome {
    /// It was pending and is cancelled now.
    Cancelled {
        /// The instance's version now.
        version: u64,
    },
    /// It runs, and the stop is stored.
    Stopping {
        /// The instance's version now.
        version: u64,
    },
    /// It runs, and an earlier stop has a deadline at least as near.
    Unchanged,
    /// It is not done, and in another status than the stop was for: nothing was written.
    Mismatch,
    /// It was done already.
    Done,
    /// There is no such instance.
    NotFound,
}

/// What became of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartOutcome {
    /// The instances exist.
    Created {
        /// Their numbers, in order.
        numbers: Vec<u64>,
    },
    /// The key was used for the same request before.
    Replayed {
        /// The numbers of the instances it made then, in order.
        numbers: Vec<u64>,
    },
    /// The key was used for another request.
    KeyConflict,
}

/// A pending instance that failed by its queue timeout.
#[derive(Debug, Clone, PartialEq)]
pub struct Expired {
    /// The instance.
    pub instance: u64,
    /// Its version now.
    pub version: u64,
    /// Its error.
    pub error: InstanceError,
}

/// An attempt that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The instance.
    pub instance: u64,
    /// The attempt's number.
    pub attempt: u32,
    /// The instance's version now.
    pub version: u64,
    /// Its task.
    pub task_id: Arc<str>,
}

/// A little of what is kept no longer, to be deleted with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Purge {
    /// Done instances of one task.
    pub task: Option<PurgeTask>,
    /// Whether to look for expired idempotency keys and old counters too.
    pub sweep: bool,
}

/// Which done instances of a task go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeTask {
    /// The task.
    pub task_id: Arc<str>,
    /// Those that were finished then or before; None for none.
    pub finished_before: Option<Micros>,
    /// Those beyond so many, of which the newest by number stay; None for none.
    pub keep: Option<u64>,
    /// Looks only at numbers above this.
    pub after: u64,
}

/// What a purge did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Purged {
    /// The instances that it deleted.
    pub instances: Vec<u64>,
    /// Where to go on with this task; None once everything was looked at.
    pub next: Option<u64>,
    /// Of what was looked at and stays: no earlier than then was it finished, or will it be, pending and running ones
    /// aside.
    pub oldest: Option<Micros>,
    /// When there is something to sweep again; only where it was asked for.
    pub sweep_due: Option<Micros>,
}

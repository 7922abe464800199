//! What stands in the lanes, with who waits for it, and what they are answered.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    domain::{Ended, ErrorKind, Instance, InstanceError, Json, Outcome, Status},
    engine::{attempt::Attempt, catalog::Catalog, error::EngineError},
    store::{DefinitionChange, DefinitionOutcome, Ending, Start, StopOutcome, Then},
};

/// A start that waits for its commit.
pub struct StartItem {
    /// What to write.
    pub start: Start,
    /// The bytes of its inputs.
    pub bytes: usize,
    /// What it was checked against.
    pub catalog: Arc<Catalog>,
    /// Who waits for it.
    pub reply: StartWaiter,
    /// While true, whoever waits is answered when the instance is done: until then there is nothing to tell.
    pub until_done: Option<Arc<AtomicBool>>,
}

/// Who waits for a start.
pub type StartWaiter = oneshot::Sender<Result<StartReply, EngineError>>;

/// What became of a start.
pub enum StartReply {
    /// The instances exist.
    Created(Vec<Arc<Instance>>),
    /// The key made these instances before.
    Replayed(Vec<u64>),
    /// A task has gone or changed since it was checked: nothing was made, and it is to be checked again.
    Outdated,
}

/// A stop that waits for its commit.
pub struct StopItem {
    /// The instance.
    pub instance: u64,
    /// The time between the commit and the deadline.
    pub grace: Duration,
    /// The instance's own attempt asked.
    pub by_itself: bool,
    /// Only while it is in this status.
    pub only: Option<Status>,
    /// Who waits for it.
    pub reply: oneshot::Sender<Result<StopReply, EngineError>>,
}

/// What became of a stop.
pub struct StopReply {
    /// What was written.
    pub outcome: StopOutcome,
    /// The image after the commit, where it is in memory.
    pub image: Option<Arc<Instance>>,
}

/// The end of an attempt that waits for its commit.
pub struct FinishItem {
    /// The attempt. What it reported last is folded in.
    pub attempt: Arc<Attempt>,
    /// What becomes of the instance when no stop was requested.
    pub unless_stopped: Ending,
    /// What becomes of it when one was.
    pub if_stopped: Ending,
    /// The returned output.
    pub output: Option<Json>,
    /// The exit code of a command.
    pub exit_code: Option<i32>,
    /// The signal that ended a command.
    pub signal: Option<i32>,
    /// Whether it may wait for company: nobody waits for it.
    pub patient: bool,
    /// When it was put in line.
    pub since: Instant,
}

impl FinishItem {
    /// Whether the instance may become pending by it.
    pub fn may_run_again(&self) -> bool {
        matches!(self.unless_stopped.then, Then::Again { .. })
    }

    /// The same end without anything that a task brought in; None if there is nothing to leave out.
    pub fn without_payload(mut self) -> Option<Self> {
        let failed = |attempt: &Attempt| {
            let error = InstanceError {
                kind: ErrorKind::Output { errors: Vec::new() },
                message: "the store did not take what the task left".to_owned(),
                attempt: attempt.attempt,
            };
            let then = Then::Done(Outcome::Failed(Box::new(error.clone())));
            Ending { then, ended: Ended::Failed, error: Some(error) }
        };
        if self.unless_stopped == failed(&self.attempt) {
            return None;
        }
        self.unless_stopped = failed(&self.attempt);
        self.if_stopped = failed(&self.attempt);
        self.output = None;
        Some(self)
    }
}

/// A change of definitions that waits for its commit. There is one at a time.
pub struct DefinitionItem {
    /// What to write.
    pub change: DefinitionChange,
    /// What there will be then.
    pub next: Arc<Catalog>,
    /// Who waits for it.
    pub reply: oneshot::Sender<Result<DefinitionOutcome, EngineError>>,
    /// Held until it is done, also if nobody waits any more: the next one is checked against what this one leaves.
    pub _turn: OwnedSemaphorePermit,
}

//! A store that breaks one promise: a decorator over a real one. With none to break it fails commits on demand.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::BoxFuture;
use taskwright::{
    domain::{InstanceKey, Status},
    store::{Batch, Claimed, CommitError, Committed, Report, StopOutcome, Store},
};

use crate::support::decorated::{Decorated, Decorator};

/// A promise to be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// None.
    Nothing,
    /// A running instance ends as if nobody had stopped it.
    StopsForgotten,
    /// A stop of a pending instance is acknowledged and not written.
    StopsUnwritten,
    /// What was claimed last is claimed once more by whoever claims next.
    ClaimedTwice,
    /// Idempotency keys are not looked at.
    KeysForgotten,
    /// Reports are acknowledged and not written.
    ReportsUnwritten,
    /// A commit that is said to have failed was written.
    FailuresWritten,
}

/// How a commit is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The daemon dies before it is written.
    Before,
    /// It is written, and the daemon dies before it knows.
    After,
}

pub struct Saboteur {
    sabotage: Sabotage,
    faults: Mutex<VecDeque<Fault>>,
    claimed: Mutex<Option<Claimed>>,
}

impl Saboteur {
    pub fn over(inner: Arc<dyn Store>, sabotage: Sabotage) -> Arc<Decorated<Self>> {
        Decorated::new(inner, Saboteur { sabotage, faults: Mutex::default(), claimed: Mutex::default() })
    }

    /// The next commit with something to write fails so.
    pub fn fail_next(&self, fault: Fault) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }

    /// Every start of this task is refused, and with it the whole batch.
    pub const CURSED: &str = "cursed";

    async fn written(&self, inner: &dyn Store, batch: &Batch) -> Result<Committed, CommitError> {
        let mut bad = batch.clone();
        match self.sabotage {
            Sabotage::StopsForgotten => {
                for finish in &mut bad.finishes {
                    finish.if_stopped = finish.unless_stopped.clone();
                }
            }
            Sabotage::KeysForgotten => {
                for start in &mut bad.starts {
                    start.idempotency = None;
                }
            }
            Sabotage::StopsUnwritten => {
                let stops = std::mem::take(&mut bad.stops);
                let keys: Vec<_> = stops.iter().map(|stop| InstanceKey::Number(stop.instance)).collect();
                let met = inner.get(&keys).await.unwrap_or_default();
                let pending = |number| met.iter().any(|is| is.number == number && is.status() == Status::Pending);
                bad.stops = stops.iter().filter(|stop| !pending(stop.instance)).cloned().collect();
                let mut committed = inner.commit(&bad).await?;
                let mut others = committed.stops.into_iter();
                let outcome = |pending| match pending {
                    true => StopOutcome::Cancelled { version: 2 },
                    false => others.next().unwrap_or(StopOutcome::NotFound),
                };
                committed.stops = stops.iter().map(|stop| pending(stop.instance)).map(outcome).collect();
                return Ok(committed);
            }
            Sabotage::ReportsUnwritten => {
                for report in &mut bad.reports {
                    *report = Report { progress: None, output: None, verdict: None, ..report.clone() };
                }
            }
            Sabotage::ClaimedTwice => {
                let mut committed = inner.commit(&bad).await?;
                let mut last = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
                let claimed = committed.claimed.last().cloned();
                if bad.claims.is_some() {
                    committed.claimed.extend(last.take());
                }
                *last = claimed;
                return Ok(committed);
            }
            Sabotage::Nothing | Sabotage::FailuresWritten => {}
        }
        inner.commit(&bad).await
    }
}

impl Decorator for Saboteur {
    fn commit<'a>(&'a self, inner: &'a dyn Store, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>> {
        Box::pin(async move {
            let mut instances = batch.starts.iter().flat_map(|start| &start.instances);
            if instances.any(|new| *new.task_id == *Saboteur::CURSED) {
                return Err(CommitError::Refused("a row is refused on demand".into()));
            }
            let writes = !(batch.finishes.is_empty()
                && batch.reports.is_empty()
                && batch.stops.is_empty()
                && batch.starts.is_empty());
            let fault = match writes {
                true => self.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front(),
                false => None,
            };
            match fault {
                None => self.written(inner, batch).await,
                Some(Fault::Before) => {
                    if self.sabotage == Sabotage::FailuresWritten {
                        inner.commit(batch).await?;
                    }
                    Err(CommitError::Fatal("the daemon dies on demand".into()))
                }
                Some(Fault::After) => {
                    inner.commit(batch).await?;
                    Err(CommitError::Unknown("the daemon dies on demand".into()))
                }
            }
        })
    }
}

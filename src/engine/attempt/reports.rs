//! What an attempt reports: the latest value of each kind, until the ledger takes it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Attempt, lock};
use crate::{
    domain::{Json, Verdict},
    engine::{
        error::EngineError,
        request::{Receipt, ReceiptReason, ReportPatch},
    },
    task::reporter::{ReportError, StopReason},
};

/// What a handler sets is committed at most so often; the latest value wins.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(super) struct Reports {
    patch: ReportPatch,
    if_version: Option<u64>,
    waiters: Vec<oneshot::Sender<Result<u64, EngineError>>>,
    queued: bool,
    urgent: bool,
    in_flight: bool,
    last: Option<Instant>,
    closed: bool,
    output: Option<Json>,
    verdict: Option<Verdict>,
}

/// What the ledger takes from an attempt for one commit.
pub struct TakenReport {
    /// What changed; may be empty.
    pub patch: ReportPatch,
    /// The version that the caller pinned.
    pub if_version: Option<u64>,
    /// Who waits for the commit.
    pub waiters: Vec<oneshot::Sender<Result<u64, EngineError>>>,
}

/// Why an output cannot be set.
pub enum BadOutput {
    /// It is no object.
    NotAnObject,
    /// It is larger than `limits.output` allows.
    TooLarge {
        /// Its bytes.
        size: usize,
        /// The most that there may be.
        limit: usize,
    },
}

/// Whether `output` can be set.
///
/// # Errors
/// Why not.
pub fn check_output(output: &Json, limit: usize) -> Result<(), BadOutput> {
    let size = output.as_str().len();
    if !output.is_object() {
        Err(BadOutput::NotAnObject)
    } else if size > limit {
        Err(BadOutput::TooLarge { size, limit })
    } else {
        Ok(())
    }
}

/// What whoever waits for a commit is told.
pub(super) fn told<T>(received: Result<Result<T, EngineError>, oneshot::error::RecvError>) -> Result<(), ReportError> {
    match received {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(EngineError::AttemptOver)) => Err(ReportError::Over),
        Ok(Err(_)) | Err(_) => Err(ReportError::Unavailable),
    }
}

impl Attempt {
    /// Keeps `patch` and waits for its commit.
    ///
    /// # Errors
    /// Where the attempt is over, the version is another, or the store fails.
    pub async fn report(
        self: &Arc<Self>,
        patch: ReportPatch,
        if_version: Option<u64>,
        current_version: impl Fn() -> u64,
    ) -> Result<Receipt, EngineError> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut reports = lock(&self.reports);
            if reports.closed {
                return Err(EngineError::AttemptOver);
            }
            if if_version.is_some() && (reports.in_flight || !reports.patch.is_empty()) {
                // What waits will make a new version before this report does.
                return Err(EngineError::VersionMismatch { version: current_version() });
            }
            reports.if_version = if_version;
            reports.keep(patch);
            reports.waiters.push(sender);
            self.enqueue(&mut reports);
        }
        let version = receiver.await.map_err(|_| EngineError::Unavailable(None))??;
        Ok(self.receipt(version))
    }

    /// The answer to something committed at `version`.
    pub fn receipt(&self, version: u64) -> Receipt {
        let reason = match self.noted(self.told().reason()) {
            Some(StopReason::Stop) => Some(ReceiptReason::Stop),
            Some(StopReason::Shutdown) => Some(ReceiptReason::Shutdown),
            Some(StopReason::Over) | None => None,
        };
        Receipt { should_stop: reason.is_some(), reason, version }
    }

    /// Keeps `patch` for a handler, who does not wait.
    pub(super) fn set(self: &Arc<Self>, patch: ReportPatch) -> Result<(), ReportError> {
        let mut reports = lock(&self.reports);
        if reports.closed || self.told().over {
            return Err(ReportError::Over);
        }
        reports.keep(patch);
        self.enqueue(&mut reports);
        Ok(())
    }

    fn enqueue(self: &Arc<Self>, reports: &mut Reports) {
        // Whoever waits for the commit cannot flood it, and is not kept waiting.
        let urgent = !reports.waiters.is_empty();
        if !reports.queued || (urgent && !reports.urgent) {
            reports.queued = true;
            reports.urgent = urgent;
            let now = Instant::now();
            let due = match reports.last {
                Some(last) if !urgent => now.max(last + REPORT_INTERVAL),
                _ => now,
            };
            if !self.shared.lanes.push_report(due, Arc::clone(self)) {
                reports.queued = false;
                reports.refuse();
            }
        }
    }

    /// Asks at once, and resolves when all values reported so far are committed.
    pub(super) fn flush_reports(self: &Arc<Self>) -> impl Future<Output = Result<(), ReportError>> + use<> {
        let mut reports = lock(&self.reports);
        let receiver = if reports.closed {
            Err(ReportError::Over)
        } else if reports.patch.is_empty() && !reports.in_flight {
            Ok(None)
        } else {
            let (sender, receiver) = oneshot::channel();
            reports.waiters.push(sender);
            self.enqueue(&mut reports);
            Ok(Some(receiver))
        };
        drop(reports);
        async {
            match receiver? {
                Some(receiver) => told(receiver.await),
                None => Ok(()),
            }
        }
    }

    /// Takes what is to be committed.
    pub fn take_report(&self, now: Instant) -> TakenReport {
        let mut reports = lock(&self.reports);
        reports.queued = false;
        reports.urgent = false;
        reports.in_flight = true;
        reports.last = Some(now);
        TakenReport {
            patch: std::mem::take(&mut reports.patch),
            if_version: reports.if_version.take(),
            waiters: std::mem::take(&mut reports.waiters),
        }
    }

    /// Says that what was taken is committed or refused.
    pub fn report_landed(&self) {
        lock(&self.reports).in_flight = false;
    }

    /// Puts back what was taken and not committed; newer values win.
    pub fn put_back_report(self: &Arc<Self>, patch: ReportPatch) {
        let mut reports = lock(&self.reports);
        reports.in_flight = false;
        let newer = std::mem::replace(&mut reports.patch, patch);
        reports.patch.merge(newer);
        if !reports.closed && !reports.patch.is_empty() {
            self.enqueue(&mut reports);
        }
    }

    /// The output last set, committed or not.
    pub fn last_output(&self) -> Option<Json> {
        lock(&self.reports).output.clone()
    }

    /// Takes no more reports; answers the verdict stated.
    pub fn close_reports(&self) -> Option<Verdict> {
        let mut reports = lock(&self.reports);
        reports.closed = true;
        reports.verdict.clone()
    }

    /// Answers reports that came while the finish was on its way.
    pub fn refuse_reports(&self) {
        for waiter in lock(&self.reports).waiters.drain(..) {
            let _ = waiter.send(Err(EngineError::AttemptOver));
        }
    }
}

impl Reports {
    /// Whether nothing is taken any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Tells everybody who waits that the commit will not come soon.
    pub(super) fn refuse(&mut self) {
        for waiter in self.waiters.drain(..) {
            let _ = waiter.send(Err(EngineError::Unavailable(None)));
        }
    }

    fn keep(&mut self, patch: ReportPatch) {
        if let Some(output) = &patch.output {
            self.output.clone_from(output);
        }
        if let Some(verdict) = &patch.verdict {
            self.verdict.clone_from(verdict);
        }
        self.patch.merge(patch);
    }
}

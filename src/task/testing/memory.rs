//! A reporter that keeps what it is told.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use super::super::reporter::{BlockingPermit, ReportError, Reporter, StopReason};
use crate::domain::{Json, Progress, Stream, Verdict};

/// What stands fixed while an attempt runs.
pub(super) struct Facts {
    pub(super) task_id: &'static str,
    pub(super) attempt: u32,
    pub(super) inputs: Json,
    pub(super) stop_at: Option<(f64, StopReason)>,
    pub(super) output_limit: usize,
}

/// What was told so far.
#[derive(Default)]
pub(super) struct Told {
    pub(super) progress: Vec<Progress>,
    pub(super) output: Option<Json>,
    pub(super) verdict: Option<Verdict>,
    pub(super) logs: Vec<String>,
    /// A stop was requested, by anyone.
    pub(super) stop_requested: bool,
    /// The handler has seen that the daemon shuts down.
    pub(super) shutdown_seen: bool,
    over: bool,
}

pub(super) struct Memory {
    id: Uuid,
    facts: Facts,
    told: Mutex<Told>,
    stop: watch::Sender<Option<(StopReason, Instant)>>,
    blocking: Arc<Semaphore>,
}

impl Memory {
    pub(super) fn new(facts: Facts) -> Arc<Self> {
        Arc::new(Memory {
            id: Uuid::now_v7(),
            facts,
            told: Mutex::default(),
            stop: watch::Sender::new(None),
            blocking: Arc::new(Semaphore::new(2)),
        })
    }

    /// Asks the handler to end. A later reason does not replace the first, except that the attempt is over.
    pub(super) fn ask_to_end(&self, reason: StopReason) {
        let mut told = self.told();
        told.stop_requested |= reason == StopReason::Stop;
        told.over |= reason == StopReason::Over;
        drop(told);
        self.stop.send_if_modified(|asked| {
            let changes = asked.is_none() || reason == StopReason::Over;
            if changes {
                *asked = Some((reason, Instant::now()));
            }
            changes
        });
    }

    /// Resolves with the time at which the handler was first asked to end.
    pub(super) async fn asked_to_end(&self) -> Instant {
        let mut asked = self.stop.subscribe();
        // The sender is a field of `self`, so it lives.
        match asked.wait_for(Option::is_some).await.ok().and_then(|asked| *asked) {
            Some((_, at)) => at,
            None => std::future::pending().await,
        }
    }

    /// Ends the attempt: what is told later is refused.
    pub(super) fn close(&self) -> Told {
        self.ask_to_end(StopReason::Over);
        std::mem::replace(&mut *self.told(), Told { over: true, ..Told::default() })
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut Told)) -> Result<(), ReportError> {
        let mut told = self.told();
        if told.over {
            return Err(ReportError::Over);
        }
        change(&mut told);
        Ok(())
    }

    fn seen(&self, reason: StopReason) -> StopReason {
        self.told().shutdown_seen |= reason == StopReason::Shutdown;
        reason
    }
}

impl Reporter for Memory {
    fn instance_id(&self) -> Uuid {
        self.id
    }

    fn instance_number(&self) -> u64 {
        1
    }

    fn task_id(&self) -> &str {
        self.facts.task_id
    }

    fn attempt(&self) -> u32 {
        self.facts.attempt
    }

    fn inputs(&self) -> Json {
        self.facts.inputs.clone()
    }

    fn stop_reason(&self) -> Option<StopReason> {
        let asked = *self.stop.borrow();
        asked.map(|(reason, _)| self.seen(reason))
    }

    fn stopped(&self) -> BoxFuture<'_, StopReason> {
        Box::pin(async {
            self.asked_to_end().await;
            match self.stop_reason() {
                Some(reason) => reason,
                None => std::future::pending().await,
            }
        })
    }

    fn request_stop(&self) {
        self.ask_to_end(StopReason::Stop);
    }

    fn set_progress(&self, progress: Progress) -> Result<(), ReportError> {
        let value = progress.value();
        self.tell(|told| told.progress.push(progress))?;
        if let Some((at, reason)) = self.facts.stop_at
            && value >= at
        {
            self.ask_to_end(reason);
        }
        Ok(())
    }

    fn set_output(&self, output: Option<Json>) -> Result<(), ReportError> {
        let size = output.as_ref().map_or(0, |output| output.as_str().len());
        if size > self.facts.output_limit {
            return Err(ReportError::TooLarge { size, limit: self.facts.output_limit });
        }
        self.tell(|told| told.output = output)
    }

    fn set_verdict(&self, verdict: Option<Verdict>) -> Result<(), ReportError> {
        self.tell(|told| told.verdict = verdict)
    }

    fn log(&self, _stream: Stream, text: &str) {
        // A line after the end is lost here as it is in the daemon.
        let _ = self.tell(|told| told.logs.extend(text.lines().map(str::to_owned)));
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), ReportError>> {
        Box::pin(async { self.tell(|_| ()) })
    }

    fn enter_blocking(self: Arc<Self>) -> BoxFuture<'static, BlockingPermit> {
        Box::pin(async move {
            let permit = Arc::clone(&self.blocking).acquire_owned().await;
            Box::new((permit, self)) as BlockingPermit
        })
    }
}

//! A running attempt as its handler's controller sees it.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{
    Attempt, lock,
    reports::{BadOutput, check_output, told},
};
use crate::{
    domain::{Json, Progress, Stream, Verdict},
    engine::{lanes::StopItem, request::ReportPatch},
    task::reporter::{BlockingPermit, ReportError, Reporter, StopReason},
};

/// A running attempt as its handler's controller sees it.
pub struct AttemptReporter(pub Arc<Attempt>);

impl Reporter for AttemptReporter {
    fn instance_id(&self) -> Uuid {
        self.0.id
    }

    fn instance_number(&self) -> u64 {
        self.0.number
    }

    fn task_id(&self) -> &str {
        self.0.task.definition.id.as_str()
    }

    fn attempt(&self) -> u32 {
        self.0.attempt
    }

    fn inputs(&self) -> Json {
        self.0.inputs.clone()
    }

    fn stop_reason(&self) -> Option<StopReason> {
        self.0.noted(self.0.told().reason())
    }

    fn stopped(&self) -> BoxFuture<'_, StopReason> {
        Box::pin(async move {
            let mut signals = self.0.signals();
            // The sender lives in the attempt, which this future borrows.
            match signals.wait_for(|signals| signals.reason().is_some()).await.map(|signals| signals.reason()) {
                Ok(Some(reason)) => self.0.noted(Some(reason)).unwrap_or(reason),
                Ok(None) | Err(_) => StopReason::Over,
            }
        })
    }

    fn request_stop(&self) {
        let (reply, committed) = oneshot::channel();
        let committed = async { told(committed.await) };
        *lock(&self.0.own_stop) = Some(committed.boxed().shared());
        self.0.shared.lanes.push_stop(StopItem {
            instance: self.0.number,
            grace: self.0.shared.stop_grace,
            by_itself: true,
            only: None,
            reply,
        });
    }

    fn set_progress(&self, progress: Progress) -> Result<(), ReportError> {
        self.0.set(ReportPatch { progress: Some(progress), ..ReportPatch::default() })
    }

    fn set_output(&self, output: Option<Json>) -> Result<(), ReportError> {
        if let Some(output) = &output {
            check_output(output, self.0.shared.output_limit).map_err(|bad| match bad {
                BadOutput::NotAnObject => ReportError::NotAnObject,
                BadOutput::TooLarge { size, limit } => ReportError::TooLarge { size, limit },
            })?;
        }
        self.0.set(ReportPatch { output: Some(output), ..ReportPatch::default() })
    }

    fn set_verdict(&self, verdict: Option<Verdict>) -> Result<(), ReportError> {
        self.0.set(ReportPatch { verdict: Some(verdict), ..ReportPatch::default() })
    }

    fn log(&self, stream: Stream, text: &str) {
        self.0.log_now(stream, text);
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), ReportError>> {
        let own_stop = lock(&self.0.own_stop).clone();
        let (reports, log) = (self.0.flush_reports(), self.0.flush_log());
        Box::pin(async move {
            // All three are asked for before the first is waited for: one commit may have them all.
            let (reports, log, stop) = futures_util::join!(reports, log, async { own_stop?.await.err() });
            reports.and(log).and(stop.map_or(Ok(()), Err))
        })
    }

    fn enter_blocking(self: Arc<Self>) -> BoxFuture<'static, BlockingPermit> {
        Box::pin(async move {
            let held = lock(&self.0.held).upgrade();
            // The semaphore is never closed.
            let permit = Arc::clone(&self.0.shared.blocking).acquire_owned().await.ok();
            Box::new((held, permit)) as BlockingPermit
        })
    }
}

//! What callers may stop: one, or many. Many go page by page along an index, each page one commit, so that nobody else
//! waits for long.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{Engine, EngineError, StopCounts, StopOptions, lanes::StopItem, unreadable};
use crate::{
    domain::{FieldError, Instance, InstanceKey, InstanceQuery, Status, bounds},
    store::StopOutcome,
};

/// The most stops of one commit: some ten milliseconds, in which others wait.
const PAGE: usize = 1_000;
/// How many stops of many go on at once.
pub(super) const SWEEPS: usize = 4;

impl Engine {
    /// Stops an instance; answers when the stop is committed.
    ///
    /// # Errors
    /// As for [`Engine::instance`]; [`EngineError::InvalidOptions`] for a grace of more than an hour; or the store cannot
    /// be written.
    pub async fn stop(&self, key: InstanceKey, options: StopOptions) -> Result<Arc<Instance>, EngineError> {
        let instance = self.instance(key).await?;
        let grace = self.grace(options)?;
        if instance.is_done() {
            return Ok(instance);
        }
        let (reply, answer) = oneshot::channel();
        let item = StopItem { instance: instance.number, grace, by_itself: options.by_itself, only: None, reply };
        self.inner.lanes.push_stop(item);
        match answer.await.map_err(|_| EngineError::Unavailable(None))??.image {
            Some(image) => Ok(image),
            None => self.instance(key).await,
        }
    }

    /// The time from the commit of a stop to its deadline.
    fn grace(&self, options: StopOptions) -> Result<Duration, EngineError> {
        if let Some(detail) = options.grace.and_then(bounds::grace_fault) {
            return Err(EngineError::InvalidOptions { errors: vec![FieldError::new("/grace", detail)] });
        }
        Ok(if options.force { Duration::ZERO } else { options.grace.unwrap_or(self.inner.settings.stop_grace) })
    }

    /// Stops every instance that is pending or running and matches `query`, whose page is ignored. Instances that are
    /// started meanwhile are left alone. It goes on to its end even if the caller goes away.
    ///
    /// # Errors
    /// [`EngineError::InvalidOptions`] for a grace of more than an hour; where the store fails, and what was stopped
    /// before stays so.
    pub async fn stop_matching(&self, query: InstanceQuery, options: StopOptions) -> Result<StopCounts, EngineError> {
        let (engine, grace) = (self.clone(), self.grace(options)?);
        let turn = Arc::clone(&self.inner.sweeps).acquire_owned().await;
        let turn = turn.map_err(|_| EngineError::Unavailable(None))?;
        let sweep = tokio::spawn(async move {
            let _turn = turn;
            engine.sweep(query, grace).await
        });
        match sweep.await {
            Ok(counts) => counts,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(EngineError::Unavailable(None)),
            },
        }
    }

    async fn sweep(&self, mut query: InstanceQuery, grace: Duration) -> Result<StopCounts, EngineError> {
        let mut counts = StopCounts::default();
        let wanted = |status: &Status| query.statuses.is_empty() || query.statuses.contains(status);
        // Nothing is to be stopped of what is done.
        query.statuses = [Status::Pending, Status::Running].into_iter().filter(wanted).collect();
        let only = match query.statuses[..] {
            [] => return Ok(counts),
            [status] => Some(status),
            _ => None,
        };
        query.limit = PAGE;
        query.below = None;
        loop {
            // Newest first, so that what is started from now on lies above; and what is pending goes before most of
            // what runs, so that no freed slot goes to an instance that is to be stopped too.
            let numbers = self.inner.store.live(&query).await.map_err(unreadable)?;
            let last = if numbers.len() < PAGE { None } else { numbers.last().copied() };
            self.stop_page(numbers, grace, only, &mut counts).await?;
            match last {
                None => return Ok(counts),
                below => query.below = below,
            }
        }
    }

    async fn stop_page(
        &self,
        numbers: Vec<u64>,
        grace: Duration,
        only: Option<Status>,
        counts: &mut StopCounts,
    ) -> Result<(), EngineError> {
        let (mut items, mut answers) = (Vec::with_capacity(numbers.len()), Vec::with_capacity(numbers.len()));
        for instance in numbers {
            let (reply, answer) = oneshot::channel();
            items.push(StopItem { instance, grace, by_itself: false, only, reply });
            answers.push(answer);
        }
        self.inner.lanes.push_stops(items);
        for answer in answers {
            let outcome = match answer.await.map_err(|_| EngineError::Unavailable(None))? {
                Ok(reply) => reply.outcome,
                // Removed since the page was read.
                Err(EngineError::UnknownInstance { .. }) => continue,
                Err(error) => return Err(error),
            };
            match outcome {
                StopOutcome::Cancelled { .. } => counts.cancelled += 1,
                StopOutcome::Stopping { .. } | StopOutcome::Unchanged => counts.stopping += 1,
                // Done, or not as asked for, since the page was read.
                StopOutcome::Mismatch | StopOutcome::Done | StopOutcome::NotFound => continue,
            }
            counts.matched += 1;
        }
        Ok(())
    }
}

//! What callers may read and wait for.

use std::{sync::Arc, time::Duration};

use super::{Engine, EngineError, FeedWatch, InstanceWatch, LogPage, LogWatch, unknown, unreadable};
use crate::domain::{
    Attempt, Instance, InstanceKey, InstanceQuery, LogQuery, LogWindow, Micros, Page, PendingReason, Stats, StatsQuery,
    Status, Summary,
};

/// How many whole instances are read from the store together.
const READ_AT_ONCE: usize = 16;

impl Engine {
    /// The instance as last committed.
    ///
    /// # Errors
    /// [`EngineError::UnknownInstance`], or the store cannot be read.
    pub async fn instance(&self, key: InstanceKey) -> Result<Arc<Instance>, EngineError> {
        if let Some(image) = self.inner.images.get(key) {
            return Ok(image);
        }
        let read = self.inner.store.get(&[key]).await.map_err(unreadable)?;
        self.as_shown(read.into_iter().next().ok_or_else(|| unknown(key))?).await
    }

    /// What was read from the store, or something newer.
    async fn as_shown(&self, read: Instance) -> Result<Arc<Instance>, EngineError> {
        self.shown(read.batch).await?;
        Ok(match self.inner.images.by_number(read.number) {
            Some(shown) if shown.version > read.version => shown,
            _ => Arc::new(read),
        })
    }

    /// Waits until the commit `batch`, which was read from the store, is shown: the store may be ahead, and nobody is to
    /// see this and then something older.
    async fn shown(&self, batch: u64) -> Result<(), EngineError> {
        tokio::select! {
            biased;
            () = self.inner.images.published(batch) => Ok(()),
            // It will not be: its sync has failed.
            () = self.inner.state.ended() => Err(EngineError::Unavailable(None)),
        }
    }

    /// The first instances of a list, whole: as many as have at most `bytes` of inputs and outputs together, and at least
    /// one.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list_whole(&self, query: &InstanceQuery, bytes: usize) -> Result<Vec<Arc<Instance>>, EngineError> {
        let numbers: Vec<u64> = self.list(query).await?.items.iter().map(|summary| summary.number).collect();
        let mut whole = Vec::with_capacity(numbers.len());
        let mut left = bytes;
        for group in numbers.chunks(READ_AT_ONCE) {
            let mut found: Vec<_> = group.iter().filter_map(|number| self.inner.images.by_number(*number)).collect();
            let missing = group.iter().filter(|number| !found.iter().any(|image| image.number == **number));
            let missing: Vec<_> = missing.map(|number| InstanceKey::Number(*number)).collect();
            if !missing.is_empty() {
                for read in self.inner.store.get(&missing).await.map_err(unreadable)? {
                    found.push(self.as_shown(read).await?);
                }
            }
            found.sort_unstable_by_key(|image| std::cmp::Reverse(image.number));
            for image in found {
                let size =
                    image.inputs.as_str().len() + image.output.as_ref().map_or(0, |output| output.as_str().len());
                if size > left && !whole.is_empty() {
                    return Ok(whole);
                }
                left = left.saturating_sub(size);
                whole.push(image);
            }
        }
        Ok(whole)
    }

    /// The instance once it is done, or as it is after `wait`.
    ///
    /// # Errors
    /// As for [`Engine::instance`].
    pub async fn wait_done(&self, key: InstanceKey, wait: Duration) -> Result<Arc<Instance>, EngineError> {
        let mut watch = self.watch(key).await?;
        if wait.is_zero() || watch.current().is_done() {
            return Ok(watch.current());
        }
        self.inner.lanes.hurry();
        match tokio::time::timeout(wait, watch.done()).await {
            Ok(image) => Ok(image),
            Err(_) => Ok(watch.current()),
        }
    }

    /// Says that somebody waits for an end: it does not wait for company then.
    pub fn hurry(&self) {
        self.inner.lanes.hurry();
    }

    /// The instance once its version is above `since`, or as it is after `wait`.
    ///
    /// # Errors
    /// As for [`Engine::instance`].
    pub async fn wait_changed(
        &self,
        key: InstanceKey,
        since: u64,
        wait: Duration,
    ) -> Result<Arc<Instance>, EngineError> {
        let mut watch = self.watch(key).await?;
        self.inner.lanes.hurry();
        let changed = async {
            while watch.current().version <= since {
                if watch.changed().await.is_none() {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(wait, changed).await;
        Ok(watch.current())
    }

    /// Follows one instance: the present image first, then each committed change, coalesced to the newest.
    ///
    /// # Errors
    /// As for [`Engine::instance`].
    pub async fn watch(&self, key: InstanceKey) -> Result<InstanceWatch, EngineError> {
        let images = &self.inner.images;
        let mut image = self.instance(key).await?;
        let number = image.number;
        let changes = images.subscribe(number);
        loop {
            // Bound to a name of its own, so that the channel is not locked while we wait.
            let shown = changes.borrow().clone();
            if let Some(shown) = shown {
                return Ok(InstanceWatch::new(changes, shown));
            }
            // Subscribed; now the store says what it was subscribed at.
            let read = self.inner.store.get(&[InstanceKey::Number(number)]).await.map_err(unreadable)?;
            image = Arc::new(read.into_iter().next().ok_or_else(|| unknown(key))?);
            self.shown(image.batch).await?;
            images.install(&image);
        }
    }

    /// Follows the changes of all instances, from now on.
    pub fn follow(&self) -> FeedWatch {
        self.inner.feed.follow()
    }

    /// A page of instances.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn list(&self, query: &InstanceQuery) -> Result<Page<Summary>, EngineError> {
        let page = self.inner.store.list(query).await.map_err(unreadable)?;
        if let Some(newest) = page.items.iter().map(|summary| summary.batch).max() {
            self.shown(newest).await?;
        }
        Ok(page)
    }

    /// What happened in a stretch of time, and how many instances there are. The task may be given by name; one that is
    /// no longer configured is known as long as it has instances.
    ///
    /// # Errors
    /// [`EngineError::UnknownTask`], or the store cannot be read.
    pub async fn stats(&self, mut query: StatsQuery) -> Result<Stats, EngineError> {
        let mut unknown = None;
        if let Some(task_id) = &mut query.task_id {
            match self.definition(task_id) {
                Ok(definition) => *task_id = definition.id.as_str().to_owned(),
                Err(error) => unknown = Some(error),
            }
        }
        let stats = self.inner.store.stats(&query).await.map_err(unreadable)?;
        match unknown {
            Some(error) if stats.by_status.iter().all(|n| *n == 0) => Err(error),
            _ => Ok(stats),
        }
    }

    /// Why a pending instance does not run; None for any other.
    pub fn pending_reason(&self, summary: &Summary) -> Option<PendingReason> {
        if summary.status() != Status::Pending {
            return None;
        }
        let catalog = self.inner.catalog.load();
        let Some(task) = catalog.get(&summary.task_id) else {
            return Some(PendingReason::UnknownTask);
        };
        Some(if summary.run_at > Micros::now() {
            if summary.attempt > 0 { PendingReason::Retrying } else { PendingReason::Scheduled }
        } else if self.inner.pool.is_saturated(&task.definition) {
            PendingReason::Concurrency
        } else {
            PendingReason::Slots
        })
    }

    /// The attempts of an instance, oldest first.
    ///
    /// # Errors
    /// As for [`Engine::instance`].
    pub async fn attempts(&self, key: InstanceKey) -> Result<Vec<Attempt>, EngineError> {
        let instance = self.instance(key).await?;
        self.inner.store.attempts(instance.number).await.map_err(unreadable)
    }

    /// Reads a log. `query.instance` is filled in from `key`.
    ///
    /// # Errors
    /// As for [`Engine::instance`].
    pub async fn logs(&self, key: InstanceKey, mut query: LogQuery) -> Result<LogPage, EngineError> {
        // Before the lines: a log is complete when its instance is done.
        let instance = self.instance(key).await?;
        query.instance = instance.number;
        let limit = query.limit;
        let from = match query.window {
            LogWindow::From(from) => {
                // One more than is wanted tells whether there are more.
                query.limit += 1;
                from.max(1)
            }
            LogWindow::Tail => 1,
        };
        let mut lines = self.inner.store.logs(&query).await.map_err(unreadable)?;
        let read_out = lines.len() <= limit;
        lines.truncate(limit);
        let next = (!(read_out && instance.is_done())).then(|| lines.last().map_or(from, |line| line.seq + 1));
        Ok(LogPage { lines, next })
    }

    /// Follows a log: tells when there may be more lines to read.
    ///
    /// # Errors
    /// As for [`Engine::instance`].
    pub async fn watch_log(&self, key: InstanceKey) -> Result<LogWatch, EngineError> {
        let instance = self.watch(key).await?;
        let logged = self.inner.images.subscribe_log(instance.current().number);
        Ok(LogWatch::new(logged, instance))
    }
}

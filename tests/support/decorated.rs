//! A store that hands on to another one all that it does not do itself.

use std::{ops::Deref, sync::Arc};

use futures_util::future::BoxFuture;
use taskwright::{
    domain::{
        Attempt, Definition, Instance, InstanceKey, InstanceQuery, LogLine, LogQuery, Page, Stats, StatsQuery, Summary,
    },
    store::{
        Backlog, Batch, Checked, CommitError, Committed, DoneByTask, Identity, LogExtent, Space, Store, StoreError,
    },
};

/// What a decorated store does otherwise than the real one.
pub trait Decorator: Send + Sync + 'static {
    /// Commits to `inner`, or does what it is there for.
    fn commit<'a>(&'a self, inner: &'a dyn Store, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>>;

    /// Reads instances from `inner`.
    fn get<'a>(
        &'a self,
        inner: &'a dyn Store,
        keys: &'a [InstanceKey],
    ) -> BoxFuture<'a, Result<Vec<Instance>, StoreError>> {
        inner.get(keys)
    }

    /// Asked before each read that clients may wait for: an error is its answer.
    fn before_read(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A store over another one, with a decorator between.
pub struct Decorated<D> {
    inner: Arc<dyn Store>,
    decorator: D,
}

impl<D: Decorator> Decorated<D> {
    pub fn new(inner: Arc<dyn Store>, decorator: D) -> Arc<Self> {
        Arc::new(Decorated { inner, decorator })
    }
}

impl<D> Deref for Decorated<D> {
    type Target = D;

    fn deref(&self) -> &D {
        &self.decorator
    }
}

impl<D: Decorator> Store for Decorated<D> {
    fn commit<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>> {
        self.decorator.commit(&*self.inner, batch)
    }

    fn get<'a>(&'a self, keys: &'a [InstanceKey]) -> BoxFuture<'a, Result<Vec<Instance>, StoreError>> {
        Box::pin(async move {
            self.before_read()?;
            self.decorator.get(&*self.inner, keys).await
        })
    }

    fn summaries<'a>(&'a self, numbers: &'a [u64]) -> BoxFuture<'a, Result<Vec<Summary>, StoreError>> {
        Box::pin(async move {
            self.before_read()?;
            self.inner.summaries(numbers).await
        })
    }

    fn list<'a>(&'a self, query: &'a InstanceQuery) -> BoxFuture<'a, Result<Page<Summary>, StoreError>> {
        Box::pin(async move {
            self.before_read()?;
            self.inner.list(query).await
        })
    }

    fn live<'a>(&'a self, query: &'a InstanceQuery) -> BoxFuture<'a, Result<Vec<u64>, StoreError>> {
        Box::pin(async move {
            self.before_read()?;
            self.inner.live(query).await
        })
    }

    fn logs<'a>(&'a self, query: &'a LogQuery) -> BoxFuture<'a, Result<Vec<LogLine>, StoreError>> {
        Box::pin(async move {
            self.before_read()?;
            self.inner.logs(query).await
        })
    }

    fn log_extent(&self, instance: u64) -> BoxFuture<'_, Result<LogExtent, StoreError>> {
        self.inner.log_extent(instance)
    }

    fn attempts(&self, instance: u64) -> BoxFuture<'_, Result<Vec<Attempt>, StoreError>> {
        self.inner.attempts(instance)
    }

    fn running(&self) -> BoxFuture<'_, Result<Vec<Summary>, StoreError>> {
        self.inner.running()
    }

    fn backlog(&self) -> BoxFuture<'_, Result<Backlog, StoreError>> {
        self.inner.backlog()
    }

    fn definitions(&self) -> BoxFuture<'_, Result<Vec<Definition>, StoreError>> {
        self.inner.definitions()
    }

    fn stats<'a>(&'a self, query: &'a StatsQuery) -> BoxFuture<'a, Result<Stats, StoreError>> {
        Box::pin(async move {
            self.before_read()?;
            self.inner.stats(query).await
        })
    }

    fn done_by_task(&self) -> BoxFuture<'_, Result<DoneByTask, StoreError>> {
        self.inner.done_by_task()
    }

    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn space(&self) -> BoxFuture<'_, Result<Space, StoreError>> {
        self.inner.space()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.before_read()?;
            self.inner.ping().await
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<Checked, StoreError>> {
        self.inner.check()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

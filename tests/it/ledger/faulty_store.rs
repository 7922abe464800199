//! A store that fails on demand: a decorator over a real one.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures_util::future::BoxFuture;
use taskwright::{
    domain::{
        Attempt, Definition, Instance, InstanceKey, InstanceQuery, LogLine, LogQuery, Page, Stats, StatsQuery, Summary,
    },
    store::{Backlog, Batch, CommitError, Committed, DoneByTask, Finding, Identity, LogExtent, Store, StoreError},
};
use tokio::sync::Semaphore;

/// How a commit is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written, and it may be tried again.
    NotCommitted,
    /// Nothing is written, and nobody knows what is on the disk.
    Fatal,
    /// It is written, and the answer is lost.
    UnknownAfterCommit,
}

/// A store that fails on demand.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    faults: Mutex<VecDeque<Fault>>,
    always: AtomicBool,
    refused_task: Mutex<Option<String>>,
    reads_fail: AtomicBool,
    gate: Semaphore,
    held: AtomicBool,
    commits: AtomicUsize,
}

impl FaultyStore {
    pub fn over(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(FaultyStore {
            inner,
            faults: Mutex::default(),
            always: AtomicBool::new(false),
            refused_task: Mutex::default(),
            reads_fail: AtomicBool::new(false),
            gate: Semaphore::new(0),
            held: AtomicBool::new(false),
            commits: AtomicUsize::new(0),
        })
    }

    /// The next commits fail so, one each.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).extend(faults);
    }

    /// Every commit answers `NotCommitted` until this is called with false.
    pub fn fail_always(&self, always: bool) {
        self.always.store(always, Ordering::SeqCst);
    }

    /// Every batch with a start of this task is refused.
    pub fn refuse(&self, task_id: &str) {
        *self.refused_task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task_id.to_owned());
    }

    /// Reads fail until this is called with false.
    pub fn fail_reads(&self, fail: bool) {
        self.reads_fail.store(fail, Ordering::SeqCst);
    }

    /// Commits wait before they begin, until [`FaultyStore::release`].
    pub fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    /// Lets one waiting commit, and all later ones, go on.
    pub fn release(&self) {
        self.held.store(false, Ordering::SeqCst);
        self.gate.add_permits(1);
    }

    /// Lets one waiting commit go on; later ones wait.
    pub fn release_one(&self) {
        self.gate.add_permits(1);
    }

    /// How many commits were asked for.
    pub fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }

    fn readable(&self) -> Result<(), StoreError> {
        if self.reads_fail.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("reads fail on demand".into()));
        }
        Ok(())
    }
}

impl Store for FaultyStore {
    fn commit<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>> {
        Box::pin(async move {
            self.commits.fetch_add(1, Ordering::SeqCst);
            if self.held.load(Ordering::SeqCst) {
                self.gate.acquire().await.expect("the gate is never closed").forget();
            }
            if self.always.load(Ordering::SeqCst) {
                return Err(CommitError::NotCommitted("the disk is full on demand".into()));
            }
            let refused = self.refused_task.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let mut instances = batch.starts.iter().flat_map(|start| &start.instances);
            if refused.is_some_and(|task| instances.any(|new| *new.task_id == *task)) {
                return Err(CommitError::Refused("a row is refused on demand".into()));
            }
            let fault = self.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match fault {
                None => self.inner.commit(batch).await,
                Some(Fault::NotCommitted) => Err(CommitError::NotCommitted("busy on demand".into())),
                Some(Fault::Fatal) => Err(CommitError::Fatal("a sync fails on demand".into())),
                Some(Fault::UnknownAfterCommit) => {
                    self.inner.commit(batch).await?;
                    Err(CommitError::Unknown("the connection dies on demand".into()))
                }
            }
        })
    }

    fn get<'a>(&'a self, keys: &'a [InstanceKey]) -> BoxFuture<'a, Result<Vec<Instance>, StoreError>> {
        Box::pin(async move {
            self.readable()?;
            self.inner.get(keys).await
        })
    }

    fn summaries<'a>(&'a self, numbers: &'a [u64]) -> BoxFuture<'a, Result<Vec<Summary>, StoreError>> {
        Box::pin(async move {
            self.readable()?;
            self.inner.summaries(numbers).await
        })
    }

    fn list<'a>(&'a self, query: &'a InstanceQuery) -> BoxFuture<'a, Result<Page<Summary>, StoreError>> {
        Box::pin(async move {
            self.readable()?;
            self.inner.list(query).await
        })
    }

    fn live<'a>(&'a self, query: &'a InstanceQuery) -> BoxFuture<'a, Result<Vec<u64>, StoreError>> {
        Box::pin(async move {
            self.readable()?;
            self.inner.live(query).await
        })
    }

    fn logs<'a>(&'a self, query: &'a LogQuery) -> BoxFuture<'a, Result<Vec<LogLine>, StoreError>> {
        Box::pin(async move {
            self.readable()?;
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
            self.readable()?;
            self.inner.stats(query).await
        })
    }

    fn done_by_task(&self) -> BoxFuture<'_, Result<DoneByTask, StoreError>> {
        self.inner.done_by_task()
    }

    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.readable()?;
            self.inner.ping().await
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<Vec<Finding>, StoreError>> {
        self.inner.check()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

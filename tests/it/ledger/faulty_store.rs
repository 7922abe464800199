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
    domain::{Instance, InstanceKey},
    store::{Answer, Batch, CommitError, Committed, Store, StoreError, Synced},
};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::support::decorated::{Decorated, Decorator};

/// How a commit is to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is written, and it may be tried again.
    NotCommitted,
    /// Nothing is written, and nobody knows what is on the disk.
    Fatal,
    /// It is written, and the answer is lost.
    UnknownAfterCommit,
    /// It is written, and its sync, for which the caller waits by itself, fails.
    NotSynced,
}

/// A store that fails on demand.
pub type FaultyStore = Decorated<Faults>;

/// Tells a caller that waits for a sync what became of it.
type SyncAnswer = oneshot::Sender<Result<(), CommitError>>;

/// What is demanded of it.
pub struct Faults {
    faults: Mutex<VecDeque<Fault>>,
    always: AtomicBool,
    refused_task: Mutex<Option<String>>,
    reads_fail: AtomicBool,
    reads_are_corrupt: AtomicBool,
    gate: Semaphore,
    held: AtomicBool,
    /// Of commits whose syncs are held, where they are.
    unsynced: Mutex<Option<Vec<SyncAnswer>>>,
    commits: AtomicUsize,
    starts: Mutex<Vec<usize>>,
    landed: watch::Sender<usize>,
    gets: AtomicUsize,
    gets_wait_for: AtomicUsize,
}

impl FaultyStore {
    pub fn over(inner: Arc<dyn Store>) -> Arc<Self> {
        let faults = Faults {
            faults: Mutex::default(),
            always: AtomicBool::new(false),
            refused_task: Mutex::default(),
            reads_fail: AtomicBool::new(false),
            reads_are_corrupt: AtomicBool::new(false),
            gate: Semaphore::new(0),
            held: AtomicBool::new(false),
            unsynced: Mutex::default(),
            commits: AtomicUsize::new(0),
            starts: Mutex::default(),
            landed: watch::Sender::new(0),
            gets: AtomicUsize::new(0),
            gets_wait_for: AtomicUsize::new(0),
        };
        Decorated::new(inner, faults)
    }
}

impl Faults {
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

    /// From here on whatever is read makes no sense.
    pub fn corrupt_reads(&self) {
        self.reads_are_corrupt.store(true, Ordering::SeqCst);
    }

    /// Commits wait before they begin, until [`Faults::release`].
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

    /// What is answered before its sync is not known to be synced, until [`Faults::release_syncs`].
    pub fn hold_syncs(&self) {
        *self.unsynced.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    /// How many syncs are held.
    pub fn held_syncs(&self) -> usize {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, Vec::len)
    }

    /// Says of what was held that it is synced, and holds nothing more.
    pub fn release_syncs(&self) {
        for answer in self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).take().into_iter().flatten() {
            let _ = answer.send(Ok(()));
        }
    }

    /// From here on instances are read only when `more` commits have landed.
    pub fn read_after_commits(&self, more: usize) {
        self.gets_wait_for.store(*self.landed.borrow() + more, Ordering::SeqCst);
    }

    /// How many reads of instances were answered.
    pub fn gets(&self) -> usize {
        self.gets.load(Ordering::SeqCst)
    }

    /// How many starts there were in each commit that was asked for.
    pub fn starts(&self) -> Vec<usize> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many commits were asked for.
    pub fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }
}

impl Decorator for Faults {
    fn commit<'a>(&'a self, inner: &'a dyn Store, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>> {
        Box::pin(async move {
            if batch.purge.is_some() {
                // It comes when it will: nothing is demanded of it, and nobody counts on it.
                return inner.commit(batch).await;
            }
            self.commits.fetch_add(1, Ordering::SeqCst);
            self.starts.lock().unwrap_or_else(PoisonError::into_inner).push(batch.starts.len());
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
                None => {
                    let mut committed = inner.commit(batch).await?;
                    if batch.answer == Answer::Written
                        && let Some(unsynced) = &mut *self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
                    {
                        let (answer, synced) = Synced::later();
                        unsynced.push(answer);
                        committed.synced = synced;
                    }
                    self.landed.send_modify(|landed| *landed += 1);
                    Ok(committed)
                }
                Some(Fault::NotCommitted) => Err(CommitError::NotCommitted("busy on demand".into())),
                Some(Fault::Fatal) => Err(CommitError::Fatal("a sync fails on demand".into())),
                Some(Fault::NotSynced) => {
                    let mut committed = inner.commit(batch).await?;
                    assert_eq!(batch.answer, Answer::Written, "the caller waits for its sync");
                    let (answer, synced) = Synced::later();
                    answer.send(Err(CommitError::Fatal("a sync fails on demand".into()))).expect("it is waited for");
                    committed.synced = synced;
                    Ok(committed)
                }
                Some(Fault::UnknownAfterCommit) => {
                    inner.commit(batch).await?;
                    Err(CommitError::Unknown("the connection dies on demand".into()))
                }
            }
        })
    }

    fn get<'a>(
        &'a self,
        inner: &'a dyn Store,
        keys: &'a [InstanceKey],
    ) -> BoxFuture<'a, Result<Vec<Instance>, StoreError>> {
        Box::pin(async move {
            let after = self.gets_wait_for.load(Ordering::SeqCst);
            let mut landed = self.landed.subscribe();
            landed.wait_for(|landed| *landed >= after).await.expect("the sender lives as long as the store");
            let read = inner.get(keys).await;
            self.gets.fetch_add(1, Ordering::SeqCst);
            read
        })
    }

    fn before_read(&self) -> Result<(), StoreError> {
        if self.reads_fail.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("reads fail on demand".into()));
        }
        if self.reads_are_corrupt.load(Ordering::SeqCst) {
            return Err(StoreError::Corrupt { what: "whatever was demanded".to_owned(), source: None });
        }
        Ok(())
    }
}

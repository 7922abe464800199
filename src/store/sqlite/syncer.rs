//! Syncs the log (WAL) beside the commits: while one is on its way to the disk, the next one is written.
//!
//! With `synchronous = FULL` SQLite syncs within COMMIT, and nothing else is written meanwhile. With `NORMAL` it only
//! writes the log; it still syncs it before a checkpoint, and the head of a log that is begun anew. So a commit whose
//! caller waits by itself goes with `NORMAL`, and the log is synced here. The promise is the same: no answer before
//! the sync. Reads wait too, or they would see what a power cut takes back.
//!
//! The log's file is there, and the same one, for as long as any connection is open.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::header::with_suffix;
use crate::{
    negative_control::NegativeControl,
    store::{CommitError, StoreError, Synced},
};

/// So many commits may be written and not yet synced: one on its way to the disk, and those that share the next sync.
const AHEAD: usize = 4;

/// The log was not synced: nobody knows what is on the disk.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the log of the store could not be synced")]
struct NotSynced(#[source] Arc<io::Error>);

/// A commit that is written, or will be, or has failed: they are settled in their order.
struct Job {
    number: u64,
    answer: oneshot::Sender<Result<(), CommitError>>,
    _turn: OwnedSemaphorePermit,
}

/// How far it is.
#[derive(Default)]
struct Progress {
    /// All commits up to this one are synced.
    synced: u64,
    failed: Option<NotSynced>,
}

/// The thread that syncs.
pub(super) struct Syncer {
    /// None once it is closed.
    jobs: Mutex<Option<SyncSender<Job>>>,
    turns: Arc<Semaphore>,
    /// The last commit that was announced.
    announced: AtomicU64,
    progress: watch::Receiver<Progress>,
}

impl Syncer {
    /// For the log of the database at `path`, which must be there.
    pub(super) fn start(path: &Path) -> io::Result<Syncer> {
        // Closing it ends no lock of SQLite's: those are on the database and on its index of the log.
        let log = OpenOptions::new().write(true).open(with_suffix(path, "-wal"))?;
        let (jobs, queue) = sync_channel(AHEAD);
        let (told, progress) = watch::channel(Progress::default());
        thread::Builder::new().name("sqlite-sync".to_owned()).spawn(move || run(&log, &queue, &told))?;
        Ok(Syncer {
            jobs: Mutex::new(Some(jobs)),
            turns: Arc::new(Semaphore::new(AHEAD)),
            announced: AtomicU64::new(0),
            progress,
        })
    }

    /// Announces a commit, before anybody can read it. Waits while too many are ahead.
    pub(super) async fn announce(&self) -> Result<Announced<'_>, CommitError> {
        let closed = |_| CommitError::NotCommitted("the store is closed".into());
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(closed)?;
        let number = self.announced.fetch_add(1, Ordering::AcqRel) + 1;
        Ok(Announced { syncer: self, rest: Some((number, turn)) })
    }

    /// Waits until everything that can be read now is synced.
    pub(super) async fn settled(&self) -> Result<(), StoreError> {
        let announced = self.announced.load(Ordering::Acquire);
        let mut progress = self.progress.clone();
        let is_known = |now: &Progress| now.synced >= announced || now.failed.is_some();
        match progress.wait_for(is_known).await {
            Ok(now) => now.failed.clone().map_or(Ok(()), |failed| Err(StoreError::Unavailable(failed.into()))),
            Err(_) => Err(StoreError::Unavailable("the store is closed".into())),
        }
    }

    /// Ends the thread once it has synced what waits. Nothing may be announced any more.
    pub(super) fn close(&self) {
        self.turns.close();
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// A commit that was announced. Dropped, as where it failed, it is settled in its turn all the same.
pub(super) struct Announced<'a> {
    syncer: &'a Syncer,
    rest: Option<(u64, OwnedSemaphorePermit)>,
}

impl Announced<'_> {
    /// The commit is written: has it synced.
    pub(super) fn written(mut self) -> Synced {
        self.settle()
    }

    fn settle(&mut self) -> Synced {
        let (answer, synced) = Synced::later();
        if let Some((number, turn)) = self.rest.take()
            && let Some(jobs) = &*self.syncer.jobs.lock().unwrap_or_else(PoisonError::into_inner)
        {
            // There is room: each has a turn. After the end of the thread nobody is answered, which says so.
            let _ = jobs.try_send(Job { number, answer, _turn: turn });
        }
        synced
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        if self.rest.is_some() {
            // Nobody waits for it.
            drop(self.settle());
        }
    }
}

fn run(log: &File, queue: &Receiver<Job>, told: &watch::Sender<Progress>) {
    let mut failed = None;
    while let Ok(first) = queue.recv() {
        let mut jobs = vec![first];
        jobs.extend(queue.try_iter());
        if failed.is_none() {
            // Never once more after a failure: the kernel may have dropped what it could not write, and say that all is well.
            failed = sync(log).err().map(|error| NotSynced(Arc::new(error)));
        }
        told.send_modify(|progress| {
            progress.failed.clone_from(&failed);
            if failed.is_none() {
                progress.synced = jobs.last().map_or(progress.synced, |job| job.number);
            }
        });
        for job in jobs {
            let outcome = failed.clone().map_or(Ok(()), |failed| Err(CommitError::Fatal(failed.into())));
            // The ledger may have ended.
            let _ = job.answer.send(outcome);
        }
    }
}

fn sync(log: &File) -> io::Result<()> {
    match log.sync_data() {
        Err(_) if NegativeControl::RetryAfterFailedSync.is_on() => log.sync_data(),
        outcome => outcome,
    }
}

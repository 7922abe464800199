//! Syncs the log (WAL) beside the commits: while one is on its way to the disk, the next one is written.
//!
//! With `synchronous = FULL` SQLite syncs within COMMIT, and nothing else is written meanwhile. With `NORMAL` it only
//! writes the log; it still syncs it before a checkpoint, and the head of a log that is begun anew. So a commit whose
//! caller waits by itself goes with `NORMAL`, and the log is synced here. The promise is the same: no answer before
//! the sync. Reads of which nobody can tell of which commit they are wait too, or they would show what a power cut takes
//! back.
//!
//! On a slow disk they would wait long, and there is little to be gained: what a sync takes beside the next commit is
//! spared only where that commit takes as long. So after a slow sync commits are synced within themselves for a while.
//!
//! The log's file is there, and the same one, for as long as any connection is open. A writeback that fails is told to
//! every descriptor of the file: to SQLite's, and to ours.

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
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::header::with_suffix;
use crate::{
    negative_control::NegativeControl,
    store::{CommitError, StoreError, Synced},
};

/// So many commits may be written and not yet synced: one on its way to the disk, and one that is written meanwhile.
const AHEAD: usize = 2;

/// A sync that takes longer is not done beside the next commit, [`PAUSE`] long.
const SLOW: Duration = Duration::from_millis(200);
/// Long enough that reads hardly ever wait for a disk that stays slow, short enough for one that was slow once.
const PAUSE: Duration = Duration::from_secs(5);

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

/// What is on the disk.
#[derive(Default)]
struct Extent {
    /// All commits up to this one.
    synced: u64,
    /// From then on nobody knows.
    failed: Option<NotSynced>,
    /// Until then the disk is taken for slow.
    slow_until: Option<Instant>,
}

/// The thread that syncs.
pub(super) struct Syncer {
    /// None once it is closed.
    jobs: Mutex<Option<SyncSender<Job>>>,
    turns: Arc<Semaphore>,
    /// The last commit that was announced.
    announced: AtomicU64,
    extent: watch::Receiver<Extent>,
}

impl Syncer {
    /// For the log of the database at `path`, which must be there.
    pub(super) fn start(path: &Path) -> io::Result<Syncer> {
        // SQLite keeps its log beside the file itself, not beside a link to it.
        let log = with_suffix(&path.canonicalize()?, "-wal");
        // Closing it ends no lock of SQLite's: those are on the database and on its index of the log.
        let log = OpenOptions::new().write(true).open(log)?;
        Syncer::with(move || sync(&log))
    }

    fn with(sync: impl FnMut() -> io::Result<()> + Send + 'static) -> io::Result<Syncer> {
        let (jobs, queue) = sync_channel(AHEAD);
        let (told, extent) = watch::channel(Extent::default());
        thread::Builder::new().name("sqlite-sync".to_owned()).spawn(move || run(sync, &queue, &told))?;
        Ok(Syncer {
            jobs: Mutex::new(Some(jobs)),
            turns: Arc::new(Semaphore::new(AHEAD)),
            announced: AtomicU64::new(0),
            extent,
        })
    }

    /// Whether a commit is better synced beside the next one than within itself.
    pub(super) fn pays(&self) -> bool {
        self.extent.borrow().slow_until.is_none_or(|until| until <= Instant::now())
    }

    /// Announces a commit, before anybody can read it. Waits while too many are ahead.
    pub(super) async fn announce(&self) -> Result<Announced<'_>, CommitError> {
        let closed = |_| CommitError::NotCommitted("the store is closed".into());
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(closed)?;
        let number = self.announced.fetch_add(1, Ordering::AcqRel) + 1;
        Ok(Announced { syncer: self, unsettled: Some((number, turn)) })
    }

    /// Waits until everything that can be read now is synced.
    pub(super) async fn settled(&self) -> Result<(), StoreError> {
        let announced = self.announced.load(Ordering::Acquire);
        let mut extent = self.extent.clone();
        let is_known = |now: &Extent| now.synced >= announced || now.failed.is_some();
        match extent.wait_for(is_known).await {
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

/// A commit that was announced. Dropped, as where it failed, it is settled in its turn all the same. Of one whose caller
/// left in the middle nobody is told, whatever becomes of it.
pub(super) struct Announced<'a> {
    syncer: &'a Syncer,
    unsettled: Option<(u64, OwnedSemaphorePermit)>,
}

impl Announced<'_> {
    /// The commit is written: has it synced.
    pub(super) fn written(mut self) -> Synced {
        self.settle()
    }

    fn settle(&mut self) -> Synced {
        let (answer, synced) = Synced::later();
        if let Some((number, turn)) = self.unsettled.take()
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
        if self.unsettled.is_some() {
            // Nobody waits for it.
            drop(self.settle());
        }
    }
}

fn run(mut sync: impl FnMut() -> io::Result<()>, queue: &Receiver<Job>, told: &watch::Sender<Extent>) {
    let mut failed = None;
    while let Ok(first) = queue.recv() {
        let mut jobs = vec![first];
        jobs.extend(queue.try_iter());
        let began = Instant::now();
        if failed.is_none() {
            // Never once more after a failure: the kernel may have dropped what it could not write, and say that all is well.
            failed = sync().err().map(|error| NotSynced(Arc::new(error)));
        }
        let ended = Instant::now();
        told.send_modify(|extent| {
            extent.failed.clone_from(&failed);
            extent.slow_until = (ended - began > SLOW).then(|| ended + PAUSE);
            if failed.is_none() {
                extent.synced = jobs.last().map_or(extent.synced, |job| job.number);
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::{
        domain::{InstanceKey, InstanceQuery, Micros, StatsQuery},
        store::{
            Answer, Batch, Store,
            sqlite::{Settings, SqliteStore},
        },
    };

    /// A syncer whose syncs end as they are told to.
    fn told() -> (Syncer, Sender<io::Result<()>>) {
        let (outcomes, next) = channel::<io::Result<()>>();
        let syncer = Syncer::with(move || next.recv().unwrap_or(Ok(())));
        (syncer.expect("a thread"), outcomes)
    }

    #[tokio::test]
    async fn reads_wait_for_what_is_not_synced() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings::at(folder.path().join("store.db"));
        let mut store = SqliteStore::open(settings).await.expect("it opens");
        let (syncer, outcomes) = told();
        store.writing.as_mut().expect("it is open for writing").syncer = Some(syncer);
        let mut batch = Batch::new(1, Micros::now(), Arc::from("here"));
        batch.promote = true;
        batch.answer = Answer::Written;
        let committed = store.commit(&batch).await.expect("it is written");

        let store = Arc::new(store);
        let synced = tokio::spawn(committed.synced.wait());
        let reader = Arc::clone(&store);
        let list = tokio::spawn(async move { reader.list(&InstanceQuery::default()).await.is_ok() });
        let reader = Arc::clone(&store);
        let always = StatsQuery { task_id: None, from: Micros(0), bucket: Duration::from_secs(60), buckets: 1 };
        let stats = tokio::spawn(async move { reader.stats(&always).await.is_ok() });
        let reader = Arc::clone(&store);
        let attempts = tokio::spawn(async move { reader.attempts(1).await.is_ok() });
        // For as long as many reads take that do not wait: those that the ledger makes to show this very commit.
        for _ in 0..200 {
            store.get(&[InstanceKey::Number(1)]).await.expect("it reads");
            store.summaries(&[1]).await.expect("it reads");
            store.log_extent(1).await.expect("it reads");
        }
        assert!(!synced.is_finished() && !list.is_finished() && !stats.is_finished() && !attempts.is_finished());
        outcomes.send(Ok(())).expect("it waits");
        synced.await.expect("no panic").expect("it is synced");
        for read in [list, stats, attempts] {
            assert!(read.await.expect("no panic"), "it reads");
        }
        store.close().await;
    }

    #[tokio::test]
    async fn a_commit_that_failed_holds_nobody_up() {
        let (syncer, outcomes) = told();
        drop(syncer.announce().await.expect("a turn"));
        let next = syncer.announce().await.expect("a turn");
        outcomes.send(Ok(())).expect("it waits");
        outcomes.send(Ok(())).expect("it waits");
        next.written().wait().await.expect("it is synced");
        syncer.settled().await.expect("all is synced");
        syncer.close();
    }

    #[tokio::test]
    async fn a_slow_disk_syncs_within_the_commits() {
        let mut took = [SLOW * 2, Duration::ZERO].into_iter();
        let syncer = Syncer::with(move || {
            thread::sleep(took.next().unwrap_or_default());
            Ok(())
        });
        let syncer = syncer.expect("a thread");
        assert!(syncer.pays());
        syncer.announce().await.expect("a turn").written().wait().await.expect("it is synced");
        assert!(!syncer.pays());
        syncer.announce().await.expect("a turn").written().wait().await.expect("it is synced");
        assert!(syncer.pays(), "it is fast again");
        syncer.close();
    }

    #[tokio::test]
    async fn after_a_failed_sync_nothing_is_synced_any_more() {
        let (syncer, outcomes) = told();
        let first = syncer.announce().await.expect("a turn").written();
        outcomes.send(Err(io::Error::other("the disk is gone"))).expect("it waits");
        assert!(matches!(first.wait().await, Err(CommitError::Fatal(_))));
        // It would succeed now, and is not tried.
        outcomes.send(Ok(())).expect("it waits");
        let second = syncer.announce().await.expect("a turn").written();
        assert!(matches!(second.wait().await, Err(CommitError::Fatal(_))));
        assert!(syncer.settled().await.is_err());
    }
}

//! Brings the log (WAL) into the database file, beside the commits and never inside one.
//!
//! SQLite does not say how long the log has grown without being asked, and asking costs a statement. So the pages
//! that a batch writes are estimated, and a checkpoint is tried whenever about 4 MiB have come together; its answer
//! tells how long the log really is. Nothing happens while nothing is committed.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use sqlx::{Row, SqliteConnection};

use super::{commit::Writer, connection};
use crate::store::{Batch, Committed, DefinitionChange};

/// Pages of 4 KiB in the log from which on a checkpoint is tried.
const PASSIVE: u64 = 1024;
/// Pages in the log from which on it is begun anew, even if commits have to wait for that. Soon, for commits over blocks
/// that are there are synced in half the time: where the file grows, the file system has to commit its journal too.
const RESTART: i64 = 4 * 1024;
/// Pages in the log from which on its file is cut too.
const TRUNCATE: i64 = 64 * 1024;

/// How long the log is not begun anew after somebody who reads it for long was in the way, such as a backup: each try
/// holds commits up.
const RESTART_AGAIN: Duration = Duration::from_secs(5);

enum Job {
    /// The log has grown.
    Checkpoint,
    /// A caller left in the middle of a commit.
    Abandoned,
}

/// The thread that runs checkpoints.
pub(super) struct Checkpointer {
    /// None once it is closed.
    jobs: Mutex<Option<SyncSender<Job>>>,
    ended: tokio::sync::Mutex<Option<tokio::sync::oneshot::Receiver<()>>>,
    pages: AtomicU64,
    waiting: Arc<AtomicBool>,
}

impl Checkpointer {
    pub(super) fn start(
        connection: SqliteConnection,
        writer: Arc<tokio::sync::Mutex<Writer>>,
    ) -> io::Result<Checkpointer> {
        let (jobs, queue) = sync_channel(4);
        let (end, ended) = tokio::sync::oneshot::channel();
        let waiting = Arc::new(AtomicBool::new(false));
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let is_waiting = Arc::clone(&waiting);
        thread::Builder::new().name("sqlite-keeper".to_owned()).spawn(move || {
            runtime.block_on(run(connection, &writer, &queue, &is_waiting));
            // Nobody may be waiting.
            let _ = end.send(());
        })?;
        Ok(Checkpointer {
            jobs: Mutex::new(Some(jobs)),
            ended: tokio::sync::Mutex::new(Some(ended)),
            pages: AtomicU64::new(0),
            waiting,
        })
    }

    /// Takes note of what `batch` has added to the log.
    pub(super) fn committed(&self, batch: &Batch, committed: &Committed) {
        let pages = self.pages.fetch_add(pages(batch, committed), Ordering::Relaxed);
        if pages >= PASSIVE && !self.waiting.swap(true, Ordering::AcqRel) {
            self.pages.store(0, Ordering::Relaxed);
            self.send(Job::Checkpoint);
        }
    }

    /// Has the transaction rolled back that a caller left.
    pub(super) fn abandoned(&self) {
        self.send(Job::Abandoned);
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &*self.jobs.lock().unwrap_or_else(PoisonError::into_inner) {
            match jobs.try_send(job) {
                // Enough is waiting; the next commit rolls back by itself.
                Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// Waits for the checkpoint that runs, then closes the connection.
    pub(super) async fn close(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = self.ended.lock().await.take() {
            // An error means that the thread has ended already.
            let _ = ended.await;
        }
    }
}

async fn run(
    mut connection: SqliteConnection,
    writer: &tokio::sync::Mutex<Writer>,
    queue: &Receiver<Job>,
    waiting: &AtomicBool,
) {
    let mut not_before = None;
    while let Ok(job) = queue.recv() {
        match job {
            Job::Abandoned => writer.lock().await.abandon().await,
            Job::Checkpoint => {
                if let Err(error) = checkpoint(&mut connection, writer, &mut not_before).await {
                    // What was answered is safe in the log, and the next one may succeed.
                    tracing::warn!(%error, "a checkpoint of the store failed");
                }
                waiting.store(false, Ordering::Release);
            }
        }
    }
    connection::close(connection).await;
}

async fn checkpoint(
    connection: &mut SqliteConnection,
    writer: &tokio::sync::Mutex<Writer>,
    not_before: &mut Option<Instant>,
) -> Result<(), sqlx::Error> {
    let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mut *connection).await?;
    let in_log: i64 = row.try_get(1)?;
    if in_log < RESTART || not_before.is_some_and(|time| Instant::now() < time) {
        return Ok(());
    }
    // Under steady load a passive checkpoint never finds the log at rest, so that it is never used from its start
    // again. Most of it is in the database file now; commits wait for the rest, a few milliseconds, for otherwise
    // they would hold the lock that this needs almost all the time.
    let _commits_wait = writer.lock().await;
    let sql = if in_log < TRUNCATE { "PRAGMA wal_checkpoint(RESTART)" } else { "PRAGMA wal_checkpoint(TRUNCATE)" };
    let row = sqlx::query(sql).fetch_one(&mut *connection).await?;
    let was_busy = row.try_get::<i64, _>(0)? != 0;
    *not_before = was_busy.then(|| Instant::now() + RESTART_AGAIN);
    Ok(())
}

/// About how many pages `batch` has written.
fn pages(batch: &Batch, committed: &Committed) -> u64 {
    let new = batch.starts.iter().flat_map(|start| &start.instances);
    let output = |output: &Option<Option<crate::domain::Json>>| {
        output.as_ref().and_then(Option::as_ref).map_or(0, |json| json.as_str().len())
    };
    let bytes: usize = new.clone().map(|instance| instance.inputs.as_str().len() + 300).sum::<usize>()
        + batch.finishes.iter().map(|finish| output(&finish.output) + 300).sum::<usize>()
        + batch.reports.iter().map(|report| output(&report.output) + 300).sum::<usize>()
        + batch.logs.iter().flat_map(|chunk| &chunk.lines).map(|line| line.text.len() + 30).sum::<usize>();
    let definition = match &batch.definition {
        Some(DefinitionChange::Register(definition)) => {
            let schemas = [&definition.input_schema, &definition.output_schema];
            schemas.into_iter().flatten().map(|schema| schema.as_str().len()).sum()
        }
        Some(DefinitionChange::Remove { .. }) | None => 0,
    };
    // A purge changes pages of every table and index.
    let purged = if batch.purge.is_some() { 100 } else { 0 };
    // Rows that change in place, with the short texts that are in them.
    let changed = 500 * (batch.stops.len() + committed.claimed.len() + committed.expired.len());
    8 + purged + (bytes + definition + changed) as u64 / 3000
}

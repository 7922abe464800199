//! The store on SQLite: one file, one daemon, every commit synced.
//!
//! One connection writes, in transactions of a few statements over many rows; a few others read. Each
//! connection of sqlx lives on a thread of its own, so that no caller's runtime ever blocks on the disk.
//! Checkpoints run on a connection of their own and never inside a commit.

mod backup;
mod check;
mod checkpoint;
mod claims;
mod codec;
mod commit;
mod connection;
mod counters;
mod definitions;
mod fault;
mod finishes;
mod header;
mod idempotency;
mod instances;
mod list;
mod log_reads;
mod log_writes;
mod open;
mod payload;
mod promotions;
mod purge;
mod readers;
mod reports;
mod reserve;
mod rollup;
mod sequence;
mod settings;
mod space;
mod starts;
mod statement;
mod stats;
mod stops;
mod syncer;
mod transaction;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::BoxFuture;

pub use backup::{BackedUp, Backup, BackupError};
pub use settings::{Settings, Synchronous};

use super::{
    Backlog, Batch, Checked, CommitError, Committed, DoneByTask, Identity, LogExtent, OpenError, Space, Store,
    StoreError,
};
use crate::domain::{
    Attempt, Definition, Instance, InstanceKey, InstanceQuery, LogLine, LogQuery, Page, Stats, StatsQuery, Summary,
};
use checkpoint::Checkpointer;
use commit::Writer;
use readers::Readers;
use reserve::Reserve;
use syncer::Syncer;

/// A store in one SQLite file.
pub struct SqliteStore {
    identity: Identity,
    readers: Readers,
    /// None where the store was opened for reading only.
    writing: Option<Writing>,
}

/// What only the daemon has.
struct Writing {
    writer: Arc<tokio::sync::Mutex<Writer>>,
    checkpointer: Checkpointer,
    /// None where commits are not synced.
    syncer: Option<Syncer>,
    reserve: Reserve,
    /// Held until everything else is closed.
    lock: Mutex<Option<File>>,
}

impl SqliteStore {
    /// Opens the store for a daemon: locks it, creates or migrates it, counts the boot.
    ///
    /// # Errors
    /// [`OpenError`]. A file that is in use, newer, damaged or something else is left as it is.
    pub async fn open(settings: Settings) -> Result<SqliteStore, OpenError> {
        open::for_daemon(&settings).await
    }

    /// Tells by its header whether the file is a store that this binary knows, without opening it as a database. Not
    /// while this very process has the store open: closing the file would end its locks.
    ///
    /// # Errors
    /// [`OpenError`] where it is none, or a later version's.
    pub fn recognise(path: &Path) -> Result<(), OpenError> {
        header::inspect(path).map(drop)
    }

    /// Opens the store for reading only, beside a running daemon or without one. Commits are refused.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_for_check(path: impl Into<PathBuf>) -> Result<SqliteStore, OpenError> {
        open::for_check(&path.into()).await
    }

    /// What `read` finds, once all of that is synced: for what does not tell which commit it is of, such as what is absent.
    fn read_synced<'a, T: Send>(
        &'a self,
        read: impl Future<Output = Result<T, StoreError>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        Box::pin(async move {
            let found = read.await?;
            if let Some(syncer) = self.writing.as_ref().and_then(|writing| writing.syncer.as_ref()) {
                syncer.settled().await?;
            }
            Ok(found)
        })
    }
}

impl Store for SqliteStore {
    fn commit<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>> {
        Box::pin(async move {
            let Some(writing) = &self.writing else {
                return Err(CommitError::Refused("the store was opened for reading only".into()));
            };
            commit::commit(writing, batch).await
        })
    }

    fn get<'a>(&'a self, keys: &'a [InstanceKey]) -> BoxFuture<'a, Result<Vec<Instance>, StoreError>> {
        Box::pin(instances::get(&self.readers, keys))
    }

    fn summaries<'a>(&'a self, numbers: &'a [u64]) -> BoxFuture<'a, Result<Vec<Summary>, StoreError>> {
        Box::pin(instances::summaries(&self.readers, numbers))
    }

    fn list<'a>(&'a self, query: &'a InstanceQuery) -> BoxFuture<'a, Result<Page<Summary>, StoreError>> {
        self.read_synced(list::list(&self.readers, query))
    }

    fn live<'a>(&'a self, query: &'a InstanceQuery) -> BoxFuture<'a, Result<Vec<u64>, StoreError>> {
        self.read_synced(list::live(&self.readers, query))
    }

    fn logs<'a>(&'a self, query: &'a LogQuery) -> BoxFuture<'a, Result<Vec<LogLine>, StoreError>> {
        self.read_synced(log_reads::lines(&self.readers, query))
    }

    fn log_extent(&self, instance: u64) -> BoxFuture<'_, Result<LogExtent, StoreError>> {
        Box::pin(log_reads::extent(&self.readers, instance))
    }

    fn attempts(&self, instance: u64) -> BoxFuture<'_, Result<Vec<Attempt>, StoreError>> {
        self.read_synced(instances::attempts(&self.readers, instance))
    }

    fn running(&self) -> BoxFuture<'_, Result<Vec<Summary>, StoreError>> {
        Box::pin(instances::running(&self.readers))
    }

    fn backlog(&self) -> BoxFuture<'_, Result<Backlog, StoreError>> {
        Box::pin(instances::backlog(&self.readers))
    }

    fn definitions(&self) -> BoxFuture<'_, Result<Vec<Definition>, StoreError>> {
        Box::pin(definitions::all(&self.readers))
    }

    fn stats<'a>(&'a self, query: &'a StatsQuery) -> BoxFuture<'a, Result<Stats, StoreError>> {
        self.read_synced(stats::stats(&self.readers, query))
    }

    fn done_by_task(&self) -> BoxFuture<'_, Result<DoneByTask, StoreError>> {
        Box::pin(stats::done_by_task(&self.readers))
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn space(&self) -> BoxFuture<'_, Result<Space, StoreError>> {
        Box::pin(space::space(&self.identity.location))
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(instances::ping(&self.readers))
    }

    fn check(&self) -> BoxFuture<'_, Result<Checked, StoreError>> {
        Box::pin(check::check(&self.readers))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.readers.close().await;
            if let Some(writing) = &self.writing {
                writing.checkpointer.close().await;
                if let Some(syncer) = &writing.syncer {
                    syncer.close();
                }
                // The last connection to close brings the log into the database file and deletes it.
                writing.writer.lock().await.close().await;
                writing.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
        })
    }
}

//! The store on SQLite: one writer, a few readers, checkpoints on a connection of their own.

mod check;
mod checkpoint;
mod claim;
mod commit;
mod error;
mod finish;
mod logs;
mod open;
mod read;
mod row;
mod start;
mod statement;
mod stop;

use std::{
    fs::File,
    sync::{Arc, PoisonError},
};

use futures_util::future::BoxFuture;
use sqlx::{Connection as _, SqliteConnection, SqlitePool};
use tokio::sync::Mutex;

pub use open::{Settings, Synchronous};

use super::{Backlog, Batch, CommitError, Committed, Finding, Identity, LogExtent, Store, StoreError};
use crate::domain::{Attempt, Instance, InstanceKey, InstanceQuery, LogLine, LogQuery, Page, Summary};
use checkpoint::Checkpointer;

/// A store in one SQLite file.
pub struct SqliteStore {
    writer: Mutex<Option<Writer>>,
    readers: SqlitePool,
    checkpointer: Arc<Checkpointer>,
    identity: Identity,
    /// Held until the store is closed: a second daemon refuses.
    lock: std::sync::Mutex<Option<File>>,
}

/// The one connection that writes.
struct Writer {
    connection: SqliteConnection,
    /// The number of the next instance. Only we give numbers out, so no statement must be asked for them.
    next: u64,
}

impl SqliteStore {
    fn new(
        connection: SqliteConnection,
        readers: SqlitePool,
        checkpointer: Arc<Checkpointer>,
        identity: Identity,
        next: u64,
        lock: Option<File>,
    ) -> Self {
        SqliteStore {
            writer: Mutex::new(Some(Writer { connection, next })),
            readers,
            checkpointer,
            identity,
            lock: std::sync::Mutex::new(lock),
        }
    }
}

impl Store for SqliteStore {
    fn commit<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>> {
        Box::pin(async move {
            let mut writer = self.writer.lock().await;
            let writer = writer.as_mut().ok_or_else(|| CommitError::Fatal("the store is closed".into()))?;
            let committed = commit::commit(writer, batch).await?;
            self.checkpointer.wrote(commit::pages(batch));
            Ok(committed)
        })
    }

    fn get<'a>(&'a self, keys: &'a [InstanceKey]) -> BoxFuture<'a, Result<Vec<Instance>, StoreError>> {
        Box::pin(read::get(&self.readers, keys))
    }

    fn list<'a>(&'a self, query: &'a InstanceQuery) -> BoxFuture<'a, Result<Page<Summary>, StoreError>> {
        Box::pin(read::list(&self.readers, query))
    }

    fn logs<'a>(&'a self, query: &'a LogQuery) -> BoxFuture<'a, Result<Vec<LogLine>, StoreError>> {
        Box::pin(logs::read(&self.readers, query))
    }

    fn log_extent(&self, instance: u64) -> BoxFuture<'_, Result<LogExtent, StoreError>> {
        Box::pin(logs::extent(&self.readers, instance))
    }

    fn attempts(&self, instance: u64) -> BoxFuture<'_, Result<Vec<Attempt>, StoreError>> {
        Box::pin(read::attempts(&self.readers, instance))
    }

    fn running(&self) -> BoxFuture<'_, Result<Vec<Summary>, StoreError>> {
        Box::pin(read::running(&self.readers))
    }

    fn backlog(&self) -> BoxFuture<'_, Result<Backlog, StoreError>> {
        Box::pin(read::backlog(&self.readers))
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async {
            sqlx::query("SELECT 1 FROM instances LIMIT 1")
                .fetch_optional(&self.readers)
                .await
                .map(drop)
                .map_err(error::store_error)
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<Vec<Finding>, StoreError>> {
        Box::pin(check::check(&self.readers))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(writer) = self.writer.lock().await.take() {
                // What could not be closed was committed all the same.
                let _ = writer.connection.close().await;
            }
            self.readers.close().await;
            self.checkpointer.stop();
            if let Some(thread) = self.checkpointer.take_thread() {
                let _ = tokio::task::spawn_blocking(move || thread.join()).await;
            }
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        })
    }
}

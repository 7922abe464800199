//! How connections are made: the same pragmas every time, read back where durability hangs on them.

use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::settings::Synchronous;

/// How long SQLite waits for a lock. Short: the ledger has its own patience, and everything waits behind a commit.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// What every connection has in common.
fn options(path: &Path, name: &'static str) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        // References are kept by the statements themselves, and looked over by fsck.
        .foreign_keys(false)
        .pragma("mmap_size", "0")
        // No temporary files: they could fail for want of descriptors or space.
        .pragma("temp_store", "MEMORY")
        .thread_name(move |_| format!("sqlite-{name}"))
        .disable_statement_logging()
}

/// The connection that all commits go through.
pub(super) async fn writer(path: &Path, synchronous: Synchronous) -> Result<SqliteConnection, sqlx::Error> {
    options(path, "writer")
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(level(synchronous))
        .pragma("wal_autocheckpoint", "0")
        .pragma("cache_size", "-8192")
        .statement_cache_capacity(256)
        .row_buffer_size(1024)
        .connect()
        .await
}

/// A connection for reads.
pub(super) async fn reader(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    options(path, "reader").read_only(true).pragma("cache_size", "-2048").connect().await
}

/// A database of its own, in memory.
pub(super) async fn in_memory() -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new().in_memory(true).disable_statement_logging().connect().await
}

/// The connection that brings the log into the database file.
pub(super) async fn checkpointer(path: &Path, synchronous: Synchronous) -> Result<SqliteConnection, sqlx::Error> {
    options(path, "checkpoint")
        // Commits wait meanwhile, and it is tried again.
        .busy_timeout(Duration::from_millis(100))
        .synchronous(level(synchronous))
        .pragma("wal_autocheckpoint", "0")
        .pragma("cache_size", "-256")
        .connect()
        .await
}

fn level(synchronous: Synchronous) -> SqliteSynchronous {
    match synchronous {
        Synchronous::Off => SqliteSynchronous::Off,
        Synchronous::Normal => SqliteSynchronous::Normal,
        Synchronous::Full => SqliteSynchronous::Full,
        Synchronous::Extra => SqliteSynchronous::Extra,
    }
}

/// What SQLite says about itself.
pub(super) struct ReadBack {
    pub(super) version: String,
    pub(super) journal_mode: String,
    pub(super) synchronous: Option<Synchronous>,
}

/// Asks `connection` what is in force.
pub(super) async fn read_back(connection: &mut SqliteConnection) -> Result<ReadBack, sqlx::Error> {
    Ok(ReadBack {
        version: sqlx::query("SELECT sqlite_version()").fetch_one(&mut *connection).await?.try_get(0)?,
        journal_mode: sqlx::query("PRAGMA journal_mode").fetch_one(&mut *connection).await?.try_get(0)?,
        synchronous: Synchronous::from_pragma(number(connection, "PRAGMA synchronous").await?),
    })
}

/// The single number that `sql` answers.
pub(super) async fn number(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, sqlx::Error> {
    sqlx::query(sql).fetch_one(&mut *connection).await?.try_get(0)
}

/// Closes `connection` and waits until its thread has let go of the file.
pub(super) async fn close(connection: SqliteConnection) {
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "a connection to the store did not close cleanly");
    }
}

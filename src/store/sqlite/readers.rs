//! The connections that read. Each read is one statement, so that no snapshot outlives its caller and holds the
//! checkpoints up.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    sync::{Mutex, PoisonError},
};

use sqlx::SqliteConnection;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::connection;
use crate::store::StoreError;

/// How many reads run at once.
const READERS: u32 = 3;

/// A fixed set of connections; whoever finds none waits for its turn.
pub(super) struct Readers {
    idle: Mutex<Vec<SqliteConnection>>,
    turns: Semaphore,
}

impl Readers {
    /// Opens them all at once: later there might be no descriptors left.
    pub(super) async fn open(path: &Path) -> Result<Readers, sqlx::Error> {
        let mut idle = Vec::new();
        for _ in 0..READERS {
            idle.push(connection::reader(path).await?);
        }
        Ok(Readers { idle: Mutex::new(idle), turns: Semaphore::new(READERS as usize) })
    }

    /// Takes a connection.
    ///
    /// # Errors
    /// After the store was closed.
    pub(super) async fn take(&self) -> Result<Reader<'_>, StoreError> {
        let closed = || StoreError::Unavailable("the store is closed".into());
        let turn = self.turns.acquire().await.map_err(|_| closed())?;
        let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().ok_or_else(closed)?;
        Ok(Reader { connection: Some(connection), readers: self, _turn: turn })
    }

    /// Waits for the reads that run, then closes the connections.
    pub(super) async fn close(&self) {
        if let Ok(turns) = self.turns.acquire_many(READERS).await {
            self.turns.close();
            turns.forget();
        }
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in idle {
            connection::close(connection).await;
        }
    }
}

/// A connection, for as long as this is kept.
pub(super) struct Reader<'a> {
    /// None only while it is being given back.
    connection: Option<SqliteConnection>,
    readers: &'a Readers,
    _turn: SemaphorePermit<'a>,
}

impl Deref for Reader<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.connection.as_ref().expect("a reader has its connection until it is dropped")
    }
}

impl DerefMut for Reader<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("a reader has its connection until it is dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        // Before the turn is given back, which happens after this.
        if let Some(connection) = self.connection.take() {
            self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

//! Moves the write-ahead log into the database file, beside the commits and never inside one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::sync::mpsc;

/// A checkpoint begins when so many pages were written since the last: about 4 MiB.
const EVERY_PAGES: u64 = 1000;
/// From this size on (about 64 MiB) one is made that also begins the log anew: readers would let it grow for ever.
const LARGE_PAGES: i64 = 16_000;

/// A connection of its own, on a thread of its own.
pub struct Checkpointer {
    rows: AtomicU64,
    wake: std::sync::Mutex<Option<mpsc::Sender<()>>>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Checkpointer {
    /// Starts one.
    pub async fn start(options: SqliteConnectOptions) -> Result<Arc<Self>, sqlx::Error> {
        // One wake-up is enough: it covers everything written before it.
        let (wake, woken) = mpsc::channel(1);
        let connection = options.connect().await?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(sqlx::Error::Io)?;
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || runtime.block_on(run(connection, woken)))
            .map_err(sqlx::Error::Io)?;
        Ok(Arc::new(Checkpointer {
            rows: AtomicU64::new(0),
            wake: std::sync::Mutex::new(Some(wake)),
            thread: std::sync::Mutex::new(Some(thread)),
        }))
    }

    /// One that does nothing, for a store that is only read.
    pub fn none() -> Arc<Self> {
        Arc::new(Checkpointer {
            rows: AtomicU64::new(0),
            wake: std::sync::Mutex::new(None),
            thread: std::sync::Mutex::new(None),
        })
    }

    /// Notes that a commit wrote about so many pages.
    pub fn wrote(&self, pages: u64) {
        if self.rows.fetch_add(pages, Ordering::Relaxed) + pages >= EVERY_PAGES {
            self.rows.store(0, Ordering::Relaxed);
            let wake = self.wake.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(wake) = &*wake {
                // Full means that one is asked for already.
                let _ = wake.try_send(());
            }
        }
    }

    /// Lets the thread end.
    pub fn stop(&self) {
        drop(self.wake.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
    }

    /// The thread, to be joined after [`Checkpointer::stop`].
    pub fn take_thread(&self) -> Option<JoinHandle<()>> {
        self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}

async fn run(mut connection: SqliteConnection, mut woken: mpsc::Receiver<()>) {
    while woken.recv().await.is_some() {
        if let Err(error) = checkpoint(&mut connection).await {
            // The log only grows; the next one may work, and commits say for themselves what is wrong.
            tracing::warn!(%error, "the write-ahead log could not be moved into the database file");
        }
    }
    let _ = connection.close().await;
}

async fn checkpoint(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").fetch_one(&mut *connection).await?;
    let pages: i64 = row.try_get(1)?;
    if pages > LARGE_PAGES {
        sqlx::query("PRAGMA wal_checkpoint(RESTART)").fetch_one(&mut *connection).await?;
    }
    Ok(())
}

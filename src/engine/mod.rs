//! Runs instances: the ledger, the pool, one attempt, the committed images, recovery.
//!
//! What callers may do is in `starts`, `reports`, `stops`, `definitions` and `reads`. In reading order: a request to
//! start is checked against the `catalog` (`prepare`), stands in a lane (`lanes`), is written by the `ledger` (`units`,
//! `publish`, `next_image`), claimed when the `pool` has a slot, and run (`run`, `command`, `attempt`) to its `ending`.
//! What clients see is in `images`, committed only.

mod attempt;
mod catalog;
mod clock;
mod command;
mod command_task;
mod definitions;
mod drain;
mod ending;
mod error;
mod executor;
mod feed;
mod images;
mod lanes;
mod ledger;
mod next_image;
mod open;
mod pool;
mod prepare;
mod publish;
mod pump;
mod reads;
pub mod recover;
mod reports;
mod request;
mod retention;
mod run;
mod running;
mod schema;
mod scratch;
mod settings;
mod starts;
mod state;
mod stops;
mod token;
mod units;
mod watch;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub use catalog::{Catalog, CatalogError};
pub use command_task::{CommandTask, InputsBy, InvalidCommand};
pub use definitions::Registered;
pub use error::{EngineError, TaskInstanceNotFoundError};
pub use feed::{Change, FeedPosition, FeedWatch, Lost};
pub use request::*;
pub use settings::{InvalidSetting, Numerous, Settings};
pub use state::{Facts, Figures, Health, Slots};
pub use token::AttemptIdentity;
pub use watch::{InstanceWatch, LogWatch};

use crate::{
    domain::{InstanceKey, Micros},
    process::Spawner,
    store::{Store, StoreError},
};

/// How long whoever asks about the store waits for its disk.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);

/// How long a drain waits for the ledger to begin a round: longer than that tries again to write or to read what it must.
const ROUND_PATIENCE: Duration = Duration::from_secs(6);

/// What an engine is opened with.
pub struct Parts {
    /// Its part of the configuration.
    pub settings: Settings,
    /// The store, opened and locked.
    pub store: Arc<dyn Store>,
    /// Every task.
    pub catalog: Catalog,
    /// This binary, to be re-executed as the spawner of commands.
    pub program: PathBuf,
    /// Where commands report: `http://127.0.0.1:8080`; empty where nobody listens.
    pub url: String,
}

/// The running engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    store: Arc<dyn Store>,
    catalog: Arc<catalog::CurrentCatalog>,
    lanes: Arc<lanes::Lanes>,
    images: Arc<images::Images>,
    feed: Arc<feed::Feed>,
    pool: Arc<pool::Pool>,
    running: Arc<running::Running>,
    state: Arc<state::State>,
    began: Micros,
    runner: run::Runner,
    spawner: Option<Spawner>,
    key: [u8; 32],
    /// Whose turn it is to change definitions.
    changes: Arc<tokio::sync::Semaphore>,
    /// Who may stop many at a time.
    sweeps: Arc<tokio::sync::Semaphore>,
    handlers: Mutex<Option<tokio::runtime::Runtime>>,
}

impl Drop for Inner {
    /// An engine that was not closed ends all the same: its threads have nobody left to work for.
    fn drop(&mut self) {
        self.state.close();
        self.lanes.wake();
        if let Some(handlers) = self.handlers.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            handlers.shutdown_background();
        }
    }
}

/// Why an engine could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenEngineError {
    /// A thread, the scratch directory or the spawner could not be made.
    #[error("cannot start the workers")]
    Workers(#[source] std::io::Error),
    /// What was registered does not go together with the other tasks.
    #[error(transparent)]
    Definitions(CatalogError),
    /// The store failed during recovery.
    #[error("cannot settle what the last daemon left")]
    Recovery(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn unreadable(error: StoreError) -> EngineError {
    match error {
        StoreError::Corrupt { .. } => EngineError::Unreadable(error),
        StoreError::Unavailable(_) => EngineError::Unavailable(Some(error)),
    }
}

fn unknown(key: InstanceKey) -> EngineError {
    TaskInstanceNotFoundError { instance_id: key.to_string() }.into()
}

impl Engine {
    /// Kills what a dead daemon left, settles its running instances in one commit, then begins to claim. The
    /// runtime that calls it also runs commands and watches deadlines.
    ///
    /// # Errors
    /// Where the spawner or a thread cannot be started, or the store fails.
    pub async fn open(parts: Parts) -> Result<Engine, OpenEngineError> {
        open::open(parts).await
    }

    /// What the clients of `numerous` are told.
    pub fn numerous(&self) -> &Numerous {
        &self.inner.settings.numerous
    }

    /// Whether the engine can do its work.
    pub async fn health(&self) -> Health {
        let identity = self.inner.store.identity();
        let readable = tokio::time::timeout(LOOK_PATIENCE, self.inner.store.ping()).await;
        Health {
            store: self.inner.state.is_writable() && matches!(readable, Ok(Ok(()))),
            draining: self.inner.state.is_draining(),
            synchronous: identity.synchronous.clone(),
            backend: identity.backend.clone(),
        }
    }

    /// What the engine is and has room for.
    pub async fn facts(&self) -> Facts<'_> {
        let Inner { settings, store, pool, began, .. } = &*self.inner;
        let (local, command) = pool.running();
        let space = tokio::time::timeout(LOOK_PATIENCE, store.space()).await;
        Facts {
            node: &settings.node,
            began: *began,
            identity: store.identity(),
            local: Slots { used: local, total: settings.local_slots.get() },
            command: Slots { used: command, total: settings.command_slots.get() },
            space: space.ok().and_then(Result::ok),
        }
    }

    /// Whether new work is taken at all: asked before a body is parsed.
    ///
    /// # Errors
    /// Why not: draining, or no store.
    pub fn taking_work(&self) -> Result<(), EngineError> {
        if self.inner.state.is_draining() {
            return Err(EngineError::Draining);
        }
        if self.inner.state.has_failed() {
            return Err(EngineError::Unavailable(None));
        }
        Ok(())
    }

    /// Figures for `/metrics`.
    pub fn figures(&self) -> Figures {
        let (local, command) = self.inner.pool.running();
        Figures { local_running: local.into(), command_running: command.into(), ..self.inner.state.figures() }
    }

    /// Takes no new work, lets running attempts end within `server.drain`, and resolves when none is left
    /// and all is committed.
    pub async fn drain(&self) {
        let inner = &self.inner;
        inner.state.drain();
        // A commit under way may still claim: what it begins is to be seen.
        let round = inner.state.next_round();
        inner.lanes.wake();
        let drained = async {
            if tokio::time::timeout(ROUND_PATIENCE, round).await.is_err() {
                tracing::error!(
                    "the store does not answer: what a commit under way begins is settled by the next start"
                );
            }
            drain::drain(&inner.running, &inner.runner, inner.settings.drain, inner.settings.drain_grace).await;
        };
        tokio::select! {
            () = drained => {}
            // By an earlier call, or because the store failed: no end would be written any more.
            () = inner.state.ended() => {}
        }
    }

    /// Takes no new work and kills every command at once; what was not committed is settled by the next daemon.
    pub async fn abort(&self) {
        self.inner.state.drain();
        if let Some(spawner) = &self.inner.spawner {
            spawner.shutdown().await;
        }
    }

    /// Ends the engine's threads and closes the store. After a drain.
    pub async fn close(&self) {
        let inner = &self.inner;
        inner.state.close();
        inner.lanes.wake();
        // It ends by itself once nothing waits.
        inner.state.ended().await;
        if let Some(spawner) = &inner.spawner {
            spawner.shutdown().await;
        }
        let handlers = inner.handlers.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handlers) = handlers {
            // A blocking closure that does not return must not keep the daemon from ending.
            handlers.shutdown_background();
        }
        scratch::remove_scratch(inner.runner.scratch());
        inner.store.close().await;
    }

    /// Resolves with the error's whole chain if the store fails for good.
    pub async fn failed(&self) -> String {
        self.inner.state.failed().await
    }
}

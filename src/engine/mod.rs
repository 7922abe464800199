//! Runs instances: the ledger, the pool, one attempt, the committed images, recovery.
//!
//! In reading order: a [`request`] is checked against the [`catalog`] (`start`), stands in a lane
//! (`lanes`), is written by the `ledger` (`work`, `image`, `publish`), claimed when the `pool` has a
//! slot, and run (`run`, `command`, `attempt`). What clients see is in `images`, committed only.

pub mod attempt;
pub mod catalog;
pub mod command;
mod command_task;
mod controls;
pub mod definitions;
mod drain;
pub mod error;
pub mod feed;
mod image;
pub mod images;
pub mod lanes;
pub mod ledger;
pub mod log_buffer;
mod open;
pub mod pool;
pub mod publish;
mod pump;
mod reads;
pub mod recover;
pub mod request;
pub mod retention;
pub mod run;
pub mod running;
pub mod schema;
pub mod scratch;
pub mod settings;
pub mod start;
pub mod state;
mod stops;
pub mod token;
mod watch;
mod work;

use std::{
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;

pub use catalog::{Catalog, CatalogError, CommandTask, InputsBy};
pub use command_task::InvalidCommand;
pub use definitions::Registered;
pub use error::{EngineError, TaskInstanceNotFoundError};
pub use feed::{Change, FeedPosition, FeedWatch, Lost};
pub use request::*;
pub use settings::Settings;
pub use watch::{InstanceWatch, LogWatch};

use crate::{
    domain::{Definition, FieldError, Instance, InstanceKey, Json},
    process::Spawner,
    store::{Start, Store, StoreError},
};
use lanes::{StartItem, StartReply};

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
    catalog: Arc<definitions::CurrentCatalog>,
    lanes: Arc<lanes::Lanes>,
    images: Arc<images::Images>,
    feed: Arc<feed::Feed>,
    pool: Arc<pool::Pool>,
    running: Arc<running::Running>,
    state: Arc<state::State>,
    runner: run::Runner,
    spawner: Option<Spawner>,
    key: [u8; 32],
    /// Whose turn it is to change definitions.
    changes: Arc<tokio::sync::Semaphore>,
    /// Who may stop many at a time.
    sweeps: Arc<tokio::sync::Semaphore>,
    ledger: Mutex<Option<tokio::task::JoinHandle<()>>>,
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
    EngineError::Unavailable(Some(error))
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

    // --- definitions

    /// The definitions, by id.
    pub fn definitions(&self) -> Vec<Arc<Definition>> {
        self.inner.catalog.load().iter().map(|task| Arc::clone(&task.definition)).collect()
    }

    /// The definition with this id or name.
    ///
    /// # Errors
    /// [`EngineError::UnknownTask`].
    pub fn definition(&self, id: &str) -> Result<Arc<Definition>, EngineError> {
        self.inner.catalog.load().find(id).map(|task| Arc::clone(&task.definition))
    }

    // --- starts

    /// Whether a start would be taken at all: asked before a body is parsed.
    ///
    /// # Errors
    /// Why not: draining, no store, or no room.
    pub fn accepting(&self) -> Result<(), EngineError> {
        self.room_for(1)
    }

    fn room_for(&self, rows: u64) -> Result<(), EngineError> {
        let inner = &self.inner;
        if inner.state.is_draining() {
            return Err(EngineError::Draining);
        }
        if inner.state.has_failed() {
            return Err(EngineError::Unavailable(None));
        }
        let limit = inner.settings.pending;
        let pending = inner.state.pending.load(Ordering::Relaxed) + inner.lanes.start_rows() as u64;
        if pending + rows > limit || !inner.lanes.has_room() {
            return Err(EngineError::QueueFull { pending, limit });
        }
        Ok(())
    }

    /// Starts one instance; answers when it is synced to disk.
    ///
    /// # Errors
    /// Why it was refused; nothing was made then, unless the store did not say.
    pub async fn start(&self, request: StartRequest, key: Option<IdempotencyKey>) -> Result<Started, EngineError> {
        self.begin_one(request, key, None).await
    }

    /// Starts one instance; answers when it is done, or once `until` has resolved and it is synced to disk. One that was
    /// started before under the same key is answered as it is.
    ///
    /// # Errors
    /// As for [`Engine::start`].
    pub async fn start_and_wait(
        &self,
        request: StartRequest,
        key: Option<IdempotencyKey>,
        until: impl Future<Output = ()> + Send,
    ) -> Result<Started, EngineError> {
        self.begin_one(request, key, Some(std::pin::pin!(until))).await
    }

    async fn begin_one(
        &self,
        request: StartRequest,
        key: Option<IdempotencyKey>,
        mut until: Option<Pin<&mut (dyn Future<Output = ()> + Send)>>,
    ) -> Result<Started, EngineError> {
        loop {
            let catalog = self.inner.catalog.load();
            let start = start::single(&catalog, &request, key.clone())?;
            // Only for this round: it may have to be waited for again.
            let until = until.as_mut().map(|until| until.as_mut() as Pin<&mut (dyn Future<Output = ()> + Send)>);
            if let Some(StartedBatch { instances, replayed }) = self.begin(start, catalog, until).await? {
                let instance = instances.into_iter().next().ok_or(EngineError::Unavailable(None))?;
                return Ok(Started { instance, replayed });
            }
        }
    }

    /// Whether `request` would be started now; nothing is made.
    ///
    /// # Errors
    /// As for [`Engine::start`].
    pub fn validate(&self, request: &StartRequest) -> Result<(), EngineError> {
        start::single(&self.inner.catalog.load(), request, None)?;
        self.room_for(1)
    }

    /// What is wrong with item `n` of a batch; nothing is made.
    ///
    /// # Errors
    /// The faults, with pointers that begin `/instances/n`.
    pub fn check(&self, n: usize, request: &StartRequest) -> Result<(), Vec<FieldError>> {
        start::check_item(&self.inner.catalog.load(), n, request)
    }

    /// Starts many in one commit, all or none.
    ///
    /// # Errors
    /// As for [`Engine::start`]; [`EngineError::InvalidBatch`] names the items at fault.
    pub async fn start_batch(
        &self,
        requests: Vec<StartRequest>,
        key: Option<IdempotencyKey>,
    ) -> Result<StartedBatch, EngineError> {
        loop {
            let catalog = self.inner.catalog.load();
            let start = start::batch(&catalog, &requests, key.clone())?;
            if let Some(started) = self.begin(start, catalog, None).await? {
                return Ok(started);
            }
        }
    }

    /// Runs a done instance again as a new one.
    ///
    /// # Errors
    /// As for [`Engine::start`]; [`EngineError::NotDone`] while it is not done.
    pub async fn retry(
        &self,
        key: InstanceKey,
        inputs: Option<Json>,
        options: StartOptions,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Started, EngineError> {
        let of = self.instance(key).await?;
        loop {
            // Before its state: what is wrong with the request is said whatever the instance is.
            let catalog = self.inner.catalog.load();
            let start = start::retry(&catalog, &of, inputs.clone(), &options, idempotency.clone())?;
            if !of.is_done() {
                return Err(EngineError::NotDone { status: of.status() });
            }
            if let Some(StartedBatch { instances, replayed }) = self.begin(start, catalog, None).await? {
                let instance = instances.into_iter().next().ok_or(EngineError::Unavailable(None))?;
                return Ok(Started { instance, replayed });
            }
        }
    }

    /// Has `start` written; None if it must be checked again, because a task of it is no longer what `catalog` says.
    /// Where it is of one instance, answers when that is done, or once `until` has resolved.
    async fn begin(
        &self,
        start: Start,
        catalog: Arc<Catalog>,
        until: Option<Pin<&mut (dyn Future<Output = ()> + Send)>>,
    ) -> Result<Option<StartedBatch>, EngineError> {
        self.room_for(start.instances.len() as u64)?;
        let held = match (&start.instances[..], until) {
            ([instance], Some(until)) => Some((instance.id, Arc::new(AtomicBool::new(true)), until)),
            _ => None,
        };
        let until_done = held.as_ref().map(|(_, until_done, _)| Arc::clone(until_done));
        let (reply, mut answer) = oneshot::channel();
        let item = StartItem { bytes: start::bytes(&start), start, catalog, reply, until_done };
        if self.inner.lanes.push_start(item).is_err() {
            let pending = self.inner.state.pending.load(Ordering::Relaxed);
            return Err(EngineError::QueueFull { pending, limit: self.inner.settings.pending });
        }
        let answer = match held {
            None => answer.await,
            Some((id, until_done, until)) => tokio::select! {
                biased;
                answer = &mut answer => answer,
                () = until => {
                    self.inner.images.release(id, &until_done);
                    answer.await
                }
            },
        };
        match answer.map_err(|_| EngineError::Unavailable(None))?? {
            StartReply::Created(instances) => Ok(Some(StartedBatch { instances, replayed: false })),
            StartReply::Outdated => Ok(None),
            StartReply::Replayed(numbers) => {
                let instances = self.replayed(&numbers).await?;
                Ok(Some(StartedBatch { instances, replayed: true }))
            }
        }
    }

    async fn replayed(&self, numbers: &[u64]) -> Result<Vec<Arc<Instance>>, EngineError> {
        let mut instances = Vec::with_capacity(numbers.len());
        for number in numbers {
            instances.push(self.instance(InstanceKey::Number(*number)).await?);
        }
        Ok(instances)
    }

    /// Whether the engine can do its work.
    pub async fn health(&self) -> Health {
        let identity = self.inner.store.identity();
        let readable = tokio::time::timeout(Duration::from_secs(2), self.inner.store.ping()).await;
        Health {
            store: self.inner.state.is_writable() && matches!(readable, Ok(Ok(()))),
            draining: self.inner.state.is_draining(),
            synchronous: identity.synchronous.clone(),
            backend: identity.backend.clone(),
        }
    }

    /// Figures for `/metrics`.
    pub fn figures(&self) -> Figures {
        let (local, command) = self.inner.pool.running();
        Figures { local_running: local.into(), command_running: command.into(), ..self.inner.state.figures() }
    }

    /// Takes no new work, lets running attempts end as design.md says of a drain, and resolves when none is left
    /// and all is committed.
    pub async fn drain(&self) {
        let inner = &self.inner;
        inner.state.drain();
        // A commit under way may still claim: what it begins is to be seen.
        let round = inner.state.next_round();
        inner.lanes.wake();
        round.await;
        drain::drain(&inner.running, &inner.runner, inner.settings.drain, inner.settings.drain_grace).await;
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
        let ledger = inner.ledger.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ledger) = ledger {
            // It ends by itself once nothing waits; a panic in it was reported by `failed`.
            let _ = ledger.await;
        }
        if let Some(spawner) = &inner.spawner {
            spawner.shutdown().await;
        }
        let handlers = inner.handlers.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handlers) = handlers {
            // A blocking closure that does not return must not keep the daemon from ending.
            handlers.shutdown_background();
        }
        scratch::remove_scratch(&inner.store.identity().tag);
        inner.store.close().await;
    }

    /// Resolves with the error's whole chain if the store fails for good.
    pub async fn failed(&self) -> String {
        self.inner.state.failed().await
    }
}

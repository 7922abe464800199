//! Runs instances: the ledger, the pool, one attempt, the committed images, recovery.

pub mod catalog;
pub mod error;
pub mod request;
pub mod settings;

use std::{path::PathBuf, sync::Arc, time::Duration};

pub use catalog::{Catalog, CatalogError, CommandTask, InputsBy};
pub use error::EngineError;
pub use request::*;
pub use settings::Settings;

use crate::{
    domain::{Attempt, Definition, Instance, InstanceKey, InstanceQuery, LogQuery, Page, PendingReason, Summary},
    store::Store,
};

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
    /// Where commands report: `http://127.0.0.1:8080`.
    pub url: String,
}

/// The running engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    _inner: Arc<()>,
}

#[allow(unused_variables, clippy::todo, clippy::unused_async)]
impl Engine {
    /// Kills what a dead daemon left, settles its running instances in one commit, then begins to claim.
    ///
    /// # Errors
    /// Where the spawner or a thread cannot be started, or the store fails.
    pub async fn open(parts: Parts) -> Result<Engine, OpenEngineError> {
        todo!()
    }

    /// The definitions, by id.
    pub fn definitions(&self) -> Vec<Arc<Definition>> {
        todo!()
    }

    /// The definition with this id or name.
    pub fn definition(&self, id: &str) -> Result<Arc<Definition>, EngineError> {
        todo!()
    }

    /// Whether a start would be taken at all: asked before a body is parsed.
    pub fn accepting(&self) -> Result<(), EngineError> {
        todo!()
    }

    /// Starts one instance; answers when it is synced to disk.
    pub async fn start(&self, request: StartRequest, key: Option<IdempotencyKey>) -> Result<Started, EngineError> {
        todo!()
    }

    /// Starts many in one commit, all or none.
    pub async fn start_batch(
        &self,
        requests: Vec<StartRequest>,
        key: Option<IdempotencyKey>,
    ) -> Result<StartedBatch, EngineError> {
        todo!()
    }

    /// Runs a done instance again as a new one.
    pub async fn retry(
        &self,
        key: InstanceKey,
        inputs: Option<crate::domain::Json>,
        options: StartOptions,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Started, EngineError> {
        todo!()
    }

    /// The instance as last committed.
    pub async fn instance(&self, key: InstanceKey) -> Result<Arc<Instance>, EngineError> {
        todo!()
    }

    /// The instance once it is done, or as it is after `wait`.
    pub async fn wait_done(&self, key: InstanceKey, wait: Duration) -> Result<Arc<Instance>, EngineError> {
        todo!()
    }

    /// The instance once its version is above `since`, or as it is after `wait`.
    pub async fn wait_changed(
        &self,
        key: InstanceKey,
        since: u64,
        wait: Duration,
    ) -> Result<Arc<Instance>, EngineError> {
        todo!()
    }

    /// Follows one instance: the present image first, then each committed change, coalesced to the newest.
    pub async fn watch(&self, key: InstanceKey) -> Result<InstanceWatch, EngineError> {
        todo!()
    }

    /// A page of instances.
    pub async fn list(&self, query: &InstanceQuery) -> Result<Page<Summary>, EngineError> {
        todo!()
    }

    /// Why a pending instance does not run; None for any other.
    pub fn pending_reason(&self, summary: &Summary) -> Option<PendingReason> {
        todo!()
    }

    /// Stops an instance; answers when the stop is committed.
    pub async fn stop(&self, key: InstanceKey, options: StopOptions) -> Result<Arc<Instance>, EngineError> {
        todo!()
    }

    /// Writes a report; answers when it is committed.
    pub async fn report(
        &self,
        key: InstanceKey,
        writer: Writer,
        if_version: Option<u64>,
        patch: ReportPatch,
    ) -> Result<Receipt, EngineError> {
        todo!()
    }

    /// Adds lines to the log of a running attempt; answers when they are committed.
    pub async fn append_log(
        &self,
        key: InstanceKey,
        writer: Writer,
        lines: Vec<NewLine>,
    ) -> Result<Receipt, EngineError> {
        todo!()
    }

    /// Reads a log. `query.instance` is filled in from `key`.
    pub async fn logs(&self, key: InstanceKey, query: LogQuery) -> Result<LogPage, EngineError> {
        todo!()
    }

    /// Follows a log: tells when there may be more lines to read.
    pub async fn watch_log(&self, key: InstanceKey) -> Result<LogWatch, EngineError> {
        todo!()
    }

    /// The attempts of an instance, oldest first.
    pub async fn attempts(&self, key: InstanceKey) -> Result<Vec<Attempt>, EngineError> {
        todo!()
    }

    /// Which attempt `token` speaks for, if it is an attempt's token of this store, over or not.
    pub fn attempt_of_token(&self, token: &str) -> Option<AttemptIdentity> {
        todo!()
    }

    /// Whether the engine can do its work.
    pub async fn health(&self) -> Health {
        todo!()
    }

    /// Figures for `/metrics`.
    pub fn figures(&self) -> Figures {
        todo!()
    }

    /// Takes no new work, lets running attempts end as design.md says of a drain, and resolves when none is left
    /// and all is committed.
    pub async fn drain(&self) {
        todo!()
    }

    /// Kills every command and drops every handler at once, without committing anything more.
    pub fn abort(&self) {
        todo!()
    }

    /// Ends the engine's threads and closes the store. After a drain.
    pub async fn close(&self) {
        todo!()
    }

    /// Resolves with the error's whole chain if the store fails for good.
    pub async fn failed(&self) -> String {
        todo!()
    }
}

/// Follows one instance.
pub struct InstanceWatch {
    _private: (),
}

#[allow(clippy::todo, clippy::unused_async)]
impl InstanceWatch {
    /// The newest committed image, without waiting.
    pub fn current(&self) -> Arc<Instance> {
        todo!()
    }

    /// The next image with a higher version than the last one returned (the first call: than `current`); None
    /// after the terminal one, or when the instance was purged. Cancel safe.
    pub async fn changed(&mut self) -> Option<Arc<Instance>> {
        todo!()
    }
}

/// Follows one log.
pub struct LogWatch {
    _private: (),
}

#[allow(clippy::todo, clippy::unused_async)]
impl LogWatch {
    /// Resolves when lines were committed since the last call, or the instance is done (true). Once it answered
    /// true, everything is there to be read. Cancel safe.
    pub async fn changed(&mut self) -> bool {
        todo!()
    }
}

/// Why an engine could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenEngineError {
    /// A thread or the spawner could not be started.
    #[error("cannot start the workers")]
    Workers(#[source] std::io::Error),
    /// The store failed during recovery.
    #[error("cannot settle what the last daemon left")]
    Recovery(#[source] Box<dyn std::error::Error + Send + Sync>),
}

//! What every request can reach.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::{metrics::Metrics, openapi::Served, settings::Settings};
use crate::engine::Engine;

/// How many requests may hold lists of whole instances at a time: each takes the memory of several.
const LARGE_LISTS: usize = 4;

/// How many WebSockets may be open that have not said yet who they are: apart from streams, which others need.
const MOST_STRANGERS: usize = 64;

/// The HTTP side of a daemon: its engine, its settings, and what its requests share. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Shared>);

struct Shared {
    engine: Engine,
    settings: Settings,
    metrics: Metrics,
    document: Served,
    streams: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    lists: Arc<Semaphore>,
    closing: AtomicBool,
    closed: Notify,
}

impl App {
    /// Puts an engine behind HTTP.
    pub fn new(engine: Engine, settings: Settings) -> Self {
        let metrics = Metrics::new(engine.clone());
        let streams = Arc::new(Semaphore::new(settings.streams.min(Semaphore::MAX_PERMITS)));
        App(Arc::new(Shared {
            engine,
            settings,
            metrics,
            document: Served::default(),
            streams,
            strangers: Arc::new(Semaphore::new(MOST_STRANGERS)),
            lists: Arc::new(Semaphore::new(LARGE_LISTS)),
            closing: AtomicBool::new(false),
            closed: Notify::new(),
        }))
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(super) fn document(&self) -> &Served {
        &self.0.document
    }

    /// A place for one more stream; None when all are taken.
    pub(super) fn stream_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.streams).try_acquire_owned().ok()
    }

    /// The turn of a request that reads whole instances by the thousand; who waits for it waits for others to have read.
    pub(super) async fn list_turn(&self) -> Option<OwnedSemaphorePermit> {
        // Nobody closes it.
        Arc::clone(&self.0.lists).acquire_owned().await.ok()
    }

    /// A place for one more connection that has not said yet who it is; None when all are taken.
    pub(super) fn stranger_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.strangers).try_acquire_owned().ok()
    }

    /// Ends long polls and streams: the server goes away.
    pub fn close(&self) {
        self.0.closing.store(true, Ordering::SeqCst);
        self.0.closed.notify_waiters();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::SeqCst)
    }

    /// Resolves once the server goes away.
    pub(super) async fn closing(&self) {
        let closed = self.0.closed.notified();
        tokio::pin!(closed);
        // Registered before the flag is read, so that a close between the two is not missed.
        closed.as_mut().enable();
        if !self.is_closing() {
            closed.await;
        }
    }
}

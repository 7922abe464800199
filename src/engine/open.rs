//! Putting an engine together, in the order that keeps its promises: first the processes of a dead
//! daemon end, then its instances are settled, then new work begins.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::sync::{Notify, Semaphore};

use super::{
    Engine, Inner, OpenEngineError, Parts, Settings,
    attempt::Shared,
    catalog::CurrentCatalog,
    clock::Clock,
    command::{self, Environment},
    feed::Feed,
    images::Images,
    lanes::Lanes,
    ledger::{Ledger, LedgerEnd},
    pool::Pool,
    publish::Publisher,
    recover,
    retention::Retention,
    run::{self, Runner},
    running::Running,
    scratch::prepare_scratch,
    state::State,
    stops,
};
use crate::{
    domain::{Micros, error::chain},
    process::{Spawner, kill_leftovers},
    store::{Backlog, Store},
};

/// The most threads for blocking work: each may hold a stack, and more than this do not help computing.
const MOST_BLOCKING: u32 = 64;

/// Batch numbers of one boot begin here, shifted: no two boots ever use the same.
const BOOT_SHIFT: u32 = 40;

pub(super) async fn open(parts: Parts) -> Result<Engine, OpenEngineError> {
    let Parts { settings, store, mut catalog, program, url } = parts;
    let identity = store.identity().clone();
    let registered = store.definitions().await.map_err(|error| OpenEngineError::Recovery(error.into()))?;
    catalog.add_registered(registered, &settings.directory).map_err(OpenEngineError::Definitions)?;
    let first = identity.boot << BOOT_SHIFT;
    let backlog = settle_the_past(&*store, first + 1, &settings).await?;
    let workers = OpenEngineError::Workers;
    let scratch = prepare_scratch(&identity.tag).map_err(workers)?;
    let spawner = if settings.remote_definitions || catalog.has_commands() {
        Some(Spawner::start(&program).await.map_err(|error| workers(std::io::Error::other(error)))?)
    } else {
        None
    };
    let blocking = MOST_BLOCKING.min(settings.local_slots.get()) as usize;
    let handlers = handlers_runtime(blocking).map_err(workers)?;

    let wake = Arc::new(Notify::new());
    let lanes = Arc::new(Lanes::new(Arc::clone(&wake)));
    let images = Arc::new(Images::default());
    images.begin(first + 1);
    let feed = Arc::new(Feed::new(identity.boot));
    let catalog = Arc::new(CurrentCatalog::new(catalog));
    let pool = Arc::new(Pool::new(&settings, Arc::clone(&wake)));
    let running = Arc::new(Running::default());
    let state = Arc::new(State::default());
    state.pending.store(backlog.pending, std::sync::atomic::Ordering::Relaxed);
    let output_limit = settings.output.bytes();
    let shared = Arc::new(Shared {
        lanes: Arc::clone(&lanes),
        blocking: Arc::new(Semaphore::new(blocking)),
        stop_grace: settings.stop_grace,
        output_limit,
        log_limit: settings.log.0,
    });
    let runner = Runner::new(run::Parts {
        handlers: handlers.handle().clone(),
        service: tokio::runtime::Handle::current(),
        lanes: Arc::clone(&lanes),
        images: Arc::clone(&images),
        pool: Arc::clone(&pool),
        running: Arc::clone(&running),
        state: Arc::clone(&state),
        spawner: spawner.clone(),
        scratch,
        environment: Environment {
            url,
            tag: identity.tag.clone(),
            key: identity.key,
            numerous: settings.numerous.clone(),
            inherited: command::Environment::inherited(),
        },
        output_limit,
    });
    let ledger = Ledger {
        store: Arc::clone(&store),
        lanes: Arc::clone(&lanes),
        images: Arc::clone(&images),
        pool: Arc::clone(&pool),
        catalog: Arc::clone(&catalog),
        state: Arc::clone(&state),
        publisher: Publisher {
            store: Arc::clone(&store),
            images: Arc::clone(&images),
            feed: Arc::clone(&feed),
            running: Arc::clone(&running),
            catalog: Arc::clone(&catalog),
            shared,
            state: Arc::clone(&state),
            runner: runner.clone(),
        },
        wake,
        node: Arc::clone(&settings.node),
        batch: first + 1,
        ready: backlog.ready.into_iter().collect(),
        // The first look finds what was scheduled by an earlier boot.
        next_due: Some(Micros(0)),
        retention: Retention::new(settings.retention, Arc::clone(&catalog)),
        clock: Clock::new(),
        clock_sets: Vec::new(),
        failing: None,
        expects_ends: false,
    };
    spawn_ledger(ledger, &state, &lanes, &running);
    Ok(Engine {
        inner: Arc::new(Inner {
            settings,
            store,
            catalog,
            lanes,
            images,
            feed,
            pool,
            running,
            state,
            began: Micros::now(),
            runner,
            spawner,
            key: identity.key,
            changes: Arc::new(Semaphore::new(1)),
            sweeps: Arc::new(Semaphore::new(stops::SWEEPS)),
            handlers: Mutex::new(Some(handlers)),
        }),
    })
}

/// Ends what the last daemon left: its processes, then its running instances, by the batch `number`. Answers what waits.
async fn settle_the_past(store: &dyn Store, number: u64, settings: &Settings) -> Result<Backlog, OpenEngineError> {
    let tag = store.identity().tag.clone();
    let killed = tokio::task::spawn_blocking(move || kill_leftovers(&tag))
        .await
        .map_err(|error| OpenEngineError::Workers(std::io::Error::other(error)))?
        .map_err(OpenEngineError::Workers)?;
    if killed > 0 {
        tracing::warn!(killed, "killed processes that the last daemon left");
    }
    let settled = recover::settle(store, number, &settings.node).await.map_err(OpenEngineError::Recovery)?;
    if settled > 0 {
        tracing::warn!(settled, "settled instances that were running when the last daemon died");
    }
    store.backlog().await.map_err(|error| OpenEngineError::Recovery(error.into()))
}

/// Where handlers run, with so many threads for blocking work.
fn handlers_runtime(blocking: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_name("handler")
        .max_blocking_threads(blocking)
        // Idle threads are given back soon: a burst of blocking work leaves no memory behind.
        .thread_keep_alive(Duration::from_secs(5))
        .enable_all()
        .build()
}

/// Runs the ledger beside the requests, whose runtime never blocks: a start then takes two switches between threads
/// less than with a thread of the ledger's own.
fn spawn_ledger(ledger: Ledger, state: &Arc<State>, lanes: &Arc<Lanes>, running: &Arc<Running>) {
    let mut end =
        LedgerGuard { state: Arc::clone(state), lanes: Arc::clone(lanes), running: Arc::clone(running), failure: None };
    tokio::spawn(async move {
        // The whole of it, not only what is assigned: it is dropped when this ends.
        let end = &mut end;
        end.failure = match AssertUnwindSafe(ledger.run()).catch_unwind().await {
            Ok(LedgerEnd::Closed) => None,
            Ok(LedgerEnd::Fatal(error)) => Some(chain(&error)),
            Err(_) => Some("the ledger panicked".to_owned()),
        };
    });
}

/// The end of the ledger, also where its runtime ends before it.
struct LedgerGuard {
    state: Arc<State>,
    lanes: Arc<Lanes>,
    running: Arc<Running>,
    failure: Option<String>,
}

impl Drop for LedgerGuard {
    fn drop(&mut self) {
        // Whoever still waits is answered: nothing is written any more.
        let work = self.lanes.close();
        if let Some(failure) = self.failure.take() {
            self.state.fail(failure);
        }
        drop(work);
        for attempt in self.running.all() {
            attempt.refuse_waiters();
        }
        self.state.end();
    }
}

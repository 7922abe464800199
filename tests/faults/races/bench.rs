//! An engine over a real store, with a handler whose every step a test can hold, and which notes what it should not see.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use taskwright::{
    domain::{Definition, FieldError, Instance, InstanceKey, Json, Source, Workload},
    engine::{
        Catalog, Engine, EngineError, IdempotencyKey, Parts, Settings, StartOptions, StartRequest, Started, StopOptions,
    },
    store::{
        Store,
        sqlite::{Settings as SqliteSettings, SqliteStore, Synchronous},
    },
    task::{
        erased::{ErasedHandler, HandlerEnd},
        reporter::Reporter,
    },
};
use tokio::sync::Semaphore;

use super::saboteur::{Sabotage, Saboteur};
use crate::support::{decorated::Decorated, server::BINARY};

/// How many races are run at once. Their commits meet, as those of clients do.
pub const WORKERS: u64 = 8;

/// What an attempt does once its gate is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Returns, whatever it was told meanwhile.
    Returns,
    /// Fails, whatever it was told meanwhile.
    Fails,
}

/// What the handlers share with the test.
#[derive(Default)]
pub struct Stage {
    gates: Mutex<HashMap<u64, Arc<Semaphore>>>,
    ran: Mutex<HashMap<u64, Vec<u32>>>,
    live: Mutex<HashSet<u64>>,
    violations: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    fn gate(&self, instance: u64) -> Arc<Semaphore> {
        Arc::clone(lock(&self.gates).entry(instance).or_insert_with(|| Arc::new(Semaphore::new(0))))
    }

    /// Lets the attempts of an instance go on.
    pub fn open(&self, instance: u64) {
        self.gate(instance).add_permits(1000);
    }

    /// The attempts of an instance that began.
    pub fn ran(&self, instance: u64) -> Vec<u32> {
        lock(&self.ran).get(&instance).cloned().unwrap_or_default()
    }

    pub fn violation(&self, what: String) {
        lock(&self.violations).push(what);
    }
}

struct Player {
    act: Act,
    stage: Arc<Stage>,
}

/// An attempt that runs; also one that is dropped has ended.
struct Live<'a>(&'a Stage, u64);

impl Drop for Live<'_> {
    fn drop(&mut self) {
        lock(&self.0.live).remove(&self.1);
    }
}

impl ErasedHandler for Player {
    fn check(&self, _: &Json) -> Result<(), Vec<FieldError>> {
        Ok(())
    }

    fn run(self: Arc<Self>, _: Json, reporter: Arc<dyn Reporter>) -> BoxFuture<'static, HandlerEnd> {
        Box::pin(async move {
            let (number, attempt) = (reporter.instance_number(), reporter.attempt());
            let ran = {
                let mut ran = lock(&self.stage.ran);
                let ran = ran.entry(number).or_default();
                ran.push(attempt);
                ran.clone()
            };
            if ran != (1..=attempt).collect::<Vec<_>>() {
                self.stage.violation(format!("attempts of {number} began in this order: {ran:?}"));
            }
            if !lock(&self.stage.live).insert(number) {
                self.stage.violation(format!("attempt {attempt} of {number} began beside another"));
            }
            let _live = Live(&self.stage, number);
            let gate = self.stage.gate(number);
            gate.acquire().await.expect("gates stay").forget();
            match self.act {
                Act::Returns => HandlerEnd::Returned(Json::parse("{\"done\":true}").ok()),
                Act::Fails => {
                    HandlerEnd::Failed { message: "as it should".into(), causes: Vec::new(), permanent: false }
                }
            }
        })
    }
}

/// The engine, and a way to what it stored.
pub struct Bench {
    pub engine: Engine,
    pub store: Arc<Decorated<Saboteur>>,
    pub stage: Arc<Stage>,
}

impl Bench {
    /// An engine over the store in this folder.
    pub async fn open(folder: &Path, sabotage: Sabotage) -> Bench {
        // What is asked is what a commit says, not whether it outlives a power cut.
        let settings = SqliteSettings { path: folder.join("taskwright.db"), synchronous: Synchronous::Off };
        let store = Saboteur::over(Arc::new(SqliteStore::open(settings).await.expect("the store opens")), sabotage);
        let stage = Arc::new(Stage::default());
        let definition = |id: &str| Definition::new(id.parse().expect("an id"), Workload::Local, Source::Compiled);
        let player = |act| Arc::new(Player { act, stage: Arc::clone(&stage) }) as Arc<dyn ErasedHandler>;
        let mut handlers = vec![
            (definition("returns"), player(Act::Returns)),
            (definition(Saboteur::CURSED), player(Act::Returns)),
            (
                Definition { max_attempts: 5, retry_delay: Duration::from_millis(1), ..definition("fails") },
                player(Act::Fails),
            ),
        ];
        for worker in 0..WORKERS {
            let alone = Definition { concurrency: Some(1), ..definition(&format!("alone-{worker}")) };
            handlers.push((alone, player(Act::Returns)));
        }
        let engine = Engine::open(Parts {
            settings: Settings { drain: Duration::ZERO, drain_grace: Duration::ZERO, ..Settings::default() },
            store: Arc::clone(&store) as Arc<dyn Store>,
            catalog: Catalog::new(handlers, Vec::new()).expect("a catalog"),
            program: BINARY.into(),
            url: String::new(),
        })
        .await
        .expect("the engine opens");
        Bench { engine, store, stage }
    }

    pub async fn start(&self, task: &str) -> Result<u64, String> {
        let started = self.try_start(task, "{}", None).await;
        started.map(|one| one.instance.number).map_err(|error| format!("it does not start: {error}"))
    }

    pub async fn try_start(&self, task: &str, inputs: &str, key: Option<&str>) -> Result<Started, EngineError> {
        let request = StartRequest {
            task: task.to_owned(),
            inputs: Json::parse(inputs).expect("JSON"),
            options: StartOptions::default(),
        };
        let key = key.map(|key| IdempotencyKey { principal: "me".into(), key: key.into() });
        self.engine.start(request, key).await
    }

    pub async fn stop(&self, number: u64) -> Arc<Instance> {
        let options = StopOptions { grace: None, force: false, by_itself: false };
        self.engine.stop(InstanceKey::Number(number), options).await.expect("it stops")
    }

    pub async fn done(&self, number: u64) -> Result<Arc<Instance>, String> {
        let instance = self.engine.wait_done(InstanceKey::Number(number), Duration::from_secs(20)).await;
        let instance = instance.map_err(|error| error.to_string())?;
        match instance.is_done() {
            true => Ok(instance),
            false => Err(format!("it does not end: {instance:?}")),
        }
    }

    /// The row as it is stored.
    pub async fn stored(&self, number: u64) -> Instance {
        self.store.get(&[InstanceKey::Number(number)]).await.expect("it reads").remove(0)
    }

    /// What was shown as the end is what is stored; answers it.
    pub async fn ended(&self, number: u64) -> Result<Arc<Instance>, String> {
        let shown = self.done(number).await?;
        let stored = self.stored(number).await;
        let ran = self.stage.ran(number);
        if *shown != stored {
            return Err(format!("shown was {shown:?}, stored is {stored:?}"));
        }
        if ran.len() != shown.attempt as usize {
            return Err(format!("attempts {ran:?} ran of {shown:?}"));
        }
        Ok(shown)
    }

    /// Runs a race `times` in all, several at once, and ends the engine. Answers what each said, or what went wrong.
    pub async fn run<T: Send>(
        self,
        times: u32,
        race: impl AsyncFn(&Bench, u64) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let worker = async |worker: u64| {
            let mut outcomes = Vec::new();
            for _ in 0..u64::from(times).div_ceil(WORKERS) {
                outcomes.push(race(&self, worker).await?);
            }
            Ok::<_, String>(outcomes)
        };
        let outcomes: Result<Vec<Vec<T>>, String> = join_all((0..WORKERS).map(worker)).await.into_iter().collect();
        let outcomes = outcomes?;
        self.close().await?;
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// Ends the engine. What it left must be sound, and no handler saw what it should not.
    pub async fn close(self) -> Result<(), String> {
        self.engine.drain().await;
        let findings = self.store.check().await.expect("it reads").findings;
        self.engine.close().await;
        let violations = std::mem::take(&mut *lock(&self.stage.violations));
        match findings.is_empty() && violations.is_empty() {
            true => Ok(()),
            false => Err(format!("{violations:?} {findings:?}")),
        }
    }
}

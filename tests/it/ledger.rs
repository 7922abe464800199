//! The ledger: when the store fails, what callers are told of each kind of failure; and what comes at once in one order or
//! another.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, join_all};
use taskwright::{
    domain::{Definition, FieldError, InstanceKey, InstanceQuery, Json, Micros, Progress, Source, Status, Workload},
    engine::{
        Catalog, Engine, EngineError, IdempotencyKey, Parts, ReportPatch, Settings, StartOptions, StartRequest,
        StopCounts, StopOptions, When, Writer,
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

use self::faulty_store::{Fault, FaultyStore};
use crate::support::wait_for;

mod faulty_store;
mod overlap;

/// Ends at once, or when it is stopped.
struct Waits {
    at_once: bool,
}

impl ErasedHandler for Waits {
    fn check(&self, _: &Json) -> Result<(), Vec<FieldError>> {
        Ok(())
    }

    fn run(self: Arc<Self>, _: Json, reporter: Arc<dyn Reporter>) -> BoxFuture<'static, HandlerEnd> {
        Box::pin(async move {
            if !self.at_once {
                reporter.stopped().await;
            }
            HandlerEnd::Returned(None)
        })
    }
}

struct Bench {
    store: Arc<FaultyStore>,
    engine: Engine,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Bench {
        Bench::with(Settings::default()).await
    }

    async fn with(engine: Settings) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = SqliteSettings { path: folder.path().join("taskwright.db"), synchronous: Synchronous::Full };
        let store = FaultyStore::over(Arc::new(SqliteStore::open(settings).await.expect("a new store opens")));
        let definition = |id: &str| Definition::new(id.parse().expect("an id"), Workload::Local, Source::Compiled);
        let handler = |at_once| Arc::new(Waits { at_once }) as Arc<dyn ErasedHandler>;
        let handlers = vec![
            (definition("quick"), handler(true)),
            (definition("waits"), handler(false)),
            (definition("cursed"), handler(true)),
        ];
        let engine = Engine::open(Parts {
            settings: engine,
            store: Arc::clone(&store) as Arc<dyn Store>,
            catalog: Catalog::new(handlers, Vec::new()).expect("a catalog"),
            program: env!("CARGO_BIN_EXE_taskwright").into(),
            url: "http://127.0.0.1:9".to_owned(),
        })
        .await
        .expect("the engine opens");
        Bench { store, engine, folder }
    }

    async fn start(&self, task: &str) -> Result<u64, EngineError> {
        self.start_with(task, StartOptions::default()).await
    }

    async fn start_with(&self, task: &str, options: StartOptions) -> Result<u64, EngineError> {
        let request = StartRequest { task: task.to_owned(), inputs: Json::empty_object(), options };
        Ok(self.engine.start(request, None).await?.instance.number)
    }

    async fn start_batch(&self, task: &str, n: usize) -> Result<Vec<u64>, EngineError> {
        let request =
            StartRequest { task: task.to_owned(), inputs: Json::empty_object(), options: StartOptions::default() };
        let started = self.engine.start_batch(vec![request; n], None).await?;
        Ok(started.instances.iter().map(|instance| instance.number).collect())
    }

    async fn status(&self, number: u64) -> Status {
        self.engine.instance(InstanceKey::Number(number)).await.expect("it exists").status()
    }

    async fn done(&self, number: u64) -> Status {
        let wait = Duration::from_secs(10);
        self.engine.wait_done(InstanceKey::Number(number), wait).await.expect("it exists").status()
    }

    /// Whatever the ledger did by itself, such as a look for work of a new task, is committed.
    async fn settled(&self) {
        let number = self.start("quick").await.expect("it starts");
        assert_eq!(self.done(number).await, Status::Completed);
    }

    /// Ends the engine; what it left must be sound.
    async fn close(self) {
        self.engine.drain().await;
        self.engine.close().await;
        let path = self.folder.path().join("taskwright.db");
        let store = SqliteStore::open_for_check(&path).await.expect("the store opens");
        assert_eq!(store.check().await.expect("the store can be read").findings, []);
    }
}

fn stop() -> StopOptions {
    StopOptions { grace: None, force: false, by_itself: false }
}

fn is_unavailable<T>(outcome: &Result<T, EngineError>) -> bool {
    matches!(outcome, Err(EngineError::Unavailable(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_busy_for_a_moment_is_tried_again() {
    let bench = Bench::new().await;
    bench.store.fail_next([Fault::NotCommitted; 4]);
    let number = bench.start("quick").await.expect("it is written in the end");
    assert_eq!(bench.done(number).await, Status::Completed);
    assert_eq!(bench.engine.figures().commit_failures, 4);
    assert!(bench.engine.health().await.store);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_cannot_be_written_requests_are_refused_and_ends_are_kept() {
    let bench = Bench::new().await;
    let runs = bench.start("waits").await.expect("it starts");
    let ends = bench.start("waits").await.expect("it starts");
    bench.engine.stop(InstanceKey::Number(ends), stop()).await.expect("it is stopped");
    assert_eq!(bench.done(ends).await, Status::Cancelled);
    bench.store.fail_always(true);
    let began = Instant::now();
    let refused = bench.start("quick").await;
    assert!(is_unavailable(&refused));
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    // From now on one try each: nobody waits seconds for the same answer.
    let began = Instant::now();
    assert!(is_unavailable(&bench.engine.stop(InstanceKey::Number(runs), stop()).await));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(!bench.engine.health().await.store);
    assert_eq!(bench.status(runs).await, Status::Running, "reads go on");
    bench.store.fail_always(false);
    let stopped = bench.engine.stop(InstanceKey::Number(runs), stop()).await.expect("it works again");
    assert!(stopped.stop.is_some());
    assert_eq!(bench.done(runs).await, Status::Cancelled);
    assert!(bench.engine.health().await.store);
    // What was refused was not made.
    assert_eq!(bench.engine.figures().started, 2);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_could_not_be_written_is_written_later() {
    let bench = Bench::new().await;
    let number = bench.start("waits").await.expect("it starts");
    let report = ReportPatch { progress: Progress::new(0.5, Some("half")).ok(), ..ReportPatch::default() };
    bench.engine.report(InstanceKey::Number(number), Writer::Current, None, report).await.expect("it is written");
    bench.engine.stop(InstanceKey::Number(number), stop()).await.expect("it is stopped");
    // The end comes while the store fails, for longer than a request would wait.
    bench.store.fail_always(true);
    wait_for("the store to be given up", async || {
        (!bench.engine.health().await.store || bench.status(number).await != Status::Running).then_some(())
    })
    .await;
    bench.store.fail_always(false);
    assert_eq!(bench.done(number).await, Status::Cancelled);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_starts_the_one_that_the_store_refuses_is_refused_alone() {
    let bench = Bench::new().await;
    bench.store.refuse("cursed");
    // All of them wait while one commit is held, so that they come into one batch.
    bench.store.hold();
    let mut starts: Vec<_> = (0..40).map(|_| bench.start("quick")).map(Box::pin).collect();
    starts.insert(17, Box::pin(bench.start("cursed")));
    let release = async {
        wait_for("the ledger to be held", async || (bench.store.commits() > 0).then_some(())).await;
        tokio::task::yield_now().await;
        bench.store.release();
    };
    let (outcomes, ()) = tokio::join!(join_all(starts), release);
    for (at, outcome) in outcomes.iter().enumerate() {
        assert_eq!(matches!(outcome, Err(EngineError::Refused { .. })), at == 17, "{at}: {outcome:?}");
    }
    for number in outcomes.into_iter().flatten() {
        assert_eq!(bench.done(number).await, Status::Completed);
    }
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_the_store_refuses_by_itself_is_answered_at_once() {
    let bench = Bench::new().await;
    bench.settled().await;
    bench.store.refuse("cursed");
    let (commits, began) = (bench.store.commits(), Instant::now());
    let refused = bench.start("cursed").await;
    assert!(matches!(refused, Err(EngineError::Refused { .. })), "{refused:?}");
    assert_eq!(bench.store.commits(), commits + 1, "it is not tried again");
    assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
    bench.settled().await;
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_of_what_will_never_be_shown_ends() {
    let bench = Bench::new().await;
    bench.settled().await;
    bench.store.fail_next([Fault::NotSynced]);
    assert!(is_unavailable(&bench.start_batch("quick", 10).await));
    bench.engine.failed().await;
    let key = InstanceKey::Number(2);
    let query = InstanceQuery { limit: 100, ..InstanceQuery::default() };
    let reads = async {
        assert!(is_unavailable(&bench.engine.instance(key).await));
        assert!(is_unavailable(&bench.engine.list(&query).await));
        assert!(is_unavailable(&bench.engine.list_whole(&query, 1 << 20).await));
        assert!(is_unavailable(&bench.engine.watch(key).await.map(drop)));
        assert!(is_unavailable(&bench.engine.wait_done(key, Duration::from_secs(60)).await));
    };
    tokio::time::timeout(Duration::from_secs(5), reads).await.expect("none of them hangs");
    assert_eq!(bench.status(1).await, Status::Completed, "what was shown can be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_fatal_failure_nothing_is_acknowledged_any_more() {
    for fault in [Fault::Fatal, Fault::UnknownAfterCommit, Fault::NotSynced] {
        let bench = Bench::new().await;
        let runs = bench.start("waits").await.expect("it starts");
        bench.store.fail_next([fault]);
        let batch = bench.start_batch("quick", 10);
        let outcomes = join_all((0..10).map(|_| bench.start("quick")));
        let (batch, outcomes) = tokio::join!(batch, outcomes);
        assert!(is_unavailable(&batch) && outcomes.iter().all(is_unavailable), "{batch:?} {outcomes:?}");
        let why = tokio::time::timeout(Duration::from_secs(2), bench.engine.failed()).await.expect("it says so");
        assert!(why.contains("on demand"), "{why}");
        assert!(is_unavailable(&bench.start("quick").await));
        assert!(is_unavailable(&bench.engine.stop(InstanceKey::Number(runs), stop()).await));
        let report = ReportPatch { progress: Progress::new(0.1, None).ok(), ..ReportPatch::default() };
        let report = bench.engine.report(InstanceKey::Number(runs), Writer::Current, None, report);
        let report = tokio::time::timeout(Duration::from_secs(2), report).await.expect("it is answered");
        assert!(is_unavailable(&report), "{report:?}");
        assert!(!bench.engine.health().await.store);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_fails_is_an_error_and_not_an_absence() {
    let bench = Bench::new().await;
    let later = StartOptions { when: When::After(Duration::from_secs(3600)), ..StartOptions::default() };
    let number = bench.start_with("quick", later).await.expect("it starts");
    bench.store.fail_reads(true);
    assert!(is_unavailable(&bench.engine.instance(InstanceKey::Number(number + 1)).await));
    assert!(!bench.engine.health().await.store);
    bench.store.fail_reads(false);
    assert!(matches!(
        bench.engine.instance(InstanceKey::Number(number + 1)).await,
        Err(EngineError::UnknownInstance { .. })
    ));
    bench.close().await;
}

impl Bench {
    /// An instance that becomes due in half a second, and whose image is forgotten by then.
    async fn due_and_forgotten(&self) -> InstanceKey {
        let inputs = Json::parse(&format!("{{\"x\":\"{}\"}}", "x".repeat(1 << 20))).expect("JSON");
        let start = async |options| {
            let request = StartRequest { task: "quick".to_owned(), inputs: inputs.clone(), options };
            self.engine.start(request, None).await.expect("it starts").instance.number
        };
        let after = |wait| StartOptions { when: When::After(wait), ..StartOptions::default() };
        let number = start(after(Duration::from_millis(500))).await;
        for _ in 0..12 {
            start(after(Duration::from_secs(3600))).await;
        }
        InstanceKey::Number(number)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_and_cannot_be_read_runs_when_it_can_be() {
    let bench = Bench::new().await;
    let due = bench.due_and_forgotten().await;
    bench.store.fail_reads(true);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    bench.store.fail_reads(false);
    let done = bench.engine.wait_done(due, Duration::from_secs(10)).await.expect("it exists");
    assert_eq!(done.status(), Status::Completed);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_claimed_and_is_never_read_ends_the_engine() {
    for (is_corrupt, within) in [(true, Duration::from_secs(3)), (false, Duration::from_secs(9))] {
        let bench = Bench::new().await;
        bench.due_and_forgotten().await;
        if is_corrupt {
            bench.store.corrupt_reads();
        } else {
            bench.store.fail_reads(true);
        }
        let why = tokio::time::timeout(within, bench.engine.failed()).await.expect("it gives up");
        assert!(why.starts_with("the store failed for good") && why.contains("demand"), "{why}");
        let drained = tokio::time::timeout(Duration::from_secs(1), bench.engine.drain()).await;
        drained.expect("a drain has nothing to wait for");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_wait_for_ever_for_a_commit() {
    let bench =
        Bench::with(Settings { drain: Duration::ZERO, drain_grace: Duration::ZERO, ..Settings::default() }).await;
    bench.store.hold();
    let engine = bench.engine.clone();
    let request =
        StartRequest { task: "quick".to_owned(), inputs: Json::empty_object(), options: StartOptions::default() };
    let started = tokio::spawn(async move { engine.start(request, None).await });
    wait_for("the commit", async || (bench.store.commits() > 0).then_some(())).await;
    tokio::time::timeout(Duration::from_secs(10), bench.engine.drain()).await.expect("it goes on without it");
    bench.store.release();
    started.await.expect("no panic").expect("it is written");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_due_later_runs_when_its_time_comes() {
    let bench = Bench::new().await;
    let at = Micros::now().after(Duration::from_millis(300));
    let options = StartOptions { when: When::At(at), ..StartOptions::default() };
    let number = bench.start_with("quick", options).await.expect("it starts");
    assert_eq!(bench.status(number).await, Status::Pending);
    assert_eq!(bench.done(number).await, Status::Completed);
    let instance = bench.engine.instance(InstanceKey::Number(number)).await.expect("it exists");
    assert!(instance.started_at.expect("it ran") >= at);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_keys_in_one_commit_make_one_instance() {
    let bench = Bench::new().await;
    bench.store.hold();
    let start = || {
        let key = IdempotencyKey { principal: Arc::from("me"), key: Arc::from("k") };
        let request =
            StartRequest { task: "quick".to_owned(), inputs: Json::empty_object(), options: StartOptions::default() };
        bench.engine.start(request, Some(key))
    };
    let release = async {
        wait_for("the ledger to be held", async || (bench.store.commits() > 0).then_some(())).await;
        bench.store.release();
    };
    let (outcomes, ()) = tokio::join!(join_all((0..10).map(|_| start())), release);
    let started: Vec<_> = outcomes.into_iter().map(|outcome| outcome.expect("it starts")).collect();
    assert_eq!(started.iter().filter(|one| !one.replayed).count(), 1);
    assert!(started.iter().all(|one| one.instance.id == started[0].instance.id));
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_read_is_told_as_lost() {
    let bench = Bench::new().await;
    let later = StartOptions { when: When::After(Duration::from_secs(3600)), ..StartOptions::default() };
    let inputs = Json::parse(&format!("{{\"x\":\"{}\"}}", "x".repeat(1 << 20))).expect("JSON");
    let request = || StartRequest { task: "quick".to_owned(), inputs: inputs.clone(), options: later.clone() };
    let first = bench.engine.start(request(), None).await.expect("it starts").instance.number;
    // Enough that the first one's image is forgotten.
    for _ in 0..12 {
        bench.engine.start(request(), None).await.expect("it starts");
    }
    let mut watch = bench.engine.follow();
    bench.engine.stop(InstanceKey::Number(first), stop()).await.expect("it is pending");
    let changes = watch.read(9).expect("nothing is lost");
    assert_eq!(changes.iter().map(|change| change.summary.number).collect::<Vec<_>>(), [first]);
    assert_eq!(changes[0].summary.status(), Status::Cancelled);

    let second = InstanceKey::Number(first + 1);
    bench.engine.instance(second).await.expect("it exists");
    let stopping = bench.engine.clone();
    bench.store.hold();
    let commits = bench.store.commits();
    let stopped = tokio::spawn(async move { stopping.stop(second, stop()).await });
    wait_for("the commit of the stop", async || (bench.store.commits() > commits).then_some(())).await;
    bench.store.fail_reads(true);
    bench.store.release();
    wait_for("word of the loss", async || watch.read(9).is_err().then_some(())).await;
    bench.store.fail_reads(false);
    let _ = stopped.await.expect("it ends");
    let number = bench.start("quick").await.expect("it starts");
    bench.done(number).await;
    let changes = watch.read(9).expect("it goes on");
    assert!(changes.iter().all(|change| change.summary.number == number) && !changes.is_empty());
    bench.close().await;
}

#[tokio::test]
async fn what_is_started_during_a_stop_of_many_is_left_alone() {
    let bench = Bench::new().await;
    for _ in 0..3 {
        bench.start("waits").await.expect("it starts");
    }
    let commits = bench.store.commits();
    bench.store.hold();
    let engine = bench.engine.clone();
    let sweep = tokio::spawn(async move { engine.stop_matching(InstanceQuery::default(), stop()).await });
    wait_for("the commit of the stops", async || (bench.store.commits() > commits).then_some(())).await;
    let (started, ()) = tokio::join!(bench.start("waits"), async {
        tokio::task::yield_now().await;
        bench.store.release();
    });
    let counts = sweep.await.expect("it ends").expect("it stops");
    assert_eq!(counts, StopCounts { matched: 3, cancelled: 0, stopping: 3 });
    let started = bench.engine.instance(InstanceKey::Number(started.expect("it starts"))).await.expect("it is there");
    assert_eq!((started.status(), started.stop), (Status::Running, None));
}

fn registered(id: &str, command: &str) -> Definition {
    Definition {
        command: Some(vec![command.to_owned()]),
        ..Definition::new(id.parse().expect("an id"), Workload::Remote, Source::Registered)
    }
}

#[tokio::test]
async fn a_start_that_a_removal_overtakes_is_refused() {
    let bench = Bench::with(Settings { remote_definitions: true, ..Settings::default() }).await;
    bench.engine.register(registered("once", "true")).await.expect("it registers");
    bench.settled().await;
    let commits = bench.store.commits();
    bench.store.hold();
    let engine = bench.engine.clone();
    let removal = tokio::spawn(async move { engine.unregister("once").await });
    wait_for("the commit of the removal", async || (bench.store.commits() > commits).then_some(())).await;
    // The catalog still has it, so this start is put in line; the commit before it takes its task away.
    let (started, ()) = tokio::join!(bench.start("once"), async {
        tokio::task::yield_now().await;
        bench.store.release();
    });
    assert!(matches!(started, Err(EngineError::UnknownTask { .. })), "{started:?}");
    removal.await.expect("it ends").expect("it removes");
    assert_eq!(bench.store.backlog().await.expect("it reads").pending, 0);
}

#[tokio::test]
async fn a_removal_that_a_start_overtakes_is_refused() {
    let bench = Bench::with(Settings { remote_definitions: true, ..Settings::default() }).await;
    bench.engine.register(registered("once", "true")).await.expect("it registers");
    bench.settled().await;
    let commits = bench.store.commits();
    bench.store.hold();
    let (starting, removing) = (bench.engine.clone(), bench.engine.clone());
    let request = StartRequest {
        task: "once".into(),
        inputs: Json::empty_object(),
        options: StartOptions { when: When::After(Duration::from_secs(3600)), ..StartOptions::default() },
    };
    let start = tokio::spawn(async move { starting.start(request, None).await });
    wait_for("the commit of the start", async || (bench.store.commits() > commits).then_some(())).await;
    // The store has no instance of it yet, so the removal is put in line.
    let (removed, ()) = tokio::join!(removing.unregister("once"), async {
        tokio::task::yield_now().await;
        bench.store.release();
    });
    assert!(matches!(removed, Err(EngineError::DefinitionInUse { .. })), "{removed:?}");
    let key = InstanceKey::Number(start.await.expect("it ends").expect("it starts").instance.number);
    bench.engine.stop(key, stop()).await.expect("it stops");
    bench.engine.unregister("once").await.expect("it is not in use any more");
}

#[tokio::test]
async fn a_registration_that_cannot_be_written_leaves_nothing() {
    let bench = Bench::with(Settings { remote_definitions: true, ..Settings::default() }).await;
    bench.store.fail_always(true);
    let refused = bench.engine.register(registered("a", "true")).await;
    assert!(matches!(refused, Err(EngineError::Unavailable(_))), "{refused:?}");
    assert!(bench.engine.definition("a").is_err());
    bench.store.fail_always(false);
    assert!(bench.engine.register(registered("a", "true")).await.expect("it registers").is_new);
    assert!(!bench.engine.register(registered("a", "true")).await.expect("it is there").is_new);
    let other = bench.engine.register(registered("a", "false")).await;
    assert!(matches!(other, Err(EngineError::DefinitionDiffers { .. })), "{other:?}");
}

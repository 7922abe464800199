//! The lifecycle on the store against a small model of it: after every step both must say the same, whatever the order of
//! starts, claims, reports, stops, ends, waits and crashes.

mod batch;
mod lifecycle;
mod row;
mod step;

use std::{
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};

use lifecycle::{Answer, Model, Wrong};
use proptest::{
    collection, option,
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use row::{Row, seen};
use step::{Hint, How, Item, NewStart, Patch, Step, TASKS, Which};
use taskwright::{
    domain::{InstanceKey, Status, VerdictStatus},
    engine::recover,
    store::{
        Store,
        sqlite::{Settings, SqliteStore, Synchronous},
    },
};
use tokio::runtime::Runtime;

use crate::lane;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// The model, of which rule `WRONG` of [`Wrong::ALL`] is wrong.
struct Reference<const WRONG: usize>;

impl<const WRONG: usize> ReferenceStateMachine for Reference<WRONG> {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::new(Wrong::ALL[WRONG])).boxed()
    }

    fn transitions(_: &Model) -> BoxedStrategy<Step> {
        prop_oneof![
            20 => collection::vec(item(), 1..6).prop_map(Step::Commit),
            3 => (0..4000_u64).prop_map(|time| Step::Wait(Duration::from_millis(time))),
            1 => Just(Step::Crash),
        ]
        .boxed()
    }

    fn apply(mut state: Model, step: &Step) -> Model {
        state.apply(step);
        state
    }
}

fn item() -> impl Strategy<Value = Item> {
    // The newest instances, and now and then one that does not exist.
    let who = || 0..6_usize;
    let attempt = || prop_oneof![8 => Just(Which::Current), 2 => Just(Which::Previous), 1 => Just(Which::Next)];
    let hint = prop_oneof![Just(Hint::None), Just(Hint::Right), Just(Hint::Stale)];
    let how = select(vec![How::Returned, How::Failed, How::FailedForGood, How::Stopped, How::Interrupted]);
    let only = option::weighted(0.2, select(vec![Status::Pending, Status::Running]));
    prop_oneof![
        4 => start().prop_map(Item::Start),
        4 => (prop_oneof![Just([2, 2]), [0..3_u32, 0..3_u32]], 0..4_u32)
            .prop_map(|(rooms, slots)| Item::Claim { rooms, slots }),
        4 => (who(), attempt(), how, patch(), hint)
            .prop_map(|(who, attempt, how, patch, hint)| Item::Finish { who, attempt, how, patch, hint }),
        3 => (who(), attempt(), patch()).prop_map(|(who, attempt, patch)| Item::Report { who, attempt, patch }),
        2 => (who(), 0..20_i64, only).prop_map(|(who, deadline, only)| Item::Stop { who, deadline, only }),
        2 => Just(Item::Promote),
    ]
}

fn start() -> impl Strategy<Value = NewStart> {
    (
        0..TASKS.len(),
        1..4_u32,
        -1..2_i16,
        prop_oneof![3 => Just(0), 1 => 1..4_u64],
        option::weighted(0.3, 1..4_u64),
        option::weighted(0.2, (0..3_u8, 0..2_u8)),
    )
        .prop_map(|(task, attempts, priority, delay, queue_timeout, key)| NewStart {
            task,
            attempts,
            priority,
            delay,
            queue_timeout,
            key,
        })
}

fn patch() -> impl Strategy<Value = Patch> {
    let verdict = select(vec![VerdictStatus::Completed, VerdictStatus::Failed, VerdictStatus::Cancelled]);
    (option::of(0..=100_u8), option::of(option::weighted(0.8, 0..9_u8)), option::weighted(0.2, option::of(verdict)))
        .prop_map(|(progress, output, verdict)| Patch { progress, output, verdict })
}

/// The real store.
struct Subject {
    store: Option<Arc<SqliteStore>>,
    folder: tempfile::TempDir,
}

impl Subject {
    fn store(&self) -> &SqliteStore {
        self.store.as_ref().expect("it is open")
    }

    /// What is stored is what the model has. How attempts ended is asked of what the last step changed, or of all.
    async fn agrees(&self, model: &Model, all: bool) {
        let keys: Vec<_> = model.rows.iter().map(|row| InstanceKey::Number(row.number)).collect();
        let mut found = self.store().get(&keys).await.expect("it reads");
        found.sort_by_key(|instance| instance.number);
        assert_eq!(found.len(), model.rows.len());
        for (instance, row) in found.iter().zip(&model.rows) {
            if !all && !model.has_just_changed(row) {
                assert_eq!(seen(instance, row.ended.clone(), row), *row);
                continue;
            }
            let attempts = self.store().attempts(row.number).await.expect("it reads");
            let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.attempt).collect();
            assert_eq!(numbers, (1..=row.attempt).collect::<Vec<_>>(), "attempts of {row:?}");
            let ended = attempts.iter().filter_map(|attempt| attempt.end.as_ref()).map(|end| end.ended).collect();
            assert_eq!(seen(instance, ended, row), *row);
        }
        let with = |status| move |row: &&Row| row.status == status;
        let mut running: Vec<_> =
            self.store().running().await.expect("it reads").iter().map(|summary| summary.number).collect();
        running.sort_unstable();
        assert_eq!(running, model.rows.iter().filter(with(Status::Running)).map(|row| row.number).collect::<Vec<_>>());
        let backlog = self.store().backlog().await.expect("it reads");
        assert_eq!(backlog.pending, model.rows.iter().filter(with(Status::Pending)).count() as u64);
    }

    async fn is_sound(&self) {
        assert_eq!(self.store().check().await.expect("it reads").findings, []);
    }
}

async fn open(folder: &Path) -> Arc<SqliteStore> {
    // What is asked is what a commit says, not whether it outlives a power cut.
    let settings = Settings { path: folder.join("taskwright.db"), synchronous: Synchronous::Off };
    Arc::new(SqliteStore::open(settings).await.expect("it opens"))
}

struct Comparison<const WRONG: usize>;

impl<const WRONG: usize> StateMachineTest for Comparison<WRONG> {
    type SystemUnderTest = Subject;
    type Reference = Reference<WRONG>;

    fn init_test(_: &Model) -> Subject {
        let folder = tempfile::tempdir().expect("a folder");
        let store = RUNTIME.block_on(open(folder.path()));
        Subject { store: Some(store), folder }
    }

    fn apply(mut subject: Subject, model: &Model, step: Step) -> Subject {
        RUNTIME.block_on(async {
            if matches!(step, Step::Crash) {
                // Nothing is closed in order: whatever the store had in memory is gone.
                drop(subject.store.take());
                let store = subject.store.insert(open(subject.folder.path()).await);
                recover::settle(&**store, model.number - 1, &"node".into()).await.expect("it settles");
            }
            if let Some(batch) = &model.batch {
                let committed = subject.store().commit(batch).await.expect("it commits");
                let answer = Answer {
                    expired: committed.expired.iter().map(|expired| (expired.instance, expired.version)).collect(),
                    promoted: TASKS
                        .into_iter()
                        .filter(|task| committed.promoted.iter().any(|is| **is == **task))
                        .collect(),
                    finishes: committed.finishes,
                    reports: committed.reports,
                    stops: committed.stops,
                    starts: committed.starts,
                    claimed: committed.claimed,
                    next_due: committed.next_due,
                };
                assert_eq!(answer, model.answer, "{step:?}");
            }
            subject.agrees(model, false).await;
        });
        subject
    }

    fn teardown(subject: Subject, model: Model) {
        RUNTIME.block_on(async {
            subject.agrees(&model, true).await;
            subject.is_sound().await;
            subject.store().close().await;
        });
    }
}

/// Compares the store with a model of which rule `WRONG` is wrong. Answers the first steps on which they differ.
fn compare<const WRONG: usize>(cases: u32, config: Config, seed: u64) -> Result<(), Vec<Step>> {
    let config = Config { cases, failure_persistence: None, max_shrink_time: 60_000, ..config };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config.clone(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&Reference::<WRONG>::sequential_strategy(1..60), |(state, steps, seen)| {
        Comparison::<WRONG>::test_sequential(config.clone(), state, steps, seen);
        Ok(())
    });
    match outcome {
        Ok(()) => Ok(()),
        Err(TestError::Fail(why, (_, steps, _))) => {
            println!("{why}");
            Err(steps)
        }
        Err(TestError::Abort(why)) => panic!("no cases: {why}"),
    }
}

#[test]
fn store_and_model_agree_after_every_step() {
    let seed = lane::seed("store_and_model_agree_after_every_step");
    if let Err(steps) = compare::<0>(lane::count(64, 2_000), Config::default(), seed) {
        panic!("they differ after {steps:#?}");
    }
}

#[test]
fn control_a_model_with_a_wrong_rule_is_found_out() {
    let seed = lane::seed("control_a_model_with_a_wrong_rule_is_found_out");
    // The difference is all that is asked for, not its shortest form.
    let config = || Config { max_shrink_iters: 8, ..Config::default() };
    let found = [
        compare::<1>(300, config(), seed),
        compare::<2>(300, config(), seed),
        compare::<3>(300, config(), seed),
        compare::<4>(300, config(), seed),
        compare::<5>(300, config(), seed),
        compare::<6>(300, config(), seed),
        compare::<7>(300, config(), seed),
    ];
    for (wrong, found) in Wrong::ALL.iter().skip(1).zip(found) {
        assert!(found.is_err(), "{wrong:?} was not found");
    }
}

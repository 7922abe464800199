//! What only SQLite's store must do: triggers, soundness, locks, the size of its log.

use std::{path::PathBuf, sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use taskwright::{
    domain::{InstanceKey, Status},
    store::{
        CommitError, FinishOutcome, NewInstance, Store,
        sqlite::{Settings, SqliteStore},
    },
};
use tempfile::TempDir;

use super::scene::*;
use crate::support::wait_for;

/// A fresh store in a folder of its own.
pub async fn open() -> Scene {
    scene().await.0
}

/// The same, with its file.
pub async fn scene() -> (Scene, PathBuf) {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(Settings::at(&path)).await.expect("it opens");
    (Scene::new(Arc::new(store), folder), path)
}

/// A connection beside the store's, as an administrator's tool would have one.
pub async fn connect(path: &PathBuf) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(false).busy_timeout(Duration::from_secs(5));
    options.connect().await.expect("it connects")
}

async fn run(path: &PathBuf, sql: &str) -> Result<(), sqlx::Error> {
    let mut connection = connect(path).await;
    let outcome = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await;
    connection.close().await?;
    outcome.map(drop)
}

async fn wal(path: &std::path::Path) -> u64 {
    std::fs::metadata(path.with_extension("db-wal")).map_or(0, |wal| wal.len())
}

#[tokio::test]
async fn terminal_is_final_for_any_program() {
    let (scene, path) = scene().await;
    let number = scene.running(new("a")).await;
    let mut done = finish(number, 1);
    done.output = Some(Some(json(r#"{"result":1}"#)));
    scene.commit(|batch| batch.finishes.push(done)).await;
    let before = scene.get(number).await;
    for sql in [
        "UPDATE instances SET status = 0",
        "UPDATE instances SET updated_at = 0",
        "UPDATE instances SET error = '{}'",
        "UPDATE outputs SET body = '{}'",
        "DELETE FROM outputs",
        "INSERT OR REPLACE INTO outputs (number, body) VALUES (1, '{}')",
        "UPDATE inputs SET body = '{}'",
    ] {
        let refused = run(&path, sql).await.expect_err(sql);
        assert!(refused.to_string().contains("never change"), "{sql}: {refused}");
    }
    assert_eq!(scene.get(number).await, before);
    // A purge may delete: the instance first.
    run(&path, "DELETE FROM instances; DELETE FROM outputs; DELETE FROM inputs").await.expect("a purge");
    scene.is_sound().await;
}

#[tokio::test]
async fn a_number_is_never_given_out_again() {
    let (scene, path) = scene().await;
    scene.start([new("a"), new("a"), new("a")]).await;
    run(&path, "DELETE FROM instances WHERE number = 3; DELETE FROM inputs WHERE number = 3").await.expect("a purge");
    scene.store.close().await;
    let store = SqliteStore::open(Settings::at(&path)).await.expect("it opens");
    let reopened = Scene::new(Arc::new(store), scene);
    assert_eq!(reopened.start([new("a")]).await, [4]);
    run(&path, "DELETE FROM instances; DELETE FROM inputs").await.expect("a purge");
    reopened.store.close().await;
    let store = SqliteStore::open(Settings::at(&path)).await.expect("it opens");
    let reopened = Scene::new(Arc::new(store), reopened);
    assert_eq!(reopened.start([new("a")]).await, [5]);
}

#[tokio::test]
async fn planted_damage_is_found() {
    let damages = [
        ("UPDATE instances SET attempt = 5 WHERE number = 1", "more attempts than max_attempts"),
        ("UPDATE instances SET finished_at = 1 WHERE number = 1", "finished_at and is not done"),
        ("UPDATE instances SET node = NULL WHERE number = 1", "runs without attempt"),
        ("UPDATE instances SET error = '{}' WHERE number = 1", "error and did not fail"),
        ("UPDATE instances SET progress = 2.0 WHERE number = 1", "progress outside"),
        ("UPDATE instances SET ready = 1 WHERE number = 1", "marked ready"),
        ("UPDATE instances SET stop_requested_at = 1, stop_deadline = 2 WHERE number = 2", "although a stop"),
        ("UPDATE instances SET stop_deadline = 2 WHERE number = 2", "half a stop"),
        ("UPDATE instances SET verdict = '{}' WHERE number = 1", "verdict that cannot be read"),
        ("UPDATE instances SET attempt = 1, started_at = 1, node = 'n' WHERE number = 2", "without a record"),
        ("UPDATE instances SET labels = '{\"k\":\"w\"}' WHERE number = 2", "other labels"),
        ("UPDATE instances SET labels = 'no' WHERE number = 2", "labels that cannot be read"),
        ("DELETE FROM labels", "other labels"),
        ("DELETE FROM inputs WHERE number = 1", "no inputs"),
        ("INSERT INTO inputs (number, body) VALUES (99, '{}')", "does not exist, and has inputs"),
        ("INSERT INTO outputs (number, body) VALUES (1, '[]')", "output that is no JSON object"),
        ("INSERT INTO outputs (number, body) VALUES (99, '{}')", "does not exist, and has an output"),
        ("INSERT INTO labels (key, value, number) VALUES ('k', 'v', 99)", "does not exist, and has labels"),
        ("INSERT INTO logs (number, first, last, bytes, body) VALUES (1, 1, 2, 0, '[[0,1,1,\"\"]]')", "log that is no"),
        ("INSERT INTO logs (number, first, last, bytes, body) VALUES (99, 1, 1, 0, '[[0,1,1,\"\"]]')", "has logs"),
        (
            "INSERT INTO attempts (number, attempt, node, started_at, finished_at, ended) VALUES (1, 1, 'n', 1, 1, 'failed')",
            "records of attempts",
        ),
        (
            "INSERT INTO attempts (number, attempt, node, started_at, finished_at, ended) VALUES (1, 1, 'n', 2, 1, 'failed')",
            "record of an attempt that makes no sense",
        ),
        (
            "INSERT INTO attempts (number, attempt, node, started_at, finished_at, ended) VALUES (1, 1, 'n', 1, 1, 'paused')",
            "record of an attempt that makes no sense",
        ),
        (
            "INSERT INTO attempts (number, attempt, node, started_at, finished_at, ended) VALUES (99, 1, 'n', 1, 1, 'failed')",
            "does not exist, and has attempts",
        ),
        ("INSERT INTO log_losses (number, dropped) VALUES (99, 1)", "does not exist, and has lost lines"),
        (
            "INSERT INTO logs (number, first, last, bytes, body) VALUES (1, 1, 2, 0, '[[0,1,1,\"\"],[0,1,1,\"\"]]'), \
             (1, 2, 2, 0, '[[0,1,1,\"\"]]')",
            "lines of its log twice",
        ),
        ("UPDATE instances SET status = 2, finished_at = NULL WHERE number = 1", "done without finished_at"),
        ("UPDATE instances SET status = 2, finished_at = 1 WHERE number = 1", "finished before it started"),
        ("UPDATE instances SET status = 3, finished_at = started_at WHERE number = 1", "failed without an error"),
        ("UPDATE instances SET status = 2, finished_at = 1 WHERE number = 2", "completed without an attempt"),
        ("UPDATE instances SET node = 'n' WHERE number = 2", "started_at or node without an attempt"),
        ("UPDATE instances SET version = 0 WHERE number = 1", "version below 1"),
        ("UPDATE instances SET queue_timeout = 5 WHERE number = 2", "queue_timeout without a deadline"),
        ("UPDATE instances SET timeout = 0 WHERE number = 1", "timeout or delay that is not above 0"),
        ("UPDATE instances SET task_id = '' WHERE number = 1", "task id that no task can have"),
        ("UPDATE instances SET number = 0 WHERE number = 1", "number that no instance can have"),
        ("UPDATE instances SET batch = 1 << 50 WHERE number = 1", "by a daemon that never was"),
        ("INSERT INTO outputs (number, body) VALUES (2, '{}')", "output before its first attempt"),
        ("UPDATE inputs SET body = '[]'", "inputs that are no JSON object"),
        ("UPDATE meta SET last_number = -1", "what this store is"),
        ("DELETE FROM meta", "what this store is"),
        ("DROP TRIGGER instances_done_is_final", "`instances_done_is_final` is missing"),
        ("DROP INDEX instances_status", "`instances_status` is missing"),
        ("UPDATE totals SET n = n + 1 WHERE status = 1", "tell of 2 running instances of `a`, and there are 1"),
        ("DELETE FROM totals", "tell of 0 pending instances of `a`, and there are 1"),
        ("INSERT INTO totals (task_id, status, n) VALUES ('x', 2, 3)", "tell of 3 completed instances of `x`"),
        ("UPDATE instances SET task_id = 'b' WHERE number = 1", "tell of 1 running instances of `a`, and there are 0"),
        ("UPDATE minutes SET started = started + 1", "tell of 3 started, and there are 2"),
        ("UPDATE minutes SET minute = minute + 1", "tell of 0 started, and there are 2"),
        ("UPDATE minutes SET cancelled = 1", "tell of 1 cancelled, and there are 0"),
        ("UPDATE minutes SET gone_started = 1", "tell of 2 started, and there are 2, 1 deleted since"),
        ("UPDATE minutes SET span = 7", "make no sense"),
        ("UPDATE minutes SET failed = -1", "make no sense"),
        ("UPDATE minutes SET durations = x'0102'", "durations that cannot be read"),
        ("UPDATE minutes SET durations = x'0010000000000001'", "durations that are not those of its instances"),
        (
            "INSERT INTO idempotency (principal, key, fingerprint, first_number, instances, expires_at) VALUES ('', 'k', x'', 2, 2, 1)",
            "idempotency key `k`",
        ),
        (
            "INSERT INTO idempotency (principal, key, fingerprint, first_number, instances, expires_at) VALUES ('', 'k', x'', 50, 2, 1)",
            "idempotency key `k`",
        ),
    ];
    for (sql, expected) in damages {
        let (scene, path) = scene().await;
        scene.running(new("a")).await;
        scene.pending(labelled("a", [("k", "v")])).await;
        scene.is_sound().await;
        // Who damages a store has the triggers out of the way first.
        run(&path, &format!("DROP TRIGGER inputs_are_written_once; {sql}; {INPUTS_TRIGGER}")).await.expect(sql);
        let findings = scene.store.check().await.expect("it reads");
        assert!(findings.iter().any(|finding| finding.detail.contains(expected)), "{sql}: {findings:?}");
    }
}

const INPUTS_TRIGGER: &str = "CREATE TRIGGER inputs_are_written_once BEFORE UPDATE ON inputs BEGIN \
    SELECT RAISE(ABORT, 'inputs never change'); END";

#[tokio::test]
async fn a_damaged_file_is_found() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(Settings::at(&path)).await.expect("it opens");
    let scene = Scene::new(Arc::new(store), ());
    scene.start((0..500).map(|_| new("a"))).await;
    scene.store.close().await;
    let mut bytes = std::fs::read(&path).expect("it reads");
    // The beginning of the last page, which belongs to a table or an index.
    let at = bytes.len() - 4096;
    bytes[at..at + 64].fill(0xff);
    std::fs::write(&path, bytes).expect("it writes");
    let store = SqliteStore::open_for_check(&path).await.expect("it opens");
    let findings = store.check().await;
    assert!(!findings.as_ref().is_ok_and(Vec::is_empty), "{findings:?}");
    store.close().await;
}

#[tokio::test]
async fn a_check_beside_commits_sees_whole_ones() {
    let (scene, path) = scene().await;
    let beside = SqliteStore::open_for_check(&path).await.expect("it opens");
    let checks = tokio::spawn(async move {
        for _ in 0..20 {
            assert_eq!(beside.check().await.expect("it reads"), []);
        }
        beside.close().await;
    });
    while !checks.is_finished() {
        let number = scene.running(labelled("a", [("k", "v")])).await;
        scene.commit(|batch| batch.finishes.push(finish(number, 1))).await;
    }
    checks.await.expect("no finding");
}

#[tokio::test]
async fn an_older_store_gets_its_counters() {
    let (scene, path) = scene().await;
    for (seconds, end) in [(0, completed()), (70, failed(error("no", 1))), (5, completed()), (3, cancelled())] {
        let number = scene.running(new("a")).await;
        scene.wait(Duration::from_secs(seconds));
        scene.commit(|batch| batch.finishes.push(finish_as(number, 1, end))).await;
    }
    scene.start([new("a"), new("b"), new("b")]).await;
    scene.is_sound().await;
    scene.store.close().await;
    let back = "DROP TABLE totals; DROP TABLE minutes; DROP TABLE rollups; DROP TRIGGER instances_gone_are_counted; PRAGMA user_version = 1; \
        DELETE FROM _sqlx_migrations WHERE version = 2";
    run(&path, back).await.expect("a store of the first version");
    let store = SqliteStore::open(Settings::at(&path)).await.expect("it opens");
    let scene = Scene::new(Arc::new(store), scene);
    // Its counters are those that it would have had.
    scene.is_sound().await;
    let backlog = scene.store.backlog().await.expect("it reads");
    assert_eq!(backlog.pending, 3);
}

#[tokio::test]
async fn a_status_change_does_not_write_the_inputs_again() {
    let (scene, path) = scene().await;
    let inputs = json(&format!("{{\"pad\":\"{}\"}}", "x".repeat(1 << 20)));
    let number = scene.pending(NewInstance { inputs, ..new("a") }).await;
    let before = wal(&path).await;
    assert!(before > 1 << 20);
    scene.claim("a", 1).await;
    scene.commit(|batch| batch.finishes.push(finish(number, 1))).await;
    assert_eq!(scene.get(number).await.status(), Status::Completed);
    let written = wal(&path).await - before;
    assert!(written < 128 << 10, "{written} bytes");
}

#[tokio::test]
async fn a_locked_database_is_tried_again_and_read_meanwhile() {
    let (scene, path) = scene().await;
    let number = scene.running(new("a")).await;
    let mut batch = scene.batch();
    batch.finishes.push(finish(number, 1));
    batch.starts.push(one(new("a")));

    let mut other = connect(&path).await;
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.expect("it locks");
    for _ in 0..2 {
        let refused = scene.store.commit(&batch).await;
        assert!(matches!(refused, Err(CommitError::NotCommitted(_))), "{refused:?}");
    }
    assert_eq!(scene.get(number).await.status(), Status::Running);
    sqlx::query("ROLLBACK").execute(&mut other).await.expect("it unlocks");
    other.close().await.expect("it closes");

    let committed = scene.store.commit(&batch).await.expect("it commits");
    assert_eq!(committed.finishes, [FinishOutcome::Applied { version: 2, stopped: false }]);
    assert_eq!(created(&committed.starts[0]), [2], "a failed try uses no number");
    scene.is_sound().await;
}

#[tokio::test]
async fn a_caller_that_leaves_leaves_no_transaction() {
    let (scene, path) = scene().await;
    scene.pending(new("a")).await;
    for polls in 1..40 {
        let mut batch = scene.batch();
        batch.starts = (0..50).map(|_| one(new("a"))).collect();
        let mut commit = scene.store.commit(&batch);
        for _ in 0..polls {
            if futures_util::poll!(&mut commit).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(commit);
    }
    // Another program can write: no lock was left behind.
    let mut other = connect(&path).await;
    wait_for("the write lock", async || sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.ok()).await;
    sqlx::query("ROLLBACK").execute(&mut other).await.expect("it unlocks");
    other.close().await.expect("it closes");
    // Each batch was written as a whole or not at all, and the next one is none the worse.
    let backlog = scene.store.backlog().await.expect("it reads");
    assert_eq!((backlog.pending - 1) % 50, 0);
    let number = scene.pending(new("a")).await;
    assert_eq!(number, backlog.pending + 1);
    scene.is_sound().await;
}

#[tokio::test]
async fn the_log_of_the_database_is_brought_in_under_load() {
    let (scene, path) = scene().await;
    let inputs = json(&format!("{{\"pad\":\"{}\"}}", "x".repeat(64 << 10)));
    let mut most = 0;
    for _ in 0..60 {
        scene.start((0..32).map(|_| NewInstance { inputs: inputs.clone(), ..new("a") })).await;
        most = most.max(wal(&path).await);
    }
    // 120 MiB went through it.
    assert!(most < 100 << 20, "{most} bytes");
    scene.store.close().await;
    assert_eq!(wal(&path).await, 0);
}

#[tokio::test]
async fn a_closed_store_answers_errors() {
    let (scene, _path) = scene().await;
    scene.pending(new("a")).await;
    scene.store.close().await;
    assert!(scene.store.get(&[InstanceKey::Number(1)]).await.is_err());
    assert!(scene.store.ping().await.is_err());
    let batch = scene.batch();
    assert!(matches!(scene.store.commit(&batch).await, Err(CommitError::NotCommitted(_))));
    scene.store.close().await;
}

#[tokio::test]
async fn reads_go_on_beside_each_other_and_beside_commits() {
    let (scene, _path) = scene().await;
    scene.start((0..200).map(|_| new("a"))).await;
    let mut reads = tokio::task::JoinSet::new();
    for n in 0..50 {
        let store = Arc::clone(&scene.store);
        reads.spawn(async move { store.get(&[InstanceKey::Number(n + 1)]).await.expect("it reads").len() });
    }
    for _ in 0..20 {
        scene.start([new("a")]).await;
    }
    while let Some(found) = reads.join_next().await {
        assert_eq!(found.expect("it ends"), 1);
    }
}

/// Any thread and any runtime, also one without a clock.
#[test]
fn the_store_needs_no_clock_of_its_callers() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let scene = open().await;
        scene.running(new("a")).await;
        scene.is_sound().await;
        scene.store.close().await;
    });
}

//! What fsck finds in a store of SQLite's.

use std::{sync::Arc, time::Duration};

use taskwright::store::{
    Store,
    sqlite::{Settings, SqliteStore},
};
use tempfile::TempDir;

use super::{
    scene::*,
    sqlite::{run, scene},
};

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
        ("UPDATE instances SET inputs = NULL WHERE number = 1", "no inputs"),
        ("UPDATE instances SET inputs = '[]' WHERE number = 1", "inputs that are no JSON object"),
        ("UPDATE instances SET output = 'no' WHERE number = 1", "output that is no JSON object"),
        ("UPDATE instances SET output = '{}' WHERE number = 2", "output before its first attempt"),
        ("INSERT INTO inputs (number, body) VALUES (1, '{}')", "inputs twice"),
        ("UPDATE instances SET output = '{}' WHERE number = 1; INSERT INTO outputs VALUES (1, '{}')", "output twice"),
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
        ("INSERT INTO inputs (number, body) VALUES (1, '[]')", "inputs that are no JSON object"),
        ("UPDATE meta SET last_number = -1", "what this store is"),
        ("DELETE FROM meta", "what this store is"),
        ("DROP TRIGGER instances_done_is_final", "`instances_done_is_final` is missing"),
        ("DROP INDEX instances_status", "`instances_status` is missing"),
        (
            "UPDATE minutes SET running = running + 1 WHERE minute = 9223372036854775807",
            "tell of 2 running instances of `a`, and there are 1",
        ),
        (
            "DELETE FROM minutes WHERE minute = 9223372036854775807",
            "tell of 0 pending instances of `a`, and there are 1",
        ),
        (
            "INSERT INTO minutes (minute, task_id, completed) VALUES (9223372036854775807, 'x', 3)",
            "tell of 3 completed instances of `x`",
        ),
        ("UPDATE instances SET task_id = 'b' WHERE number = 1", "tell of 1 running instances of `a`, and there are 0"),
        ("UPDATE minutes SET started = started + 1", "tell of 3 started, and there are 2"),
        (
            "UPDATE minutes SET minute = minute + 1 WHERE minute < 9223372036854775807",
            "tell of 0 started, and there are 2",
        ),
        ("UPDATE minutes SET cancelled = 1", "tell of 1 cancelled, and there are 0"),
        ("UPDATE minutes SET gone_started = 1", "tell of 2 started, and there are 2, 1 deleted since"),
        ("UPDATE minutes SET span = 7 WHERE minute < 9223372036854775807", "make no sense"),
        ("UPDATE minutes SET running = 1 WHERE minute < 9223372036854775807", "make no sense"),
        ("UPDATE minutes SET started = 1 WHERE minute = 9223372036854775807", "make no sense"),
        ("UPDATE minutes SET durations = x'0010000000000001' WHERE minute = 9223372036854775807", "make no sense"),
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
        run(&path, &format!("DROP TRIGGER instances_inputs_are_written_once; {sql}; {INPUTS_TRIGGER}"))
            .await
            .expect(sql);
        let findings = scene.store.check().await.expect("it reads");
        assert!(findings.iter().any(|finding| finding.detail.contains(expected)), "{sql}: {findings:?}");
    }
}

const INPUTS_TRIGGER: &str = "CREATE TRIGGER instances_inputs_are_written_once BEFORE UPDATE OF inputs ON instances BEGIN \
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
    let back = "DROP VIEW totals; DROP TABLE minutes; DROP TABLE rollups; DROP TRIGGER instances_gone_are_counted; PRAGMA user_version = 1; \
        DELETE FROM _sqlx_migrations WHERE version IN (2, 6)";
    run(&path, back).await.expect("a store of the first version");
    let store = SqliteStore::open(Settings::at(&path)).await.expect("it opens");
    let scene = Scene::new(Arc::new(store), scene);
    // Its counters are those that it would have had.
    scene.is_sound().await;
    let backlog = scene.store.backlog().await.expect("it reads");
    assert_eq!(backlog.pending, 3);
}

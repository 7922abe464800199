//! What fsck finds in a store of SQLite's.

use std::{sync::Arc, time::Duration};

use taskwright::{
    domain::{Definition, LogChunk, Source, Stream, Workload},
    store::{
        DefinitionChange, Finding, Finish, IdempotencyClaim, Start, Store,
        sqlite::{Settings, SqliteStore},
    },
};
use tempfile::TempDir;

use super::{
    scene::*,
    sqlite::{run, scene},
};
use crate::support::server;

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
        ("UPDATE instances SET priority = 99999 WHERE number = 2", "cannot be read: priority"),
        ("UPDATE instances SET max_attempts = 5000000000 WHERE number = 2", "cannot be read: count"),
        ("UPDATE instances SET retry_of = x'01' WHERE number = 2", "cannot be read"),
        ("UPDATE instances SET retry_of = id WHERE number = 2", "runs itself again"),
        ("UPDATE instances SET batch = -1 WHERE number = 2", "cannot be read"),
        ("UPDATE instances SET message = CAST(x'ff' AS TEXT) WHERE number = 1", "cannot be read: message"),
        ("UPDATE instances SET inputs = CAST(x'7b22ff223a307d' AS TEXT) WHERE number = 1", "cannot be read: inputs"),
        ("UPDATE instances SET number = -5 WHERE number = 2", "instance -5: has a number that no instance can have"),
        ("UPDATE instances SET task_id = 'a/b' WHERE number = 2", "task id that no task can have"),
        (
            "UPDATE instances SET verdict = '{\"status\":\"failed\",\"message\":null}' WHERE number = 2",
            "a verdict before its first attempt",
        ),
        ("UPDATE instances SET message = 'half' WHERE number = 2", "a message or a verdict before its first attempt"),
        (
            "UPDATE instances SET status = 4, finished_at = created_at WHERE number = 2",
            "cancelled before its first attempt, and nobody asked",
        ),
        (
            "UPDATE instances SET status = 4, ready = 0, finished_at = created_at - 1, stop_requested_at = 1, stop_deadline = 1 \
             WHERE number = 2",
            "ended before it was made",
        ),
        (
            "UPDATE instances SET status = 3, finished_at = created_at, \
             error = '{\"kind\":\"queue_timeout\",\"after\":1,\"message\":\"\",\"attempt\":0}' WHERE number = 2",
            "failed before its first attempt without a queue_timeout",
        ),
        ("UPDATE instances SET status = 2, finished_at = started_at WHERE number = 1", "is done and never changed"),
        (
            "DROP TRIGGER instances_done_is_final; CREATE TRIGGER instances_done_is_final BEFORE UPDATE ON instances WHEN 0 \
             BEGIN SELECT 1; END",
            "`instances_done_is_final` is not what this version makes",
        ),
        (
            "DROP INDEX instances_scheduled; CREATE INDEX instances_scheduled ON instances (number)",
            "`instances_scheduled` is not what",
        ),
        ("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 3", "migration 3 is not recorded"),
        ("INSERT INTO rollups VALUES (7, 99)", "put together to 7 minutes"),
        ("DELETE FROM _sqlx_migrations WHERE version = 6", "migration 6 is not recorded"),
    ];
    for (at, (sql, expected)) in damages.into_iter().enumerate() {
        let (scene, path) = scene().await;
        scene.running(new("a")).await;
        scene.pending(labelled("a", [("k", "v")])).await;
        if at == 0 {
            scene.is_sound().await;
        }
        // Who damages a store has the triggers out of the way first.
        run(&path, &format!("DROP TRIGGER instances_inputs_are_written_once; {sql}; {INPUTS_TRIGGER}"))
            .await
            .expect(sql);
        let findings = scene.store.check().await.expect("it reads").findings;
        assert!(findings.iter().any(|finding| finding.detail.contains(expected)), "{sql}: {findings:?}");
    }
}

/// One that failed once and completed then, with a log; one that failed at its first attempt; one that waits for its
/// second; one with a key; a definition.
async fn rich() -> (Scene, std::path::PathBuf) {
    let (scene, path) = scene().await;
    let fails = |number, attempt, ending| Finish { exit_code: Some(3), ..finish_as(number, attempt, ending) };
    let first = scene.running(retried("a")).await;
    let now = scene.now();
    scene.commit(|batch| batch.finishes.push(fails(first, 1, again(now, error("no", 1))))).await;
    assert_eq!(scene.claim("a", 1).await, [first]);
    let lost = LogChunk { dropped: 3, ..chunk(first, 6, Stream::Stdout, &["last"]) };
    let logs = vec![chunk(first, 1, Stream::Stdout, &["one", "two"]), lost];
    scene.commit(|batch| batch.logs = logs).await;
    scene.commit(|batch| batch.finishes.push(Finish { exit_code: Some(0), ..finish(first, 2) })).await;
    let second = scene.running(new("a")).await;
    scene.commit(|batch| batch.finishes.push(fails(second, 1, failed(error("no", 1))))).await;
    let third = scene.running(retried("a")).await;
    let later = scene.now().after(Duration::from_secs(60));
    scene.commit(|batch| batch.finishes.push(fails(third, 1, again(later, error("no", 1))))).await;
    let claim = IdempotencyClaim { principal: "".into(), key: "k".into(), fingerprint: [7; 32] };
    let keyed = Start { instances: vec![new("b")], idempotency: Some(claim) };
    scene.commit(|batch| batch.starts.push(keyed)).await;
    let definition = Definition {
        command: Some(vec!["true".into()]),
        input_schema: Some(json("{}")),
        ..Definition::new("d".parse().expect("an id"), Workload::Remote, Source::Registered)
    };
    scene.commit(|batch| batch.definition = Some(DefinitionChange::Register(Arc::new(definition)))).await;
    (scene, path)
}

#[tokio::test]
async fn damage_of_what_stands_beside_instances_is_found() {
    let damages = [
        ("UPDATE attempts SET error = 'zzz' WHERE number = 1", "has a record of attempt 1 that cannot be read"),
        ("UPDATE attempts SET exit_code = 99999999999 WHERE number = 1", "that cannot be read: exit_code"),
        ("UPDATE attempts SET error = NULL WHERE number = 1", "with an error that does not go with its end"),
        ("UPDATE attempts SET ended = 'completed' WHERE number = 1 AND attempt = 1", "does not go with its end"),
        ("UPDATE attempts SET ended = 'completed', error = NULL WHERE number = 1", "after which there was no other"),
        ("UPDATE attempts SET signal = 9 WHERE number = 1", "both an exit code and a signal"),
        ("UPDATE attempts SET ended = 'completed', error = NULL WHERE number = 2", "last attempt that contradicts it"),
        ("UPDATE attempts SET ended = 'completed', error = NULL WHERE number = 3", "last attempt that contradicts it"),
        ("UPDATE attempts SET node = 'elsewhere' WHERE number = 2", "last attempt that contradicts it"),
        ("UPDATE attempts SET finished_at = finished_at + 1 WHERE number = 2", "last attempt that contradicts it"),
        (
            "UPDATE instances SET updated_at = updated_at - 1 WHERE number = 1",
            "ended at another time than it last changed",
        ),
        ("DELETE FROM attempts WHERE number = 1 AND attempt = 1", "no record of an earlier attempt"),
        ("UPDATE instances SET max_attempts = 1 WHERE number = 3", "pending with no attempt left"),
        ("UPDATE logs SET body = '[1,2]' WHERE first = 1", "a log that cannot be read"),
        ("UPDATE logs SET body = replace(body, '[0,', '[9,')", "a log that cannot be read: stream 9"),
        ("UPDATE logs SET body = replace(body, ',1,\"last\"', ',3,\"last\"')", "of attempts that it never had"),
        ("UPDATE logs SET bytes = bytes + 1", "a log of another size"),
        ("DELETE FROM logs WHERE first = 1", "lost lines of its log that are not counted"),
        ("DELETE FROM log_losses", "lost lines of its log that are not counted"),
        ("UPDATE log_losses SET dropped = -3", "lost lines that is not above 0"),
        ("UPDATE idempotency SET fingerprint = x''", "does not tell what was asked for"),
        ("UPDATE idempotency SET first_number = 3", "with which not all were made"),
        ("UPDATE definitions SET max_attempts = 0", "has a max_attempts that is not above 0"),
        ("UPDATE definitions SET concurrency = 0", "has a concurrency that is not above 0"),
        ("UPDATE definitions SET timeout = -1", "has a timeout that is not above 0"),
        ("UPDATE definitions SET input_schema = '{'", "the definition `d` cannot be read"),
        ("UPDATE definitions SET input_schema = '5'", "an input_schema that is neither an object nor a boolean"),
        ("UPDATE definitions SET command = '[]'", "the definition `d` cannot be read"),
    ];
    for (at, (sql, expected)) in damages.into_iter().enumerate() {
        let (scene, path) = rich().await;
        if at == 0 {
            scene.is_sound().await;
        }
        run(&path, &format!("DROP TRIGGER instances_done_is_final; {sql}; {FINAL_TRIGGER}")).await.expect(sql);
        let findings = scene.store.check().await.expect("it reads").findings;
        assert!(findings.iter().any(|finding| finding.detail.contains(expected)), "{sql}: {findings:?}");
    }
}

#[tokio::test]
async fn definitions_that_no_daemon_takes_are_found() {
    let (scene, path) = scene().await;
    let command = |id: &str| Definition {
        command: Some(vec!["true".into()]),
        ..Definition::new(id.parse().expect("an id"), Workload::Remote, Source::Registered)
    };
    let no_schema = Definition { input_schema: Some(json(r#"{"type":5}"#)), ..command("d") };
    for definition in [command("fine"), no_schema, command("sleep")] {
        scene.commit(|batch| batch.definition = Some(DefinitionChange::Register(Arc::new(definition)))).await;
    }
    scene.store.close().await;
    let found = server::run(&["fsck", "--database", &format!("sqlite://{}", path.display())]);
    let text = String::from_utf8_lossy(&found.stdout);
    assert_eq!((found.status.code(), text.lines().count()), (Some(1), 2), "{text}");
    assert!(text.starts_with("the input_schema of task `d` is not a valid JSON Schema"), "{text}");
    assert!(text.contains("`sleep (compiled in)` and the definition `sleep`"), "{text}");
}

#[tokio::test]
async fn many_findings_of_one_kind_are_counted() {
    let (scene, path) = scene().await;
    scene.start((0..250).map(|_| new("a"))).await;
    run(&path, "UPDATE instances SET version = 0").await.expect("it is damaged");
    let findings = scene.store.check().await.expect("it reads").findings;
    assert_eq!(findings.len(), 101, "{findings:?}");
    assert_eq!(findings[99].detail, "has a version below 1");
    assert_eq!(findings[100], Finding { instance: None, detail: "… and 150 more: has a version below 1".into() });
}

const FINAL_TRIGGER: &str = "CREATE TRIGGER instances_done_is_final BEFORE UPDATE ON instances WHEN OLD.status >= 2 BEGIN \
    SELECT RAISE(ABORT, 'a done instance never changes'); END";

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
    assert!(!findings.as_ref().is_ok_and(|checked| checked.findings.is_empty()), "{findings:?}");
    store.close().await;
}

#[tokio::test]
async fn a_check_beside_commits_sees_whole_ones() {
    let (scene, path) = scene().await;
    let beside = SqliteStore::open_for_check(&path).await.expect("it opens");
    let checks = tokio::spawn(async move {
        for _ in 0..20 {
            assert_eq!(beside.check().await.expect("it reads").findings, []);
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

//! What only SQLite's store must do: triggers, soundness, locks, the size of its log.

use std::{path::PathBuf, sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};
use taskwright::{
    domain::{InstanceKey, Status},
    store::{
        CommitError, Finish, FinishOutcome, NewInstance, Purge,
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

/// Runs SQL as an administrator's tool would.
pub async fn run(path: &PathBuf, sql: &str) -> Result<(), sqlx::Error> {
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
    // Both long ones, beside the row, and short ones.
    let long = json(&format!("{{\"x\":\"{}\"}}", "x".repeat(1000)));
    let number = scene.running(NewInstance { inputs: long.clone(), ..new("a") }).await;
    let done = Finish { output: Some(Some(long)), ..finish(number, 1) };
    scene.commit(|batch| batch.finishes.push(done)).await;
    let short = scene.running(new("a")).await;
    let done = Finish { output: Some(Some(json(r#"{"result":1}"#))), ..finish(short, 1) };
    scene.commit(|batch| batch.finishes.push(done)).await;
    let before = [scene.get(number).await, scene.get(short).await];
    for sql in [
        "UPDATE instances SET status = 0",
        "UPDATE instances SET updated_at = 0",
        "UPDATE instances SET error = '{}'",
        "UPDATE outputs SET body = '{}'",
        "DELETE FROM outputs",
        "INSERT OR REPLACE INTO outputs (number, body) VALUES (1, '{}')",
        "UPDATE inputs SET body = '{}'",
        "UPDATE instances SET output = '{}' WHERE number = 2",
        "UPDATE instances SET inputs = '{}' WHERE number = 2",
    ] {
        let refused = run(&path, sql).await.expect_err(sql);
        assert!(refused.to_string().contains("never change"), "{sql}: {refused}");
    }
    assert_eq!([scene.get(number).await, scene.get(short).await], before);
    // Inputs are final from the start.
    let inputs = |length: usize| json(&format!("{{\"x\":\"{}\"}}", "x".repeat(length)));
    for length in [10, 1000] {
        let live = scene.running(NewInstance { inputs: inputs(length), ..new("a") }).await;
        let table = if length == 10 { "instances SET inputs" } else { "inputs SET body" };
        let sql = format!("UPDATE {table} = '{{}}' WHERE number = {live}");
        let refused = run(&path, &sql).await.expect_err(&sql);
        assert!(refused.to_string().contains("inputs never change"), "{sql}: {refused}");
    }
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
async fn the_totals_of_a_task_without_instances_go() {
    let (scene, path) = scene().await;
    for task in ["a", "b"] {
        let number = scene.running(new(task)).await;
        scene.commit(|batch| batch.finishes.push(finish(number, 1))).await;
    }
    run(&path, "DELETE FROM instances WHERE task_id = 'a'").await.expect("a purge");
    scene.commit(|batch| batch.purge = Some(Purge { task: None, sweep: true })).await;
    let mut beside = connect(&path).await;
    let left = sqlx::query("SELECT DISTINCT task_id FROM totals").fetch_all(&mut beside).await.expect("it reads");
    assert_eq!(left.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>(), ["b"]);
    beside.close().await.expect("it closes");
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
    assert!(most < 48 << 20, "{most} bytes");
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

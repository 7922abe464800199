//! Another program holds the database's write lock: starts are told so in time, and nothing dies of it.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{
    lane,
    load::Load,
    support::{server::TestServer, wait_for},
};

async fn lock(server: &TestServer) -> SqliteConnection {
    let mut other = SqliteConnectOptions::new().filename(server.database()).connect().await.unwrap();
    // Between two commits of the daemon, which come one after the other.
    wait_for("the lock", async || sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.ok()).await;
    other
}

#[tokio::test]
async fn a_locked_database_refuses_starts_in_time_and_lets_the_rest_go_on() {
    let config = "[[tasks]]\nname = \"short\"\ncommand = [\"sh\", \"-c\", \"sleep 2; echo done\"]\n";
    let mut server = TestServer::with_config(config).await;
    let command = server.start_task("short", json!({})).await;
    let handler = server.start_task("sleep", json!({"seconds": 1})).await;
    let load = Load::begin(&server, 4);
    load.acknowledges(20).await;
    let other = lock(&server).await;
    let locked = Instant::now();
    let acknowledged = load.so_far().acknowledged.len();
    let mut slowest = Duration::ZERO;
    while locked.elapsed() < Duration::from_secs(lane::count(8, 30).into()) {
        for path in ["/livez", "/v1/instances?limit=5", "/v1/instances/1", "/v1/definitions", "/metrics"] {
            let began = Instant::now();
            let answer = server.client().get(server.url(path)).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            slowest = slowest.max(began.elapsed());
        }
        let began = Instant::now();
        let start = server.client().post(server.url("/v1/instances"));
        let start = start.json(&json!({"task_id": "sleep", "inputs": {"seconds": 0}})).send().await.unwrap();
        assert_eq!(start.status(), 503);
        assert!(start.headers().contains_key("retry-after"));
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    }
    let held = locked.elapsed();
    other.close().await.unwrap();
    let freed = Instant::now();
    load.acknowledges(20).await;
    let (back, told) = (freed.elapsed(), load.end().await);
    println!("locked for {held:?}: slowest read {slowest:?}, slowest start {:?}, back after {back:?}", told.slowest);
    assert!(slowest < Duration::from_millis(250), "{slowest:?} for a read");
    assert!(told.slowest < Duration::from_secs(6), "{:?} for a start", told.slowest);
    assert!(back < Duration::from_secs(5), "{back:?} until starts were taken again");
    assert_eq!(told.refused.keys().copied().collect::<Vec<_>>(), [503]);
    assert!(told.acknowledged.len() >= acknowledged + 20);
    // Both ended while nothing could be written.
    assert_eq!(server.wait_done(&command["number"]).await["status"], "completed");
    assert_eq!(server.wait_done(&handler["number"]).await["status"], "completed");
    told.is_kept_by(&server).await;
    assert!(server.stop().await.success());
    server.fsck();
}

/// The control: where nobody holds the lock, nothing is refused. So it is the lock that the other test sees.
#[tokio::test]
async fn control_a_database_that_is_only_read_refuses_nothing() {
    let mut server = TestServer::start().await;
    let load = Load::begin(&server, 4);
    let mut other = SqliteConnectOptions::new().filename(server.database()).connect().await.unwrap();
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM instances").execute(&mut other).await.unwrap();
    load.acknowledges(200).await;
    other.close().await.unwrap();
    let told = load.end().await;
    assert!(told.refused.is_empty() && told.unanswered == 0, "{:?}", told.refused);
    assert!(server.stop().await.success());
    server.fsck();
}

//! Thousands of done instances are deleted while others start: no start waits for it.

use std::time::Duration;

use serde_json::json;
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

use super::probe::{Met, Probe};
use crate::{
    lane,
    support::{server::TestServer, wait_for},
};

/// What a purge may add to a start.
const BOUND: Duration = Duration::from_millis(100);

/// How many instances were purged.
async fn purged(server: &TestServer) -> u64 {
    let metrics = server.client().get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let line = metrics.lines().find(|line| line.starts_with("taskwright_instances_purged_total ")).unwrap();
    line.split(' ').next_back().unwrap().parse().unwrap()
}

/// Lets so many instances be done.
async fn fill(server: &TestServer, many: u32) {
    let item = json!({"task_id": "sleep", "inputs": {"seconds": 0}});
    for from in (0..many).step_by(10_000) {
        let batch = json!({"instances": vec![&item; 10_000.min(many - from) as usize]});
        let answer = server.client().post(server.url("/v1/instances/batch")).json(&batch).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
        let wanted = from + 10_000.min(many - from);
        for _ in 0..10 {
            let newest = server.get_json(&format!("/v1/instances/{wanted}?wait=10")).await;
            if newest["status"] == "completed" {
                break;
            }
        }
    }
    wait_for("the end of all", async || {
        let stats = server.get_json("/v1/stats").await;
        (stats["by_status"]["completed"].as_u64().unwrap() >= u64::from(many)).then_some(())
    })
    .await;
}

/// How much longer than without a purge the longest start took, where that is too much.
fn blocked(before: &Met, during: &Met) -> Option<Duration> {
    let more = during.longest("start").saturating_sub(before.longest("start"));
    (more >= BOUND).then_some(more)
}

#[tokio::test]
async fn a_purge_blocks_no_start() {
    let many = lane::count(10_000, 100_000);
    let mut server = TestServer::start().await;
    fill(&server, many).await;
    let before = Probe::new(&server.url("")).ask_calm(Duration::from_secs(5)).await;
    std::fs::write(server.config(), "[retention]\ncount = 100\n").unwrap();
    server.restart().await;
    let deletes = async {
        let mut seen = 0;
        loop {
            seen = purged(&server).await.max(seen);
            if seen >= u64::from(many) - 100 {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let began = std::time::Instant::now();
    let limit = Duration::from_secs(lane::count(60, 600).into());
    let (seen, during) = Probe::new(&server.url("")).ask_beside(tokio::time::timeout(limit, deletes)).await;
    println!("before: {}\nbeside the purge, {:?}: {}", before.figures(), began.elapsed(), during.figures());
    println!("{} instances were purged", seen.expect("the purge comes to its end"));
    let faults = during.faults(&before);
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(blocked(&before, &during), None);
    server.fsck();
}

/// Negative control: one that deletes everything in one transaction is noticed.
#[tokio::test]
async fn control_a_purge_in_one_go_is_noticed() {
    let server = TestServer::start().await;
    fill(&server, 1_000).await;
    let before = Probe::new(&server.url("")).ask_calm(Duration::from_secs(2)).await;
    let database = server.database();
    let purge = async {
        let mut other: SqliteConnection = SqliteConnectOptions::new().filename(database).connect().await.unwrap();
        wait_for("the lock", async || sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.ok()).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    };
    let ((), during) = Probe::new(&server.url("")).ask_beside(purge).await;
    assert!(blocked(&before, &during).is_some(), "{}", during.figures());
}

//! Thousands that are due in one moment: every slot works until the last has begun, and each runs once.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{lane, support::server::TestServer};

/// How many handlers may run at once.
const SLOTS: u32 = 128;
/// The most that a batch takes.
const BATCH: u32 = 10_000;

/// When it ran, in seconds.
struct Ran {
    due: f64,
    from: f64,
    to: f64,
}

fn seconds(time: &Value) -> f64 {
    let time: DateTime<Utc> = time.as_str().unwrap().parse().unwrap();
    time.timestamp_micros() as f64 / 1e6
}

/// Lets `many` instances, which take `length` seconds each, come due at once, and answers when each ran.
async fn come_due(server: &TestServer, many: u32, length: f64) -> Vec<Ran> {
    // Later than the last is written.
    let due = Utc::now() + Duration::from_secs(2 + u64::from(many / 4_000));
    let item = json!({"task_id": "sleep", "inputs": {"seconds": length}, "run_at": due.to_rfc3339()});
    for from in (0..many).step_by(BATCH as usize) {
        let batch = json!({"instances": vec![&item; BATCH.min(many - from) as usize]});
        let answer = server.client().post(server.url("/v1/instances/batch")).json(&batch).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    }
    assert!(Utc::now() < due, "they were due before the last was written");
    let deadline = Instant::now() + Duration::from_secs(60 + u64::from(many / 100));
    loop {
        let stats = server.get_json("/v1/stats").await;
        let done = stats["by_status"]["completed"].as_u64().unwrap();
        if done == u64::from(many) {
            break;
        }
        assert!(Instant::now() < deadline, "only {done} of {many} were done in time");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (mut all, mut path) = (Vec::new(), "/v1/instances?limit=500".to_owned());
    loop {
        let page = server.get_json(&path).await;
        for one in page["instances"].as_array().unwrap() {
            assert_eq!((&one["status"], &one["attempt"]), (&json!("completed"), &json!(1)), "{one}");
            all.push(Ran {
                due: seconds(&one["run_at"]),
                from: seconds(&one["started_at"]),
                to: seconds(&one["finished_at"]),
            });
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/instances?limit=500&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(all.len(), many as usize);
    let metrics = server.client().get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(
        metrics.lines().any(|line| line == format!("taskwright_attempts_total {many}")),
        "each ran once: {metrics}"
    );
    all
}

/// From the due time to the last begin: how long that was, the share of the slots that worked meanwhile, and the
/// longest time without a begin.
fn work(all: &[Ran]) -> (f64, f64, f64) {
    assert!(all.iter().all(|ran| ran.due <= ran.from && ran.from <= ran.to), "none ran before it was due");
    let due = all[0].due;
    let mut begins: Vec<f64> = all.iter().map(|ran| ran.from).collect();
    begins.sort_by(f64::total_cmp);
    let last = *begins.last().unwrap();
    let busy: f64 = all.iter().map(|ran| ran.to.min(last) - ran.from).sum();
    let longest = std::iter::once(&due).chain(&begins).zip(&begins).map(|(one, next)| next - one).fold(0.0, f64::max);
    (last - due, busy / ((last - due) * f64::from(SLOTS)), longest)
}

fn config(more: &str) -> String {
    format!("[worker]\nlocal_slots = {SLOTS}\n{more}")
}

#[tokio::test]
async fn no_slot_is_idle_while_work_is_due() {
    let server = TestServer::with_config(&config("")).await;
    let many = lane::count(8_000, 50_000);
    let (took, share, longest) = work(&come_due(&server, many, 0.2).await);
    println!(
        "{many} of 200 ms began within {took:.2} s: {:.1} % of the slots worked, {longest:.3} s without a begin",
        share * 100.0
    );
    assert!(share > 0.85, "{share} of the slots worked");
    assert!(longest < 1.0, "nothing began for {longest} s");
    server.fsck();
}

#[tokio::test]
async fn thousands_without_work_are_done_as_they_come_due() {
    let server = TestServer::with_config("").await;
    let many = lane::count(10_000, 100_000);
    let (took, _, longest) = work(&come_due(&server, many, 0.0).await);
    println!("{many} began within {took:.2} s, {:.0} a second, {longest:.3} s without a begin", f64::from(many) / took);
    assert!(took < f64::from(many) / 500.0, "{took} s");
    assert!(longest < 0.5, "nothing began for {longest} s");
    server.fsck();
}

/// Negative control: a daemon that leaves a third of its slots idle is noticed.
#[tokio::test]
async fn control_slots_that_idle_are_noticed() {
    let server = TestServer::with_config(&config("[handlers.sleep]\nconcurrency = 85\n")).await;
    let (_, share, _) = work(&come_due(&server, 2_000, 0.2).await);
    assert!(share < 0.85, "{share} of the slots seemed to work");
}

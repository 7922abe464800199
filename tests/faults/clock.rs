//! The wall clock jumps while tasks run and wait. What lasts so long lasts so long, whatever the clock shows.

use std::{
    collections::HashSet,
    fs,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use serde_json::{Value, json};

use crate::{lane, load::Load, support::server::TestServer, usage::cpu_time};

/// A clock that a test sets: libfaketime reads it from a file.
struct Clock {
    folder: tempfile::TempDir,
}

impl Clock {
    fn new() -> Clock {
        let clock = Clock { folder: tempfile::tempdir().unwrap() };
        clock.set("+0");
        clock
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    /// So far from the machine's own, such as `+1h`.
    fn set(&self, offset: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, format!("{offset}\n")).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    async fn server(&self, config: &str, control: &str) -> TestServer {
        let library = ["x86_64", "aarch64"]
            .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"))
            .into_iter()
            .find(|path| Path::new(path).exists())
            .expect("libfaketime is installed (Debian: faketime)");
        let file = self.file();
        let variables = [
            ("LD_PRELOAD", &*library),
            ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            ("TASKWRIGHT_CONTROL", control),
        ];
        TestServer::with(config, &variables).await
    }
}

const JUMPS: [&str; 4] = ["+1h", "-1h", "+10y", "-10y"];

const CONFIG: &str = "[worker]\nlocal_slots = 3\ncommand_slots = 1\n\
    [[tasks]]\nname = \"flaky\"\ncommand = [\"false\"]\nmax_attempts = 2\nretry_delay = \"4s\"\n\
    [[tasks]]\nname = \"busy\"\ncommand = [\"sleep\", \"3600\"]\nconcurrency = 1\n";

async fn start(server: &TestServer, body: Value) -> Value {
    let answer = server.client().post(server.url("/v1/instances")).json(&body).send().await.unwrap();
    let (status, body) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 201, "{body}");
    serde_json::from_str(&body).unwrap()
}

async fn status(server: &TestServer, instance: &Value) -> String {
    server.get(&instance["number"]).await["status"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_lasts_so_long_lasts_so_long_forward_by_an_hour() {
    durations_hold("+1h", "").await;
}

#[tokio::test]
async fn what_lasts_so_long_lasts_so_long_back_by_an_hour() {
    durations_hold("-1h", "").await;
}

#[tokio::test]
async fn what_lasts_so_long_lasts_so_long_forward_by_ten_years() {
    durations_hold("+10y", "").await;
}

#[tokio::test]
async fn what_lasts_so_long_lasts_so_long_back_by_ten_years() {
    durations_hold("-10y", "").await;
}

/// The control: a daemon that does not watch the clock ends early what waits, forgets its keys, and deletes what is kept.
#[tokio::test]
async fn control_a_daemon_that_does_not_watch_the_clock_is_noticed() {
    for jump in ["+1h", "-1h"] {
        let outcome = AssertUnwindSafe(durations_hold(jump, "unwatched-clock")).catch_unwind().await;
        assert!(outcome.is_err(), "{jump} was not noticed");
    }
    let outcome = AssertUnwindSafe(nothing_is_deleted("unwatched-clock")).catch_unwind().await;
    assert!(outcome.is_err(), "what was deleted was not noticed");
}

async fn durations_hold(jump: &str, control: &str) {
    let clock = Clock::new();
    let mut server = clock.server(CONFIG, control).await;
    let key = "a-key";
    let keyed = async || {
        let start = server.client().post(server.url("/v1/instances")).header("Idempotency-Key", key);
        let answer = start.json(&json!({"task_id": "sleep", "inputs": {"seconds": 0}})).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    let first = keyed().await;
    server.wait_done(&first["number"]).await;
    let began = Instant::now();
    let runs = start(&server, json!({"task_id": "sleep", "inputs": {"seconds": 3}, "timeout": 30})).await;
    let times_out = start(&server, json!({"task_id": "sleep", "inputs": {"seconds": 60}, "timeout": 4})).await;
    let flaky = start(&server, json!({"task_id": "flaky", "inputs": {}})).await;
    server
        .wait_until(&flaky["number"], "waiting for its retry", |instance| instance["pending_reason"] == "retrying")
        .await;
    let retries_at = Instant::now() + Duration::from_secs(4);
    let busy = start(&server, json!({"task_id": "busy", "inputs": {}})).await;
    let waits = start(&server, json!({"task_id": "busy", "inputs": {}, "queue_timeout": 6})).await;
    let waits_long = start(&server, json!({"task_id": "busy", "inputs": {}, "queue_timeout": 600})).await;
    let queued = Instant::now();

    clock.set(jump);
    // Whatever was counted by the clock would happen about now, or not for long.
    let quick = start(&server, json!({"task_id": "sleep", "inputs": {"seconds": 0}})).await;
    let shown = server.wait_done(&quick["number"]).await;
    assert!(shown["finished_at"].as_str() >= shown["started_at"].as_str(), "{shown}");
    assert!(shown["started_at"].as_str() >= shown["created_at"].as_str(), "{shown}");
    let before = first["created_at"].as_str().unwrap();
    let is_later = quick["created_at"].as_str().unwrap() > before;
    assert_eq!(is_later, jump.starts_with('+'), "the clock did not jump: {before} {quick}");
    assert_eq!(keyed().await["id"], first["id"], "a key was forgotten");
    assert_eq!(status(&server, &waits).await, "pending", "a queue timeout came early");
    assert_eq!(status(&server, &runs).await, "running", "an attempt ended early");
    assert_eq!(status(&server, &times_out).await, "running", "a timeout came early");
    // An idle daemon has nothing to do. What it takes for that is told over a time, whatever happens in it.
    let (cpu, idle) = (cpu_time(server.pid()), Instant::now());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let cpu = cpu_time(server.pid()) - cpu;
    assert!(cpu < idle.elapsed() / 2 + Duration::from_millis(100), "{cpu:?} of {:?}", idle.elapsed());

    assert_eq!(server.wait_done(&runs["number"]).await["status"], "completed");
    assert!(
        began.elapsed() >= Duration::from_secs(3) && began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    let timed_out = server.wait_done(&times_out["number"]).await;
    assert_eq!(timed_out["error"]["kind"], "timeout", "{timed_out}");
    // The other command holds the only slot.
    let waited = server.wait_done(&waits["number"]).await;
    let after = queued.elapsed();
    assert_eq!(waited["error"]["kind"], "queue_timeout", "{waited}");
    assert!(after >= Duration::from_millis(5900) && after < Duration::from_secs(12), "queue timeout after {after:?}");
    assert_eq!(status(&server, &waits_long).await, "pending");
    let stopped = server.client().delete(server.url(&format!("/v1/instances/{}?grace=1s", busy["number"])));
    assert_eq!(stopped.send().await.unwrap().status(), 202);
    assert_eq!(server.wait_done(&busy["number"]).await["status"], "cancelled");
    let url = server.url(&format!("/v1/instances/{}?force=true&wait=5", waits_long["number"]));
    server.client().delete(url).send().await.unwrap();
    // Its second attempt was due long before.
    let flaky = server.wait_done(&flaky["number"]).await;
    assert_eq!((&flaky["status"], &flaky["attempt"]), (&json!("failed"), &json!(2)), "{flaky}");
    assert!(Instant::now() < retries_at + Duration::from_secs(20));
    // Nothing is forgotten by the clock.
    assert_eq!(server.get(1).await["id"], first["id"]);

    // And back, under load: no id twice, no end before its beginning.
    let load = Load::begin(&server, 4);
    let mut ids = HashSet::new();
    for _ in 0..lane::count(1, 10) {
        for jump in JUMPS {
            clock.set(jump);
            load.acknowledges(30).await;
        }
    }
    clock.set("+0");
    load.acknowledges(30).await;
    let told = load.end().await;
    assert!(told.refused.is_empty() && told.unanswered == 0, "{:?}", told.refused);
    for image in told.acknowledged.values() {
        assert!(ids.insert(image["id"].clone()), "twice: {image}");
    }
    let page = server.get_json("/v1/instances?limit=500").await;
    for instance in page["instances"].as_array().unwrap() {
        if let (Some(started), Some(finished)) = (instance["started_at"].as_str(), instance["finished_at"].as_str()) {
            assert!(started <= finished, "{instance}");
        }
    }
    let stats = server.get_json("/v1/stats").await;
    assert!(stats["durations"]["p50"].as_f64().is_none_or(|p50| p50 >= 0.0), "{stats}");
    told.is_kept_by(&server).await;
    assert!(server.stderr().contains("the clock was set"), "{}", server.stderr());
    assert!(server.stop().await.success());
    server.fsck();
}

/// What is kept for a month is not deleted because the clock shows another year.
#[tokio::test]
async fn a_clock_that_jumps_ahead_deletes_nothing() {
    nothing_is_deleted("").await;
}

async fn nothing_is_deleted(control: &str) {
    let clock = Clock::new();
    let mut server = clock.server("", control).await;
    let load = Load::begin(&server, 2);
    load.acknowledges(20).await;
    clock.set("+10y");
    load.acknowledges(20).await;
    let told = load.end().await;
    // Idle, it would purge now. Nothing may happen, and for that there is only time to wait.
    tokio::time::sleep(Duration::from_secs(2)).await;
    told.is_kept_by(&server).await;
    assert!(server.stop().await.success());
    server.fsck();
}

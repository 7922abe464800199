//! F12: how long a stop takes.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use super::{long_time, processes::Footprint, shell, stop};
use crate::{
    lane,
    support::{server::TestServer, wait_for},
};

/// How many run, and are stopped, at once.
const AT_ONCE: u32 = 4;

/// What a cooperative program may take, 99 of 100 times.
const PROMPT: Duration = Duration::from_millis(250);

/// Says that it runs, and does about signals what it does, by making a file.
const READY: &str = "touch ready.$NUMEROUS_TASK_INSTANCE_ID";

/// Stops programs that run, `times` in all, and measures from the request to the answer that they have ended.
async fn latencies(server: &TestServer, tasks: &[&str], times: u32, grace: Duration) -> Vec<Duration> {
    let one = |turn: u32| async move {
        let started = server.start_task(tasks[turn as usize % tasks.len()], json!({})).await;
        let file = server.folder().join(format!("ready.{}", started["id"].as_str().expect("an id")));
        wait_for("the program", async || file.exists().then_some(())).await;
        let began = Instant::now();
        let done = stop(server, &started, grace).await;
        assert_eq!((&done["status"], &done["error"]), (&json!("cancelled"), &json!(null)), "{done}");
        began.elapsed()
    };
    let mut latencies = Vec::new();
    let turns: Vec<u32> = (0..times).collect();
    for turns in turns.chunks(AT_ONCE as usize) {
        latencies.extend(join_all(turns.iter().copied().map(one)).await);
    }
    latencies.sort_unstable();
    latencies
}

/// The latency that 99 of 100 stay below.
fn p99(sorted: &[Duration]) -> Duration {
    sorted[(sorted.len() * 99).div_ceil(100) - 1]
}

fn config(tasks: &[(&str, &str)]) -> String {
    let tasks: String = tasks.iter().map(|(name, line)| shell(name, line, "")).collect();
    format!("[worker]\ncommand_slots = {AT_ONCE}\n{}", tasks.replace("READY", READY).replace("LONG", &long_time()))
}

#[tokio::test]
async fn programs_that_obey_are_stopped_at_once() {
    let config = config(&[
        ("sleeps", "READY; exec sleep LONG"),
        ("tidies", "trap 'exit 0' TERM; READY; sleep LONG & wait"),
        ("family", "READY; setsid sleep LONG & (sleep LONG &); sleep LONG"),
    ]);
    let server = TestServer::with_config(&config).await;
    let before = Footprint::of(&server).await;
    let times = lane::count(100, 1_000);
    let all = latencies(&server, &["sleeps", "tidies", "family"], times, Duration::from_secs(30)).await;
    println!("{times} stops: median {:?}, p99 {:?}, longest {:?}", all[all.len() / 2], p99(&all), all[all.len() - 1]);
    assert!(p99(&all) < PROMPT, "{:?}", p99(&all));
    before.growth(&server).await.unwrap();
    server.fsck();
}

#[tokio::test]
async fn programs_that_do_not_obey_are_stopped_after_the_grace() {
    let server = TestServer::with_config(&config(&[
        ("deaf", "trap '' TERM; READY; sleep LONG"),
        ("stubborn", "trap 'true' TERM; READY; while :; do sleep 0.02; done"),
    ]))
    .await;
    let grace = Duration::from_millis(300);
    let all = latencies(&server, &["deaf", "stubborn"], lane::count(12, 100), grace).await;
    println!("grace {grace:?}: shortest {:?}, longest {:?}", all[0], all[all.len() - 1]);
    assert!(all[0] >= grace, "they were not given their grace: {:?}", all[0]);
    assert!(all[all.len() - 1] <= grace + Duration::from_secs(1), "{:?}", all[all.len() - 1]);
    server.fsck();
}

#[tokio::test]
async fn control_a_program_that_takes_its_time_is_noticed() {
    let server =
        TestServer::with_config(&config(&[("dawdles", "trap 'sleep 0.4; exit 0' TERM; READY; sleep LONG & wait")]))
            .await;
    let all = latencies(&server, &["dawdles"], AT_ONCE, Duration::from_secs(30)).await;
    assert!(p99(&all) > PROMPT, "{:?}", p99(&all));
}

//! The daemon killed at random moments under load: what was acknowledged is there, what ended stays ended, no process
//! is left, and it is ready again at once.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::process::Pid;
use serde_json::json;

use crate::{
    history::{Findings, Load, Mix, Violation, Workplace},
    lane,
    random::Random,
    support::{server::TestServer, wait_for},
};

/// How many instances stand in the store before the load begins.
const FILLING: usize = 100_000;
/// How soon a daemon is ready after its death.
const READY_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loses_nothing_that_was_acknowledged() {
    let seed = lane::seed("crash");
    let cycles = lane::count(100, 500);
    let place = Workplace::new();
    let mut server = TestServer::with_config(&place.config("[worker]\ncommand_slots = 8\n")).await;
    fill(&server).await;
    let (findings, mut readies) = crash(&mut server, &place, seed, cycles).await;
    readies.sort_by_key(Ready::own);
    println!("ready again: {:?} in the middle, {:?} at most", readies[readies.len() / 2], readies[readies.len() - 1]);
    findings.hold(cycles as usize / 2);
    wait_for("the end of every process", async || server.processes().is_empty().then_some(())).await;
    server.fsck();
    let slow: Vec<_> = readies.iter().filter(|ready| ready.own() >= READY_WITHIN).collect();
    assert!(slow.is_empty(), "not ready in {READY_WITHIN:?}: {slow:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn control_a_reply_before_the_commit_is_caught() {
    let seed = lane::seed("crash control");
    let place = Workplace::new();
    let control = [("TASKWRIGHT_CONTROL", "reply-before-commit")];
    let mut server = TestServer::with(&place.config(""), &control).await;
    let (findings, _) = crash(&mut server, &place, seed, 20).await;
    println!("{}", findings.summary());
    let lost = findings.violations.iter().filter(|violation| matches!(violation, Violation::Lost { .. })).count();
    assert!(lost > 0, "starts that were acknowledged before their commit survived 20 crashes");
}

/// Kills the daemon `cycles` times under load. Answers how long it took to be ready each time, too.
async fn crash(server: &mut TestServer, place: &Workplace, seed: u64, cycles: u32) -> (Findings, Vec<Ready>) {
    let mut random = Random::new(seed);
    let load = Load::begin(&server.url(""), place, Mix { seed: random.next(), ..Mix::default() });
    let mut readies = Vec::new();
    for cycle in 1..=cycles {
        // The one wait that is no condition: the moment is what is random here.
        tokio::time::sleep(random.time(Duration::from_millis(10), Duration::from_millis(500))).await;
        load.fault("SIGKILL");
        server.kill9();
        if cycle % 50 == 0 {
            server.fsck();
        }
        let began = Instant::now();
        server.restart().await;
        load.follow(&server.url(""));
        wait_for("being ready", async || {
            let answer = server.client().get(server.url("/readyz")).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        readies.push(Ready { after: began.elapsed(), starved: starved(server.pid()) });
        load.hear(place);
    }
    (load.end(place).await, readies)
}

/// How long a daemon took until it was ready.
#[derive(Debug, Clone, Copy)]
struct Ready {
    after: Duration,
    /// How long of that one of its threads was ready to run while the cores ran something else. That is the machine's:
    /// next to nothing where this test runs alone.
    starved: Duration,
}

impl Ready {
    /// What the daemon itself took.
    fn own(&self) -> Duration {
        self.after.saturating_sub(self.starved)
    }
}

/// The longest that one thread of this process has waited for a core.
fn starved(process: Pid) -> Duration {
    let threads = fs::read_dir(format!("/proc/{}/task", process.as_raw_pid())).expect("the daemon's threads");
    let waited = |thread: fs::DirEntry| -> Option<u64> {
        let told = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        told.split(' ').nth(1)?.parse().ok()
    };
    let longest = threads.filter_map(Result::ok).filter_map(waited).max();
    Duration::from_nanos(longest.expect("the kernel counts how long threads wait"))
}

/// Puts many instances into the store: half of them done, half of them to run in a year.
async fn fill(server: &TestServer) {
    for half in ["done", "pending"] {
        for _ in 0..FILLING / 20_000 {
            let one = json!({
                "task_id": "sleep", "inputs": {"seconds": 1}, "delay": "364d", "labels": {"filling": half}
            });
            let body = json!({"instances": vec![one; 10_000]});
            let answer = server.client().post(server.url("/v1/instances/batch")).json(&body).send().await;
            assert_eq!(answer.expect("an answer").status(), 201);
        }
    }
    let body = json!({"labels": {"filling": "done"}});
    let answer = server.client().post(server.url("/v1/instances/stop")).json(&body).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
}

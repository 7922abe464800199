//! The daemon asked to end under load: it ends in time, nothing ends wrongly, and what was half done runs again.

use std::{
    fs::File,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    history::{Findings, Load, Mix, Violation, Workplace},
    lane,
    random::Random,
    support::server::TestServer,
};

/// How long a drain may take: `server.drain`, `server.drain_grace`, and what the commit of the last ends may take.
const IN_TIME: Duration = Duration::from_millis(300 + 300 + 2000);
/// Short enough that a drain meets tasks that are not done, and long enough that some get done.
const SERVER: &str = "[server]\ndrain = \"300ms\"\ndrain_grace = \"300ms\"\n[worker]\ncommand_slots = 8\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_in_time_and_nothing_ends_wrongly() {
    let seed = lane::seed("drain");
    let cycles = lane::count(20, 100);
    let place = Workplace::new();
    let mut server = TestServer::with_config(&place.config(SERVER)).await;
    let (findings, disorder) = drain(&mut server, &place, seed, cycles, Signal::TERM).await;
    findings.hold(0);
    assert_eq!(disorder, Vec::<String>::new());
    let again = findings.last.instances.values().filter(|one| one.status == "completed" && one.attempt > 1).count();
    println!("{again} were interrupted and completed later");
    assert!(again >= cycles as usize, "hardly anything was half done: {again} ran again");
    server.fsck();
}

#[tokio::test(flavor = "multi_thread")]
async fn control_a_drain_taken_for_an_end_is_caught() {
    let seed = lane::seed("drain control");
    let place = Workplace::new();
    let control = [("TASKWRIGHT_CONTROL", "drain-as-end")];
    let mut server = TestServer::with(&place.config(SERVER), &control).await;
    let (findings, _) = drain(&mut server, &place, seed, 4, Signal::TERM).await;
    println!("{}", findings.summary());
    let wrongly = |violation: &&Violation| matches!(violation, Violation::Uncalled { .. } | Violation::HalfDone { .. });
    assert!(findings.violations.iter().any(|violation| wrongly(&violation)), "{:?}", findings.violations);
}

#[tokio::test(flavor = "multi_thread")]
async fn control_a_kill_is_no_drain() {
    let seed = lane::seed("drain control");
    let place = Workplace::new();
    let mut server = TestServer::with_config(&place.config(SERVER)).await;
    let (_, disorder) = drain(&mut server, &place, seed, 3, Signal::KILL).await;
    for sign in ["ended with", "settled", "a crash"] {
        assert!(disorder.iter().any(|one| one.contains(sign)), "{sign}: {disorder:?}");
    }
}

/// One of each kind that obeys: with an attempt left it is told at once and runs again after the restart; without one
/// it has until `server.drain`, and is then interrupted.
#[tokio::test(flavor = "multi_thread")]
async fn half_done_work_runs_again_where_attempts_are_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let big = folder.path().join("big");
    File::create(&big).and_then(|file| file.set_len(1 << 30)).expect("a file of a gigabyte, without a block");
    let command = "trap 'exit 0' TERM; i=0; while [ $i -lt 100 ]; do sleep 0.02; i=$((i + 1)); done";
    let config = format!(
        "{SERVER}[handlers.checksum]\nroots = [\"{}\"]\n[[tasks]]\nname = \"command\"\n\
         command = [\"sh\", \"-c\", \"{command}\"]\n",
        folder.path().display()
    );
    let mut server = TestServer::with_config(&config).await;
    let mut started = Vec::new();
    for (task, inputs) in [("sleep", json!({"seconds": 2})), ("checksum", json!({"path": big})), ("command", json!({}))]
    {
        for max_attempts in [1, 2] {
            let body = json!({"task_id": task, "inputs": inputs, "max_attempts": max_attempts});
            let answer = server.client().post(server.url("/v1/instances")).json(&body).send().await;
            let instance: Value = answer.expect("an answer").json().await.expect("JSON");
            let number = instance["number"].as_u64().expect("a number");
            let at_work =
                |one: &Value| one["status"] == "running" && (task == "command" || one["progress"] != json!(0.0));
            server.wait_until(number, "at work", at_work).await;
            started.push((task, max_attempts, number));
        }
    }
    let began = Instant::now();
    let status = server.stop().await;
    assert!(status.success() && began.elapsed() < IN_TIME, "{status} after {:?}", began.elapsed());
    server.restart().await;
    for (task, max_attempts, number) in started {
        let done = server.wait_done(number).await;
        let (status, attempt) = (done["status"].as_str().unwrap_or_default(), &done["attempt"]);
        if max_attempts == 1 {
            assert_eq!((status, &done["error"]["kind"]), ("failed", &json!("interrupted")), "{task}: {done}");
            assert_eq!(done["error"]["reason"], "shutdown", "{task}");
        } else {
            assert_eq!((status, attempt), ("completed", &json!(2)), "{task}: {done}");
        }
    }
    server.fsck();
}

/// Ends the daemon `cycles` times under load, by this signal. Answers the findings and what was not as after a drain.
async fn drain(
    server: &mut TestServer,
    place: &Workplace,
    seed: u64,
    cycles: u32,
    signal: Signal,
) -> (Findings, Vec<String>) {
    let mut random = Random::new(seed);
    let mix = Mix { seed: random.next(), longest: 1.2, outputs: true, ..Mix::default() };
    let load = Load::begin(&server.url(""), place, mix);
    let mut disorder = Vec::new();
    let mut slowest = Duration::ZERO;
    for _ in 0..cycles {
        // The one wait that is no condition: the moment is what is random here.
        tokio::time::sleep(random.time(Duration::from_millis(100), Duration::from_millis(600))).await;
        load.fault(&format!("{signal:?}"));
        let began = Instant::now();
        server.signal(signal);
        let status = server.ended().await;
        slowest = slowest.max(began.elapsed());
        if status.code() != Some(0) {
            disorder.push(format!("it ended with {status}"));
        }
        if began.elapsed() > IN_TIME {
            disorder.push(format!("it ended after {:?}", began.elapsed()));
        }
        server.restart().await;
        load.follow(&server.url(""));
        if server.stderr().contains("settled instances") {
            disorder.push("it left instances running, which the next one settled".to_owned());
        }
        load.hear(place);
    }
    let findings = load.end(place).await;
    println!("ended within {slowest:?}");
    for one in findings.last.instances.values().filter(|one| one.error["reason"] == "crash") {
        disorder.push(format!("{} was interrupted by a crash", one.id));
    }
    (findings, disorder)
}

//! The daemon is killed while its commands run, and the spawner while the daemon lives.

use std::{
    collections::HashMap,
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    long_time,
    processes::{Undertaker, kill, lives, of_attempts, spawner},
};
use crate::{
    lane,
    support::{server::TestServer, wait_for, wait_within},
};

/// How long the processes of the dead may live.
const PATIENCE: Duration = Duration::from_secs(2);

/// The first attempt leaves a family that is hard to kill and never ends; the second looks for it, and ends at once. Both
/// write down which processes of their instance they find alive before they do anything else.
const FAMILY: &str = r#"
import os, signal, time
me = os.environ["NUMEROUS_TASK_INSTANCE_ID"]
mark = ("NUMEROUS_TASK_INSTANCE_ID=" + me).encode()
found = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        state = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0]
        variables = open(f"/proc/{pid}/environ", "rb").read().split(b"\0")
    except OSError:
        continue
    if int(pid) != os.getpid() and state not in "ZX" and mark in variables:
        found.append(int(pid))
runs = os.open("runs.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(runs, f"{me} {found}\n".encode())
if os.path.exists("first." + me):
    os._exit(0)

signal.signal(signal.SIGTERM, signal.SIG_IGN)
for detach in (True, False):
    if os.fork() == 0:
        if detach:
            os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "LONG"])
        os._exit(0)
os.close(os.open("first." + me, os.O_WRONLY | os.O_CREAT))
time.sleep(LONG)
"#;

fn config(commands: u32) -> String {
    format!(
        "[worker]\ncommand_slots = {commands}\n[[tasks]]\nname = \"family\"\nmax_attempts = 2\n\
         command = [\"python3\", \"family.py\"]\n"
    )
}

/// Starts so many families and waits until all of them are there.
async fn families(server: &TestServer, count: u32) -> Vec<Value> {
    let _ = fs::remove_file(server.folder().join("runs.log"));
    fs::write(server.folder().join("family.py"), FAMILY.replace("LONG", &long_time())).expect("it can be written");
    let mut started = Vec::new();
    for _ in 0..count {
        started.push(server.start_task("family", json!({})).await);
    }
    for instance in &started {
        let file = server.folder().join(format!("first.{}", instance["id"].as_str().expect("an id")));
        wait_for("the family", async || file.exists().then_some(())).await;
    }
    wait_for("all of them", async || (of_attempts(server).len() >= 3 * count as usize).then_some(())).await;
    started
}

/// What of these lives after the patience is over, and how long it took where nothing does.
async fn gone(pids: &[i32]) -> Result<Duration, String> {
    let began = Instant::now();
    let left = || pids.iter().filter(|pid| lives(**pid)).count();
    let gone = wait_within(PATIENCE, async || (left() == 0).then(|| began.elapsed())).await;
    gone.ok_or_else(|| format!("{} of {} processes live after {PATIENCE:?}", left(), pids.len()))
}

/// Waits until every family has run twice. Says what a second attempt found of the first.
async fn run_again(server: &TestServer, started: &[Value]) -> Result<(), String> {
    for instance in started {
        let done = server.wait_done(&instance["number"]).await;
        assert_eq!((&done["status"], &done["attempt"]), (&json!("completed"), &json!(2)), "{done}");
        let attempts = server.get_json(&format!("/v1/instances/{}/attempts", done["number"])).await;
        assert_eq!(attempts["attempts"][0]["ended"], "interrupted", "{attempts}");
    }
    let runs = fs::read_to_string(server.folder().join("runs.log")).expect("they ran");
    let mut of: HashMap<&str, Vec<&str>> = HashMap::new();
    for (instance, found) in runs.lines().filter_map(|line| line.split_once(' ')) {
        of.entry(instance).or_default().push(found);
    }
    for instance in started {
        let found = &of[instance["id"].as_str().expect("an id")];
        if found[..] != ["[]", "[]"] {
            return Err(format!("instance {} found of itself: {found:?}", instance["number"]));
        }
    }
    Ok(())
}

/// Kills the daemon while families run.
async fn kill_daemon(server: &mut TestServer, families_at_once: u32, at_once: bool) -> Result<(), String> {
    let started = families(server, families_at_once).await;
    let processes = of_attempts(server);
    server.kill9();
    if !at_once {
        println!("the daemon's {} processes were gone after {:?}", processes.len(), gone(&processes).await?);
    }
    server.restart().await;
    run_again(server, &started).await
}

/// Kills the spawner while families run.
async fn kill_spawner(server: &TestServer, families_at_once: u32) -> Result<(), String> {
    let started = families(server, families_at_once).await;
    let processes = of_attempts(server);
    kill(spawner(server));
    println!("the spawner's {} processes were gone after {:?}", processes.len(), gone(&processes).await?);
    run_again(server, &started).await
}

#[tokio::test]
async fn when_the_daemon_is_killed_its_commands_are_gone_before_they_run_again() {
    let mut server = TestServer::with_config(&config(50)).await;
    for round in 0..lane::count(2, 10) {
        kill_daemon(&mut server, 50, round % 2 == 1).await.unwrap();
    }
    server.fsck();
}

#[tokio::test]
async fn when_the_spawner_is_killed_its_commands_are_gone_before_they_run_again() {
    let server = TestServer::with_config(&config(20)).await;
    for _ in 0..lane::count(2, 20) {
        kill_spawner(&server, 20).await.unwrap();
    }
    server.fsck();
}

#[tokio::test]
async fn control_survivors_of_a_kill_of_the_leader_alone_are_found_by_the_next_attempt() {
    let mut server = TestServer::with(&config(4), &[("TASKWRIGHT_CONTROL", "kill-leader-only")]).await;
    let _undertaker = Undertaker::of(&server);
    let started = families(&server, 4).await;
    kill(spawner(&server));
    let found = run_again(&server, &started).await;
    assert!(found.as_ref().is_err_and(|what| what.contains("found of itself")), "{found:?}");
    let found = kill_daemon(&mut server, 4, false).await;
    assert!(found.as_ref().is_err_and(|what| what.contains("processes live after")), "{found:?}");
}

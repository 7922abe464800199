//! The daemon's life: ready, drained, killed, and started again.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::Path,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::support::{
    server::{BINARY, TestServer, command, processes_with},
    wait_for,
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn status(server: &TestServer, path: &str) -> u16 {
    server.client().get(server.url(path)).send().await.expect("an answer").status().as_u16()
}

/// A command that says it has started, ignores SIGTERM, and leaves a child in a session of its own.
const DEAF: &str = r#"
    [[tasks]]
    name = "deaf"
    command = ["sh", "-c", "trap '' TERM; setsid sleep 600 & echo started; while :; do sleep 0.05; done"]
"#;

/// Starts `deaf` and waits until it and its child run.
async fn start_deaf(server: &TestServer) -> Value {
    let instance = server.start_task("deaf", json!({})).await;
    wait_for("the command and its child", async || (server.processes().len() >= 2).then_some(())).await;
    instance
}

#[tokio::test]
async fn what_it_makes_is_for_its_user_only() {
    let server = TestServer::start().await;
    assert_eq!(mode(server.database().parent().unwrap()), 0o700);
    for entry in fs::read_dir(server.database().parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn it_allows_itself_as_many_files_as_the_system_does() {
    let server = TestServer::start().await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid().as_raw_nonzero())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = line.split_whitespace().skip(3).take(2).collect::<Vec<_>>()[..] else { panic!("{line}") };
    assert_eq!(soft, hard);
}

#[tokio::test]
async fn either_signal_ends_it_in_good_order() {
    let mut server = TestServer::start().await;
    for signal in [Signal::TERM, Signal::INT] {
        assert_eq!(status(&server, "/readyz").await, 200);
        server.signal(signal);
        let status = server.ended().await;
        assert_eq!(status.code(), Some(0), "{}", server.stderr());
        server.restart().await;
    }
}

#[tokio::test]
async fn the_service_manager_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let said = || {
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut server = TestServer::with("", &[("NOTIFY_SOCKET", path.to_str().unwrap())]).await;
    assert_eq!(said(), "READY=1");
    assert_eq!(status(&server, "/readyz").await, 200);
    assert!(server.stop().await.success());
    assert_eq!(said(), "STOPPING=1");
}

#[tokio::test]
async fn a_store_that_syncs_less_than_it_should_is_warned_of() {
    let server = TestServer::with_config("database.synchronous = 'normal'").await;
    assert!(server.stderr().contains("database.synchronous is below full"), "{}", server.stderr());
    let server = TestServer::start().await;
    assert!(!server.stderr().contains("synchronous"), "{}", server.stderr());
}

#[tokio::test]
async fn a_drain_lets_an_only_attempt_finish() {
    let mut server = TestServer::with_config("server.drain = '20s'").await;
    let instance = server.start_task("sleep", json!({ "seconds": 1 })).await;
    assert!(server.stop().await.success());
    server.restart().await;
    let instance = server.get(&instance["number"]).await;
    assert_eq!((&instance["status"], &instance["attempt"]), (&json!("completed"), &json!(1)));
    server.fsck();
}

#[tokio::test]
async fn a_drain_ends_an_attempt_that_has_another_at_once() {
    let mut server = TestServer::with_config("server.drain = '20s'").await;
    let body = json!({ "task_id": "sleep", "inputs": { "seconds": 600 }, "max_attempts": 2 });
    let answer = server.client().post(server.url("/v1/instances")).json(&body).send().await.unwrap();
    let instance: Value = answer.json().await.unwrap();
    let began = Instant::now();
    assert!(server.stop().await.success());
    assert!(began.elapsed() < Duration::from_secs(10), "the drain took {:?}", began.elapsed());
    server.restart().await;
    let again = server.wait_until(&instance["number"], "in its second attempt", |i| i["attempt"] == 2).await;
    assert_eq!(again["status"], "running");
}

#[tokio::test]
async fn during_a_drain_reads_and_stops_go_on_and_starts_are_refused() {
    let mut server = TestServer::with_config("server.drain = '60s'").await;
    let number = server.start_task("sleep", json!({ "seconds": 600 })).await["number"].clone();
    server.wait_running(&number).await;
    server.signal(Signal::TERM);
    wait_for("readyz to fail", async || (status(&server, "/readyz").await == 503).then_some(())).await;
    assert_eq!(status(&server, "/livez").await, 200);

    let start = server
        .client()
        .post(server.url("/v1/instances"))
        .json(&json!({ "task_id": "sleep", "inputs": { "seconds": 0 } }));
    let refused = start.send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.json::<Value>().await.unwrap()["type"], "/problems/draining");

    assert_eq!(server.get(&number).await["status"], "running");
    let stop = server.client().delete(server.url(&format!("/v1/instances/{number}")));
    assert!(stop.send().await.unwrap().status().is_success());
    assert_eq!(server.ended().await.code(), Some(0));
    server.restart().await;
    assert_eq!(server.get(&number).await["status"], "cancelled");
    server.fsck();
}

#[tokio::test]
async fn nothing_becomes_cancelled_by_a_drain() {
    let mut server = TestServer::with_config("server = { drain = '100ms', drain_grace = '5s' }").await;
    let number = server.start_task("sleep", json!({ "seconds": 600 })).await["number"].clone();
    assert!(server.stop().await.success());
    server.restart().await;
    let instance = server.get(&number).await;
    assert_eq!(instance["status"], "failed");
    assert_eq!((&instance["error"]["kind"], &instance["error"]["reason"]), (&json!("interrupted"), &json!("shutdown")));
}

#[tokio::test]
async fn a_deaf_command_is_killed_when_the_grace_is_over() {
    let mut server = TestServer::with_config(&format!("server = {{ drain = 0, drain_grace = '300ms' }}\n{DEAF}")).await;
    let number = start_deaf(&server).await["number"].clone();
    assert!(server.stop().await.success(), "{}", server.stderr());
    assert_eq!(server.processes(), Vec::<i32>::new());
    server.restart().await;
    assert_eq!(server.get(&number).await["error"]["kind"], "interrupted");
}

#[tokio::test]
async fn a_second_signal_kills_the_children_and_is_the_exit_code() {
    for (first, second, code) in [(Signal::TERM, Signal::TERM, 143), (Signal::TERM, Signal::INT, 130)] {
        let mut server = TestServer::with_config(&format!("server.drain = '60s'\n{DEAF}")).await;
        let number = start_deaf(&server).await["number"].clone();
        server.signal(first);
        wait_for("the drain", async || server.stderr().contains("draining").then_some(())).await;
        server.signal(second);
        assert_eq!(server.ended().await.code(), Some(code), "{}", server.stderr());
        wait_for("the end of its children", async || server.processes().is_empty().then_some(())).await;
        server.restart().await;
        assert_eq!(server.get(&number).await["error"]["reason"], "crash");
        server.fsck();
    }
}

#[tokio::test]
async fn an_acknowledged_start_survives_kill_9() {
    let mut server = TestServer::with_config(&format!("worker.local_slots = 1\n{DEAF}")).await;
    let deaf = start_deaf(&server).await["number"].clone();
    let first = server.start_task("sleep", json!({ "seconds": 600 })).await["number"].clone();
    let second = server.start_task("sleep", json!({ "seconds": 0 })).await["number"].clone();
    server.kill9();
    wait_for("the end of its children", async || server.processes().is_empty().then_some(())).await;
    server.restart().await;
    for number in [deaf, first] {
        let error = server.get(&number).await["error"].clone();
        assert_eq!((&error["kind"], &error["reason"]), (&json!("interrupted"), &json!("crash")));
    }
    assert_eq!(server.wait_done(&second).await["status"], "completed");
    server.fsck();
}

/// A shell script that reports by the binary under test.
fn script(body: &str) -> String {
    let body = body.replace("taskwright", BINARY);
    format!("[[tasks]]\nname = 'script'\ncommand = ['sh', '-c', '''{body}''']\n")
}

#[tokio::test]
async fn a_shell_script_reports() {
    let config = script(
        "set -e
         taskwright report progress 0.25 'a quarter'
         taskwright report log one 'two  three'
         taskwright report output '{\"n\": 10000000000000000000001}'
         taskwright report should-stop > stop || test $? = 1
         taskwright report progress 7 2> refused || echo $? >> refused",
    );
    let server = TestServer::with_config(&config).await;
    let number = server.start_task("script", json!({})).await["number"].clone();
    let done = server.wait_done(&number).await;
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!((&done["progress"], &done["message"]), (&json!(0.25), &json!("a quarter")));
    let output = server.client().get(server.url(&format!("/v1/instances/{number}/output"))).send().await.unwrap();
    assert_eq!(output.text().await.unwrap().trim(), r#"{"n":10000000000000000000001}"#);
    let logs = server.get_json(&format!("/v1/instances/{number}/logs")).await;
    assert!(logs["lines"].as_array().unwrap().iter().any(|line| line["text"] == "one two  three"), "{logs}");
    assert_eq!(fs::read_to_string(server.folder().join("stop")).unwrap(), "false\n");
    let refused = fs::read_to_string(server.folder().join("refused")).unwrap();
    assert!(refused.starts_with("taskwright: ") && refused.ends_with("\n5\n"), "{refused}");
}

#[tokio::test]
async fn a_shell_script_states_its_verdict_and_sees_a_stop() {
    let config = script(
        "taskwright report status failed 'no luck'
         echo waiting
         until taskwright report should-stop; do sleep 0.02; done
         exit 0",
    );
    let server = TestServer::with_config(&config).await;
    let number = server.start_task("script", json!({})).await["number"].clone();
    wait_for("the script to wait", async || {
        let logs = server.get_json(&format!("/v1/instances/{number}/logs")).await;
        logs["lines"].as_array()?.iter().any(|line| line["text"] == "waiting").then_some(())
    })
    .await;
    // Its own token asks, so that no signal comes before the deadline: the script sees the stop by itself.
    let environment = processes_with(&format!("TASKWRIGHT_STORE={}", server.tag().unwrap()));
    let token = variable(environment[0], "TASKWRIGHT_TOKEN");
    let stop = server.client().delete(server.url(&format!("/v1/instances/{number}"))).bearer_auth(token);
    assert_eq!(stop.send().await.unwrap().status(), 202);
    let done = server.wait_done(&number).await;
    assert_eq!((&done["status"], &done["error"]["message"]), (&json!("failed"), &json!("no luck")));
}

#[tokio::test]
async fn a_late_report_exits_5() {
    let server = TestServer::with_config(&script("env > variables")).await;
    let number = server.start_task("script", json!({})).await["number"].clone();
    assert_eq!(server.wait_done(&number).await["status"], "completed");
    let variables = fs::read_to_string(server.folder().join("variables")).unwrap();
    let report = |arguments: &[&str]| {
        let mut report = command();
        report.envs(variables.lines().filter_map(|line| line.split_once('='))).arg("report").args(arguments);
        report.output().unwrap()
    };
    for arguments in [&["progress", "0.5"][..], &["output", "{}"], &["status", "failed"], &["log", "late"]] {
        let output = report(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(5), "{arguments:?}: {said}");
        assert!(said.contains("over") && said.lines().count() == 1, "{said}");
    }
    let output = report(&["should-stop"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"true\n".as_slice()));
}

#[tokio::test]
async fn the_demo_shows_its_tasks_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.rs"), "fn main() {}\n").unwrap();
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let log = folder.path().join("log");
    let mut child = command()
        .args(["serve", "--demo", "--listen", "127.0.0.1:0", "--log-format", "json"])
        .current_dir(folder.path())
        .env("TMPDIR", &temporary)
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let url = wait_for("the demo", async || {
        let log = fs::read_to_string(&log).unwrap();
        let event: Value = serde_json::from_str(log.lines().next()?).ok()?;
        event["url"].as_str().map(str::to_owned)
    })
    .await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (task, inputs, result) in [
        ("checksum", json!({ "path": "a.rs" }), ("files", json!(1))),
        ("count-words", json!({ "folder": "." }), ("words", json!(3))),
        ("sleep", json!({ "seconds": 0 }), ("slept", json!(0.0))),
    ] {
        let url = format!("{url}/v1/definitions/{task}/instances?wait=20");
        let done: Value = client.post(url).json(&inputs).send().await.unwrap().json().await.unwrap();
        assert_eq!(done["status"], "completed", "{done}");
        assert_eq!(done["output"][result.0].as_f64(), result.1.as_f64(), "{done}");
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::INT).unwrap();
    let status = wait_for("the end of the demo", async || child.try_wait().unwrap()).await;
    assert!(status.success());
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "the demo left something in its temporary folder");
}

/// A variable of a process.
fn variable(pid: i32, name: &str) -> String {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let prefix = format!("{name}=");
    let entries = environment.split(|byte| *byte == 0).map(|entry| String::from_utf8_lossy(entry).into_owned());
    entries.filter_map(|entry| entry.strip_prefix(&prefix).map(str::to_owned)).next().expect("the variable is set")
}

/// A library that makes every sync fail with EIO once the file named by `FAIL_SYNC` exists.
const FAILING_SYNC: &str = r#"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/syscall.h>
static int fails(void) { const char *f = getenv("FAIL_SYNC"); return f && access(f, F_OK) == 0; }
int fsync(int fd) { if (fails()) { errno = EIO; return -1; } return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { if (fails()) { errno = EIO; return -1; } return syscall(SYS_fdatasync, fd); }
"#;

#[tokio::test]
async fn after_a_failed_sync_nothing_is_acknowledged_and_the_daemon_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (folder.path().join("sync.c"), folder.path().join("sync.so"));
    fs::write(&source, FAILING_SYNC).unwrap();
    let compiled =
        std::process::Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status().unwrap();
    assert!(compiled.success());
    let switch = folder.path().join("fail");
    let variables = [("LD_PRELOAD", library.to_str().unwrap()), ("FAIL_SYNC", switch.to_str().unwrap())];
    let mut server = TestServer::with(DEAF, &variables).await;
    let deaf = start_deaf(&server).await["number"].clone();

    fs::write(&switch, "").unwrap();
    let began = Instant::now();
    let start = server.client().post(server.url("/v1/instances"));
    let refused = start.json(&json!({ "task_id": "sleep", "inputs": { "seconds": 0 } })).send().await;
    // The answer may be cut off by the end, but it is never an acknowledgement.
    assert!(refused.is_err() || refused.is_ok_and(|answer| answer.status() == 503));
    let status = server.ended().await;
    assert_eq!(status.code(), Some(1), "{}", server.stderr());
    assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
    assert!(server.stderr().contains("cannot go on"), "{}", server.stderr());
    wait_for("the end of its children", async || server.processes().is_empty().then_some(())).await;

    fs::remove_file(&switch).unwrap();
    server.restart().await;
    assert_eq!(server.get(&deaf).await["error"]["reason"], "crash");
    server.fsck();
}

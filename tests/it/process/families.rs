//! Nothing is left of a program, whatever family it has.

use std::ffi::OsString;

use taskwright::process::Exit;
use tokio::io::AsyncReadExt as _;

use super::{Shop, end, living, new_tag, signal, wait_for, within};

#[tokio::test]
async fn nothing_is_left_of_a_program_that_exits_and_the_code_stands() {
    let shop = Shop::open().await;
    let zoo = [
        ("a child that holds the pipes", "sleep 1000 & exit 3"),
        ("a session of its own", "setsid sleep 1000 & exit 3"),
        ("a daemon by double fork", "(setsid sh -c 'sleep 1000 & sleep 1000 &' &) ; exit 3"),
        ("a child that ignores everything", "(trap '' TERM HUP INT; sleep 1000) & exit 3"),
        ("a stopped child", "sleep 1000 & kill -STOP $!; exit 3"),
        ("closed streams", "exec >&- 2>&-; sleep 1000 & exit 3"),
        ("a long chain", "sh -c 'sh -c \"sh -c \\\"sleep 1000 & sleep 1000\\\" & sleep 1000\" & sleep 1000' & exit 3"),
    ];
    for (what, script) in zoo {
        let (exit, ..) = end(shop.start(&["sh", "-c", script]).await).await;
        assert_eq!((exit, shop.living()), (Exit::Code(3), vec![]), "{what}");
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_program_that_is_killed() {
    let shop = Shop::open().await;
    let zoo = [
        ("a session of its own", "setsid sleep 1000 & echo ready; sleep 1000"),
        ("a daemon by double fork", "(setsid sh -c 'sleep 1000 &' &); echo ready; sleep 1000"),
        ("closed streams", "echo ready; exec >&- 2>&-; sleep 1000"),
    ];
    for (what, script) in zoo {
        let process = shop.ready(script).await;
        process.kill();
        assert_eq!((end(process).await.0, shop.living()), (Exit::Signal(9), vec![]), "{what}");
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_dropped_command() {
    let shop = Shop::open().await;
    let process = shop.ready("setsid sleep 1000 & echo ready; sleep 1000").await;
    assert!(!shop.living().is_empty());
    drop(process);
    wait_for("all are gone", || shop.living().is_empty()).await;
}

#[tokio::test]
async fn a_process_outside_the_supervisor_is_seen_to_live() {
    // The control of all checks here: what nobody supervises is found by them.
    let tag = new_tag();
    let status = std::process::Command::new("sh")
        .args(["-c", "setsid sleep 1000 >/dev/null 2>&1 &"])
        .env("TASKWRIGHT_STORE", &tag)
        .status();
    assert!(status.expect("sh is there").success());
    // Met once: while it executes the next program its environment cannot be read for a moment.
    let mut orphans = Vec::new();
    wait_for("the orphan lives", || {
        orphans = living(&tag);
        orphans.len() == 1
    })
    .await;
    signal(orphans[0], "KILL");
    wait_for("the orphan is gone", || living(&tag).is_empty()).await;
}

#[tokio::test]
async fn two_hundred_children_die_together() {
    let shop = Shop::open().await;
    let script = "i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; echo ready; wait";
    let process = shop.ready(script).await;
    wait_for("all live", || shop.living().len() > 200).await;
    process.kill();
    assert_eq!((end(process).await.0, shop.living()), (Exit::Signal(9), vec![]));
}

/// Processes that fork and exit for ever, so that none of them lives long enough to be met twice.
const COMETS: &str = "
import os, sys
for _ in range(4):
    if os.fork() == 0:
        while True:
            if os.fork():
                os._exit(0)
            NEW_SESSION
print('ready', flush=True)
END
";

async fn comets(new_session: &str, end_of_leader: &str, expected: Exit) {
    let shop = Shop::open().await;
    let script = COMETS.replace("NEW_SESSION", new_session).replace("END", end_of_leader);
    let mut command = shop.command(&["python3", "-S", "-c", &script]);
    command.argv[0] = python();
    let mut process = shop.spawner.spawn(command).await.expect("python3 starts");
    let mut word = [0; 6];
    let stdout = process.stdout.as_mut().expect("there");
    within(stdout.read_exact(&mut word)).await.expect("it is ready");
    if expected == Exit::Signal(9) {
        process.kill();
    }
    assert_eq!((end(process).await.0, shop.living()), (expected, vec![]));
}

/// The interpreter itself: a wrapper script would add its own processes.
fn python() -> OsString {
    let found = std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    String::from_utf8(found.expect("python3 is there").stdout).expect("a path").trim().into()
}

#[tokio::test]
async fn processes_that_fork_and_exit_for_ever_are_caught() {
    comets("pass", "os.wait(); __import__('time').sleep(1000)", Exit::Signal(9)).await;
    comets("pass", "os._exit(0)", Exit::Code(0)).await;
}

#[tokio::test]
async fn processes_that_change_their_session_with_each_fork_are_caught() {
    comets("os.setsid()", "__import__('time').sleep(1000)", Exit::Signal(9)).await;
    comets("os.setsid()", "os._exit(0)", Exit::Code(0)).await;
}

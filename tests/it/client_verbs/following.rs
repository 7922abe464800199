//! `run` and `logs`: the log whole, the progress beside it, the result at the end.

use std::fs;

use super::{Shell, TASKS, begun};
use crate::support::server::TestServer;

#[tokio::test]
async fn run_gives_log_and_result_to_stdout_and_the_rest_to_stderr() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    let ran = shell.run("run greet").ended(0);
    let mut lines: Vec<_> = ran.out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "three", "two"], "{ran:?}");
    assert!(ran.err.starts_with("started 1  ") && ran.err.contains("completed 1 in "), "{ran:?}");

    let slept = shell.run("run sleep seconds=0.5").ended(0);
    assert_eq!(slept.out, "{\"slept\":0.5}\n");
    assert!(slept.err.lines().any(|line| line.starts_with("2 sleep running ")), "{slept:?}");

    let as_json = shell.run("run greet --json").ended(0);
    assert_eq!(as_json.json()["status"], "completed");
    assert!(as_json.err.contains("one\n"), "the log is on stderr: {as_json:?}");
    assert_eq!(shell.run("run greet -o none").ended(0).out, "");
    let id = shell.run("run greet -q").ended(0).out;
    assert_eq!(server.get(id.trim()).await["status"], "completed");
}

#[tokio::test]
async fn a_long_log_is_complete_when_run_ends() {
    let config = "[[tasks]]\nname = 'much'\ncommand = ['sh', '-c', 'seq 1 20000; echo end >&2; exit 3']\n";
    let server = TestServer::with_config(config).await;
    let shell = Shell::at(&server);
    let ran = shell.run("run much").ended(1);
    let expected: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
    let numbers: String = ran.out.lines().filter(|line| *line != "end").map(|line| format!("{line}\n")).collect();
    assert!(numbers == expected && ran.out.lines().count() == 20_001, "{} bytes", ran.out.len());
    assert!(shell.run("logs 1").ended(0).out == ran.out);
    assert!(shell.run("logs -f 1").ended(0).out == ran.out);
    let last = shell.run("logs 1 -n 15000").ended(0);
    assert_eq!(last.out.lines().count(), 15_000);
    assert_eq!(shell.run("logs 1 -n 2 --grep 1999").ended(0).out, "19998\n19999\n");
    assert_eq!(shell.run("logs 1 --stderr").ended(0).out, "end\n");
    assert_eq!(shell.run("logs 1 -n 0").ended(0).out, "");
    let stamped = shell.run("logs 1 --stderr -t").ended(0).out;
    let (time, text) = stamped.trim_end().split_once(' ').unwrap();
    assert!(time.ends_with('Z') && time.contains('T') && text == "end", "{stamped}");
    let lines = shell.run("logs 1 --stderr -o jsonl").ended(0).json();
    assert_eq!((&lines["text"], &lines["stream"]), (&"end".into(), &"stderr".into()));
    let page = shell.run("logs 1 --stderr --json").ended(0);
    assert_eq!(page.json(), server.get_json("/v1/instances/1/logs?stream=stderr&from=1").await);
}

#[tokio::test]
async fn a_followed_log_ends_with_its_instance() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    shell.run("start gate").ended(0);
    begun(&server, 1).await;
    let whole = shell.begin("logs -f 1");
    let from_the_end = shell.begin("logs -f -n 0 1");
    whole.settled().await;
    from_the_end.settled().await;
    fs::write(server.folder().join("go"), "").unwrap();
    assert_eq!(whole.end().await.ended(0).out, "begun\nopened\n");
    let ended = from_the_end.end().await.ended(0);
    assert!(ended.out.ends_with("opened\n"), "{ended:?}");
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let config = "[[tasks]]\nname = 'much'\ncommand = ['sh', '-c', 'while sleep 0.01; do echo line; done']\n";
    let server = TestServer::with_config(config).await;
    let shell = Shell::at(&server);
    shell.run("start much").ended(0);
    let mut following = shell.command("logs -f 1").stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(following.stdout.take());
    assert!(following.wait().unwrap().success());
    shell.run("stop 1 --force --wait").ended(0);
}

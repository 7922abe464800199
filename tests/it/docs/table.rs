//! The README's table of how to start, watch and stop: each line of curl and of `taskwright` is run, each of Rust is
//! compiled and run.

use std::time::Duration;

use serde_json::json;
use taskwright::Server;

use super::{
    blocks::Page,
    session::{Ran, Session},
};

/// A row: what it is for, and its cells without the signs of code.
struct Row {
    name: String,
    curl: String,
    taskwright: String,
    rust: String,
}

fn rows() -> Vec<Row> {
    let readme = Page::read("README.md").text;
    let section = readme.split("## Start, watch, stop").nth(1).expect("the section");
    let section = section.split("\n## ").next().expect("up to the next heading");
    let lines = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| |"));
    let rows = lines.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`')).collect();
        let [name, curl, taskwright, rust] = cells[..] else { panic!("four cells: {line}") };
        Row { name: name.into(), curl: curl.into(), taskwright: taskwright.into(), rust: rust.into() }
    });
    rows.collect()
}

/// The instance that `$id` is before a line.
#[derive(Clone, Copy)]
enum Before {
    Done,
    /// Done a moment later: what follows it ends.
    Brief,
    Long,
}

/// What each row needs, and what is in what curl and `taskwright` print.
const ROWS: &[(&str, Before, &str, &str)] = &[
    ("start", Before::Done, "\"task_id\":\"sleep\"", "started "),
    ("only check the inputs", Before::Done, "{\"valid\":true}", "valid"),
    ("start once, whatever the network does", Before::Done, "\"task_id\":\"sleep\"", "started "),
    ("its id, for a script", Before::Done, "", ""),
    ("status", Before::Long, "running", "running"),
    ("progress", Before::Brief, "0", "completed"),
    ("wait; fails if the task did", Before::Brief, "{\"slept\":1}", ""),
    ("start, and wait for the result", Before::Done, "\"status\":\"completed\"", "{\"slept\":1}"),
    ("every change as it comes", Before::Brief, "\"status\":\"completed\"", "\"status\":\"completed\""),
    ("every change of all that match", Before::Done, "event: ready", ""),
    ("follow the log", Before::Brief, "", ""),
    ("stop; the record stays", Before::Long, "\"id\":\"", ""),
    ("stop many", Before::Long, "{", ""),
    ("run again", Before::Done, "\"retry_of\":\"", "started "),
    ("list", Before::Long, "\"instances\": [", "running"),
    ("counts, throughput, durations", Before::Done, "\"completed\"", "\"completed\""),
];

/// Runs the lines of one column, each with an instance of its own.
async fn column(
    cell: impl Fn(&Row) -> String,
    expected: impl Fn(&(&str, Before, &'static str, &'static str)) -> &'static str,
) {
    let mut session = Session::start().await;
    for row in rows() {
        let known = ROWS.iter().find(|(name, ..)| *name == row.name);
        let known = known.unwrap_or_else(|| panic!("nothing is expected of the row {}: add it to ROWS", row.name));
        let seconds = match known.1 {
            Before::Done => 0.0,
            Before::Brief => 1.0,
            Before::Long => 60.0,
        };
        let id = session.server().start_task("sleep", json!({ "seconds": seconds })).await["id"].clone();
        let id = id.as_str().expect("an id").to_owned();
        match known.1 {
            Before::Done => drop(session.server().wait_done(&id).await),
            Before::Brief => {}
            Before::Long => drop(session.server().wait_running(&id).await),
        }
        // What has no end of its own is given one, and says so by its exit code.
        let line = cell(&row);
        let (line, code) = match row.name.as_str() {
            "every change of all that match" if line.starts_with("curl") => (format!("{line} --max-time 1"), 28),
            "every change of all that match" => (format!("{line} --timeout 1s"), 124),
            _ => (line, 0),
        };
        let ran: Ran = session.run(&format!("id={id}\n{line}")).await;
        assert_eq!(ran.code, code, "{}: {line}\n{}", row.name, ran.printed);
        assert!(!ran.printed.contains("/problems/"), "{}: {line}\n{}", row.name, ran.printed);
        assert!(ran.printed.contains(expected(known)), "{}: {line}\n{}", row.name, ran.printed);
        if line.starts_with("id=$(") {
            let started = session.run("echo $id").await.printed;
            session.server().get(started.trim()).await;
            assert_ne!(started.trim(), id);
        }
        if row.name == "stop; the record stays" {
            assert_eq!(session.server().wait_done(&id).await["status"], "cancelled", "{line}");
        }
    }
}

#[tokio::test]
async fn docs_table_curl() {
    column(|row| row.curl.clone(), |known| known.2).await;
}

#[tokio::test]
async fn docs_table_taskwright() {
    column(|row| row.taskwright.clone(), |known| known.3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docs_table_rust() {
    let code = include_str!("table.rs").split("/// The third column").last().expect("the function below");
    let code: String = code.split_whitespace().collect();
    for row in rows() {
        let dense: String = row.rust.split_whitespace().collect();
        assert!(code.contains(&dense), "{}: `{}` is not run below", row.name, row.rust);
    }
    every_line_of_rust().await.expect("what the README does");
}

/// The third column, in its order.
#[rustfmt::skip]
async fn every_line_of_rust() -> Result<(), Box<dyn std::error::Error>> {
    let tasks = Server::temporary().register_with(|registry| { registry.register(taskwright::handlers::Sleep); }).start().await?;
    let instance = tasks.run_task("sleep", json!({"seconds": 60})).await?;
    tasks.run_task("sleep", json!({"seconds": 1})).idempotency_key("my-key").await?;
    let id = instance.id();
    let status = instance.get_status().await?;
    let progress = instance.get_progress().await?;
    assert_eq!((tasks.get_task_instance(id).await?.number(), status.as_str()), (instance.number(), "running"));
    assert!(progress.value() < 1.0);
    instance.stop().await?;
    assert!(instance.wait_for_completion().await.is_err(), "it was stopped");
    let instance = tasks.run_task("sleep", json!({"seconds": 1})).block().await?;
    let result = instance.wait_for_completion().await?;
    assert_eq!(result.to_string(), "{\"slept\":1}");
    let mut watch = instance.watch().await?;
    assert_eq!(watch.done().await.status().as_str(), "completed");
    let all = tasks.list_task_instances("sleep").await?;
    assert_eq!(all.len(), 3);
    tokio::time::timeout(Duration::from_secs(20), tasks.shutdown()).await??;
    Ok(())
}

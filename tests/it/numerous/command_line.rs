//! The command line `numerous` of the package.

use std::process::Output;

use serde_json::{Value, json};

use super::package::{TASKS, daemon, daemon_with, program};
use crate::support::server::TestServer;

/// Runs `numerous task …`.
fn numerous(server: &TestServer, arguments: &[&str]) -> Output {
    let mut command = program(server, "numerous");
    command.env("NUMEROUS_GRAPHQL_HTTP_URL", server.url("/query")).env("NUMEROUS_ACCESS_TOKEN", "any");
    command.env("NUMEROUS_GRAPHQL_WS_URL", server.url("/query").replace("http:", "ws:"));
    command.arg("task").args(arguments).output().expect("the command line runs")
}

/// What it has said; it must have ended well. Results go to stderr too.
fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}\n{}", output.status, said(output));
    said(output)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const APP: [&str; 4] = ["--organization", "my-organization", "--app", "my-app"];

fn of_app(server: &TestServer, arguments: &[&str]) -> Output {
    numerous(server, &[arguments, &APP].concat())
}

/// The value behind `name:` in what was printed.
fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_else(|| panic!("no {name} in:\n{text}")).trim()
}

/// Starts an instance and answers its id.
fn create(server: &TestServer, arguments: &[&str]) -> String {
    let text = printed(&of_app(server, &[&["instance", "create"], arguments].concat()));
    let id = text.split_whitespace().find(|word| word.len() == 36 && word.matches('-').count() == 4);
    id.unwrap_or_else(|| panic!("no id in:\n{text}")).to_owned()
}

#[tokio::test]
async fn numerous_task_list_and_instances() {
    let server = daemon("").await;
    let text = printed(&of_app(&server, &["list"]));
    for task in TASKS {
        assert!(
            text.lines().any(|line| line.split_once("ID:").is_some_and(|(_, id)| id.trim() == task)),
            "{task}:\n{text}"
        );
    }
    assert!(text.contains("numerous-executor app.py"), "{text}");
    let id = create(&server, &["add", "--input", "{\"a\": 1, \"b\": 2}"]);
    server.wait_done(&id).await;
    let text = printed(&of_app(&server, &["instances", "add"]));
    assert!(text.contains(&id) && text.contains("STOPPED"), "{text}");
    assert!(!printed(&of_app(&server, &["instances", "no-such-task"])).contains(&id));
}

#[tokio::test]
async fn numerous_task_instance_create_get_and_stop() {
    let server = daemon("").await;
    let add = create(&server, &["add", "--input", "{\"a\": 1, \"b\": 41}"]);
    server.wait_done(&add).await;
    let text = printed(&numerous(&server, &["instance", "get", &add]));
    let stored = server.get(&add).await;
    assert_eq!((value(&text, "Instance"), value(&text, "Task"), value(&text, "Status")), (&*add, "add", "STOPPED"));
    assert_eq!((value(&text, "Input"), value(&text, "Output")), (r#"{"a":1,"b":41}"#, r#"{"result":42}"#));
    assert_eq!(value(&text, "Command"), "numerous-executor app.py");
    assert_eq!(value(&text, "Progress"), "25.0");
    assert!(
        stored["created_at"].as_str().is_some_and(|time| time.starts_with(&value(&text, "Created")[..19])),
        "{text}"
    );
    assert!(text.contains("Exit") && text.contains('0'), "{text}");

    let exits = create(&server, &["exits", "--input", "{\"code\": 3}"]);
    let fails = create(&server, &["fails"]);
    let crashes = create(&server, &["crashes"]);
    for (id, code) in [(&exits, "3"), (&fails, "1"), (&crashes, "139")] {
        server.wait_done(id).await;
        let text = printed(&numerous(&server, &["instance", "get", id]));
        assert_eq!(value(&text, "Status"), "ERROR");
        assert!(text.lines().any(|line| line.contains("Exit") && line.ends_with(code)), "{text}");
    }

    let waits = create(&server, &["waits"]);
    server.wait_until(&waits, "half", |instance| instance["progress"] == 0.5).await;
    let text = printed(&numerous(&server, &["instance", "get", &waits]));
    assert_eq!((value(&text, "Status"), value(&text, "Progress")), ("RUNNING", "50.0"));
    assert!(printed(&numerous(&server, &["instance", "stop", &waits])).contains(&waits));
    assert_eq!(server.wait_done(&waits).await["status"], "cancelled");
    let text = printed(&numerous(&server, &["instance", "get", &waits]));
    assert_eq!(value(&text, "Status"), "STOPPED");
    // Stopped again: nothing changes.
    assert!(printed(&numerous(&server, &["instance", "stop", &waits])).contains(&waits));
}

#[tokio::test]
async fn numerous_text_and_files_are_inputs() {
    let server = daemon("").await;
    let text = create(&server, &["echoes", "--input", "héllo [wörld"]);
    std::fs::write(server.folder().join("input.txt"), "from\na \"file\"").expect("a file can be written");
    let file = create(&server, &["echoes", "--input-file", "input.txt"]);
    for (id, raw) in [(text, "héllo [wörld"), (file, "from\na \"file\"")] {
        let done = server.wait_done(&id).await;
        assert_eq!(done["result"], json!({ "_raw": raw }));
        let told = printed(&numerous(&server, &["instance", "get", &id]));
        assert!(told.contains(raw), "{told}");
    }
}

#[tokio::test]
async fn numerous_tells_what_is_unknown_or_not_allowed() {
    let tasks = "[[tasks]]\nname = \"photo\"\ncommand = \"true\"\napp_id = \"photos\"\n";
    let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let server = daemon("").await;
    let told = |output: &Output| {
        assert!(!output.status.success());
        said(output)
    };
    let text = told(&of_app(&server, &["instance", "create", "no-such-task"]));
    assert!(text.contains("not found"), "{text}");
    for verb in ["get", "stop"] {
        let text = told(&numerous(&server, &["instance", verb, "00000000-0000-7000-8000-000000000000"]));
        assert!(text.contains("task instance not found"), "{text}");
    }
    // A token that only reads: "test".
    let reader =
        daemon_with(&format!("{tasks}[[tokens]]\nname = \"r\"\nsha256 = \"{hash}\"\nscopes = [\"read\"]\n")).await;
    let run = |arguments: &[&str]| {
        let mut command = program(&reader, "numerous");
        command.env("NUMEROUS_GRAPHQL_HTTP_URL", reader.url("/query")).env("NUMEROUS_ACCESS_TOKEN", "test");
        command.arg("task").args(arguments).output().expect("the command line runs")
    };
    let photos = ["--organization", "o", "--app", "photos"];
    assert!(printed(&run(&[&["list"], &photos[..]].concat())).contains("photo"));
    let text = told(&run(&[&["instance", "create", "photo"], &photos[..]].concat()));
    assert!(text.to_lowercase().contains("access denied"), "{text}");
    let none: Value = reader
        .client()
        .get(reader.url("/v1/instances"))
        .bearer_auth("test")
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    assert_eq!(none["instances"], json!([]));
}

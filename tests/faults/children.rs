//! Commands of every kind: each ends as it did, and nothing is left of any of them, whoever dies first.

mod deaths;
mod processes;
mod stops;
mod zoo;

use std::time::Duration;

use serde_json::Value;

use crate::support::server::TestServer;

/// A task that runs a shell line, with options in TOML.
fn shell(name: &str, line: &str, options: &str) -> String {
    let line = line.replace('\\', "\\\\").replace('"', "\\\"");
    format!("[[tasks]]\nname = \"{name}\"\ncommand = [\"sh\", \"-c\", \"{line}\"]\n{options}\n")
}

/// A number of seconds that no other test sleeps: it names whoever sleeps so long, also with another environment.
fn long_time() -> String {
    format!("6{:07}", std::process::id())
}

/// Starts an instance and waits for its end, in one request.
async fn run(server: &TestServer, task: &str, inputs: &Value) -> Value {
    let url = server.url(&format!("/v1/definitions/{task}/instances?wait=60"));
    let answer = server.client().post(url).json(inputs).send().await.expect("an answer");
    let status = answer.status();
    let instance: Value = answer.json().await.expect("JSON");
    assert_eq!(status, 201, "{instance}");
    instance
}

/// Stops an instance and waits for its end, in one request.
async fn stop(server: &TestServer, instance: &Value, grace: Duration) -> Value {
    let path = format!("/v1/instances/{}?wait=60&grace={}ms", instance["number"], grace.as_millis());
    let answer = server.client().delete(server.url(&path)).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    answer.json().await.expect("JSON")
}

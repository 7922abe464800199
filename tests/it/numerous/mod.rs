//! The published `numerous` package and its command line against Taskwright, unchanged.

mod command_line;
mod docs;
mod executor;
mod package;
mod query;
mod query_bounds;
mod sdk;
mod side_by_side;
mod socket;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::support::server::TestServer;

/// Asks `/query`, and answers what it said: HTTP 200 whatever it is.
async fn ask(server: &TestServer, query: &str, variables: Value) -> Value {
    ask_as(server, None, query, variables).await
}

/// [`ask`], with a bearer token.
async fn ask_as(server: &TestServer, token: Option<&str>, query: &str, variables: Value) -> Value {
    let mut request = server.client().post(server.url("/query")).json(&json!({"query": query, "variables": variables}));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"application/json".parse().unwrap())
    );
    answer.json().await.expect("JSON")
}

/// The message of the only error of an answer.
fn refusal(answer: &Value) -> &str {
    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(1), "{answer}");
    answer["errors"][0]["message"].as_str().expect("a message")
}

fn base64(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

/// What the package and the command line ask of an instance, in the words of the latter.
const INSTANCE: &str = "query CLIGetTaskInstance($taskInstanceID: ID!) { taskInstance(taskInstanceID: $taskInstanceID) { \
    id createdAt input output progress { value message } task { id command } workload { status startedAt \
    cpuUsage { current } memoryUsageMB { current } exitCode } } }";

/// The instance as `/query` tells it.
async fn instance(server: &TestServer, id: &str) -> Value {
    let answer = ask(server, INSTANCE, json!({"taskInstanceID": id})).await;
    assert_eq!(answer.get("errors"), None, "{answer}");
    answer["data"]["taskInstance"].clone()
}

//! The Python package as the calling side: `NUMEROUS_EXECUTOR=NUMEROUS_PLATFORM_EXECUTOR`.

use std::fs;

use serde_json::{Value, json};

use super::{
    ask, base64,
    package::{TASKS, daemon, printed, program},
};
use crate::support::server::TestServer;

/// What one scene of `scenes.py` has seen.
fn scene(server: &TestServer, arguments: &[&str]) -> Value {
    fs::write(server.folder().join("scenes.py"), include_str!("scenes.py")).expect("the scenes can be written");
    let mut python = program(server, "python3");
    python.env("NUMEROUS_EXECUTOR", "NUMEROUS_PLATFORM_EXECUTOR").env("NUMEROUS_API_URL", server.url("/query"));
    python.env("NUMEROUS_API_ACCESS_TOKEN", "any").env("NUMEROUS_ORGANIZATION_ID", "my-organization");
    python.env("NUMEROUS_DEPLOYMENT_ID", "my-deployment").arg("scenes.py").args(arguments);
    let output = printed(&python.output().expect("Python runs"));
    serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
}

#[tokio::test]
async fn numerous_calls_run_as_instances() {
    let server = daemon("").await;
    let seen = scene(&server, &["calls"]);
    let end = |name: &str| {
        let seen = &seen[name];
        (seen["status"].as_str().expect("a status"), seen["result"].clone(), seen["output"].clone())
    };
    let nested = json!({"ü": [null, true, 1.5, {"deep": "né 日本 😀"}]});
    let text = "é \"\\\n日本 😀";
    let items = json!([1, 2.5, null, {"a": [true]}]);
    let named = json!({"text": text, "items": items, "nested": nested});
    assert_eq!(end("add"), ("completed", json!(42), json!({"result": 42})));
    assert_eq!(end("default"), ("completed", json!(2), json!({"result": 2})));
    assert_eq!(end("named"), ("completed", named.clone(), json!({ "result": named })));
    assert_eq!(end("reports"), ("completed", json!(4), json!({"result": 4, "of": 4})));
    assert_eq!(end("both"), ("completed", json!("the end"), json!({"result": "the end", "kept": true})));
    assert_eq!(end("stops_itself"), ("cancelled", json!("done"), json!({"result": "done"})));
    assert_eq!(end("echoes"), ("completed", json!({}), json!({"result": {}})));
    for name in ["fails", "crashes", "exits", "status", "no_json"] {
        assert_eq!(end(name), ("failed", Value::Null, json!({})), "{name}");
    }
    assert_eq!((&seen["long"], &seen["waited"]), (&json!([200_000, true]), &json!(42)));
    assert_eq!(seen["add"]["inputs"], json!({"a": 2, "b": 40}));
    assert_eq!(seen["named"]["inputs"], json!({"text": text, "items": items}));
    assert_eq!((&seen["add"]["progress"], &seen["reports"]["progress"]), (&json!(0.25), &json!(1.0)), "never forced");
    assert_eq!(seen["named"]["task_id"], "Task Test");

    // The same through the other door.
    let stored = server.get(seen["add"]["id"].as_str().expect("an id")).await;
    assert_eq!((&stored["result"], &stored["inputs"]), (&json!(42), &json!({"a": 2, "b": 40})));
    let created = stored["created_at"].as_str().expect("a time").replace('Z', "+00:00");
    assert_eq!(seen["add"]["created_at"], created);
    let error = async |name: &str| server.get(seen[name]["id"].as_str().expect("an id")).await["error"].clone();
    assert_eq!(error("fails").await["message"], "ValueError: no such luck");
    assert_eq!(error("crashes").await["signal_name"], "SIGSEGV");
    assert_eq!(error("exits").await["exit_code"], 3);
    let status = error("status").await["message"].as_str().expect("a message").to_owned();
    assert!(status.starts_with("NotImplementedError: Cannot set status in platform mode"), "{status}");
    assert_eq!(
        error("no_json").await["message"],
        "numerous-executor: what the task returned cannot be written as JSON: Object of type set is not JSON serializable"
    );
    server.fsck();
}

#[tokio::test]
async fn numerous_stops_reach_what_runs() {
    let server = daemon("").await;
    let seen = scene(&server, &["stops"]);
    assert_eq!(seen["running"]["status"], "running");
    for ended in seen["ended"].as_array().expect("two") {
        assert_eq!(
            (&ended["status"], &ended["progress"], &ended["is_done"]),
            (&json!("cancelled"), &json!(0.5), &json!(true))
        );
    }
    assert_eq!(seen["again"], seen["ended"][0]);
}

#[tokio::test]
async fn numerous_twelve_at_once_get_their_own_results() {
    let server = daemon("").await;
    assert_eq!(scene(&server, &["twelve"]), json!((100..112).collect::<Vec<_>>()));
}

#[tokio::test]
async fn numerous_lists_and_unknown_things() {
    let server = daemon("").await;
    let seen = scene(&server, &["lists"]);
    let names: Vec<&str> =
        seen["definitions"].as_array().expect("a list").iter().map(|one| one[0].as_str().expect("an id")).collect();
    for task in TASKS.iter().chain(&["sleep", "checksum"]) {
        assert!(names.contains(task), "{task}: {names:?}");
    }
    let add = seen["definitions"].as_array().and_then(|all| all.iter().find(|one| one[0] == "add")).expect("add");
    assert_eq!(*add, json!(["add", "add", ["numerous-executor", "app.py"]]));
    assert_eq!((&seen["definition"], &seen["no_definition"]), (&json!("add"), &Value::Null));
    let listed: Vec<&Value> = seen["listed"].as_array().expect("a list").iter().map(|one| &one["id"]).collect();
    assert_eq!(listed, [&seen["ids"][1], &seen["ids"][0]], "newest first");
    assert_eq!(seen["by_function"], json!([]), "the package asks with an id of its own making");
    assert_eq!(seen["no_instance"], json!([null, null, null]));
    assert_eq!(seen["lost"], "00000000-0000-7000-8000-000000000000");
    let unknown = seen["unknown"].as_str().expect("an error");
    assert_eq!(unknown.split(':').next(), Some("GraphQLClientGraphQLMultiError"));
    assert!(unknown.contains("not found"), "{unknown}");
}

#[tokio::test]
async fn numerous_text_is_seen_as_the_package_sees_it() {
    let server = daemon("").await;
    let input = json!({"organizationSlug": "o", "deployID": "d", "taskName": "echoes", "input": base64("just [text")});
    let query = "mutation($input: TaskStartInput!) { taskStart(input: $input) { id } }";
    let answer = ask(&server, query, json!({ "input": input })).await;
    let id = answer["data"]["taskStart"]["id"].as_str().expect("an id");
    server.wait_done(id).await;
    let seen = scene(&server, &["text", id]);
    assert_eq!(seen["inputs"], json!({"_raw": "just [text"}));
    assert_eq!(seen["result"], json!({"_raw": "just [text"}));
}

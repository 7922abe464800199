//! Stops of many: which instances they reach, what they count, what they leave alone.

use serde_json::{Value, json};

use crate::{contract::Api, support::wait_for};

const STOP: &str = "/v1/instances/stop";

/// A handler, and a program that does not end by a SIGTERM.
const CONFIG: &str = "[worker]\nlocal_slots = 1\ncommand_slots = 1\n[[tasks]]\nname = \"stubborn\"\n\
    command = [\"sh\", \"-c\", \"trap '' TERM; echo ready; while :; do sleep 1; done\"]\n";

/// Starts a `sleep` with these options, and answers its id.
async fn start(api: &Api, options: &str) -> String {
    let answer = api.post(&format!("/v1/definitions/sleep/instances?{options}"), r#"{"seconds":600}"#).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn stop(api: &Api, filter: Value) -> Value {
    let answer = api.post(STOP, &filter.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

async fn status(api: &Api, id: &str) -> String {
    api.text(&format!("/v1/instances/{id}/status")).await.text.trim_end().to_owned()
}

fn counts(cancelled: u64, stopping: u64) -> Value {
    json!({"matched": cancelled + stopping, "cancelled": cancelled, "stopping": stopping})
}

#[tokio::test]
async fn each_member_of_a_filter_narrows() {
    let api = Api::with_config(CONFIG).await;
    let running = start(&api, "").await;
    let old = start(&api, "label=run:1").await;
    let born = api.get(&format!("/v1/instances/{old}")).await.json()["created_at"].clone();
    let both = start(&api, "label=run:1&label=kind:a").await;
    let later = start(&api, "delay=1h&label=run:2").await;
    let other = api.post("/v1/definitions/stubborn/instances?delay=1h&label=run:1", "{}").await.json();
    let other = other["id"].as_str().unwrap();

    assert_eq!(stop(&api, json!({"task_id": "nothing"})).await, counts(0, 0));
    assert_eq!(stop(&api, json!({"labels": {"run": "3"}})).await, counts(0, 0));
    assert_eq!(stop(&api, json!({"created_before": "-1h"})).await, counts(0, 0));
    assert_eq!(stop(&api, json!({"status": ["completed", "failed", "cancelled"]})).await, counts(0, 0));

    assert_eq!(stop(&api, json!({"labels": {"run": "1", "kind": "a"}})).await, counts(1, 0));
    assert_eq!(status(&api, &both).await, "cancelled");
    assert_eq!(stop(&api, json!({"task_id": "stubborn", "labels": {"run": "1"}})).await, counts(1, 0));
    assert_eq!(status(&api, other).await, "cancelled");
    assert_eq!(stop(&api, json!({"created_before": born})).await, counts(0, 1));
    assert_eq!(api.get(&format!("/v1/instances/{running}?wait")).await.json()["status"], "cancelled");
    api.server.wait_running(&old).await;
    assert_eq!(stop(&api, json!({"status": ["pending"]})).await, counts(1, 0));
    assert_eq!((status(&api, &later).await.as_str(), status(&api, &old).await.as_str()), ("cancelled", "running"));
    assert_eq!(stop(&api, json!({"status": ["running", "completed"]})).await, counts(0, 1));
    assert_eq!(api.get(&format!("/v1/instances/{old}?wait")).await.json()["status"], "cancelled");
    assert_eq!(stop(&api, json!({"all": true})).await, counts(0, 0));
    api.server.fsck();
}

#[tokio::test]
async fn what_runs_is_told_and_what_waits_is_cancelled() {
    let api = Api::with_config(CONFIG).await;
    let stubborn = api.post("/v1/definitions/stubborn/instances", "{}").await.json();
    let stubborn = stubborn["id"].as_str().unwrap().to_owned();
    wait_for("the program", async || {
        api.text(&format!("/v1/instances/{stubborn}/logs")).await.text.contains("ready").then_some(())
    })
    .await;
    let sleeping = start(&api, "").await;
    let waiting = start(&api, "").await;
    let scheduled = start(&api, "delay=1h").await;

    // A stop of many is seen by those who wait for one.
    let (path, filter) = (format!("/v1/instances/{waiting}?wait=20"), json!({"all": true, "grace": "1h"}));
    let (seen, stopped) = tokio::join!(api.get(&path), stop(&api, filter.clone()));
    assert_eq!((seen.json()["status"].clone(), stopped), (json!("cancelled"), counts(2, 2)));
    assert_eq!(status(&api, &scheduled).await, "cancelled");
    assert_eq!(api.get(&format!("/v1/instances/{sleeping}?wait")).await.json()["status"], "cancelled");
    let deadline = api.get(&format!("/v1/instances/{stubborn}")).await.json()["stop_deadline"].clone();
    assert_ne!(deadline, Value::Null);

    // One that is stopping already still counts, and only a nearer deadline changes it.
    assert_eq!(stop(&api, filter).await, counts(0, 1));
    assert_eq!(api.get(&format!("/v1/instances/{stubborn}")).await.json()["stop_deadline"], deadline);
    assert_eq!(stop(&api, json!({"task_id": "stubborn", "force": true, "grace": "1h"})).await, counts(0, 1));
    assert_eq!(api.get(&format!("/v1/instances/{stubborn}?wait")).await.json()["status"], "cancelled");
    api.server.fsck();
}

#[tokio::test]
async fn thousands_are_stopped_at_once() {
    let api = Api::with_config(CONFIG).await;
    let item = r#"{"task_id":"sleep","inputs":{"seconds":600}}"#;
    let body = format!("{{\"instances\":[{}]}}", vec![item; 5_000].join(","));
    assert_eq!(api.post("/v1/instances/batch", &body).await.status, 201);
    assert_eq!(stop(&api, json!({"task_id": "sleep"})).await, counts(4_999, 1));
    api.get("/v1/instances/1?wait").await;
    assert_eq!(api.get("/v1/instances?status=pending,running").await.json()["instances"], json!([]));
    let metrics = api.get("/metrics").await.text;
    assert!(metrics.lines().any(|line| line.contains("pending") && line.ends_with(" 0")), "{metrics}");
    assert_eq!(start(&api, "").await.len(), 36);
    api.server.fsck();
}

#[tokio::test]
async fn a_stop_of_many_says_what_it_wants() {
    let api = Api::start().await;
    let id = api.sleep(600.0).await;
    for (body, places) in [
        ("{}", vec![""]),
        (r#"{"all":false,"force":true}"#, vec![""]),
        (r#"{"all":true,"labels":{"k":"v"}}"#, vec!["/all"]),
        (r#"{"al":true}"#, vec!["/al", ""]),
        (r#"{"all":true,"grace":"2h"}"#, vec!["/grace"]),
    ] {
        let refused = api.post(STOP, body).await;
        assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid-request"), "{body}");
        assert_eq!(refused.places(), places, "{body}");
    }
    assert!(api.post(STOP, r#"{"al":true}"#).await.text.contains("did you mean `all`?"));
    assert_eq!(api.post(STOP, "").await.problem(), "malformed-request");
    assert_eq!(api.post(&format!("{STOP}?all=true"), r#"{"all":true}"#).await.problem(), "malformed-request");
    let typed = api.send("POST", STOP, &[("content-type", "text/plain")], Some(r#"{"all":true}"#)).await;
    assert_eq!(typed.status, 415);
    assert_eq!(api.send("GET", STOP, &[], None).await.status, 405);
    assert_eq!(status(&api, &id).await, "running");
}

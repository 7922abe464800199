//! Retries, delays, order, limits in time, the drain, and what follows a change.

use std::time::{Duration, Instant};

use reqwest::Response;
use serde_json::{Value, json};

use crate::support::{server::TestServer, wait_for};

/// A task that runs a shell line, with options in TOML.
fn shell(name: &str, line: &str, options: &str) -> String {
    let line = line.replace('\\', "\\\\").replace('"', "\\\"");
    format!("[[tasks]]\nname = \"{name}\"\ncommand = [\"sh\", \"-c\", \"{line}\"]\n{options}\n")
}

async fn post(server: &TestServer, path: &str, body: &Value) -> Response {
    server.client().post(server.url(path)).json(body).send().await.expect("an answer")
}

async fn started(server: &TestServer, path: &str, body: &Value) -> Value {
    let answer = post(server, path, body).await;
    let status = answer.status();
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(status, 201, "{body}");
    body
}

#[tokio::test]
async fn a_failed_attempt_is_retried_with_backoff_and_its_error_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = format!(
        "echo run >>{0}/runs; echo \"n$(wc -l <{0}/runs)\" >&2; [ $(wc -l <{0}/runs) -ge 3 ] && exit 0; exit 9",
        folder.path().display()
    );
    let config = shell("third", &line, "max_attempts = 5\nretry_delay = \"200ms\"");
    let server = TestServer::with_config(&config).await;
    let began = Instant::now();
    let instance = server.start_task("third", json!({})).await;
    let waiting = server
        .wait_until(&instance["number"], "waiting for its next attempt", |one| {
            one["status"] == "pending" && one["attempt"] == 1
        })
        .await;
    assert_eq!(waiting["pending_reason"], "retrying");
    assert!(waiting["started_at"].is_string() && waiting["node"].is_string(), "the last attempt's stay");
    let done = server.wait_done(&instance["number"]).await;
    assert_eq!((&done["status"], &done["attempt"], &done["error"]), (&json!("completed"), &json!(3), &Value::Null));
    // 200 ms, then 400 ms, each give or take a fifth.
    assert!((450..2500).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    let attempts = server.get_json(&format!("/v1/instances/{}/attempts", instance["number"])).await;
    let ends: Vec<_> =
        attempts["attempts"].as_array().expect("a list").iter().map(|one| (&one["ended"], &one["exit_code"])).collect();
    assert_eq!(ends, [(&json!("failed"), &json!(9)), (&json!("failed"), &json!(9)), (&json!("completed"), &json!(0))]);
    assert_eq!(attempts["attempts"][0]["error"]["message"], "n1");
    let log = server.get_json(&format!("/v1/instances/{}/logs?stream=system", instance["number"])).await;
    let lines = log["lines"].as_array().expect("lines");
    assert_eq!(lines.len(), 2, "each old error is told: {log}");
    assert!(lines[0]["text"].as_str().expect("text").contains("n1"));
    server.fsck();
}

#[tokio::test]
async fn higher_priority_runs_first_then_the_older() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = format!("cat $TASKWRIGHT_INPUT_FILE >>{}/order; echo >>{0}/order", folder.path().display());
    let line = line.replace("{0}", &folder.path().display().to_string());
    let config =
        "[worker]\ncommand_slots = 1\n".to_owned() + &shell("blocks", "sleep 0.4", "") + &shell("order", &line, "");
    let server = TestServer::with_config(&config).await;
    server.start_task("blocks", json!({})).await;
    let mut last = Value::Null;
    for (name, priority) in [("a", 0), ("b", 5), ("c", 0), ("d", 5), ("e", -3)] {
        let body = json!({"task_id": "order", "inputs": {"n": name}, "priority": priority});
        last = started(&server, "/v1/instances", &body).await;
        assert_eq!((&last["status"], &last["pending_reason"]), (&json!("pending"), &json!("slots")));
    }
    server.wait_done(&last["number"]).await;
    let order = std::fs::read_to_string(folder.path().join("order")).expect("the order");
    let order: String = order.chars().filter(|c| "abcde".contains(*c)).collect();
    assert_eq!(order, "bdace");
}

#[tokio::test]
async fn concurrency_bounds_a_task_and_no_other() {
    let config = shell("one", "sleep 0.3", "concurrency = 1") + &shell("other", "true", "");
    let server = TestServer::with_config(&config).await;
    let mut ones = Vec::new();
    for _ in 0..3 {
        ones.push(server.start_task("one", json!({})).await);
    }
    // A saturated task at the head of the queue holds up nobody else.
    let other = started(&server, "/v1/definitions/other/instances?wait=10", &json!({})).await;
    assert_eq!(other["status"], "completed");
    let mut spans = Vec::new();
    for one in &ones {
        let done = server.wait_done(&one["number"]).await;
        spans.push((
            done["started_at"].as_str().expect("a time").to_owned(),
            done["finished_at"].as_str().expect("a time").to_owned(),
        ));
    }
    spans.sort();
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "two ran at once: {spans:?}");
}

#[tokio::test]
async fn a_start_can_be_delayed_and_its_time_survives_a_restart() {
    let mut server = TestServer::start().await;
    let body = json!({"task_id": "sleep", "inputs": {"seconds": 0}, "delay": "1s"});
    let delayed = started(&server, "/v1/instances", &body).await;
    assert_eq!((&delayed["status"], &delayed["pending_reason"]), (&json!("pending"), &json!("scheduled")));
    let past = json!({"task_id": "sleep", "inputs": {"seconds": 0}, "run_at": "2001-01-01T00:00:00Z"});
    let past = started(&server, "/v1/instances?wait=5", &past).await;
    assert_eq!((&past["status"], &past["run_at"]), (&json!("completed"), &past["created_at"]));
    server.kill9();
    server.restart().await;
    let done = server.wait_done(&delayed["number"]).await;
    assert_eq!(done["status"], "completed");
    assert!(done["started_at"].as_str() >= delayed["run_at"].as_str());
    let both = json!({"task_id": "sleep", "inputs": {"seconds": 0}, "delay": 1, "run_at": "2001-01-01T00:00:00Z"});
    assert_eq!(post(&server, "/v1/instances", &both).await.status(), 422);
}

#[tokio::test]
async fn a_batch_is_all_or_nothing_and_in_order() {
    let server = TestServer::start().await;
    let item = |seconds: f64| json!({"task_id": "sleep", "inputs": {"seconds": seconds}});
    let many: Vec<_> = (0..500).map(|_| item(0.0)).collect();
    let batch = started(&server, "/v1/instances/batch", &json!({"instances": many})).await;
    let numbers: Vec<_> = batch["instances"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["number"].as_u64().expect("a number"))
        .collect();
    assert_eq!(numbers.len(), 500);
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
    assert_eq!(batch["instances"][0].get("inputs"), None, "summaries");
    let faulty = json!({"instances": [item(0.0), item(-1.0), {"task_id": "nothing", "inputs": {}}, {"task_id": "sleep", "inputs": {"seconds": 0}, "priorty": 1}]});
    let answer = post(&server, "/v1/instances/batch", &faulty).await;
    assert_eq!(answer.status(), 422);
    let problem: Value = answer.json().await.expect("JSON");
    let pointers: Vec<_> = problem["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| error["pointer"].as_str().expect("a pointer"))
        .collect();
    assert_eq!(pointers, ["/instances/1/inputs/seconds", "/instances/2/task_id", "/instances/3/priorty"]);
    let newest = server.get_json("/v1/instances?limit=1").await;
    assert_eq!(newest["instances"][0]["number"], json!(numbers[499]), "nothing of it was made");
}

#[tokio::test]
async fn a_done_instance_is_run_again_as_a_new_one() {
    let server = TestServer::start().await;
    let first =
        started(&server, "/v1/definitions/sleep/instances?wait=5&label=k:v&priority=3", &json!({"seconds": 0})).await;
    let retry = format!("/v1/instances/{}/retry", first["number"]);
    let again = server.client().post(server.url(&retry)).send().await.expect("an answer");
    assert_eq!(again.status(), 201);
    let again: Value = again.json().await.expect("JSON");
    assert_eq!(
        (&again["retry_of"], &again["labels"], &again["priority"]),
        (&first["id"], &json!({"k": "v"}), &json!(3))
    );
    assert_eq!(again["inputs"], json!({"seconds": 0}));
    let other = started(&server, &retry, &json!({"inputs": {"seconds": 0.01}, "priority": 1})).await;
    assert_eq!((&other["inputs"], &other["priority"]), (&json!({"seconds": 0.01}), &json!(1)));
    assert_eq!(post(&server, &retry, &json!({"inputs": {"seconds": "x"}})).await.status(), 422);
    let runs = server.start_task("sleep", json!({"seconds": 60})).await;
    let early = post(&server, &format!("/v1/instances/{}/retry", runs["number"]), &json!({})).await;
    assert_eq!(early.status(), 409);
    assert_eq!(early.json::<Value>().await.expect("JSON")["type"], "/problems/instance-not-done");
}

#[tokio::test]
async fn every_change_of_an_instance_is_an_event_and_the_last_one_closes() {
    let server = TestServer::start().await;
    let instance = server.start_task("sleep", json!({"seconds": 0.35})).await;
    let url = server.url(&format!("/v1/instances/{}/events", instance["number"]));
    let answer = server.client().get(&url).header("accept", "application/x-ndjson").send().await.expect("an answer");
    let events = answer.text().await.expect("text");
    let events: Vec<Value> =
        events.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(events.len() >= 3, "{events:?}");
    let versions: Vec<u64> = events.iter().map(|event| event["data"]["version"].as_u64().expect("a version")).collect();
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
    assert!(
        events.iter().all(|event| event["event"] == "instance"
            && event["id"].as_str() == Some(&*event["data"]["version"].to_string()))
    );
    let last = events.last().expect("an event");
    assert_eq!((&last["data"]["status"], &last["data"]["output"]), (&json!("completed"), &json!({"slept": 0.35})));
    // A reconnect with nothing left is told to stay away; one that has missed something gets the newest.
    let resume = async |id: u64| {
        let request =
            server.client().get(&url).header("accept", "text/event-stream").header("last-event-id", id.to_string());
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    let newest = versions[versions.len() - 1];
    assert_eq!(resume(newest).await, (204, String::new()));
    let (code, text) = resume(newest - 1).await;
    assert_eq!(code, 200);
    assert!(text.contains(&format!("event: instance\nid: {newest}\ndata: {{")), "{text}");
}

#[tokio::test]
async fn a_client_may_wait_for_a_change_or_for_the_end() {
    let server = TestServer::start().await;
    let instance = server.start_task("sleep", json!({"seconds": 0.3})).await;
    let path = format!("/v1/instances/{}", instance["number"]);
    let version = instance["version"].as_u64().expect("a version");
    let changed = server.get_json(&format!("{path}?wait=10&since={version}")).await;
    assert!(changed["version"].as_u64().expect("a version") > version);
    let done = server.get_json(&format!("{path}?wait=10")).await;
    assert_eq!(done["status"], "completed");
    let head = server.client().get(server.url(&path)).send().await.expect("an answer");
    let etag = head.headers()["etag"].clone();
    let fresh = server.client().get(server.url(&path)).header("if-none-match", etag).send().await.expect("an answer");
    assert_eq!((fresh.status().as_u16(), fresh.text().await.expect("no body").as_str()), (304, ""));
    let result = server.client().get(server.url(&format!("{path}/result"))).send().await.expect("an answer");
    assert_eq!(result.text().await.expect("text"), "{\"slept\":0.3}\n");
    let long = server.start_task("sleep", json!({"seconds": 60})).await;
    let pending = server
        .client()
        .get(server.url(&format!("/v1/instances/{}/result?wait=0.1", long["number"])))
        .send()
        .await
        .expect("an answer");
    assert_eq!((pending.status().as_u16(), pending.headers()["retry-after"].to_str().expect("text")), (202, "1"));
    server
        .client()
        .delete(server.url(&format!("/v1/instances/{}?wait=5", long["number"])))
        .send()
        .await
        .expect("an answer");
    let cancelled = server
        .client()
        .get(server.url(&format!("/v1/instances/{}/result", long["number"])))
        .send()
        .await
        .expect("an answer");
    assert_eq!(cancelled.status(), 409);
    assert_eq!(cancelled.json::<Value>().await.expect("JSON")["type"], "/problems/task-cancelled");
}

#[tokio::test]
async fn a_drain_lets_only_attempts_finish_and_takes_nothing_new() {
    let config = "[server]\ndrain = \"10s\"\ndrain_grace = \"1s\"\n".to_owned()
        + &shell("only", "sleep 0.8; echo '{\"done\":true}' >$TASKWRIGHT_OUTPUT_FILE", "");
    let mut server = TestServer::with_config(&config).await;
    let only = server.start_task("only", json!({})).await;
    let again = started(&server, "/v1/definitions/sleep/instances?max_attempts=2", &json!({"seconds": 600})).await;
    server.signal(rustix::process::Signal::TERM);
    let refused = wait_for("starts to be refused", async || {
        let answer = post(&server, "/v1/definitions/sleep/instances", &json!({"seconds": 0})).await;
        (answer.status() == 503).then_some(answer)
    })
    .await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.json::<Value>().await.expect("JSON")["type"], "/problems/draining");
    let ready = server.client().get(server.url("/readyz")).send().await.expect("an answer");
    assert_eq!(ready.status(), 503);
    assert_eq!(server.client().get(server.url("/livez")).send().await.expect("an answer").status(), 200);
    assert_eq!(server.get(&only["number"]).await["status"], "running", "reads go on");
    let began = Instant::now();
    assert!(server.ended().await.success(), "a drain ends with 0");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "nobody waits longer than the last attempt: {:?}",
        began.elapsed()
    );
    server.restart().await;
    let only = server.get(&only["number"]).await;
    assert_eq!((&only["status"], &only["output"]), (&json!("completed"), &json!({"done": true})), "{only}");
    let again = server.wait_running(&again["number"]).await;
    assert_eq!(again["attempt"], 2, "its second attempt begins: {again}");
    let attempts = server.get_json(&format!("/v1/instances/{}/attempts", again["number"])).await;
    assert_eq!(attempts["attempts"][0]["ended"], "interrupted");
    server.fsck();
}

#[tokio::test]
async fn what_does_not_end_in_a_drain_is_ended() {
    let config = "[server]\ndrain = \"300ms\"\ndrain_grace = \"300ms\"\n".to_owned()
        + &shell("deaf", "trap '' TERM; while :; do sleep 0.05; done", "");
    let mut server = TestServer::with_config(&config).await;
    let deaf = server.start_task("deaf", json!({})).await;
    let sleeps = server.start_task("sleep", json!({"seconds": 600})).await;
    server.wait_running(&deaf["number"]).await;
    let began = Instant::now();
    assert!(server.stop().await.success());
    assert!((Duration::from_millis(300)..Duration::from_secs(3)).contains(&began.elapsed()), "{:?}", began.elapsed());
    server.restart().await;
    for instance in [&deaf, &sleeps] {
        let instance = server.get(&instance["number"]).await;
        assert_eq!(instance["status"], "failed", "{instance}");
        assert_eq!(
            (&instance["error"]["kind"], &instance["error"]["reason"]),
            (&json!("interrupted"), &json!("shutdown"))
        );
    }
    server.fsck();
}

#[tokio::test]
async fn a_second_signal_ends_the_daemon_at_once() {
    let mut server = TestServer::with_config(&shell("long", "trap '' TERM; sleep 600", "")).await;
    let long = server.start_task("long", json!({})).await;
    server.wait_running(&long["number"]).await;
    server.signal(rustix::process::Signal::TERM);
    wait_for("the drain", async || {
        let ready = server.client().get(server.url("/readyz")).send().await.ok()?;
        (ready.status() == 503).then_some(())
    })
    .await;
    let began = Instant::now();
    server.signal(rustix::process::Signal::INT);
    assert_eq!(server.ended().await.code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    wait_for("the end of its processes", async || server.processes().is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_stop_that_pins_another_version_is_refused_and_stops_nothing() {
    let server = TestServer::start().await;
    let instance = server.start_task("sleep", json!({"seconds": 600})).await;
    let url = server.url(&format!("/v1/instances/{}?wait=5", instance["number"]));
    let stop = async |tag: &str| server.client().delete(&url).header("if-match", tag).send().await.expect("an answer");
    assert_eq!(stop("\"999999\"").await.status(), 412);
    assert_eq!(server.get(&instance["number"]).await["stop_requested_at"], Value::Null);
    let stopped = server.client().delete(&url).send().await.expect("an answer");
    assert_eq!(stopped.json::<Value>().await.expect("JSON")["status"], "cancelled");
}

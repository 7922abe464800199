//! The invariants of the lifecycle, each by its name, against a real daemon.

use std::{collections::HashMap, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::support::{server::TestServer, wait_for};

/// A task that runs a shell line. `$1` and so on are not set; the inputs are in the environment.
fn shell(name: &str, line: &str, options: &str) -> String {
    let line = line.replace('\\', "\\\\").replace('"', "\\\"");
    format!("[[tasks]]\nname = \"{name}\"\ncommand = [\"sh\", \"-c\", \"{line}\"]\n{options}\n")
}

/// Starts an instance and answers its id.
async fn start(server: &TestServer, task: &str, inputs: Value) -> String {
    server.start_task(task, inputs).await["id"].as_str().expect("an id").to_owned()
}

async fn post(server: &TestServer, path: &str, body: Value) -> reqwest::Response {
    server.client().post(server.url(path)).json(&body).send().await.expect("the daemon answers")
}

async fn get(server: &TestServer, path: &str) -> Value {
    let response = server.client().get(server.url(path)).send().await.expect("the daemon answers");
    response.json().await.expect("JSON")
}

fn status(instance: &Value) -> &str {
    instance["status"].as_str().expect("a status")
}

/// 1. An acknowledged start survives any crash: the reply leaves after the commit has been synced.
#[tokio::test]
async fn an_acknowledged_start_survives_any_crash() {
    let mut server = TestServer::start().await;
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let mut starts = tokio::task::JoinSet::new();
        for n in 0..40 {
            let (client, url) = (server.client().clone(), server.url("/v1/instances"));
            starts.spawn(async move {
                let body =
                    json!({"task_id": "sleep", "inputs": {"seconds": 60}, "labels": {"n": format!("{round}-{n}")}});
                let response = client.post(url).json(&body).send().await.ok()?;
                if response.status() != 201 {
                    return None;
                }
                let instance: Value = response.json().await.ok()?;
                instance["id"].as_str().map(str::to_owned)
            });
        }
        // Killed while starts are under way: whichever were answered must be there.
        for _ in 0..20 {
            if let Some(Ok(Some(id))) = starts.join_next().await {
                acknowledged.push(id);
            }
        }
        server.kill9();
        while let Some(started) = starts.join_next().await {
            if let Ok(Some(id)) = started {
                acknowledged.push(id);
            }
        }
        server.restart().await;
    }
    assert!(acknowledged.len() >= 100, "only {} starts were acknowledged", acknowledged.len());
    for id in &acknowledged {
        let instance = get(&server, &format!("/v1/instances/{id}")).await;
        assert_eq!(instance["id"], json!(id), "an acknowledged start is gone");
        assert_ne!(status(&instance), "completed");
    }
    server.fsck();
}

/// 2. Terminal is final: status, output, error and finished_at never change.
#[tokio::test]
async fn terminal_is_final() {
    let server =
        TestServer::with_config(&shell("fail", "echo '{\"result\":1}' >$TASKWRIGHT_OUTPUT_FILE; exit 3", "")).await;
    let id = start(&server, "fail", json!({})).await;
    let before = server.wait_done(&id).await;
    assert_eq!((status(&before), &before["result"]), ("failed", &json!(1)));
    let client = server.client();
    for (path, body) in [
        ("progress", json!({"progress": 0.5})),
        ("output", json!({"result": 2})),
        ("status", json!({"status": "completed"})),
    ] {
        let url = server.url(&format!("/v1/instances/{id}/{path}"));
        let response = client.put(url).json(&body).send().await.expect("the daemon answers");
        assert_eq!(response.status(), 409);
        let problem: Value = response.json().await.expect("a problem");
        assert_eq!((&problem["type"], &problem["should_stop"]), (&json!("/problems/attempt-over"), &json!(true)));
    }
    let stopped = client.delete(server.url(&format!("/v1/instances/{id}"))).send().await.expect("the daemon answers");
    assert_eq!(stopped.status(), 200);
    assert_eq!(get(&server, &format!("/v1/instances/{id}")).await, before);
    server.fsck();
}

/// 3. No write of attempt n lands once attempt n+1 has begun. The writer is told.
#[tokio::test]
async fn no_write_of_an_attempt_lands_once_the_next_has_begun() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = format!(
        "echo $TASKWRIGHT_TOKEN >>{0}/tokens; [ $(wc -l <{0}/tokens) -ge 2 ] && exec sleep 60; exit 1",
        folder.path().display()
    );
    let server = TestServer::with_config(&shell("twice", &line, "max_attempts = 2\nretry_delay = \"10ms\"")).await;
    let id = start(&server, "twice", json!({})).await;
    wait_for("the second attempt", async || {
        let instance = get(&server, &format!("/v1/instances/{id}")).await;
        (instance["attempt"] == 2 && status(&instance) == "running").then_some(())
    })
    .await;
    let tokens = wait_for("two tokens", async || {
        let tokens = std::fs::read_to_string(folder.path().join("tokens")).ok()?;
        (tokens.lines().count() == 2).then_some(tokens)
    })
    .await;
    let (first, second) = tokens.trim().split_once('\n').expect("two tokens");
    let report = async |token: &str, progress: f64| {
        let url = server.url(&format!("/v1/instances/{id}/progress"));
        let response = server
            .client()
            .put(url)
            .bearer_auth(token)
            .json(&json!({"progress": progress}))
            .send()
            .await
            .expect("answer");
        (response.status().as_u16(), response.json::<Value>().await.expect("JSON"))
    };
    let (code, problem) = report(first, 0.9).await;
    assert_eq!((code, &problem["should_stop"]), (409, &json!(true)));
    let (code, receipt) = report(second, 0.25).await;
    assert_eq!((code, &receipt["should_stop"]), (200, &json!(false)));
    assert_eq!(get(&server, &format!("/v1/instances/{id}")).await["progress"], json!(0.25));
    server.client().delete(server.url(&format!("/v1/instances/{id}?force=true&wait=10"))).send().await.expect("answer");
    server.fsck();
}

/// 4. A stop is sticky; a stopped pending instance never runs.
#[tokio::test]
async fn a_stop_is_sticky_and_a_stopped_pending_instance_never_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let mark = folder.path().join("ran");
    let config = shell("later", &format!("touch {}", mark.display()), "")
        + &shell("deaf", "trap '' TERM; while :; do sleep 0.1; done", "max_attempts = 5");
    let mut server = TestServer::with_config(&config).await;
    // Pending: cancelled at once.
    let response = post(&server, "/v1/definitions/later/instances?delay=1s", json!({})).await;
    let later: Value = response.json().await.expect("JSON");
    let response =
        server.client().delete(server.url(&format!("/v1/instances/{}", later["number"]))).send().await.expect("answer");
    assert_eq!(response.status(), 200);
    assert_eq!(status(&response.json().await.expect("JSON")), "cancelled");
    // Running, and the daemon dies before the deadline: no attempt follows although four are left.
    let deaf = start(&server, "deaf", json!({})).await;
    wait_for("the command", async || {
        (status(&get(&server, &format!("/v1/instances/{deaf}")).await) == "running").then_some(())
    })
    .await;
    let response =
        server.client().delete(server.url(&format!("/v1/instances/{deaf}?grace=1h"))).send().await.expect("answer");
    assert_eq!(response.status(), 202);
    server.kill9();
    server.restart().await;
    let instance = get(&server, &format!("/v1/instances/{deaf}")).await;
    assert_eq!((status(&instance), &instance["attempt"]), ("cancelled", &json!(1)));
    // The delayed one's time is over by now: something started later has run.
    tokio::time::timeout(Duration::from_secs(20), async {
        let response = post(&server, "/v1/definitions/later/instances?delay=1500ms&wait=10", json!({})).await;
        assert_eq!(status(&response.json().await.expect("JSON")), "completed");
    })
    .await
    .expect("in time");
    let later = get(&server, &format!("/v1/instances/{}", later["number"])).await;
    assert_eq!((status(&later), &later["attempt"], &later["started_at"]), ("cancelled", &json!(0), &Value::Null));
    server.fsck();
}

/// 5. At most one live attempt; attempts never exceed max_attempts.
#[tokio::test]
async fn at_most_one_attempt_lives_and_attempts_never_exceed_their_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = format!(
        "mkdir {0}/alive || touch {0}/overlap; echo x >>{0}/runs; sleep 0.05; rmdir {0}/alive; exit 1",
        folder.path().display()
    );
    let server = TestServer::with_config(&shell("fails", &line, "max_attempts = 4\nretry_delay = \"1ms\"")).await;
    let id = start(&server, "fails", json!({})).await;
    let instance = server.wait_done(&id).await;
    assert_eq!((status(&instance), &instance["attempt"]), ("failed", &json!(4)));
    assert_eq!(std::fs::read_to_string(folder.path().join("runs")).expect("runs").lines().count(), 4);
    assert!(!folder.path().join("overlap").exists(), "two attempts lived at once");
    let attempts = get(&server, &format!("/v1/instances/{id}/attempts")).await;
    let numbers: Vec<_> = attempts["attempts"].as_array().expect("a list").iter().map(|one| &one["attempt"]).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    server.fsck();
}

/// 6. Output and terminal status are committed together.
#[tokio::test]
async fn output_and_terminal_status_are_committed_together() {
    let server = TestServer::start().await;
    let mut watchers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let id = start(&server, "sleep", json!({"seconds": 0.02})).await;
        let (client, url) = (server.client().clone(), server.url(&format!("/v1/instances/{id}")));
        watchers.spawn(async move {
            loop {
                let instance: Value = client.get(&url).send().await.expect("answer").json().await.expect("JSON");
                if status(&instance) == "completed" {
                    return instance;
                }
                assert_eq!(instance["output"].get("slept"), None, "the output is seen before the end");
            }
        });
    }
    while let Some(instance) = watchers.join_next().await {
        let instance = instance.expect("the watcher saw what it should");
        assert!(instance["output"]["slept"].as_f64().expect("the end is seen with its output") >= 0.02);
    }
    server.fsck();
}

/// 7. What a client has seen is committed: no answer, event or ETag ever goes back.
#[tokio::test]
async fn what_a_client_has_seen_never_goes_back() {
    let mut server = TestServer::start().await;
    let mut seen: HashMap<String, u64> = HashMap::new();
    for round in 0..3 {
        let mut ids = Vec::new();
        for _ in 0..10 {
            ids.push(start(&server, "sleep", json!({"seconds": 0.5})).await);
        }
        for look in 0..60 {
            // A list and single reads in turn: neither may run ahead of the other.
            let page = get(&server, "/v1/instances?limit=500").await;
            for item in page["instances"].as_array().expect("a page") {
                note(&mut seen, item);
            }
            note(&mut seen, &get(&server, &format!("/v1/instances/{}", ids[look % ids.len()])).await);
        }
        if round < 2 {
            server.kill9();
            server.restart().await;
        }
    }
    assert_eq!(seen.len(), 30);
    server.fsck();
}

fn note(seen: &mut HashMap<String, u64>, instance: &Value) {
    let version = instance["version"].as_u64().expect("a version");
    let last = seen.entry(instance["id"].as_str().expect("an id").to_owned()).or_default();
    assert!(version >= *last, "version {version} was seen after {last}: {instance}");
    *last = version;
}

/// 8. Progress outside 0–1, NaN or infinite is an error to its caller and changes nothing.
#[tokio::test]
async fn progress_outside_its_range_is_an_error_and_changes_nothing() {
    let server = TestServer::start().await;
    let id = start(&server, "sleep", json!({"seconds": 600})).await;
    let url = server.url(&format!("/v1/instances/{id}/progress"));
    let put = async |body: &'static str| {
        let request = server.client().put(&url).header("content-type", "application/json").body(body);
        request.send().await.expect("answer").status().as_u16()
    };
    assert_eq!(put(r#"{"progress":0.5,"message":"half"}"#).await, 200);
    let before = get(&server, &format!("/v1/instances/{id}/progress")).await;
    assert_eq!(before, json!({"progress": 0.5, "message": "half"}));
    for body in [r#"{"progress":-0.1}"#, r#"{"progress":1.0001}"#, r#"{"progress":1e999}"#, r#"{"progress":"x"}"#, "{}"]
    {
        assert_eq!(put(body).await, 422, "{body}");
    }
    assert_eq!(put(r#"{"progress":NaN}"#).await, 400);
    assert_eq!(get(&server, &format!("/v1/instances/{id}/progress")).await["message"], "half");
    server.client().delete(server.url(&format!("/v1/instances/{id}?wait=5"))).send().await.expect("answer");
}

/// 9. No process of an attempt outlives that attempt's end.
#[tokio::test]
async fn no_process_of_an_attempt_outlives_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let pids = folder.path().join("pids");
    // A child in a session of its own, one that ignores TERM, one that closes its streams; then the leader ends.
    let line = format!(
        "setsid sh -c 'echo $$ >>{0}; exec sleep 300' & \
         sh -c 'trap \"\" TERM; echo $$ >>{0}; while :; do sleep 1; done' & \
         (sh -c 'echo $$ >>{0}; exec sleep 300 >&- 2>&- <&-' &) ; \
         while [ $(wc -l <{0}) -lt 3 ]; do sleep 0.01; done; exit 0",
        pids.display()
    );
    std::fs::write(&pids, "").expect("a file");
    let server = TestServer::with_config(&shell("litter", &line, "")).await;
    let id = start(&server, "litter", json!({})).await;
    let instance = server.wait_done(&id).await;
    assert_eq!(status(&instance), "completed");
    let left = living(&pids);
    assert!(left.is_empty(), "processes {left:?} outlive their attempt");
    // The control: the same check finds a process that nobody cleans up.
    let mut stray = std::process::Command::new("sleep").arg("300").spawn().expect("sleep starts");
    std::fs::write(&pids, format!("{}\n", stray.id())).expect("a file");
    assert_eq!(living(&pids), [stray.id()]);
    stray.kill().expect("killed");
    stray.wait().expect("reaped");
}

fn living(pids: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(pids).expect("pids");
    let pids: Vec<u32> = text.lines().map(|line| line.parse().expect("a pid")).collect();
    assert!(!pids.is_empty());
    pids.into_iter().filter(|pid| Path::new(&format!("/proc/{pid}/cmdline")).exists()).collect()
}

/// 10. An idempotency key maps to one instance; the same key with another body is refused.
#[tokio::test]
async fn an_idempotency_key_maps_to_one_instance() {
    let mut server = TestServer::start().await;
    let start_with_key = |body: Value| {
        let request =
            server.client().post(server.url("/v1/instances")).header("idempotency-key", "\"k-1\"").json(&body);
        async move { request.send().await.expect("answer") }
    };
    let body = json!({"task_id": "sleep", "inputs": {"seconds": 0}});
    let mut codes = Vec::new();
    let mut ids = Vec::new();
    for response in futures_util::future::join_all((0..8).map(|_| start_with_key(body.clone()))).await {
        codes.push(response.status().as_u16());
        ids.push(response.json::<Value>().await.expect("JSON")["id"].clone());
    }
    codes.sort_unstable();
    assert_eq!(codes, [200, 200, 200, 200, 200, 200, 200, 201]);
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let other = start_with_key(json!({"task_id": "sleep", "inputs": {"seconds": 1}})).await;
    assert_eq!(other.status(), 422);
    assert_eq!(other.json::<Value>().await.expect("JSON")["type"], "/problems/idempotency-key-reused");
    server.kill9();
    server.restart().await;
    let request = server.client().post(server.url("/v1/instances")).header("idempotency-key", "k-1").json(&body);
    let replay = request.send().await.expect("answer");
    assert_eq!(
        (replay.status().as_u16(), &replay.headers()["idempotent-replayed"]),
        (200, &"true".parse().expect("a value"))
    );
    assert_eq!(replay.json::<Value>().await.expect("JSON")["id"], ids[0]);
    server.fsck();
}

/// 11. Every accepted instance ends: nothing stays running or pending for ever without a stated reason.
#[tokio::test]
async fn every_accepted_instance_ends_or_says_why() {
    let config = shell("one", "sleep 600", "concurrency = 1") + &shell("gone", "true", "");
    let mut server = TestServer::with_config(&config).await;
    let reason = async |server: &TestServer, id: &str| {
        let instance = get(server, &format!("/v1/instances/{id}")).await;
        (status(&instance).to_owned(), instance["pending_reason"].clone())
    };
    let first = start(&server, "one", json!({})).await;
    let second = start(&server, "one", json!({})).await;
    assert_eq!(reason(&server, &second).await, ("pending".to_owned(), json!("concurrency")));
    let delayed: Value =
        post(&server, "/v1/definitions/gone/instances?delay=1h", json!({})).await.json().await.expect("JSON");
    assert_eq!((status(&delayed), &delayed["pending_reason"]), ("pending", &json!("scheduled")));
    let expired: Value = post(&server, "/v1/definitions/one/instances?queue_timeout=200ms&wait=10", json!({}))
        .await
        .json()
        .await
        .expect("JSON");
    assert_eq!((status(&expired), &expired["error"]["kind"]), ("failed", &json!("queue_timeout")));
    // A daemon that does not know the task says so, and runs what it knows.
    server.kill9();
    std::fs::write(server.config(), shell("one", "true", "")).expect("the configuration can be written");
    server.restart().await;
    let delayed = delayed["id"].as_str().expect("an id");
    assert_eq!(reason(&server, delayed).await, ("pending".to_owned(), json!("unknown_task")));
    assert_eq!(status(&server.wait_done(&first).await), "failed");
    assert_eq!(status(&server.wait_done(&second).await), "completed");
    server.fsck();
}

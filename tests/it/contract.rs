//! The REST contract as its users meet it, one script a topic.

mod api;

use std::time::Instant;

pub use api::Api;

use serde_json::{Value, json};

#[tokio::test]
async fn a_start_answers_the_instance_as_committed() {
    let api = Api::start().await;
    let answer = api.post("/v1/definitions/sleep/instances", r#"{"seconds": 30}"#).await;
    assert_eq!(answer.status, 201);
    let instance = answer.json();
    assert_eq!(instance["status"], "running");
    assert_eq!(instance["attempt"], 1);
    assert_eq!(instance["version"], 1);
    assert_eq!(instance["inputs"], json!({"seconds": 30}));
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.header("location"), format!("/v1/instances/{}", instance["id"].as_str().unwrap()));
    assert!(answer.text.ends_with("}\n"));

    let read = api.get(answer.header("location")).await;
    assert_eq!(read.json()["id"], instance["id"]);
    let by_number = api.get(&format!("/v1/instances/{}", instance["number"])).await;
    assert_eq!(by_number.json()["id"], instance["id"]);
    let upper = api.get(&format!("/v1/instances/{}", instance["id"].as_str().unwrap().to_uppercase())).await;
    assert_eq!(upper.status, 200);
    api.server.fsck();
}

#[tokio::test]
async fn inputs_are_kept_as_their_text() {
    let api = Api::with_config(&format!("[[tasks]]\nname = \"echo\"\ncommand = {ECHO}\n")).await;
    let inputs = r#"{"big":9223372036854775808,"huge":1e400,"exact":1.10,"text":"\u00e9\/"}"#;
    let answer = api.post("/v1/definitions/echo/instances?wait", inputs).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert!(answer.text.contains(&format!("\"inputs\":{inputs}")), "{}", answer.text);
    assert!(answer.text.contains(&format!("\"output\":{inputs}")), "{}", answer.text);
}

/// A command whose output is its inputs.
const ECHO: &str = r#"["sh", "-c", "cat \"$TASKWRIGHT_INPUT_FILE\" > \"$TASKWRIGHT_OUTPUT_FILE\""]"#;

#[tokio::test]
async fn a_client_may_wait_by_parameter_or_preference() {
    let api = Api::start().await;
    let waited = api.post("/v1/definitions/sleep/instances?wait=10", r#"{"seconds":0.05}"#).await;
    assert_eq!((waited.status, waited.json()["status"].clone()), (201, json!("completed")));
    assert_eq!(waited.json()["result"], json!({"slept": 0.05}));
    assert_eq!(waited.header("preference-applied"), "");

    let body = r#"{"task_id":"sleep","inputs":{"seconds":0.05}}"#;
    let preferred = api.send("POST", "/v1/instances", &[("prefer", "wait=100")], Some(body)).await;
    assert_eq!((preferred.status, preferred.json()["status"].clone()), (201, json!("completed")));
    assert_eq!(preferred.header("preference-applied"), "wait=60");
    assert_eq!(preferred.header("vary"), "Prefer, Accept");

    let body = r#"{"task_id":"sleep","inputs":{"seconds":60}}"#;
    let begun = Instant::now();
    let running = api.post("/v1/instances?wait=1", body).await;
    assert_eq!((running.status, running.json()["status"].clone()), (201, json!("running")));
    assert!((1000..1900).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    let key = [("idempotency-key", "waits")];
    let first = api.send("POST", "/v1/instances", &key, Some(body)).await;
    let begun = Instant::now();
    let replayed = api.send("POST", "/v1/instances?wait=1", &key, Some(body)).await;
    assert_eq!((replayed.status, replayed.json()["id"].clone()), (200, first.json()["id"].clone()));
    assert!((1000..1900).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    let at_once = api.send("POST", "/v1/instances", &[("prefer", "respond-async")], Some(body)).await;
    assert_eq!(at_once.header("preference-applied"), "respond-async");
}

#[tokio::test]
async fn a_long_poll_answers_on_change() {
    let api = Api::start().await;
    let id = api.sleep(60.0).await;
    let version = api.get(&format!("/v1/instances/{id}")).await.json()["version"].as_u64().unwrap();
    let path = format!("/v1/instances/{id}?wait=20&since={version}");
    let changed = api.get(&path).await.json();
    assert!(changed["version"].as_u64().unwrap() > version);
    assert_eq!(changed["status"], "running");

    let waiting = format!("/v1/instances/{id}?wait=20");
    let (done, stopped) = tokio::join!(api.get(&waiting), api.delete(&waiting));
    assert_eq!((done.status, done.json()["status"].clone()), (200, json!("cancelled")));
    assert_eq!(stopped.status, 200);
}

#[tokio::test]
async fn an_unchanged_instance_is_not_sent_again() {
    let api = Api::start().await;
    let done = api.post("/v1/definitions/sleep/instances?wait", r#"{"seconds":0}"#).await;
    let (etag, path) = (done.header("etag").to_owned(), done.header("location").to_owned());
    let same = api.send("GET", &path, &[("if-none-match", &etag)], None).await;
    assert_eq!((same.status, same.text.as_str()), (304, ""));
    for name in ["etag", "vary", "cache-control"] {
        assert_eq!(same.header(name), api.get(&path).await.header(name), "{name}");
    }
    assert_eq!(api.send("GET", &path, &[("if-none-match", "\"999\"")], None).await.status, 200);
}

#[tokio::test]
async fn parts_are_read_as_json_and_as_text() {
    let api = Api::with_config(&format!("[[tasks]]\nname = \"echo\"\ncommand = {ECHO}\n")).await;
    let started = api.post("/v1/definitions/echo/instances?wait", r#"{"result":"a \"b\"","x":1}"#).await;
    let path = |part: &str| format!("{}/{part}", started.header("location"));
    assert_eq!(api.get(&path("status")).await.text, "{\"status\":\"completed\"}\n");
    assert_eq!(api.text(&path("status")).await.text, "completed\n");
    assert_eq!(api.get(&path("progress")).await.text, "{\"progress\":0.0,\"message\":null}\n");
    assert_eq!(api.text(&path("progress")).await.text, "0.0\n");
    assert_eq!(api.get(&path("output")).await.text, "{\"result\":\"a \\\"b\\\"\",\"x\":1}\n");
    assert_eq!(api.get(&path("result")).await.text, "\"a \\\"b\\\"\"\n");
    assert_eq!(api.text(&path("result")).await.text, "a \"b\"\n");
    let id = api.send("POST", "/v1/definitions/echo/instances", &[("accept", "text/plain")], Some("{}")).await;
    assert_eq!(id.status, 201);
    assert_eq!(id.header("location"), format!("/v1/instances/{}", id.text.trim_end()));
}

#[tokio::test]
async fn a_result_is_there_or_not_yet_or_never() {
    let api =
        Api::with_config("[[tasks]]\nname = \"fails\"\ncommand = [\"sh\", \"-c\", \"echo no disk >&2; exit 3\"]\n")
            .await;
    let id = api.sleep(60.0).await;
    let path = format!("/v1/instances/{id}/result");
    let running = api.get(&path).await;
    assert_eq!((running.status, running.header("retry-after")), (202, "1"));
    assert_eq!(running.json()["status"], "running");
    assert_eq!(running.json().get("inputs"), None);
    assert_eq!(api.text(&path).await.text, "running\n");
    api.delete(&format!("/v1/instances/{id}?wait")).await;
    let cancelled = api.get(&path).await;
    assert_eq!((cancelled.status, cancelled.problem().as_str()), (409, "task-cancelled"));

    let failed = api.post("/v1/definitions/fails/instances?wait", "{}").await;
    let failed = api.get(&format!("{}/result", failed.header("location"))).await;
    assert_eq!((failed.status, failed.problem().as_str()), (409, "task-failed"));
    let error = &failed.json()["error"];
    assert_eq!(
        (&error["kind"], &error["exit_code"], &error["message"]),
        (&json!("exit"), &json!(3), &json!("no disk"))
    );
}

#[tokio::test]
async fn a_stop_keeps_the_record() {
    let api = Api::start().await;
    let id = api.sleep(60.0).await;
    let path = format!("/v1/instances/{id}");
    let stopped = api.delete(&format!("{path}?grace=1h")).await;
    assert!(matches!(stopped.status, 200 | 202), "{}", stopped.text);
    assert_ne!(stopped.json()["stop_requested_at"], Value::Null);
    let done = api.get(&format!("{path}?wait")).await.json();
    assert_eq!(done["status"], "cancelled");
    let again = api.delete(&format!("{path}?force")).await;
    assert_eq!((again.status, again.json()), (200, done));
}

#[tokio::test]
async fn a_key_starts_one_instance() {
    let api = Api::start().await;
    let key = [("idempotency-key", "\"order-1\"")];
    let body = r#"{"task_id":"sleep","inputs":{"seconds":60}}"#;
    let first = api.send("POST", "/v1/instances", &key, Some(body)).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (201, ""));
    let bare = [("idempotency-key", "order-1")];
    let other_route = api.send("POST", "/v1/definitions/sleep/instances", &bare, Some("{\"seconds\": 60}")).await;
    assert_eq!((other_route.status, other_route.header("idempotent-replayed")), (200, "true"));
    assert_eq!(other_route.json()["id"], first.json()["id"]);
    let other = api.send("POST", "/v1/definitions/sleep/instances", &key, Some("{\"seconds\": 61}")).await;
    assert_eq!((other.status, other.problem().as_str()), (422, "idempotency-key-reused"));

    // A refused start uses no key.
    let key = [("idempotency-key", "order-2")];
    assert_eq!(api.send("POST", "/v1/definitions/sleep/instances", &key, Some("{}")).await.status, 422);
    assert_eq!(api.send("POST", "/v1/definitions/sleep/instances", &key, Some("{\"seconds\":60}")).await.status, 201);
}

#[tokio::test]
async fn a_batch_is_all_or_none() {
    let api = Api::start().await;
    let item = r#"{"task_id":"sleep","inputs":{"seconds":0}}"#;
    let body = format!("{{\"instances\":[{}]}}", vec![item; 100].join(","));
    let key = [("idempotency-key", "b")];
    let started = api.send("POST", "/v1/instances/batch", &key, Some(&body)).await;
    assert_eq!(started.status, 201, "{}", started.text);
    let instances = started.json()["instances"].as_array().unwrap().clone();
    assert_eq!(instances.len(), 100);
    assert!(instances.windows(2).all(|pair| pair[0]["number"].as_u64() < pair[1]["number"].as_u64()));
    assert_eq!(instances[0].get("inputs"), None);
    let replayed = api.send("POST", "/v1/instances/batch", &key, Some(&body)).await;
    assert_eq!((replayed.status, replayed.header("idempotent-replayed")), (200, "true"));
    assert_eq!(replayed.json()["instances"][99]["id"], instances[99]["id"]);

    let bad = format!(
        "{{\"instances\":[{item},{{\"task_id\":\"slep\"}},{{\"task_id\":\"sleep\",\"inputs\":{{\"seconds\":-1}},\"x\":1}}]}}"
    );
    let refused = api.post("/v1/instances/batch", &bad).await;
    assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid-request"));
    let places = refused.places();
    assert!(places.contains(&"/instances/1/task_id".to_owned()), "{places:?}");
    assert!(places.contains(&"/instances/2/x".to_owned()), "{places:?}");
    let bad = format!("{{\"instances\":[{item},{{\"task_id\":\"sleep\",\"inputs\":{{\"seconds\":-1}}}}]}}");
    let refused = api.post("/v1/instances/batch", &bad).await;
    assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid-inputs"));
    assert!(refused.places()[0].starts_with("/instances/1/inputs"), "{:?}", refused.places());
    let list = api.get("/v1/instances?limit=500").await.json();
    assert_eq!(list["instances"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn lists_are_paged_by_cursor() {
    let api = Api::start().await;
    let item =
        |n: usize| format!("{{\"task_id\":\"sleep\",\"inputs\":{{\"seconds\":0}},\"labels\":{{\"n\":\"{n}\"}}}}");
    let items: Vec<_> = (0..25).map(item).collect();
    api.post("/v1/instances/batch", &format!("{{\"instances\":[{}]}}", items.join(","))).await;
    let mut numbers = Vec::new();
    let mut path = "/v1/instances?task_id=sleep&limit=10".to_owned();
    loop {
        let page = api.get(&path).await;
        let body = page.json();
        numbers
            .extend(body["instances"].as_array().unwrap().iter().map(|instance| instance["number"].as_u64().unwrap()));
        let link = page.header("link").to_owned();
        match body["next_cursor"].as_str() {
            Some(_) => {
                let (target, rel) = link.split_once('>').unwrap();
                assert_eq!(rel, "; rel=\"next\"");
                path = target.trim_start_matches('<').to_owned();
            }
            None => {
                assert_eq!(link, "");
                break;
            }
        }
    }
    assert_eq!(numbers, (1..=25).rev().collect::<Vec<_>>());

    let more = format!("{{\"instances\":[{}]}}", vec![item(0); 500].join(","));
    assert_eq!(api.post("/v1/instances/batch", &more).await.status, 201);
    for limit in ["501", "18446744073709551616", "99999999999999999999999"] {
        let page = api.get(&format!("/v1/instances?limit={limit}")).await;
        assert_eq!(page.json()["instances"].as_array().unwrap().len(), 500, "{limit}");
        assert!(page.header("link").contains("limit=500&"), "{}", page.header("link"));
    }

    let labelled = api.get("/v1/instances?label=n:7").await.json();
    assert_eq!(labelled["instances"].as_array().unwrap().len(), 1);
    let cursor = api.get("/v1/instances?limit=1").await.json()["next_cursor"].as_str().unwrap().to_owned();
    let other = api.get(&format!("/v1/instances?status=failed&cursor={cursor}")).await;
    assert_eq!((other.status, other.problem().as_str()), (400, "malformed-request"));
    assert_eq!(api.get("/v1/instances?created_before=-1h").await.json()["instances"], json!([]));
    assert_eq!(api.text("/v1/instances").await.status, 406);
}

#[tokio::test]
async fn a_done_instance_is_run_again_as_a_new_one() {
    let api = Api::start().await;
    let body = r#"{"task_id":"sleep","inputs":{"seconds":0},"labels":{"a":"b"},"priority":3}"#;
    let first = api.post("/v1/instances?wait", body).await;
    let path = format!("{}/retry", first.header("location"));
    let again = api.send("POST", &path, &[], None).await;
    assert_eq!(again.status, 201, "{}", again.text);
    let again = again.json();
    assert_eq!(again["retry_of"], first.json()["id"]);
    assert_eq!(
        (&again["inputs"], &again["labels"], &again["priority"]),
        (&json!({"seconds": 0}), &json!({"a": "b"}), &json!(3))
    );
    let changed = api.post(&path, r#"{"inputs":{"seconds":60},"priority":-1}"#).await.json();
    assert_eq!((&changed["inputs"], &changed["priority"]), (&json!({"seconds": 60}), &json!(-1)));
    let running = api.post(&format!("/v1/instances/{}/retry", changed["id"].as_str().unwrap()), "{}").await;
    assert_eq!((running.status, running.problem().as_str()), (409, "instance-not-done"));
    let invalid = api.post(&path, r#"{"inputs":{"seconds":-1}}"#).await;
    assert_eq!((invalid.status, invalid.problem().as_str()), (422, "invalid-inputs"));
    assert!(invalid.places()[0].starts_with("/inputs"), "{:?}", invalid.places());
}

#[tokio::test]
async fn the_controller_works_from_outside() {
    let api = Api::with_config("[[tasks]]\nname = \"idle\"\ncommand = [\"sleep\", \"600\"]\n").await;
    let started = api.post("/v1/definitions/idle/instances", "{}").await;
    let path = started.header("location").to_owned();
    let receipt = api.put(&format!("{path}/progress"), r#"{"progress":0.5,"message":"half"}"#).await;
    assert_eq!(receipt.status, 200, "{}", receipt.text);
    assert_eq!(receipt.json()["should_stop"], false);
    assert_eq!(receipt.json()["reason"], Value::Null);
    let version = receipt.json()["version"].as_u64().unwrap();
    assert_eq!(api.get(&format!("{path}/progress")).await.json(), json!({"progress": 0.5, "message": "half"}));

    let stale = api.send("PUT", &format!("{path}/output"), &[("if-match", "\"1\"")], Some("{\"a\":1}")).await;
    assert_eq!((stale.status, stale.problem().as_str()), (412, "precondition-failed"));
    let pinned = format!("\"{version}\"");
    let written = api.send("PUT", &format!("{path}/output"), &[("if-match", &pinned)], Some("{\"a\":1}")).await;
    assert_eq!(written.status, 200, "{}", written.text);
    assert_eq!(api.get(&format!("{path}/output")).await.text, "{\"a\":1}\n");
    assert_eq!(api.put(&format!("{path}/output"), "null").await.status, 200);
    assert_eq!(api.get(&format!("{path}/output")).await.text, "null\n");

    let lines = r#"{"lines":[{"text":"one\ntwo"},{"text":"three","stream":"stderr"}]}"#;
    assert_eq!(api.post(&format!("{path}/logs"), lines).await.status, 200);
    assert_eq!(api.text(&format!("{path}/logs")).await.text, "one\ntwo\nthree\n");
    assert_eq!(api.text(&format!("{path}/logs?stream=stderr")).await.text, "three\n");
    assert_eq!(api.text(&format!("{path}/logs?grep=w")).await.text, "two\n");
    assert_eq!(api.text(&format!("{path}/logs?tail=1")).await.text, "three\n");
    let page = api.get(&format!("{path}/logs?from=2&limit=1")).await.json();
    assert_eq!(
        (&page["lines"][0]["seq"], &page["lines"][0]["text"], &page["next"]),
        (&json!(2), &json!("two"), &json!(3))
    );

    assert_eq!(api.put(&format!("{path}/status"), r#"{"status":"failed","message":"why"}"#).await.status, 200);
    assert_eq!(api.text(&format!("{path}/status")).await.text, "running\n");
    api.delete(&format!("{path}?force&wait")).await;
    let late = api.put(&format!("{path}/progress"), r#"{"progress":1}"#).await;
    assert_eq!((late.status, late.problem().as_str()), (409, "attempt-over"));
    assert_eq!(late.json()["should_stop"], true);
    let attempts = api.get(&format!("{path}/attempts")).await.json();
    assert_eq!(attempts["attempts"].as_array().unwrap().len(), 1);
    api.server.fsck();
}

#[tokio::test]
async fn definitions_are_listed_by_id() {
    let api = Api::with_config(
        "[[tasks]]\nname = \"Task Test\"\ncommand = \"true --x\"\ntimeout = \"1m\"\nenv = { SECRET = \"s\" }\n",
    )
    .await;
    let list = api.get("/v1/definitions").await.json();
    let ids: Vec<_> = list["definitions"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["Task Test", "checksum", "sleep"]);
    let one = api.get("/v1/definitions/Task%20Test").await;
    assert!(!one.text.contains("SECRET"));
    let one = one.json();
    assert_eq!(
        (&one["command"], &one["timeout"], &one["source"]),
        (&json!(["true", "--x"]), &json!(60), &json!("configured"))
    );
}

#[tokio::test]
async fn the_open_pages_answer_curl_and_browsers() {
    let api = Api::start().await;
    let page = api.send("GET", "/", &[("accept", "*/*")], None).await;
    assert_eq!((page.status, page.header("vary")), (200, "Accept"));
    assert!(page.text.contains("curl") && page.text.contains(api.server.address()) && page.text.contains("sleep"));
    let html = api.send("GET", "/", &[("accept", "text/html,*/*;q=0.8")], None).await;
    assert!(html.text.starts_with("<!doctype html>"));
    for path in
        ["/livez", "/readyz", "/readyz?verbose", "/metrics", "/openapi.yaml", "/openapi.json", "/problems/queue-full"]
    {
        assert_eq!(api.get(path).await.status, 200, "{path}");
        let head = api.send("HEAD", path, &[], None).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""), "{path}");
    }
    assert_eq!(api.get("/problems/nothing").await.status, 404);
    // Nothing follows a 204, so that no length is told of it.
    let id = api.sleep(0.0).await;
    let done = api.get(&format!("/v1/instances/{id}?wait")).await.json();
    let last = done["version"].to_string();
    for method in ["GET", "HEAD"] {
        let path = format!("/v1/instances/{id}/events");
        let ended = api.send(method, &path, &[("last-event-id", &last)], None).await;
        assert_eq!(ended.status, 204, "{method}");
        for name in ["content-length", "transfer-encoding"] {
            assert_eq!(ended.headers.get(name), None, "{method} {name}");
        }
    }
    let yaml = api.get("/openapi.yaml").await.text;
    assert_eq!(yaml, taskwright::http::openapi::document_yaml());
}

#[tokio::test]
async fn links_carry_the_base_path() {
    let api = Api::with_config("[server]\nbase_path = \"/tasks\"\n").await;
    let body = r#"{"task_id":"sleep","inputs":{"seconds":0}}"#;
    let client = api.server.client();
    for prefix in ["", "/tasks"] {
        let url = api.server.url(&format!("{prefix}/v1/instances?wait"));
        let answer = client.post(url).header("content-type", "application/json").body(body).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        assert!(location.starts_with("/tasks/v1/instances/"), "{location}");
        assert_eq!(client.get(api.server.url(&location)).send().await.unwrap().status(), 200);
    }
    let list = client.get(api.server.url("/tasks/v1/instances?limit=1")).send().await.unwrap();
    assert!(list.headers()["link"].to_str().unwrap().starts_with("</tasks/v1/instances?"));
    let missing: Value = client.get(api.server.url("/tasks/nothing")).send().await.unwrap().json().await.unwrap();
    assert_eq!(missing["type"], "/problems/not-found");
    assert_eq!(client.get(api.server.url("/tasks/")).send().await.unwrap().status(), 200);
    assert_eq!(client.get(api.server.url("/tasks/problems/not-found")).send().await.unwrap().status(), 200);
}

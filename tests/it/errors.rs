//! Every refusal is specific, has one form, and comes in the order that the contract states.

use serde_json::json;
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use crate::contract::Api;

/// Method, path, headers, body; status and problem.
type Case =
    (&'static str, &'static str, &'static [(&'static str, &'static str)], Option<&'static str>, u16, &'static str);

#[tokio::test]
async fn a_row_that_cannot_be_read_is_no_passing_trouble() {
    let api = Api::start().await;
    let id = api.sleep(0.0).await;
    api.get(&format!("/v1/instances/{id}?wait")).await;
    let options = SqliteConnectOptions::new().filename(api.server.database());
    let mut beside = options.connect().await.unwrap();
    let damage = "DROP TRIGGER instances_done_is_final; UPDATE instances SET priority = 99999";
    sqlx::raw_sql(damage).execute(&mut beside).await.unwrap();
    beside.close().await.unwrap();
    let refused = api.get("/v1/instances").await;
    assert_eq!((refused.status, refused.problem().as_str()), (500, "internal"));
    assert_eq!(refused.headers.get("retry-after"), None);
    let logged = api.server.stderr();
    let lines: Vec<_> = logged.lines().filter(|line| line.contains("what was asked for cannot be read")).collect();
    assert!(matches!(lines[..], [line] if line.contains("out of range")), "{logged}");
}

#[tokio::test]
async fn a_time_says_what_it_may_be() {
    let api = Api::start().await;
    let refused = api.get("/v1/instances?created_before=24h").await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("nor a time before now such as -24h"), "{}", refused.text);
}

#[tokio::test]
async fn inputs_in_the_query_are_told_where_they_belong() {
    let api = Api::start().await;
    let start = "/v1/definitions/sleep/instances";
    let refused = api.post(&format!("{start}?seconds=3"), "{}").await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("; inputs are given as JSON in the body"), "{}", refused.text);
    let slip = api.post(&format!("{start}?timout=3"), "{}").await;
    assert!(slip.text.contains("did you mean `timeout`?") && !slip.text.contains("inputs"), "{}", slip.text);
}

#[tokio::test]
async fn each_refusal_has_its_problem() {
    let api = Api::start().await;
    let id = api.sleep(60.0).await;
    let start = "/v1/definitions/sleep/instances";
    let cases: &[Case] = &[
        ("GET", "/nothing", &[], None, 404, "not-found"),
        ("GET", "/v1/instances/", &[], None, 404, "not-found"),
        ("GET", "/v1/statistics", &[], None, 404, "not-found"),
        ("GET", "/v1/stats?bucket=1s", &[], None, 422, "invalid-request"),
        ("GET", "/v1/definitions/nothing", &[], None, 404, "task-definition-not-found"),
        ("POST", "/v1/definitions/nothing/instances", &[], Some("{}"), 404, "task-definition-not-found"),
        ("POST", "/v1/instances", &[], Some(r#"{"task_id":"slep","x":1}"#), 404, "task-definition-not-found"),
        ("GET", "/v1/instances/999999", &[], None, 404, "task-instance-not-found"),
        ("GET", "/v1/instances/no-id/status", &[], None, 404, "task-instance-not-found"),
        ("DELETE", "/v1/instances/0", &[], None, 404, "task-instance-not-found"),
        ("PATCH", "/v1/instances", &[], None, 405, "method-not-allowed"),
        ("OPTIONS", "/v1/instances", &[], None, 405, "method-not-allowed"),
        ("GET", "/v1/definitions", &[("accept", "image/png")], None, 406, "not-acceptable"),
        (
            "POST",
            start,
            &[("content-type", "application/x-www-form-urlencoded")],
            Some("{}"),
            415,
            "unsupported-media-type",
        ),
        ("POST", start, &[("content-encoding", "gzip")], Some("{}"), 415, "unsupported-media-type"),
        (
            "POST",
            start,
            &[("content-type", "application/json; charset=latin1")],
            Some("{}"),
            415,
            "unsupported-media-type",
        ),
        ("POST", start, &[], Some("{"), 400, "malformed-request"),
        ("POST", start, &[], Some(r#"{"seconds":1,"seconds":2}"#), 400, "malformed-request"),
        ("POST", start, &[], Some(r#"{"seconds":"\u0000"}"#), 400, "malformed-request"),
        ("POST", start, &[], Some(r#"{"seconds":"\ud800"}"#), 400, "malformed-request"),
        ("POST", start, &[("idempotency-key", "a b")], Some(r#"{"seconds":1}"#), 400, "malformed-request"),
        ("POST", "/v1/definitions/sleep/instances?wiat=1", &[], Some(r#"{"seconds":1}"#), 400, "malformed-request"),
        (
            "POST",
            "/v1/definitions/sleep/instances?timeout=soon",
            &[],
            Some(r#"{"seconds":1}"#),
            400,
            "malformed-request",
        ),
        ("GET", "/v1/instances?cursor=x", &[], None, 400, "malformed-request"),
        ("GET", "/v1/instances?status=done", &[], None, 400, "malformed-request"),
        ("GET", "/v1/instances?limit=1&limit=2", &[], None, 400, "malformed-request"),
        ("POST", start, &[], Some("[]"), 422, "invalid-inputs"),
        ("POST", start, &[], Some(r#"{"seconds":86401}"#), 422, "invalid-inputs"),
        ("POST", "/v1/instances", &[], Some("{}"), 422, "invalid-request"),
        ("POST", "/v1/instances", &[], Some(r#"{"task_id":"sleep","inputs":null}"#), 422, "invalid-inputs"),
        (
            "POST",
            "/v1/instances",
            &[],
            Some(r#"{"task_id":"sleep","inputs":{"seconds":1},"workload":"remote"}"#),
            422,
            "invalid-request",
        ),
        ("GET", "/v1/instances?limit=0", &[], None, 422, "invalid-request"),
    ];
    for (method, path, headers, body, status, problem) in cases {
        let answer = api.send(method, path, headers, *body).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (*status, *problem),
            "{method} {path} {body:?}: {}",
            answer.text
        );
    }
    assert_eq!(api.send("PATCH", "/v1/instances", &[], None).await.header("allow"), "GET, HEAD, POST");
    let form = api.send("POST", start, &[("content-type", "application/x-www-form-urlencoded")], Some("{}")).await;
    assert!(form.text.contains("--json"));
    assert_eq!(form.header("accept"), "application/json");
    // Nothing of all that made an instance.
    let list = api.get("/v1/instances").await.json();
    assert_eq!(list["instances"].as_array().unwrap().len(), 1);
    let grace = api.delete(&format!("/v1/instances/{id}?grace=2h")).await;
    assert_eq!(
        (grace.status, grace.problem().as_str(), grace.places()),
        (422, "invalid-request", vec!["grace".to_owned()])
    );
    api.server.fsck();
}

#[tokio::test]
async fn every_field_at_fault_is_named() {
    let api = Api::start().await;
    let body = r#"{"task_id":"sleep","inputs":{"seconds":1},"priority":1.5,"timeout":0,"max_attempts":0,"labels":{"a b":"c"},"run_at":"soon","prioritty":1}"#;
    let answer = api.post("/v1/instances", body).await;
    let mut places = answer.places();
    places.sort();
    assert_eq!(places, ["/labels/a b", "/max_attempts", "/prioritty", "/priority", "/run_at", "/timeout"]);
    assert!(answer.text.contains("did you mean `priority`?"));

    let query =
        "timeout=0&max_attempts=1001&priority=40000&delay=1&run_at=2030-01-01T00:00:00Z&label=a%20b:c&workload=x";
    let answer = api.post(&format!("/v1/definitions/sleep/instances?{query}"), r#"{"seconds":1}"#).await;
    assert_eq!(answer.problem(), "invalid-request");
    let mut places = answer.places();
    places.sort();
    assert_eq!(places, ["delay", "label", "max_attempts", "priority", "timeout", "workload"]);

    let answer = api.post("/v1/instances", r#"{"task_id":"sleep","inputs":{"seconds":-1}}"#).await;
    assert_eq!(answer.json()["task_id"], "sleep");
    assert!(answer.places().iter().all(|place| place.starts_with("/inputs")), "{:?}", answer.places());
    let wrong = api.post("/v1/definitions/sleep/instances?workload=remote", r#"{"seconds":1}"#).await;
    assert_eq!(wrong.places(), ["workload"]);
}

#[tokio::test]
async fn reports_are_checked_like_starts() {
    let api = Api::start().await;
    let id = api.sleep(60.0).await;
    let path = |part: &str| format!("/v1/instances/{id}/{part}");
    for (part, body, place) in [
        ("progress", r#"{"progress":1.5}"#, "/progress"),
        ("progress", r#"{"progress":1e400}"#, "/progress"),
        ("progress", r#"{"progress":"half"}"#, "/progress"),
        ("progress", r#"{"message":"half"}"#, "/progress"),
        ("progress", r#"{"progress":0.5,"mesage":"x"}"#, "/mesage"),
        ("output", "[]", ""),
        ("output", "1", ""),
        ("status", r#"{"status":"pending"}"#, "/status"),
        ("status", r#"{"status":"done"}"#, "/status"),
        ("status", "{}", "/status"),
    ] {
        let answer = api.put(&path(part), body).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (422, "invalid-request"),
            "{part} {body}: {}",
            answer.text
        );
        assert_eq!(answer.places(), [place], "{part} {body}");
    }
    let lines = api.post(&path("logs"), r#"{"lines":[{"text":"x","stream":"system"}]}"#).await;
    assert_eq!((lines.status, lines.places()), (422, vec!["/lines/0/stream".to_owned()]));
    let pending = api.post("/v1/definitions/sleep/instances?delay=1h", r#"{"seconds":1}"#).await;
    let pending = api.put(&format!("{}/progress", pending.header("location")), r#"{"progress":0.1}"#).await;
    assert_eq!((pending.status, pending.problem().as_str()), (409, "attempt-not-running"));
    let unknown = api.put("/v1/instances/999/progress", r#"{"progress":7}"#).await;
    assert_eq!((unknown.status, unknown.problem().as_str()), (404, "task-instance-not-found"));
    assert_eq!(unknown.json()["instance_id"], json!("999"));
}

#[tokio::test]
async fn a_problem_in_plain_text_is_one_line() {
    let api = Api::start().await;
    for path in ["/v1/instances/7", "/v1/instances?limit=x", "/nothing"] {
        let answer = api.text(path).await;
        assert!(answer.status >= 400);
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(answer.text.lines().count(), 1, "{}", answer.text);
        assert!(answer.text.ends_with('\n'));
    }
}

#[tokio::test]
async fn a_request_id_is_echoed_in_form_only() {
    let api = Api::start().await;
    let kept = api.send("GET", "/livez", &[("x-request-id", "my.id_7-x")], None).await;
    assert_eq!(kept.header("x-request-id"), "my.id_7-x");
    let made = api.send("GET", "/livez", &[("x-request-id", "my id")], None).await;
    assert_ne!(made.header("x-request-id"), "my id");
}

#[tokio::test]
async fn the_first_check_that_fails_answers() {
    let api = Api::with_config("[limits]\nbody = 100\npending = 1\n").await;
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(200));
    let foreign: &[(&str, &str)] = &[("origin", "http://evil.test")];
    let form: &[(&str, &str)] = &[("content-type", "text/plain")];
    // Origin, then route, method, type, size, JSON.
    assert_eq!(api.send("POST", "/nothing", foreign, Some("{")).await.status, 403);
    assert_eq!(api.send("POST", "/nothing", form, Some("{")).await.status, 404);
    assert_eq!(api.send("PUT", "/v1/instances", form, Some("{")).await.status, 405);
    assert_eq!(api.send("POST", "/v1/definitions/none/instances", form, Some(&large)).await.status, 415);
    assert_eq!(api.send("POST", "/v1/definitions/none/instances", &[], Some(&large)).await.problem(), "body-too-large");
    assert_eq!(api.send("POST", "/v1/definitions/none/instances", &[], Some("{")).await.status, 400);
    assert_eq!(api.send("POST", "/v1/definitions/none/instances?priority=99999", &[], Some("{}")).await.status, 404);
    // A full queue is told before the JSON is looked at.
    let waiting = api.post("/v1/definitions/sleep/instances?delay=1h", r#"{"seconds":1}"#).await;
    assert_eq!(waiting.status, 201);
    let full = api.post("/v1/definitions/sleep/instances", "{").await;
    assert_eq!((full.status, full.problem().as_str()), (503, "queue-full"));
}

//! What people meet who type curl: the page of lines to paste, `?pretty`, `?dry_run`, the pages of problems.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::contract::Api;

/// The lines of the page that are to be pasted.
fn lines(page: &str) -> Vec<&str> {
    let indented = page.lines().filter_map(|line| line.strip_prefix("  "));
    indented.filter(|line| line.starts_with("curl") || line.starts_with("id=$(curl")).collect()
}

/// Pastes `lines` into one shell and answers each with its exit code and what it printed.
fn paste(lines: &[&str], token: Option<&str>) -> Vec<(i32, String)> {
    // The feed has no end of its own.
    let mut script = "curl() { command curl -sS --max-time 15 \"$@\"; }\n".to_owned();
    for line in lines {
        let line =
            if line.contains("/v1/events") { line.replace("curl ", "curl --max-time 1 ") } else { (*line).into() };
        script.push_str(&format!("{line}\nprintf '\\n\\036%s\\036' $?\n"));
    }
    let mut shell = Command::new("sh");
    shell.args(["-u", "-c", &script]).env_remove("TASKWRIGHT_TOKEN").stdin(Stdio::null());
    if let Some(token) = token {
        shell.env("TASKWRIGHT_TOKEN", token);
    }
    let output = shell.output().expect("there is a shell");
    let text = String::from_utf8(output.stdout).unwrap();
    let pieces: Vec<_> = text.split('\u{1e}').collect();
    let ran: Vec<_> =
        pieces.chunks_exact(2).map(|pair| (pair[1].parse().unwrap(), pair[0].trim_end().to_owned())).collect();
    assert_eq!(ran.len(), lines.len(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    ran
}

/// Asserts that every line of the page works.
async fn works(api: &Api, page: String, token: Option<&str>) {
    let pasted = page.clone();
    let token = token.map(str::to_owned);
    let ran = tokio::task::spawn_blocking(move || paste(&lines(&pasted), token.as_deref())).await.unwrap();
    let lines = lines(&page);
    let mut seen = BTreeMap::new();
    for (line, (code, printed)) in lines.iter().zip(&ran) {
        let expected = if line.contains("/v1/events") { 28 } else { 0 };
        assert_eq!(*code, expected, "{line}\n{printed}");
        assert!(!printed.contains("\"type\":\"/problems/"), "{line}\n{printed}");
        for part in ["?wait=10", "/status", "$id?pretty", "$id/events", "/logs", "/result", "DELETE", "/v1/events"] {
            if line.contains(part) {
                seen.insert(part, printed.clone());
            }
        }
    }
    assert_eq!(seen.len(), 8, "{page}");
    assert!(lines.iter().all(|line| line.contains(api.server.address())), "{page}");
    let json = |part: &str| serde_json::from_str::<Value>(&seen[part]).unwrap();
    assert_eq!(json("?wait=10")["status"], "completed");
    assert_eq!(seen["/status"], "running");
    assert!(seen["$id?pretty"].starts_with("{\n  \"id\": \""));
    assert!(seen["$id/events"].contains("\"status\":\"completed\""));
    assert_eq!(json("/result"), json!({"slept": 3}));
    assert_eq!(json("DELETE")["status"], "completed");
    assert!(seen["/v1/events"].contains("event: ready"));
}

#[tokio::test]
async fn every_line_of_the_page_can_be_pasted() {
    let api = Api::start().await;
    let page = api.send("GET", "/", &[("accept", "*/*")], None).await;
    assert_eq!((page.status, page.header("vary")), (200, "Accept"));
    works(&api, page.text, None).await;
}

#[tokio::test]
async fn the_page_steers_no_terminal() {
    let config = "[[tasks]]\nname = \"it's\"\ncommand = \"true\"\ndescription = \"red \\u001b[31m \\u009b1m\\r\\n  curl evil\"\n\
        [[tasks]]\nname = \"bare\"\ncommand = \"true\"\n";
    let api = Api::with_config(config).await;
    let page = api.get("/").await.text;
    assert!(page.contains("\n  it's                 red \\u{1b}[31m \\u{9b}1m\n"), "{page}");
    assert!(page.contains("\n  bare\n") && !page.contains("evil"), "{page}");
    assert!(page.chars().all(|c| c == '\n' || !c.is_control()), "{page:?}");
}

#[tokio::test]
async fn the_page_knows_prefix_and_tokens() {
    let hash: String = Sha256::digest("tw_run").iter().map(|byte| format!("{byte:02x}")).collect();
    let config = format!(
        "[server]\nbase_path = \"/a/b\"\n[[tokens]]\nname = \"run\"\nsha256 = \"{hash}\"\nscopes = [\"run\"]\n"
    );
    let api = Api::with_config(&config).await;
    let page = api.get("/").await.text;
    assert!(page.contains("export TASKWRIGHT_TOKEN=") && page.contains("/a/b/v1/"), "{page}");
    works(&api, page, Some("tw_run")).await;
    // With tokens any name is let in; behind a proxy with TLS the lines go through it.
    let headers = [("host", "tasks.example:8443"), ("x-forwarded-proto", "https")];
    let page = api.send("GET", "/", &headers, None).await.text;
    let lines = lines(&page);
    assert!(lines.iter().all(|line| line.contains("https://tasks.example:8443/a/b/")), "{page}");
    assert_eq!(api.send("GET", "/", &[("accept", "image/png")], None).await.status, 200);
}

#[tokio::test]
async fn pretty_is_the_same_json_indented() {
    let echo = r#"["sh", "-c", "cat \"$TASKWRIGHT_INPUT_FILE\" > \"$TASKWRIGHT_OUTPUT_FILE\""]"#;
    let api = Api::with_config(&format!("[[tasks]]\nname = \"echo\"\ncommand = {echo}\n")).await;
    let inputs = r#"{"big":9223372036854775808,"huge":1e400,"exact":1.10,"text":"{\"a\": [1,2]}","none":{},"list":[]}"#;
    let started = api.post("/v1/definitions/echo/instances?wait&pretty", inputs).await;
    assert_eq!(started.status, 201);
    let indented = "  \"inputs\": {\n    \"big\": 9223372036854775808,\n    \"huge\": 1e400,\n    \"exact\": 1.10,\n    \
        \"text\": \"{\\\"a\\\": [1,2]}\",\n    \"none\": {},\n    \"list\": []\n  },\n";
    assert!(started.text.contains(indented), "{}", started.text);
    assert!(started.text.ends_with("\n}\n"));
    let path = started.header("location").to_owned();
    let plain = api.get(&path).await;
    let pretty = api.get(&format!("{path}?pretty=true")).await;
    assert_eq!(taskwright::domain::json::compact(&pretty.text).unwrap(), plain.text.trim_end());
    for name in ["etag", "content-type", "vary", "cache-control"] {
        assert_eq!(pretty.header(name), plain.header(name), "{name}");
    }
    assert_eq!(pretty.header("content-length"), pretty.text.len().to_string());
    assert_eq!(api.get(&format!("{path}?pretty=false")).await.text, plain.text);
    assert_eq!(api.get(&format!("{path}/output?pretty")).await.text.lines().count(), 8);
    let list = api.get("/v1/instances?pretty&limit=1").await;
    assert!(list.text.starts_with("{\n  \"instances\": [\n    {\n      \"id\": "), "{}", list.text);

    // Problems too, whatever is wrong; not what is no JSON.
    for refused in
        ["/v1/instances/99?pretty", "/nothing?pretty", "/v1/instances?pretty&limit=x", "/v1/instances?pretty&x=1"]
    {
        let problem = api.get(refused).await;
        assert!(problem.text.starts_with("{\n  \"type\": \"/problems/"), "{}", problem.text);
        problem.problem();
    }
    for unreadable in ["pretty=yes", "pretty&pretty", "prety"] {
        assert_eq!(api.get(&format!("{path}?{unreadable}")).await.status, 400, "{unreadable}");
    }
    assert!(api.get(&format!("{path}?prety")).await.text.contains("did you mean `pretty`"));
    assert_eq!(api.text(&format!("{path}/status?pretty")).await.text, "completed\n");
    let events = api.get(&format!("{path}/events?pretty")).await.text;
    assert_eq!(events.lines().filter(|line| line.starts_with("data: {")).count(), 1, "{events}");
    let same = api.send("GET", &format!("{path}?pretty"), &[("if-none-match", plain.header("etag"))], None).await;
    assert_eq!((same.status, same.text.as_str()), (304, ""));
    let head = api.send("HEAD", &format!("{path}?pretty"), &[], None).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));

    // The next page looks as the first.
    api.post("/v1/definitions/echo/instances?wait", "{}").await;
    let link = api.get("/v1/instances?pretty&limit=1").await.header("link").to_owned();
    let next = link.split_once('<').unwrap().1.split_once('>').unwrap().0;
    assert!(api.get(next).await.text.starts_with("{\n"), "{link}");
}

#[tokio::test]
async fn a_dry_run_is_refused_like_a_start_and_makes_nothing() {
    let api = Api::with_config("[limits]\npending = 1\n").await;
    let bare = "/v1/definitions/sleep/instances?dry_run";
    let whole = "/v1/instances?dry_run=true";
    let good = r#"{"task_id":"sleep","inputs":{"seconds":3}}"#;
    for (path, body) in [(bare, r#"{"seconds":3}"#), (whole, good)] {
        let key = [("idempotency-key", "k"), ("prefer", "wait=10")];
        let answer = api.send("POST", path, &key, Some(body)).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "{\"valid\":true}\n"));
        assert_eq!((answer.header("location"), answer.header("idempotent-replayed")), ("", ""));
        let text = api.send("POST", path, &[("accept", "text/plain")], Some(body)).await;
        assert_eq!((text.status, text.text.as_str()), (200, "valid\n"));
    }
    let refusals = [
        (bare.to_owned(), "{}", 422, "invalid-inputs", "/seconds"),
        (format!("{bare}&priority=99999"), r#"{"seconds":3}"#, 422, "invalid-request", "priority"),
        (bare.replace("sleep", "slep"), "{}", 404, "task-definition-not-found", ""),
        (whole.to_owned(), r#"{"task_id":"sleep","inputs":{"seconds":-1}}"#, 422, "invalid-inputs", "/inputs/seconds"),
        (
            whole.to_owned(),
            r#"{"task_id":"sleep","inputs":{},"workload":"remote"}"#,
            422,
            "invalid-request",
            "/workload",
        ),
        (whole.to_owned(), "{", 400, "malformed-request", ""),
        (whole.replace("true", "yes"), good, 400, "malformed-request", "dry_run"),
        ("/v1/instances/batch?dry_run".to_owned(), "{\"instances\":[]}", 400, "malformed-request", "dry_run"),
        ("/v1/instances/1/retry?dry_run".to_owned(), "{}", 400, "malformed-request", "dry_run"),
    ];
    for (path, body, status, problem, place) in refusals {
        let dry = api.post(&path, body).await;
        assert_eq!((dry.status, dry.problem().as_str()), (status, problem), "{path} {body}: {}", dry.text);
        assert_eq!(dry.places().first().map_or("", String::as_str), place, "{path} {body}");
        if path.contains("/v1/instances?dry_run=true") || path.starts_with("/v1/definitions") {
            let real = api.post(&path.replace("dry_run=true", "").replace("dry_run", ""), body).await;
            let told = |text: &str| {
                let mut problem: Value = serde_json::from_str(text).unwrap();
                problem.as_object_mut().unwrap().remove("request_id");
                problem
            };
            assert_eq!(told(&dry.text), told(&real.text), "{path}");
        }
    }
    assert_eq!(api.get("/v1/instances").await.json()["instances"], json!([]));

    // The key that a dry run came with is free; `false` starts; a full queue refuses both.
    let key = [("idempotency-key", "k")];
    let later = r#"{"task_id":"sleep","inputs":{"seconds":0},"delay":3600}"#;
    let started = api.send("POST", "/v1/instances?dry_run=false", &key, Some(later)).await;
    assert_eq!(started.status, 201, "{}", started.text);
    let full = api.send("POST", whole, &key, Some(good)).await;
    assert_eq!((full.status, full.problem().as_str()), (503, "queue-full"));
}

#[tokio::test]
async fn every_problem_has_a_page() {
    let api = Api::start().await;
    let of_the_contract = "malformed-request unauthorized forbidden foreign-origin remote-definitions-off not-found \
        task-definition-not-found task-instance-not-found method-not-allowed not-acceptable body-timeout \
        instance-not-done attempt-not-running attempt-over definition-exists definition-in-use task-failed \
        task-cancelled precondition-failed body-too-large uri-too-long unsupported-media-type misdirected-request \
        invalid-request invalid-inputs idempotency-key-reused internal queue-full draining store-unavailable \
        too-many-streams";
    for slug in of_the_contract.split_whitespace() {
        let path = format!("/problems/{slug}");
        let text = api.send("GET", &path, &[("accept", "*/*")], None).await;
        assert_eq!((text.status, text.header("content-type")), (200, "text/plain; charset=utf-8"), "{slug}");
        assert!(text.text.contains(slug) && text.text.lines().count() >= 5, "{}", text.text);
        let html = api.send("GET", &path, &[("accept", "text/html")], None).await;
        assert_eq!((html.status, html.header("content-type")), (200, "text/html; charset=utf-8"), "{slug}");
        assert!(html.text.starts_with("<!doctype html>") && html.text.contains(&format!("<code>{slug}</code>")));
        assert_eq!((text.header("vary"), html.header("vary")), ("Accept", "Accept"));
    }
    // And every problem that is told leads to one.
    let told = api.get("/v1/nothing").await.json()["type"].as_str().unwrap().to_owned();
    assert_eq!(api.get(&told).await.status, 200);
}

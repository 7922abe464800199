//! Every documented limit, at it and one beyond.

use serde_json::{Value, json};

use super::{api::Api, assert_well, token, wire};

/// A request at a limit: what it is, the answer at the limit, and the answer one beyond it.
struct Limit {
    name: &'static str,
    method: &'static str,
    at: Sent,
    beyond: Sent,
    expected: (u16, u16),
}

/// Target, headers and body.
type Sent = (String, Vec<(&'static str, String)>, Vec<u8>);

const START: &str = "/v1/definitions/sleep/instances";

fn body(path: &str, body: impl Into<Vec<u8>>) -> Sent {
    (path.to_owned(), vec![("Content-Type", "application/json".to_owned())], body.into())
}

fn value(path: &str, value: &Value) -> Sent {
    body(path, value.to_string())
}

/// A limit on a member of the body of a start.
fn option(name: &'static str, at: &Value, beyond: &Value) -> Limit {
    let start = |value: &Value| {
        let mut start = json!({"task_id": "sleep", "inputs": {"seconds": 0}, "run_at": "2100-01-01T00:00:00Z"});
        start[name] = value.clone();
        self::value("/v1/instances?dry_run", &start)
    };
    Limit { name, method: "POST", at: start(at), beyond: start(beyond), expected: (200, 422) }
}

fn get(name: &'static str, at: impl Into<String>, beyond: impl Into<String>, expected: (u16, u16)) -> Limit {
    let sent = |target: String| (target, Vec::new(), Vec::new());
    Limit { name, method: "GET", at: sent(at.into()), beyond: sent(beyond.into()), expected }
}

fn post(name: &'static str, at: Sent, beyond: Sent, expected: (u16, u16)) -> Limit {
    Limit { name, method: "POST", at, beyond, expected }
}

fn put(name: &'static str, at: Sent, beyond: Sent, expected: (u16, u16)) -> Limit {
    Limit { name, method: "PUT", at, beyond, expected }
}

fn labels(count: usize, key: usize, value: &str) -> Value {
    (0..count).map(|n| (format!("{n:0>key$}"), Value::from(value))).collect::<serde_json::Map<_, _>>().into()
}

#[allow(clippy::too_many_lines, reason = "it is a table")]
fn limits() -> Vec<Limit> {
    let padded = |size: usize| body(START, format!("{{\"seconds\":0{}}}", " ".repeat(size - 13)));
    let batch = |count: usize| {
        let item = json!({"task_id": "sleep", "inputs": {"seconds": 0}, "run_at": "2100-01-01T00:00:00Z"});
        value("/v1/instances/batch", &json!({"instances": vec![item; count]}))
    };
    let batch_bytes = |size: usize| {
        let start = r#"{"instances":[{"task_id":"sleep","inputs":{"seconds":0}}]}"#;
        body("/v1/instances/batch", format!("{start}{}", " ".repeat(size - start.len())))
    };
    let nested = |depth: usize| {
        let inputs = format!("{{\"x\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        body("/v1/definitions/any/instances?dry_run", inputs)
    };
    let keyed = |key: String| {
        let mut sent = body(START, "{\"seconds\":0}");
        sent.1.push(("Idempotency-Key", key));
        sent
    };
    let lines = |count: usize| value("/v1/instances/1/logs", &json!({"lines": vec![json!({"text": "x"}); count]}));
    let message =
        |bytes: usize| value("/v1/instances/1/progress", &json!({"progress": 0, "message": "m".repeat(bytes)}));
    let progress = |text: &str| body("/v1/instances/1/progress", format!("{{\"progress\":{text}}}"));
    let definition = |id: &str| body(&format!("/v1/definitions/{id}"), r#"{"command":["true"]}"#);
    let seconds = |text: &str| body("/v1/definitions/sleep/instances?dry_run", format!("{{\"seconds\":{text}}}"));
    let grace = |grace: &str| value("/v1/instances/stop", &json!({"task_id": "any", "grace": grace}));
    let output = |bytes: usize| body("/v1/instances/1/output", format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8)));
    let year = 365 * 24 * 3600;
    vec![
        post("the body", padded(1 << 20), padded((1 << 20) + 1), (201, 413)),
        post("the body of a batch", batch_bytes(16 << 20), batch_bytes((16 << 20) + 1), (201, 413)),
        post("the items of a batch", batch(10_000), batch(10_001), (201, 422)),
        post("the least items of a batch", batch(1), batch(0), (201, 422)),
        post("the depth of JSON", nested(64), nested(65), (200, 400)),
        post("the length of a key", keyed("k".repeat(255)), keyed("k".repeat(256)), (201, 400)),
        post("the least key", keyed("a".to_owned()), keyed("\"\"".to_owned()), (201, 400)),
        post("the lines of a report", lines(1000), lines(1001), (200, 422)),
        post("the grace of a stop", grace("1h"), grace("3601"), (200, 422)),
        post("the seconds of sleep", seconds("86400"), seconds("86400.001"), (200, 422)),
        post("the least seconds of sleep", seconds("0"), seconds("-0.001"), (200, 422)),
        put("a message", message(4096), message(4097), (200, 422)),
        put("progress", progress("1.0"), progress("1.0000001"), (200, 422)),
        put("the least progress", progress("0"), progress("-0.0000001"), (200, 422)),
        put("the output", output(512 << 10), output((512 << 10) + 1), (200, 422)),
        put("the id of a definition", definition(&"d".repeat(128)), definition(&"d".repeat(129)), (201, 422)),
        put(
            "the id of a definition in characters",
            definition(&"%C3%A9".repeat(128)),
            definition(&"%C3%A9".repeat(129)),
            (201, 422),
        ),
        put("the id of a definition, encoded", definition("a%20b"), definition("a%2Fb"), (201, 422)),
        option("labels", &labels(32, 63, "v"), &labels(33, 63, "v")),
        option("labels", &labels(1, 63, "v"), &labels(1, 64, "v")),
        option("labels", &labels(1, 1, &"\u{10ffff}".repeat(256)), &labels(1, 1, &"\u{10ffff}".repeat(257))),
        option("labels", &json!({"a.b_c/d-E9": ""}), &json!({"": ""})),
        option("labels", &json!({"a": "\u{a0}"}), &json!({"a": "\u{1f}"})),
        option("priority", &json!(32767), &json!(32768)),
        option("priority", &json!(-32768), &json!(-32769)),
        option("max_attempts", &json!(1000), &json!(1001)),
        option("max_attempts", &json!(1), &json!(0)),
        option("timeout", &json!(year), &json!(year + 1)),
        option("timeout", &json!(0.001), &json!(0)),
        option("queue_timeout", &json!("365d"), &json!("366d")),
        option("retry_delay", &json!("365d"), &json!("8761h")),
        get("the target", format!("/{}", "x".repeat(8191)), format!("/{}", "x".repeat(8192)), (404, 414)),
        get(
            "the target with a query",
            format!("/v1/instances?label=k:{}", "x".repeat(8192 - 22)),
            format!("/v1/instances?label=k:{}", "x".repeat(8193 - 22)),
            (200, 414),
        ),
        get("the limit of a list", "/v1/instances?limit=1", "/v1/instances?limit=0", (200, 422)),
        get("the largest limit of a list, lowered", "/v1/instances?limit=500", "/v1/instances?limit=501", (200, 200)),
        get(
            "the largest limit of a log, lowered",
            "/v1/instances/1/logs?limit=10000",
            "/v1/instances/1/logs?limit=10001",
            (200, 200),
        ),
        get(
            "the buckets of statistics",
            "/v1/stats?window=1440m&bucket=1m",
            "/v1/stats?window=1441m&bucket=1m",
            (200, 422),
        ),
        get("the size of a bucket", "/v1/stats?window=2d&bucket=1d", "/v1/stats?window=2d&bucket=86401", (200, 422)),
        get("the least bucket", "/v1/stats?window=1h&bucket=1m", "/v1/stats?window=1h&bucket=59", (200, 422)),
    ]
}

/// Sends a request and answers its status.
async fn status(api: &Api, method: &str, (target, headers, body): &Sent) -> u16 {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer tw_admin\r\nConnection: close\r\n\
         Content-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    let seen = wire::exchange(api.server.address(), &[head.as_bytes(), body].concat(), 15 * wire::PATIENCE).await;
    let statuses = wire::statuses(&seen.bytes);
    assert_eq!(statuses.len(), 1, "{method} {target}: {statuses:?}");
    statuses[0]
}

/// The limits that are not where they are documented.
async fn shifted(api: &Api) -> Vec<String> {
    let mut found = Vec::new();
    for limit in limits() {
        let seen = (status(api, limit.method, &limit.at).await, status(api, limit.method, &limit.beyond).await);
        if seen != limit.expected {
            found.push(format!("{}: {seen:?} in place of {:?}", limit.name, limit.expected));
        }
    }
    found
}

async fn scene(more: &str) -> Api {
    let any = "[[tasks]]\nname = \"any\"\ncommand = [\"true\"]\n";
    let config = format!(
        "[limits]\noutput = \"512 KiB\"\n{more}\n[definitions]\nremote = true\n{}{any}",
        token("admin", "admin")
    );
    let mut api = Api::with_config(&config).await;
    api.token = Some("tw_admin".to_owned());
    api.sleep(600.0).await;
    api
}

#[tokio::test]
async fn hostile_every_limit_is_where_it_is_documented() {
    let api = scene("").await;
    let found = shifted(&api).await;
    assert!(found.is_empty(), "{}", found.join("\n"));

    // Heads are counted as they are sent: names, values and line breaks.
    let head = |bytes: usize, headers: usize| {
        let few: String = (0..headers - 3).map(|n| format!("X-{n}: y\r\n")).collect();
        let start = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{few}X: ");
        format!("{start}{}\r\n\r\n", "y".repeat(bytes.saturating_sub(start.len() + 4)))
    };
    for (bytes, headers, expected) in [(16 << 10, 4, 200), ((16 << 10) + 1, 4, 431), (0, 100, 200), (0, 101, 431)] {
        let seen = wire::exchange(api.server.address(), head(bytes, headers).as_bytes(), wire::PATIENCE).await;
        assert_eq!(wire::statuses(&seen.bytes), [expected], "{bytes} bytes, {headers} headers");
        assert!(seen.closed);
    }
    // In chunks a body is no larger than in one piece.
    for (size, expected) in [(1 << 20, 201), ((1 << 20) + 1, 413)] {
        let piece = format!("{{\"seconds\":0{}}}", " ".repeat(size - 13));
        let chunks: String = piece
            .as_bytes()
            .chunks(4096)
            .map(|some| format!("{:x}\r\n{}\r\n", some.len(), String::from_utf8_lossy(some)))
            .collect();
        let request = format!(
            "POST {START} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer tw_admin\r\nConnection: close\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
        );
        let seen = wire::exchange(api.server.address(), request.as_bytes(), 5 * wire::PATIENCE).await;
        assert_eq!(wire::statuses(&seen.bytes), [expected], "{size} bytes in chunks");
    }
    let page = api.get("/v1/instances?limit=100000").await.json();
    assert_eq!(page["instances"].as_array().unwrap().len(), 500, "lowered");
    for (length, kept) in [(128, true), (129, false)] {
        let id = "r".repeat(length);
        let answer = api.send("GET", "/livez", &[("x-request-id", &id)], None).await;
        assert_eq!(answer.header("x-request-id") == id, kept, "{length}");
    }
    api.post("/v1/instances/stop", r#"{"all":true,"force":true}"#).await;
    assert_well(&api.server).await;
}

/// Negative control: limits that were moved by one are noticed, and no others.
#[tokio::test]
async fn hostile_control_limits_that_were_moved_are_noticed() {
    let api = scene("body = 1048577\nbatch_body = 16777215").await;
    let found = shifted(&api).await;
    assert_eq!(found.len(), 2, "{}", found.join("\n"));
    assert!(
        found[0].starts_with("the body: (201, 201)") && found[1].starts_with("the body of a batch: (413, 413)"),
        "{found:?}"
    );
}

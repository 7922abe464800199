//! Streams: the changes of one instance and its log, as SSE, NDJSON and text.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::contract::Api;

const PATIENCE: Duration = Duration::from_secs(20);

/// Reads a stream to its end.
async fn read(api: &Api, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let answer = timeout(PATIENCE, api.send("GET", path, headers, None)).await.expect("the stream ends");
    (answer.status, answer.text)
}

/// The events of an SSE stream: name, id, data.
fn events(text: &str) -> Vec<(String, u64, Value)> {
    let mut events = Vec::new();
    for block in text.split("\n\n").filter(|block| block.starts_with("event:")) {
        let field = |name: &str| {
            block
                .lines()
                .find_map(|line| line.strip_prefix(name).map(str::to_owned))
                .unwrap_or_else(|| panic!("{block}"))
        };
        let data = serde_json::from_str(&field("data: ")).unwrap();
        events.push((field("event: "), field("id: ").parse().unwrap(), data));
    }
    events
}

#[tokio::test]
async fn an_instance_is_followed_to_its_end() {
    let api = Api::start().await;
    let id = api.sleep(0.7).await;
    let path = format!("/v1/instances/{id}/events");
    let answer = api.get(&path).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.header("x-accel-buffering"), "no");
    assert!(answer.text.starts_with("retry: 2000\n\n"), "{}", answer.text);
    let events = events(&answer.text);
    assert!(events.iter().all(|(name, id, data)| name == "instance" && data["version"] == *id));
    assert!(events.windows(2).all(|pair| pair[0].1 < pair[1].1));
    let terminal: Vec<_> = events.iter().filter(|(_, _, data)| data["status"] == "completed").collect();
    assert_eq!(terminal.len(), 1);
    let (_, last, data) = events.last().unwrap();
    assert_eq!((&data["status"], &data["output"]), (&json!("completed"), &json!({"slept": 0.7})));
    assert_eq!((data.get("inputs"), data.get("result")), (None, None));

    // Who has the last event gets nothing more, who lacks it gets it alone.
    let last = last.to_string();
    assert_eq!(read(&api, &path, &[("last-event-id", &last)]).await, (204, String::new()));
    assert_eq!(read(&api, &format!("{path}?after={last}"), &[]).await.0, 204);
    let (status, text) = read(&api, &format!("{path}?after=1"), &[]).await;
    assert_eq!((status, self::events(&text).len()), (200, 1));
    // Of two ids the header's counts: it is the later one of a reader that comes back to the address it opened.
    let old = format!("{path}?after=1");
    assert_eq!(read(&api, &old, &[("last-event-id", &last)]).await.0, 204);
    let (status, text) = read(&api, &format!("{path}?after={last}"), &[("last-event-id", "1")]).await;
    assert_eq!((status, self::events(&text).len()), (200, 1));
    assert_eq!(read(&api, &format!("{path}?after=x"), &[]).await.0, 400);
    assert_eq!(read(&api, &path, &[("last-event-id", "x")]).await.0, 400);
    assert_eq!(read(&api, "/v1/instances/999/events", &[]).await.0, 404);
    assert_eq!(read(&api, &path, &[("accept", "application/json")]).await.0, 406);
}

#[tokio::test]
async fn events_are_lines_of_json_too() {
    let api = Api::start().await;
    let id = api.sleep(0.4).await;
    let (_, text) = read(&api, &format!("/v1/instances/{id}/events"), &[("accept", "application/x-ndjson")]).await;
    let lines: Vec<Value> =
        text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = lines.last().unwrap();
    assert_eq!((&last["event"], &last["data"]["status"]), (&json!("instance"), &json!("completed")));
    assert_eq!(last["id"].as_str().unwrap(), last["data"]["version"].to_string());
}

const COUNTS: &str = r#"
[[tasks]]
name = "counts"
command = ["sh", "-c", "for n in 1 2 3; do echo out $n; echo err $n >&2; sleep 0.1; done"]
"#;

#[tokio::test]
async fn a_log_is_followed_to_its_end() {
    let api = Api::with_config(COUNTS).await;
    let started = api.post("/v1/definitions/counts/instances", "{}").await;
    let path = format!("{}/logs", started.header("location"));
    let (status, text) = read(&api, &format!("{path}?follow"), &[]).await;
    assert_eq!(status, 200);
    let lines = events(&text);
    assert_eq!(lines.iter().map(|(_, seq, _)| *seq).collect::<Vec<_>>(), (1..=6).collect::<Vec<_>>());
    assert!(lines.iter().all(|(name, seq, line)| name == "line" && line["seq"] == *seq));

    let (_, text) = read(&api, &format!("{path}?follow=true&stream=stdout"), &[("accept", "text/plain")]).await;
    assert_eq!(text, "out 1\nout 2\nout 3\n");
    let (_, text) = read(&api, &format!("{path}?follow&from=5"), &[("accept", "application/x-ndjson")]).await;
    let seqs: Vec<Value> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].clone()).collect();
    assert_eq!(seqs, [json!(5), json!(6)]);
    let (_, text) = read(&api, &format!("{path}?follow&tail=2"), &[]).await;
    assert_eq!(events(&text).len(), 2);
    assert_eq!(read(&api, &format!("{path}?follow"), &[("last-event-id", "6")]).await.0, 204);
    let (_, text) = read(&api, &format!("{path}?follow&after=6"), &[("last-event-id", "4")]).await;
    assert_eq!(events(&text).len(), 2);
    assert_eq!(read(&api, &format!("{path}?tail=1&from=1"), &[]).await.0, 422);
    let page = api.get(&path).await.json();
    assert_eq!((page["lines"].as_array().unwrap().len(), &page["next"]), (6, &Value::Null));
}

#[tokio::test]
async fn a_stream_of_a_pending_instance_ends_with_the_server() {
    let api = Api::start().await;
    let pending = api.post("/v1/definitions/sleep/instances?delay=1h", r#"{"seconds":1}"#).await;
    let path = pending.header("location").to_owned();
    let Api { mut server, .. } = api;
    let stream = server.client().get(server.url(&format!("{path}/events"))).send().await.unwrap();
    // Sent with another request before it: when that is answered, the long poll has been read too.
    let mut poll = TcpStream::connect(server.address()).await.unwrap();
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    poll.write_all((get("/livez") + &get(&format!("{path}?wait"))).as_bytes()).await.unwrap();
    let mut polled = vec![0; 12];
    poll.read_exact(&mut polled).await.unwrap();

    let (status, rest) = tokio::join!(server.stop(), timeout(PATIENCE, stream.text()));
    assert!(status.success(), "{status}");
    let events = events(&rest.expect("the stream ends").unwrap());
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].2["pending_reason"], "scheduled");
    timeout(PATIENCE, poll.read_to_end(&mut polled)).await.unwrap().unwrap();
    let polled = String::from_utf8(polled).unwrap();
    assert!(polled.contains("\"status\":\"pending\""), "{polled}");
}

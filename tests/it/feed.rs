//! `GET /v1/events`: the changes of all instances, as SSE and NDJSON.

use std::{collections::BTreeMap, fs, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{contract::Api, support::wait_for};

const PATIENCE: Duration = Duration::from_secs(20);

/// One event, from either form.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Event {
    fn of_block(block: &str) -> Option<Event> {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        let name = field("event: ")?;
        let data = serde_json::from_str(&field("data: ")?).unwrap();
        Some(Event { name, id: field("id: ")?, data })
    }

    fn of_line(line: &str) -> Option<Event> {
        let line: Value = serde_json::from_str(line).ok()?;
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        Some(Event { name: text("event"), id: text("id"), data: line["data"].clone() })
    }

    /// Number and version of the instance.
    fn change(&self) -> (u64, u64) {
        assert_eq!(self.name, "instance", "{self:?}");
        (self.data["number"].as_u64().unwrap(), self.data["version"].as_u64().unwrap())
    }

    fn is_done(&self) -> bool {
        matches!(self.data["status"].as_str(), Some("completed" | "failed" | "cancelled"))
    }
}

/// A stream that is being read.
struct Feed {
    response: reqwest::Response,
    text: String,
    lines: bool,
}

impl Feed {
    async fn open(api: &Api, query: &str, headers: &[(&str, &str)]) -> Feed {
        let mut request = api.server.client().get(api.server.url(&format!("/v1/events{query}")));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let lines = response.headers()["content-type"] == "application/x-ndjson";
        Feed { response, text: String::new(), lines }
    }

    /// The next block of SSE or line of NDJSON, heartbeats included; None at the end.
    async fn block(&mut self) -> Option<String> {
        let end = if self.lines { "\n" } else { "\n\n" };
        loop {
            if let Some((block, rest)) = self.text.split_once(end) {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return Some(block);
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("something comes").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event; None at the end.
    async fn event(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let event = if self.lines { Event::of_line(&block) } else { Event::of_block(&block) };
            if event.is_some() {
                return event;
            }
        }
    }

    async fn next(&mut self) -> Event {
        self.event().await.expect("the stream goes on")
    }

    /// The changes up to the one that ends the instance `number`.
    async fn until_done(&mut self, number: u64) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            let last = event.change().0 == number && event.is_done();
            events.push(event);
            if last {
                return events;
            }
        }
    }
}

/// Runs a `sleep` to its end and answers its number.
async fn run(api: &Api, query: &str) -> u64 {
    let done = api.post(&format!("/v1/definitions/sleep/instances?wait&{query}"), r#"{"seconds":0}"#).await;
    assert_eq!(done.json()["status"], "completed", "{}", done.text);
    done.json()["number"].as_u64().unwrap()
}

#[tokio::test]
async fn every_change_comes_after_ready() {
    let api = Api::start().await;
    let mut feed = Feed::open(&api, "", &[]).await;
    let headers = feed.response.headers().clone();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["cache-control"], "no-cache");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert_eq!(feed.block().await.as_deref(), Some("retry: 2000"));
    let ready = feed.next().await;
    assert_eq!((ready.name.as_str(), &ready.data), ("ready", &json!({"resumed": false})));
    let (boot, counter) = ready.id.split_once('.').unwrap();
    assert_eq!(boot, "1");
    let counter: u64 = counter.parse().unwrap();

    let number = run(&api, "label=k:v").await;
    let events = feed.until_done(number).await;
    for (version, event) in (1..).zip(&events) {
        assert_eq!(event.change(), (number, version), "every commit, in order");
        assert_eq!(event.id, format!("{boot}.{}", counter + version));
    }
    let summary = &api.get("/v1/instances?limit=1").await.json()["instances"][0];
    assert_eq!(&events.last().unwrap().data, summary);
    assert!(["inputs", "output", "result"].iter().all(|name| summary.get(name).is_none()));
}

#[tokio::test]
async fn a_feed_is_read_as_lines_and_by_many() {
    let api = Api::start().await;
    let any = [("accept", "*/*")];
    let lines = [("accept", "application/x-ndjson")];
    let mut readers =
        [Feed::open(&api, "", &[]).await, Feed::open(&api, "", &any).await, Feed::open(&api, "", &lines).await];
    assert_eq!(readers.each_ref().map(|reader| reader.lines), [false, false, true]);
    let number = run(&api, "").await;
    let mut seen = Vec::new();
    for reader in &mut readers {
        assert_eq!(reader.next().await.name, "ready");
        seen.push(reader.until_done(number).await);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    let refused = api.send("GET", "/v1/events", &[("accept", "application/json")], None).await;
    assert_eq!((refused.status, refused.problem().as_str()), (406, "not-acceptable"));
}

#[tokio::test]
async fn a_feed_has_the_filters_of_a_list() {
    let api = Api::with_config("[[tasks]]\nname = \"true\"\ncommand = [\"true\"]\n").await;
    let first = |query: &'static str| Feed::open(&api, query, &[]);
    let mut feeds = [
        first("?task_id=true").await,
        first("?status=completed,failed").await,
        first("?label=k:v&label=other").await,
        first("?created_after=2100-01-01T00:00:00Z").await,
        first("?created_before=2100-01-01T00:00:00Z&created_after=-1h").await,
    ];
    for feed in &mut feeds {
        assert_eq!(feed.next().await.name, "ready");
    }
    let [by_task, by_status, by_label, later, by_time] = &mut feeds;
    let plain = run(&api, "label=k:w").await;
    let labelled = run(&api, "label=k:v&label=other:x").await;
    let command = api.post("/v1/definitions/true/instances?wait", "{}").await.json()["number"].as_u64().unwrap();
    assert_eq!(by_task.next().await.change(), (command, 1));
    assert_eq!(by_task.until_done(command).await.last().unwrap().data["task_id"], "true");
    for number in [plain, labelled, command] {
        let event = by_status.next().await;
        assert_eq!((event.change().0, event.is_done()), (number, true));
    }
    assert!(by_label.until_done(labelled).await.iter().all(|event| event.change().0 == labelled));
    assert_eq!(by_time.next().await.change(), (plain, 1));
    // Nothing that was made now is made later than 2100.
    assert!(timeout(Duration::from_millis(300), later.event()).await.is_err());

    for unreadable in ["status=done", "label=:v", "created_after=soon", "limit=1", "cursor=x", "after=", "after=a%20b"]
    {
        let refused = api.get(&format!("/v1/events?{unreadable}")).await;
        assert_eq!((refused.status, refused.problem().as_str()), (400, "malformed-request"), "{unreadable}");
    }
    let header = [("last-event-id", "a b")];
    assert_eq!(api.send("GET", "/v1/events", &header, None).await.status, 400);
}

#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing() {
    let api = Api::start().await;
    let mut feed = Feed::open(&api, "", &[]).await;
    let ready = feed.next().await;
    let first = run(&api, "").await;
    let last_read = feed.next().await;
    assert_eq!(last_read.change(), (first, 1));
    drop(feed);
    let second = run(&api, "").await;

    // After the last event that was read; of two ids the header's counts.
    let after = format!("?after={}", last_read.id);
    let both = format!("?after={}", ready.id);
    let header = [("last-event-id", last_read.id.as_str())];
    for (query, headers) in [(after.as_str(), &[] as &[_]), ("", &header), (&both, &header)] {
        let mut feed = Feed::open(&api, query, headers).await;
        let ready = feed.next().await;
        assert_eq!((&ready.name[..], &ready.id, &ready.data), ("ready", &last_read.id, &json!({"resumed": true})));
        let events = feed.until_done(second).await;
        assert_eq!(events[0].change(), (first, 2));
        let ended: Vec<u64> = events.iter().filter(|event| event.is_done()).map(|event| event.change().0).collect();
        assert_eq!(ended, [first, second]);
    }
    // After `ready`: everything since. With a filter: what matches of it.
    let mut feed = Feed::open(&api, &both, &[]).await;
    feed.next().await;
    assert_eq!(feed.next().await, last_read);
    let mut feed = Feed::open(&api, &format!("{both}&status=completed"), &[]).await;
    feed.next().await;
    assert_eq!((feed.next().await.change().0, feed.next().await.change().0), (first, second));
}

#[tokio::test]
async fn a_reader_with_an_id_that_is_not_known_here_is_told() {
    let mut api = Api::start().await;
    let mut feed = Feed::open(&api, "", &[]).await;
    let ready = feed.next().await;
    run(&api, "").await;
    drop(feed);
    api.server.kill9();
    api.server.restart().await;
    let ahead = {
        let present = Feed::open(&api, "", &[]).await.next().await.id;
        let (boot, counter) = present.split_once('.').unwrap();
        format!("{boot}.{}", counter.parse::<u64>().unwrap() + 1_000_000)
    };
    for lost in [ready.id.as_str(), &ahead, "2.1", "99999999999999999999.1", "other-server.x"] {
        let mut feed = Feed::open(&api, "", &[("last-event-id", lost)]).await;
        let (ready, resync) = (feed.next().await, feed.next().await);
        assert_eq!((&ready.name[..], &ready.data), ("ready", &json!({"resumed": false})), "{lost}");
        assert_eq!((&resync.name[..], &resync.data), ("resync", &json!({"reason": "unknown_id"})), "{lost}");
        assert_eq!(ready.id, resync.id);
        let number = run(&api, "").await;
        feed.until_done(number).await;
    }
}

#[tokio::test]
async fn no_change_is_missing_and_none_goes_back_under_load() {
    let api = Api::with_config("[worker]\nlocal_slots = 8\n").await;
    let (mut one, mut other) = (Feed::open(&api, "", &[]).await, Feed::open(&api, "", &[]).await);
    let work = async {
        let item = json!({"task_id": "sleep", "inputs": {"seconds": 0.15}, "labels": {"k": "v"}});
        let batch = json!({"instances": vec![item; 60]}).to_string();
        let stops = async {
            for number in (3..60).step_by(4) {
                let path = format!("/v1/instances/{number}");
                wait_for("the instance", async || (api.get(&path).await.status == 200).then_some(())).await;
                api.delete(&format!("{path}?grace=0")).await;
            }
        };
        let (batched, ()) = tokio::join!(api.post("/v1/instances/batch", &batch), stops);
        assert_eq!(batched.status, 201);
    };
    let read = async |feed: &mut Feed| {
        assert_eq!(feed.next().await.name, "ready");
        let mut versions: BTreeMap<u64, u64> = BTreeMap::new();
        let mut counter = None;
        let mut done = 0;
        while done < 60 {
            let event = feed.next().await;
            let (number, version) = event.change();
            let before = versions.insert(number, version).unwrap_or(0);
            assert_eq!(version, before + 1, "instance {number}");
            let at: u64 = event.id.split_once('.').unwrap().1.parse().unwrap();
            assert!(counter.is_none_or(|counter| at == counter + 1));
            counter = Some(at);
            done += usize::from(event.is_done());
        }
        versions
    };
    let ((), one, other) = tokio::join!(work, read(&mut one), read(&mut other));
    assert_eq!(one, other);
    let page = api.get("/v1/instances?limit=500").await.json();
    let last: BTreeMap<u64, u64> = page["instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|instance| (instance["number"].as_u64().unwrap(), instance["version"].as_u64().unwrap()))
        .collect();
    assert_eq!(one, last);
}

#[tokio::test]
async fn changes_of_instances_that_are_not_in_memory_come_too() {
    let config = "[[tasks]]\nname = \"gone\"\ncommand = [\"true\"]\n";
    let mut api = Api::with_config(config).await;
    let start = async |task: &str, query: &str, body: &str| {
        let path = format!("/v1/definitions/{task}/instances?{query}");
        api.post(&path, body).await.json()["number"].as_u64().unwrap()
    };
    let stopped = start("sleep", "delay=1h", r#"{"seconds":1}"#).await;
    let claimed = start("sleep", "delay=4s", r#"{"seconds":0}"#).await;
    let expires = start("gone", "delay=3s&queue_timeout=1s", "{}").await;
    api.server.kill9();
    fs::write(api.server.config(), "").unwrap();
    api.server.restart().await;

    let mut feed = Feed::open(&api, "", &[]).await;
    assert_eq!(feed.next().await.name, "ready");
    assert_eq!(api.delete(&format!("/v1/instances/{stopped}")).await.status, 200);
    let mut seen: BTreeMap<u64, Vec<(u64, String)>> = BTreeMap::new();
    while seen.values().filter(|changes| matches!(&changes.last().unwrap().1[..], "pending" | "running")).count() > 0
        || seen.len() < 3
    {
        let event = feed.next().await;
        let (number, version) = event.change();
        seen.entry(number).or_default().push((version, event.data["status"].as_str().unwrap().to_owned()));
    }
    let at = |version: u64, status: &str| (version, status.to_owned());
    assert_eq!(seen[&stopped], [at(2, "cancelled")]);
    assert_eq!(seen[&expires], [at(2, "failed")]);
    assert_eq!(seen[&claimed], [at(2, "running"), at(3, "completed")]);
}

/// Reads what comes until it holds `text`.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut looked = 0;
    timeout(PATIENCE, async {
        loop {
            let n = stream.read(&mut buffer).await.unwrap();
            assert_ne!(n, 0, "the stream ended");
            read.extend_from_slice(&buffer[..n]);
            if String::from_utf8_lossy(&read[looked..]).contains(text) {
                return;
            }
            looked = read.len().saturating_sub(text.len());
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{text} does not come"));
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn a_reader_that_lags_is_told_and_goes_on() {
    let api = Api::start().await;
    let socket = TcpSocket::new_v4().unwrap();
    // What the kernel holds for it must be less than what comes.
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut slow = socket.connect(api.server.address().parse().unwrap()).await.unwrap();
    slow.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut slow, "event: ready").await;

    let item = json!({"task_id": "sleep", "inputs": {"seconds": 0}, "delay": "1h"});
    let batch = json!({"instances": vec![item; 10_000]}).to_string();
    for _ in 0..4 {
        assert_eq!(api.post("/v1/instances/batch", &batch).await.status, 201);
    }
    let read = read_until(&mut slow, "event: resync").await;
    let events = read.matches("event: instance").count();
    assert!((1..30_000).contains(&events), "{events}");
    let number = run(&api, "").await;
    let after = read_until(&mut slow, &format!("\"number\":{number},")).await;
    assert_eq!(after.matches("event: resync").count(), 0, "once is enough");

    // One whose filter lets little through has to read less, and is told of nothing.
    let mut filtered = Feed::open(&api, "?status=completed", &[]).await;
    filtered.next().await;
    assert_eq!(api.post("/v1/instances/batch", &batch).await.status, 201);
    let number = run(&api, "").await;
    filtered.until_done(number).await;
}

#[tokio::test]
async fn a_feed_goes_on_through_a_drain_and_ends_with_the_server() {
    let mut api = Api::start().await;
    let id = api.sleep(0.8).await;
    let mut feed = Feed::open(&api, "", &[]).await;
    assert_eq!(feed.next().await.name, "ready");
    let (status, last) = tokio::join!(api.server.stop(), async {
        let mut last = None;
        while let Some(event) = feed.event().await {
            last = Some(event);
        }
        last
    });
    assert!(status.success(), "{status}");
    let last = last.expect("a change");
    assert_eq!((&last.data["id"], &last.data["status"]), (&json!(id), &json!("completed")));
}

#[tokio::test]
async fn feeds_count_as_streams() {
    let api = Api::with_config("[limits]\nstreams = 2\n").await;
    let feed = Feed::open(&api, "", &[]).await;
    let _other = Feed::open(&api, "", &[]).await;
    let refused = api.get("/v1/events").await;
    assert_eq!((refused.status, refused.problem().as_str()), (503, "too-many-streams"));
    drop(feed);
    wait_for("a place for a stream", async || {
        let answer = api.server.client().get(api.server.url("/v1/events")).send().await.unwrap();
        (answer.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_silent_feed_shows_that_it_lives_and_where_it_is() {
    let api = Api::start().await;
    let mut events = Feed::open(&api, "?status=failed", &[]).await;
    let mut lines = Feed::open(&api, "?status=failed", &[("accept", "application/x-ndjson")]).await;
    assert_eq!(events.block().await.as_deref(), Some("retry: 2000"));
    let ready = events.next().await;
    assert_eq!(lines.next().await.name, "ready");
    run(&api, "").await;
    let (beat, line) = tokio::join!(events.block(), lines.block());
    assert_eq!(line.as_deref(), Some(""));
    let beat = beat.unwrap();
    let id = beat.strip_prefix(":\nid: ").unwrap_or_else(|| panic!("{beat}"));
    assert_ne!(id, ready.id);
    // It resumes after what did not match, too.
    let number = run(&api, "").await;
    let mut feed = Feed::open(&api, &format!("?after={id}"), &[]).await;
    assert_eq!(feed.next().await.data, json!({"resumed": true}));
    assert_eq!(feed.next().await.change(), (number, 1));
}

//! R11: a subscription against the end of what it follows.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::dither;
use crate::{lane, random::Random, support::server::TestServer};

const PATIENCE: Duration = Duration::from_secs(10);
const WORKERS: u32 = 4;

fn is_done(instance: &Value) -> bool {
    matches!(instance["status"].as_str(), Some("completed" | "failed" | "cancelled"))
}

/// Starts an instance that ends within a few milliseconds.
async fn short(server: &TestServer, random: &mut Random) -> u64 {
    let seconds = random.time(Duration::ZERO, Duration::from_millis(6)).as_secs_f64();
    let number = server.start_task("sleep", json!({ "seconds": seconds })).await["number"].as_u64();
    let number = number.expect("a number");
    dither(random.next(), Duration::from_millis(6)).await;
    number
}

/// Follows an instance to the end of the stream. Answers how many events came.
async fn follow(server: &TestServer, number: u64) -> Result<usize, String> {
    let request = server.client().get(server.url(&format!("/v1/instances/{number}/events")));
    let answer = request.header("accept", "application/x-ndjson").send().await.map_err(|error| error.to_string())?;
    let text = timeout(PATIENCE, answer.text()).await.map_err(|_| format!("the events of {number} do not end"))?;
    let text = text.map_err(|error| error.to_string())?;
    let events: Vec<Value> =
        text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let images: Vec<&Value> = events.iter().map(|event| &event["data"]).collect();
    let version = |image: &Value| image["version"].as_u64();
    let rises = images.windows(2).all(|pair| version(pair[0]) < version(pair[1]));
    let done = images.iter().filter(|image| is_done(image)).count();
    match rises && done == 1 && images.last().is_some_and(|last| is_done(last)) {
        true => Ok(events.len()),
        false => Err(format!("the events of {number}: {text}")),
    }
}

#[tokio::test]
async fn r11_a_subscription_and_the_last_event() {
    let server = TestServer::start().await;
    let mut random = Random::new(lane::seed("r11_a_subscription_and_the_last_event"));
    let worker = |mut random: Random| {
        let server = &server;
        async move {
            let mut counts = Vec::new();
            for _ in 0..lane::count(200, 10_000) / WORKERS {
                let number = short(server, &mut random).await;
                counts.push(follow(server, number).await?);
            }
            Ok::<_, String>(counts)
        }
    };
    let streams: Vec<_> = (0..WORKERS).map(|_| worker(random.fork())).collect();
    let counts: Result<Vec<_>, _> = join_all(streams).await.into_iter().collect();
    let counts = counts.unwrap().concat();
    let (late, early) = (counts.iter().filter(|count| **count == 1).count(), counts.len());
    println!("{late} of {early} subscriptions came after the end");
    assert!(late > 0 && late < early, "it was no race: {late} of {early}");
    server.fsck();
}

/// Reads first and subscribes then, to the feed of what changes from now on: what the contract says not to do.
async fn read_then_follow(server: &TestServer, number: u64) -> Result<(), String> {
    if is_done(&server.get(number).await) {
        return Ok(());
    }
    let request = server.client().get(server.url("/v1/events")).header("accept", "application/x-ndjson");
    let mut feed = request.send().await.map_err(|error| error.to_string())?;
    let mut text = String::new();
    let seen = |text: &str| {
        let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.map(|event| event["data"].clone()).any(|data| data["number"] == number && is_done(&data))
    };
    while !seen(&text) {
        match timeout(Duration::from_millis(300), feed.chunk()).await {
            Ok(Ok(Some(bytes))) => text.push_str(&String::from_utf8_lossy(&bytes)),
            _ => return Err(format!("the end of {number} was missed")),
        }
    }
    Ok(())
}

#[tokio::test]
async fn control_r11_a_reader_that_reads_first_misses_ends() {
    let server = TestServer::start().await;
    let mut random = Random::new(lane::seed("control_r11_a_reader_that_reads_first_misses_ends"));
    for _ in 0..500 {
        let number = short(&server, &mut random).await;
        if read_then_follow(&server, number).await.is_err() {
            return;
        }
    }
    panic!("no end was missed in 500 races: what r11 looks for does not happen here");
}

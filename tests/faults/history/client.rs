//! One client of a load.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    event::{Call, Image, What},
    load::{Shared, lock},
};
use crate::random::Random;

/// What came of a request, for whoever asked.
enum Came {
    Ok,
    Failed,
    Unknown,
}

/// One client of a load: what it asks for is random, and what comes of it is written down.
pub(super) struct OneClient {
    shared: Arc<Shared>,
    number: u32,
    random: Random,
    url: watch::Receiver<String>,
    /// Starts under keys that are to be asked for again, because nobody knows what came of them or for no reason.
    again: Vec<(Call, Value)>,
}

impl OneClient {
    pub fn new(shared: &Arc<Shared>, number: u32, random: Random) -> Self {
        OneClient { shared: Arc::clone(shared), number, random, url: shared.url.subscribe(), again: Vec::new() }
    }

    /// Asks until the load ends.
    pub async fn run(mut self) {
        while self.shared.goes_on() {
            self.one().await;
            let pause = self.random.time(Duration::ZERO, self.shared.mix.pause);
            tokio::time::sleep(pause).await;
        }
        // What nobody knows is asked for once more: under its key it is the same start.
        for (call, body) in std::mem::take(&mut self.again) {
            self.start(call, body).await;
        }
    }

    async fn one(&mut self) {
        if self.random.percent(30)
            && let Some((call, body)) = self.again.pop()
        {
            return self.start(call, body).await;
        }
        match self.random.within(0..100) {
            0..42 => self.start_one().await,
            42..47 => self.start_many().await,
            47..59 => self.stop().await,
            59..77 => self.report().await,
            77..82 => self.retry().await,
            _ => self.read().await,
        }
    }

    fn tag(&mut self) -> String {
        format!("{}-{:x}", self.number, self.random.next())
    }

    fn key(&mut self, tag: &str) -> Option<String> {
        self.random.percent(50).then(|| format!("key-{}-{tag}", self.shared.run))
    }

    fn sleep(&mut self, tag: &str) -> Value {
        let seconds = (self.random.within(0..1000) as f64 / 1000.0 * self.shared.mix.longest * 1000.0).round() / 1000.0;
        let max_attempts = *self.random.pick(&[1, 1, 3]).unwrap_or(&1);
        json!({
            "task_id": "sleep", "inputs": {"seconds": seconds}, "max_attempts": max_attempts,
            "labels": {"run": self.shared.run, "tag": tag, "seconds": seconds.to_string()},
        })
    }

    async fn start_one(&mut self) {
        let tag = self.tag();
        let key = self.key(&tag);
        let (task, body) = if self.random.percent(self.shared.mix.commands) {
            let task = *self.random.pick(&["work", "work", "flaky", "waits"]).unwrap_or(&"work");
            (task, json!({"task_id": task, "inputs": {}, "labels": {"run": self.shared.run, "tag": tag}}))
        } else {
            ("sleep", self.sleep(&tag))
        };
        self.start(Call::Start { tag, key, task: task.to_owned(), count: 1, retry_of: None }, body).await;
    }

    async fn start_many(&mut self) {
        let tag = self.tag();
        let key = self.key(&tag);
        let count = self.random.within(2..16) as usize;
        let items: Vec<_> = (0..count).map(|_| self.sleep(&tag)).collect();
        let call = Call::Start { tag, key, task: "sleep".to_owned(), count, retry_of: None };
        self.start(call, json!({"instances": items})).await;
    }

    async fn retry(&mut self) {
        let Some(of) = self.shared.any_of(&self.shared.done, &mut self.random) else { return };
        let tag = self.tag();
        let key = self.key(&tag);
        let body = json!({"labels": {"run": self.shared.run, "tag": tag}});
        let call = Call::Start { tag, key, task: String::new(), count: 1, retry_of: Some(of) };
        self.start(call, body).await;
    }

    async fn start(&mut self, call: Call, body: Value) {
        let Call::Start { key, count, retry_of, .. } = &call else { return };
        let path = match retry_of {
            Some(of) => format!("/v1/instances/{of}/retry"),
            None if *count == 1 => "/v1/instances".to_owned(),
            None => "/v1/instances/batch".to_owned(),
        };
        let keyed = key.clone();
        let came = self
            .ask(call.clone(), Method::POST, &path, |request| {
                let request = request.json(&body);
                match &keyed {
                    Some(key) => request.header("Idempotency-Key", key),
                    None => request,
                }
            })
            .await;
        let repeat = match came {
            Came::Ok => self.random.percent(10),
            Came::Unknown => true,
            Came::Failed => false,
        };
        if repeat && keyed.is_some() {
            self.again.push((call, body));
        }
    }

    async fn stop(&mut self) {
        let Some(id) = self.shared.any_of(&self.shared.recent, &mut self.random) else { return };
        let query = if self.random.percent(20) { "?force=true" } else { "?grace=2s" };
        let path = format!("/v1/instances/{id}{query}");
        self.ask(Call::Stop { id }, Method::DELETE, &path, |request| request).await;
    }

    async fn report(&mut self) {
        let op = self.shared.ops.load(Ordering::Relaxed);
        let with_token = self.random.percent(50);
        let said = with_token.then(|| self.random.pick(&lock(&self.shared.said).begun).cloned()).flatten();
        let (id, attempt, token) = match said {
            Some(said) => (said.id, Some(said.attempt), Some(said.token)),
            None => {
                let Some(id) = self.shared.any_of(&self.shared.recent, &mut self.random) else { return };
                (id, None, None)
            }
        };
        let (field, value) = match self.random.within(0..10) {
            0..5 => ("progress", json!({"progress": self.random.within(0..1001) as f64 / 1000.0})),
            5..9 => ("output", json!({"report": format!("{}-{op}-{:x}", self.number, self.random.next())})),
            _ => ("status", json!({"status": *self.random.pick(&["completed", "failed", "running"]).unwrap_or(&"")})),
        };
        let call = Call::Report { id: id.clone(), attempt, field: field.to_owned(), value: value.clone() };
        let path = format!("/v1/instances/{id}/{field}");
        self.ask(call, Method::PUT, &path, |request| {
            let request = request.json(&value);
            match &token {
                Some(token) => request.bearer_auth(token),
                None => request,
            }
        })
        .await;
    }

    async fn read(&mut self) {
        let list = if self.random.percent(60) { &self.shared.recent } else { &self.shared.done };
        let Some(id) = self.shared.any_of(list, &mut self.random) else { return };
        let path = format!("/v1/instances/{id}");
        self.ask(Call::Read { id }, Method::GET, &path, |request| request).await;
    }

    /// Sends one request and writes down what came of it.
    async fn ask(
        &mut self,
        call: Call,
        method: Method,
        path: &str,
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Came {
        let shared = Arc::clone(&self.shared);
        let op = shared.ops.fetch_add(1, Ordering::Relaxed);
        let writes = call.writes();
        let is_report = matches!(call, Call::Report { .. });
        let url = format!("{}{path}", self.url.borrow_and_update().as_str());
        shared.recorder.record(self.number, What::Invoke { op, call });
        shared.in_flight.fetch_add(u64::from(writes), Ordering::SeqCst);
        let answer = match with(shared.client.request(method, url)).send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                answer.text().await.map(|text| (status, text))
            }
            Err(error) => Err(error),
        };
        shared.in_flight.fetch_sub(u64::from(writes), Ordering::SeqCst);
        let what = match answer {
            Ok((200..300, text)) => match images(&text, is_report) {
                Ok((saw, version)) => {
                    saw.iter().for_each(|image| shared.remember(image));
                    What::Ok { op, saw, version }
                }
                Err(error) => panic!("a reply that cannot be read: {error}: {text}"),
            },
            Ok((status @ 400..500, _)) => What::Fail { op, status },
            // These refuse before anything is taken.
            Ok((503, text)) if text.contains("/problems/draining") || text.contains("/problems/queue-full") => {
                What::Fail { op, status: 503 }
            }
            Ok((status, text)) => What::Unknown { op, why: format!("{status} {text}") },
            Err(error) if error.is_connect() => What::Fail { op, status: 0 },
            Err(error) => What::Unknown { op, why: error.to_string() },
        };
        let came = match &what {
            What::Ok { .. } => Came::Ok,
            What::Unknown { .. } => Came::Unknown,
            _ => Came::Failed,
        };
        let gone = matches!(what, What::Fail { status: 0, .. });
        shared.recorder.record(self.number, what);
        if gone {
            // Nobody is there. Whoever takes that port next is not asked by us.
            let _ = tokio::time::timeout(Duration::from_secs(5), self.url.changed()).await;
        }
        came
    }
}

/// The instances that an answer shows, or the version that a report has.
fn images(text: &str, is_report: bool) -> Result<(Vec<Image>, Option<u64>), serde_json::Error> {
    let mut body: Value = serde_json::from_str(text)?;
    if is_report {
        return Ok((Vec::new(), body["version"].as_u64()));
    }
    match body["instances"].take() {
        Value::Array(items) => Ok((items.into_iter().map(Image::of).collect::<Result<Vec<_>, _>>()?, None)),
        _ => Ok((vec![Image::of(body)?], None)),
    }
}

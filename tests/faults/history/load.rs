//! Clients that ask for everything, from a seed, whatever happens to the daemon.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    attempts::{Said, Workplace},
    check::{Violation, check},
    event::{Call, Event, Image, What},
    last::LastState,
    recorder::Recorder,
};
use crate::random::Random;

/// The client whose number the feed's events carry.
const FEED: u32 = u32::MAX;
/// How many instances the clients remember to stop, report for, read and run again.
const REMEMBERED: usize = 256;
/// How long the clients go on after all is healed.
const AFTERWARDS: Duration = Duration::from_millis(1500);

/// What a load is made of.
#[derive(Debug, Clone)]
pub struct Mix {
    /// What everything random comes from.
    pub seed: u64,
    /// How many clients ask at once.
    pub clients: u32,
    /// The most requests of all of them.
    pub most: u64,
    /// The longest that a client pauses between two requests.
    pub pause: Duration,
    /// How many of a hundred single starts are of commands.
    pub commands: u64,
    /// The longest that a `sleep` sleeps, in seconds.
    pub longest: f64,
    /// How long everything may take to be done in the end.
    pub patience: Duration,
    /// Whether every instance is read with its output in the end, not only those that something was reported for.
    pub outputs: bool,
}

impl Default for Mix {
    fn default() -> Self {
        Mix {
            seed: 0,
            clients: 8,
            most: 100_000,
            pause: Duration::from_millis(12),
            commands: 3,
            longest: 0.4,
            patience: Duration::from_secs(40),
            outputs: false,
        }
    }
}

/// A load on its way.
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
    feed: JoinHandle<()>,
}

/// What came of a load.
#[derive(Debug)]
pub struct Findings {
    /// What the daemon did wrong.
    pub violations: Vec<Violation>,
    /// How many requests were sent, or tried to.
    pub asked: usize,
    /// How many were acknowledged.
    pub acknowledged: usize,
    /// Of how many nobody knows what came of them.
    pub unknown: usize,
    /// How many starts took effect without being acknowledged.
    pub recovered: usize,
    /// How many faults there were.
    pub faults: usize,
    /// How many of them left writes behind of which nobody knows whether they were committed.
    pub hit: usize,
    /// The share of the requests that were answered after all was healed.
    pub healed: f64,
    /// The instances in the end.
    pub last: LastState,
    history: Vec<Event>,
}

impl Load {
    /// Begins to ask the daemon at `url`, which runs with the tasks of `place`.
    pub fn begin(url: &str, place: &Workplace, mix: Mix) -> Self {
        let shared = Arc::new(Shared {
            url: watch::Sender::new(url.to_owned()),
            client: Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client"),
            recorder: Recorder::begin(&place.history()),
            run: format!("{:x}-{}", mix.seed, std::process::id()),
            ends: AtomicBool::new(false),
            ops: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            recent: Mutex::default(),
            done: Mutex::default(),
            said: Mutex::default(),
            mix,
        });
        let mut random = Random::new(shared.mix.seed);
        let clients = (0..shared.mix.clients)
            .map(|number| tokio::spawn(OneClient::new(&shared, number, random.fork()).run()))
            .collect();
        let feed = tokio::spawn(follow_feed(Arc::clone(&shared)));
        Load { shared, clients, feed }
    }

    /// Notes that the daemon is about to be harmed. Answers how many writes are on their way.
    pub fn fault(&self, how: &str) -> u64 {
        let in_flight = self.shared.in_flight.load(Ordering::SeqCst);
        self.shared.recorder.record(FEED, What::Fault { how: how.to_owned(), in_flight });
        in_flight
    }

    /// Says where the daemon is now.
    pub fn follow(&self, url: &str) {
        self.shared.url.send_replace(url.to_owned());
    }

    /// Reads what the commands said, so that clients report with their tokens.
    pub fn hear(&self, place: &Workplace) {
        let mut said = lock(&self.shared.said);
        let (new, next) = place.said(said.next);
        said.next = next;
        said.begun.extend(new.into_iter().filter(|one| one.word == "begin"));
        let surplus = said.begun.len().saturating_sub(REMEMBERED);
        said.begun.drain(..surplus);
    }

    /// Ends the load: the daemon is well now and stays so. Waits until all instances are done, and checks everything.
    pub async fn end(self, place: &Workplace) -> Findings {
        let shared = &self.shared;
        shared.recorder.record(FEED, What::Healed);
        self.hear(place);
        tokio::time::sleep(AFTERWARDS).await;
        shared.ends.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.await.expect("a client of the load ended well");
        }
        let url = shared.url.borrow().clone();
        // The feed is followed until all is done, and a little longer, for its last events.
        let mut last = LastState::read(&shared.client, &url, &shared.run, shared.mix.patience).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        self.feed.abort();
        let _ = self.feed.await;
        let history = shared.recorder.end();
        let reported = reported(&history);
        let with_output: Vec<_> =
            last.instances.keys().filter(|id| shared.mix.outputs || reported.contains(*id)).cloned().collect();
        last.read_whole(&shared.client, &url, with_output.iter()).await;
        let (said, _) = place.said(0);
        Findings::of(history, last, &said)
    }
}

/// The instances that something was reported for.
fn reported(history: &[Event]) -> HashSet<String> {
    let of = |event: &Event| match &event.what {
        What::Invoke { call: Call::Report { id, .. }, .. } => Some(id.clone()),
        _ => None,
    };
    history.iter().filter_map(of).collect()
}

impl Findings {
    fn of(history: Vec<Event>, last: LastState, said: &[Said]) -> Self {
        let violations = check(&history, &last, said);
        let mut calls: HashMap<u64, (&Call, bool)> = HashMap::new();
        let mut known_tags = HashSet::new();
        let (mut asked, mut acknowledged, mut unknown) = (0, 0, 0);
        let (mut faults, mut hit, mut unhit) = (0, 0, false);
        let (mut is_healed, mut asked_after, mut answered_after) = (false, 0, 0);
        for event in &history {
            match &event.what {
                What::Invoke { op, call } => {
                    calls.insert(*op, (call, is_healed));
                    asked += 1;
                    asked_after += u32::from(is_healed);
                }
                What::Ok { op, .. } => {
                    acknowledged += 1;
                    let Some((call, after)) = calls.get(op) else { continue };
                    answered_after += u32::from(*after);
                    if let Call::Start { tag, .. } = call {
                        known_tags.insert(tag.as_str());
                    }
                }
                What::Fail { op, status } => {
                    let after = calls.get(op).is_some_and(|(_, after)| *after);
                    answered_after += u32::from(after && (400..500).contains(status));
                }
                What::Unknown { op, .. } => {
                    unknown += 1;
                    if unhit && calls.get(op).is_some_and(|(call, _)| call.writes()) {
                        hit += 1;
                        unhit = false;
                    }
                }
                What::Fault { .. } => {
                    faults += 1;
                    unhit = true;
                }
                What::Healed => is_healed = true,
                What::Fed { .. } | What::Resync => {}
            }
        }
        let made: HashSet<&str> = last.instances.values().filter_map(Image::tag).collect();
        let recovered = made.difference(&known_tags).count();
        let healed = if asked_after == 0 { 0.0 } else { f64::from(answered_after) / f64::from(asked_after) };
        Findings { violations, asked, acknowledged, unknown, recovered, faults, hit, healed, last, history }
    }

    /// In one line.
    pub fn summary(&self) -> String {
        format!(
            "{} requests, {} acknowledged, {} unknown; {} instances, {} of them of starts that nobody acknowledged; \
             {} faults, {} of them under writes; {:.1} % answered afterwards; {} violations",
            self.asked,
            self.acknowledged,
            self.unknown,
            self.last.instances.len(),
            self.recovered,
            self.faults,
            self.hit,
            self.healed * 100.0,
            self.violations.len()
        )
    }

    /// Asserts that nothing was wrong, and that something could have been: enough was acknowledged, and at least
    /// `hits` faults came while writes were under way.
    pub fn hold(&self, hits: usize) {
        println!("{}", self.summary());
        if let Some(first) = self.violations.first() {
            for violation in self.violations.iter().take(20) {
                eprintln!("{violation:?}");
            }
            let name = first.about();
            let about = |event: &&Event| serde_json::to_string(event).is_ok_and(|line| line.contains(name));
            for event in self.history.iter().filter(about).take(40) {
                eprintln!("  {}", serde_json::to_string(event).unwrap_or_default());
            }
            panic!("{} violations", self.violations.len());
        }
        assert!(self.healed >= 0.8, "only {:.0} % were answered after all was healed", self.healed * 100.0);
        assert!(self.acknowledged * 4 >= self.asked, "hardly anything was acknowledged: {}", self.summary());
        assert!(self.hit >= hits, "only {} of {} faults came while writes were under way", self.hit, self.faults);
    }
}

#[derive(Default)]
struct Heard {
    begun: Vec<Said>,
    next: usize,
}

struct Shared {
    url: watch::Sender<String>,
    client: Client,
    recorder: Recorder,
    run: String,
    ends: AtomicBool,
    ops: AtomicU64,
    in_flight: AtomicU64,
    recent: Mutex<VecDeque<String>>,
    done: Mutex<VecDeque<String>>,
    said: Mutex<Heard>,
    mix: Mix,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.ends.load(Ordering::SeqCst) && self.ops.load(Ordering::Relaxed) < self.mix.most
    }

    fn remember(&self, image: &Image) {
        let list = if image.is_done() { &self.done } else { &self.recent };
        let mut list = lock(list);
        list.push_back(image.id.clone());
        if list.len() > REMEMBERED {
            list.pop_front();
        }
    }

    fn any_of(&self, list: &Mutex<VecDeque<String>>, random: &mut Random) -> Option<String> {
        random.pick(lock(list).make_contiguous()).cloned()
    }
}

/// What came of a request, for whoever asked.
enum Came {
    Ok,
    Failed,
    Unknown,
}

struct OneClient {
    shared: Arc<Shared>,
    number: u32,
    random: Random,
    url: watch::Receiver<String>,
    /// Starts under keys that are to be asked for again, because nobody knows what came of them or for no reason.
    again: Vec<(Call, Value)>,
}

impl OneClient {
    fn new(shared: &Arc<Shared>, number: u32, random: Random) -> Self {
        OneClient { shared: Arc::clone(shared), number, random, url: shared.url.subscribe(), again: Vec::new() }
    }

    async fn run(mut self) {
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

/// Follows the feed of all instances of this load, from where it was whenever it breaks.
async fn follow_feed(shared: Arc<Shared>) {
    let client = Client::builder().no_proxy().build().expect("a client");
    let mut address = shared.url.subscribe();
    let mut after = String::new();
    loop {
        let url = address.borrow_and_update().clone();
        let url = format!("{url}/v1/events?label=run:{}{after}", shared.run);
        if let Ok(answer) = client.get(url).header("Accept", "application/x-ndjson").send().await
            && answer.status().is_success()
        {
            let mut stream = answer.bytes_stream();
            let mut text = Vec::new();
            while let Some(Ok(bytes)) = stream.next().await {
                text.extend_from_slice(&bytes);
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    // A blank line is a heartbeat.
                    let Ok(mut event) = serde_json::from_slice::<Value>(&line) else { continue };
                    let id = event["id"].as_str().unwrap_or_default().to_owned();
                    after = format!("&after={id}");
                    match event["event"].as_str() {
                        Some("instance") => {
                            let image = Image::of(event["data"].take()).expect("an instance in the feed");
                            if image.is_done() {
                                shared.remember(&image);
                            }
                            shared.recorder.record(FEED, What::Fed { id, image: Box::new(image) });
                        }
                        Some("resync") => shared.recorder.record(FEED, What::Resync),
                        _ => {}
                    }
                }
            }
        }
        // The daemon has gone: until it is back.
        let _ = tokio::time::timeout(Duration::from_millis(500), address.changed()).await;
    }
}

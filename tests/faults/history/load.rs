//! A load: what it is made of, how it begins, what it hears of the daemon's fate, and how it ends.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::Client;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    attempts::{Said, Workplace},
    client::OneClient,
    event::{Image, What},
    feed::follow_feed,
    findings::{Findings, reported},
    last::LastState,
    recorder::Recorder,
};
use crate::random::Random;

/// The client whose number the feed's events carry.
pub(super) const FEED: u32 = u32::MAX;
/// How many instances the clients remember to stop, report for, read and run again.
const REMEMBERED: usize = 256;
/// How long the clients go on after all is healed: a stretch of load of which a share must be answered.
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
        // The feed is followed until all is done, and a little longer.
        let mut last = LastState::read(&shared.client, &url, &shared.run, shared.mix.patience).await;
        // Nothing to wait for: what must not come any more is a change of what is done.
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

/// What the commands said.
#[derive(Default)]
pub(super) struct Heard {
    pub begun: Vec<Said>,
    next: usize,
}

/// What the clients of a load have in common.
pub(super) struct Shared {
    pub url: watch::Sender<String>,
    pub client: Client,
    pub recorder: Recorder,
    pub run: String,
    ends: AtomicBool,
    pub ops: AtomicU64,
    pub in_flight: AtomicU64,
    pub recent: Mutex<VecDeque<String>>,
    pub done: Mutex<VecDeque<String>>,
    pub said: Mutex<Heard>,
    pub mix: Mix,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Whether there is more to ask for.
    pub fn goes_on(&self) -> bool {
        !self.ends.load(Ordering::SeqCst) && self.ops.load(Ordering::Relaxed) < self.mix.most
    }

    /// Notes an instance that clients may ask for.
    pub fn remember(&self, image: &Image) {
        let list = if image.is_done() { &self.done } else { &self.recent };
        let mut list = lock(list);
        list.push_back(image.id.clone());
        if list.len() > REMEMBERED {
            list.pop_front();
        }
    }

    /// One of those that are remembered.
    pub fn any_of(&self, list: &Mutex<VecDeque<String>>, random: &mut Random) -> Option<String> {
        random.pick(lock(list).make_contiguous()).cloned()
    }
}

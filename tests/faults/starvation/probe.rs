//! How fast a server answers a client like any other, whatever it does beside.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

/// What 99 of 100 answers may take, more than they took just before.
const BOUND: Duration = Duration::from_millis(100);

/// What 99 of 100 answers may take just before. A machine on which they take longer is so busy that nothing can be told.
const CALM: Duration = Duration::from_millis(100);

/// A client that asks in turn for `/livez`, a list, a start and a stop, each when its time has come, whether the one
/// before was answered or not: a server that stands still is asked by as many as would have asked.
pub struct Probe {
    pub url: String,
    /// The task that is started.
    pub task: &'static str,
    pub inputs: Value,
    /// How long between two requests.
    pub pace: Duration,
    /// How many requests there are to one start and one stop; at least four.
    pub round: u64,
}

/// What a probe met: how long each kind of request took, and what went wrong.
#[derive(Debug, Default)]
pub struct Met {
    times: BTreeMap<&'static str, Vec<Duration>>,
    pub failures: Vec<String>,
}

impl Probe {
    /// A probe that starts and stops `sleep` for no time at `url`.
    pub fn new(url: &str) -> Self {
        let inputs = json!({"seconds": 0});
        Probe { url: url.to_owned(), task: "sleep", inputs, pace: Duration::from_millis(10), round: 4 }
    }

    /// Asks for so long.
    pub async fn ask_for(&self, time: Duration) -> Met {
        self.ask_beside(tokio::time::sleep(time)).await.1
    }

    /// Asks for so long, before anything is done to the server. Panics where the machine has too much other work.
    pub async fn ask_calm(&self, time: Duration) -> Met {
        self.ask_calm_beside(tokio::time::sleep(time)).await.1
    }

    /// The same beside `work` that harms nobody.
    pub async fn ask_calm_beside<T>(&self, work: impl Future<Output = T>) -> (T, Met) {
        let (outcome, met) = self.ask_beside(work).await;
        if let Err(why) = met.is_calm() {
            panic!("the machine is too busy to tell anything: {why}");
        }
        (outcome, met)
    }

    /// Asks until `work` is done.
    pub async fn ask_beside<T>(&self, work: impl Future<Output = T>) -> (T, Met) {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        let (met, started) = (Arc::new(Mutex::new(Met::default())), Arc::new(Mutex::new(Vec::new())));
        let mut requests = JoinSet::new();
        let asking = async {
            let mut ticks = interval(self.pace);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for n in 0.. {
                ticks.tick().await;
                let kind = match n % self.round {
                    0 => "start",
                    1 => "stop",
                    n if n % 2 == 0 => "livez",
                    _ => "list",
                };
                let number = if kind == "stop" { lock(&started).pop() } else { None };
                let request = match (kind, number) {
                    ("start", _) => {
                        let body = json!({"task_id": self.task, "inputs": self.inputs});
                        client.post(format!("{}/v1/instances", self.url)).json(&body)
                    }
                    ("stop", Some(number)) => client.delete(format!("{}/v1/instances/{number}", self.url)),
                    ("list", _) => client.get(format!("{}/v1/instances?limit=5", self.url)),
                    _ => client.get(format!("{}/livez", self.url)),
                };
                let kind = if kind == "stop" && number.is_none() { "livez" } else { kind };
                let (met, started) = (Arc::clone(&met), Arc::clone(&started));
                requests.spawn(async move {
                    let began = Instant::now();
                    let answer = async {
                        let answer = request.send().await?;
                        Ok::<_, reqwest::Error>((answer.status(), answer.text().await?))
                    };
                    let answer = answer.await;
                    let took = began.elapsed();
                    let mut met = lock(&met);
                    met.times.entry(kind).or_default().push(took);
                    match answer {
                        // What has ended meanwhile cannot be stopped.
                        Ok((status, _)) if kind == "stop" && status == 409 => {}
                        Ok((status, text)) if status.is_success() => {
                            if kind == "start" {
                                let image: Value = serde_json::from_str(&text).expect("JSON");
                                lock(&started).push(image["number"].as_u64().expect("a number"));
                            }
                        }
                        other => met.failures.push(format!("{kind} after {took:?}: {other:?}")),
                    }
                });
            }
        };
        let outcome = tokio::select! { outcome = work => outcome, () = asking => unreachable!("it asks for ever") };
        let rest = async { while requests.join_next().await.is_some() {} };
        timeout(Duration::from_secs(20), rest).await.expect("each request ends within its own time");
        let mut met = std::mem::take(&mut *lock(&met));
        met.times.values_mut().for_each(|times| times.sort_unstable());
        (outcome, met)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn of(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100) - 1]
}

impl Met {
    /// The longest of one kind.
    pub fn longest(&self, kind: &str) -> Duration {
        *self.times[kind].last().unwrap()
    }

    /// What 99 of 100 of each kind took at most, for people.
    pub fn figures(&self) -> String {
        let each = self.times.iter().map(|(kind, times)| {
            let (median, p99, longest) = (of(times, 50), of(times, 99), of(times, 100));
            format!("{kind} × {}: median {median:.1?}, p99 {p99:.1?}, longest {longest:.1?}", times.len())
        });
        each.collect::<Vec<_>>().join("; ")
    }

    /// Where it was served so badly before anything was done to it that nothing can be compared with it.
    fn is_calm(&self) -> Result<(), String> {
        let slow = self.times.values().any(|times| of(times, 99) >= CALM);
        match slow || !self.failures.is_empty() {
            true => Err(format!("{} (p99 should be below {CALM:?}), {:?}", self.figures(), self.failures)),
            false => Ok(()),
        }
    }

    /// Where it was served badly: what failed, and what took 100 ms or more more often than once in 100. What the
    /// machine itself held up just `before` is not counted.
    pub fn faults(&self, before: &Met) -> Vec<String> {
        let slow = self.times.iter().filter_map(|(kind, times)| {
            let (was, is) = (of(&before.times[kind], 99), of(times, 99));
            (is >= BOUND + was).then(|| format!("{kind}: p99 is {is:?}, was {was:?}"))
        });
        slow.chain(self.failures.iter().cloned()).collect()
    }

    /// The same, and which kinds mostly took clearly longer than `before`.
    pub fn slower(&self, before: &Met) -> Vec<String> {
        let mut faults = self.faults(before);
        for (kind, times) in &self.times {
            let (was, is) = (of(&before.times[kind], 50), of(times, 50));
            if is > was * 2 + Duration::from_millis(10) {
                faults.push(format!("{kind}: the median is {is:?}, was {was:?}"));
            }
        }
        faults
    }
}

/// The control: whoever stands still for a second in four is not calm.
#[tokio::test]
async fn control_a_machine_that_is_too_busy_is_noticed() {
    use crate::support::server::TestServer;
    use rustix::process::Signal;

    let server = TestServer::start().await;
    let pauses = async {
        for signal in [Signal::STOP, Signal::CONT] {
            server.signal(signal);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let ((), met) = Probe::new(&server.url("")).ask_beside(pauses).await;
    let why = met.is_calm().unwrap_err();
    println!("{why}");
    server.fsck();
}

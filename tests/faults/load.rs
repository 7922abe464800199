//! Clients that start instances until they are told to end, and what they were told meanwhile.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::task::JoinSet;

use super::support::server::TestServer;

/// What clients were told.
#[derive(Default, Clone)]
pub struct Told {
    /// Each acknowledged start by its id: the image that its client saw last.
    pub acknowledged: HashMap<String, Value>,
    /// How many answers had each other status.
    pub refused: BTreeMap<u16, usize>,
    /// How many requests got no answer: their starts may be there or not.
    pub unanswered: usize,
    /// The longest wait for an answer.
    pub slowest: Duration,
}

impl Told {
    /// What `server` does not have, or has otherwise than it was told: for each a line that says so.
    pub async fn lost_by(&self, server: &TestServer) -> Vec<String> {
        let mut kept = HashMap::new();
        let mut path = "/v1/instances?limit=500".to_owned();
        loop {
            let page = server.get_json(&path).await;
            for instance in page["instances"].as_array().unwrap() {
                kept.insert(instance["id"].as_str().unwrap().to_owned(), instance.clone());
            }
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("/v1/instances?limit=500&cursor={cursor}"),
                None => break,
            }
        }
        let mut lost = Vec::new();
        for (id, told) in &self.acknowledged {
            let Some(found) = kept.get(id) else {
                lost.push(format!("{id} was acknowledged as number {} and is not there", told["number"]));
                continue;
            };
            for member in ["number", "task_id", "created_at"] {
                if found[member] != told[member] {
                    lost.push(format!("{id}: {member} was {} and is {}", told[member], found[member]));
                }
            }
            let is_done = matches!(told["status"].as_str(), Some("completed" | "failed" | "cancelled"));
            for member in ["status", "version", "finished_at", "error"] {
                if is_done && found[member] != told[member] {
                    lost.push(format!("{id} was done: {member} was {} and is {}", told[member], found[member]));
                }
            }
            if found["version"].as_u64() < told["version"].as_u64() {
                lost.push(format!("{id} went back from version {} to {}", told["version"], found["version"]));
            }
        }
        lost
    }

    /// Asserts that `server` has everything that was acknowledged, as it was told.
    pub async fn is_kept_by(&self, server: &TestServer) {
        let lost = self.lost_by(server).await;
        assert!(lost.is_empty(), "{} faults in {} starts: {:#?}", lost.len(), self.acknowledged.len(), lost);
    }
}

/// Clients at work.
pub struct Load {
    over: Arc<AtomicBool>,
    told: Arc<Mutex<Told>>,
    clients: JoinSet<()>,
}

impl Load {
    /// So many clients start `sleep` for no time, as fast as they are answered. Each third start waits for the end.
    pub fn begin(server: &TestServer, clients: u32) -> Load {
        Load::paced(server, clients, Duration::ZERO)
    }

    /// The same, where each client begins a start every `pace` at most.
    pub fn paced(server: &TestServer, clients: u32, pace: Duration) -> Load {
        let (over, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Told::default())));
        let mut set = JoinSet::new();
        for client in 0..clients {
            let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
            let url = server.url("/v1/definitions/sleep/instances");
            let (over, told) = (Arc::clone(&over), Arc::clone(&told));
            set.spawn(async move {
                for n in client.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let began = Instant::now();
                    let wait = if n % 3 == 0 { "?wait=5" } else { "" };
                    let request = http.post(format!("{url}{wait}")).header("content-type", "application/json");
                    let answer = async {
                        let answer = request.body("{\"seconds\":0}").send().await?;
                        Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.text().await?))
                    };
                    let answer = answer.await;
                    note(&mut told.lock().unwrap_or_else(PoisonError::into_inner), &answer, began.elapsed());
                    if !matches!(answer, Ok((201, _))) {
                        // Neither a refusal nor a dead daemon is asked again without a pause.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    tokio::time::sleep(pace.saturating_sub(began.elapsed())).await;
                }
            });
        }
        Load { over, told, clients: set }
    }

    /// What was told until now.
    pub fn so_far(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many more starts are acknowledged.
    pub async fn acknowledges(&self, more: usize) {
        let count = || self.told.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.len();
        let before = count();
        // Under strace, on a machine with other work, it takes its time.
        let deadline = Instant::now() + Duration::from_secs(100);
        while count() < before + more {
            assert!(Instant::now() < deadline, "{} of {more} starts were acknowledged", count() - before);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it, after the answers that are still awaited.
    pub async fn end(mut self) -> Told {
        self.over.store(true, Ordering::SeqCst);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        self.so_far()
    }
}

fn note(told: &mut Told, answer: &Result<(u16, String), reqwest::Error>, took: Duration) {
    told.slowest = told.slowest.max(took);
    match answer {
        Ok((201, body)) => {
            let image: Value = serde_json::from_str(body).expect("a start answers JSON");
            let id = image["id"].as_str().expect("an instance has an id").to_owned();
            let twice = told.acknowledged.insert(id, image);
            assert!(twice.is_none(), "one id was given out twice: {body}");
        }
        Ok((status, _)) => *told.refused.entry(*status).or_default() += 1,
        Err(_) => told.unanswered += 1,
    }
}

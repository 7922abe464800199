//! A store, a clock that moves a second a batch, and short words for what goes into batches.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use taskwright::{
    domain::{
        Ended, ErrorKind, Instance, InstanceError, InstanceKey, Json, Labels, Limits, LogChunk, LogLine, Micros,
        Outcome, Stream, Workload,
    },
    store::{
        Batch, Claims, Committed, Ending, Finish, NewInstance, Report, Room, Start, StartOutcome, Stop, Store, Then,
    },
};
use uuid::Uuid;

pub const SECOND: i64 = 1_000_000;

/// A store under test.
pub struct Scene {
    pub store: Arc<dyn Store>,
    now: AtomicI64,
    batch: AtomicU64,
    _keep: Box<dyn Any + Send + Sync>,
}

impl Scene {
    pub fn new(store: Arc<dyn Store>, keep: impl Any + Send + Sync) -> Self {
        let now = AtomicI64::new(1_700_000_000_123_456);
        Scene { store, now, batch: AtomicU64::new(0), _keep: Box::new(keep) }
    }

    /// The time of the last batch.
    pub fn now(&self) -> Micros {
        Micros(self.now.load(Ordering::Relaxed))
    }

    /// Lets time pass.
    pub fn wait(&self, by: Duration) {
        self.now.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::Relaxed);
    }

    /// An empty batch, a second after the last.
    pub fn batch(&self) -> Batch {
        self.wait(Duration::from_secs(1));
        Batch::new(self.batch.fetch_add(1, Ordering::Relaxed) + 1, self.now(), "node-a".into())
    }

    /// Commits the batch that `fill` fills.
    pub async fn commit(&self, fill: impl FnOnce(&mut Batch)) -> Committed {
        let mut batch = self.batch();
        fill(&mut batch);
        self.store.commit(&batch).await.expect("it commits")
    }

    /// Starts instances, one request each, and answers their numbers.
    pub async fn start(&self, new: impl IntoIterator<Item = NewInstance>) -> Vec<u64> {
        let committed = self.commit(|batch| batch.starts = new.into_iter().map(one).collect()).await;
        committed.starts.iter().flat_map(created).collect()
    }

    /// Starts one instance that does not run yet.
    pub async fn pending(&self, new: NewInstance) -> u64 {
        self.start([new]).await[0]
    }

    /// Starts one instance that runs at once.
    pub async fn running(&self, new: NewInstance) -> u64 {
        let rooms = claims([room(&new.task_id, 1)]);
        let committed = self
            .commit(|batch| {
                batch.starts.push(one(new));
                batch.claims = Some(rooms);
            })
            .await;
        assert_eq!(committed.claimed.len(), 1);
        created(&committed.starts[0])[0]
    }

    /// Claims all that may run of `task`, and answers the numbers in order.
    pub async fn claim(&self, task: &str, n: u32) -> Vec<u64> {
        let committed = self.commit(|batch| batch.claims = Some(claims([room(task, n)]))).await;
        committed.claimed.iter().map(|claimed| claimed.instance).collect()
    }

    /// The instance with this number.
    pub async fn get(&self, number: u64) -> Instance {
        let mut found = self.store.get(&[InstanceKey::Number(number)]).await.expect("it reads");
        assert_eq!(found.len(), 1, "instance {number}");
        found.remove(0)
    }

    /// The store finds nothing wrong with itself.
    pub async fn is_sound(&self) {
        assert_eq!(self.store.check().await.expect("it reads").findings, []);
    }
}

/// The numbers that a start made.
pub fn created(outcome: &StartOutcome) -> Vec<u64> {
    match outcome {
        StartOutcome::Created { numbers } => numbers.clone(),
        other => panic!("not created: {other:?}"),
    }
}

/// An instance of `task`, local, with one attempt and no limits.
pub fn new(task: &str) -> NewInstance {
    NewInstance {
        id: Uuid::now_v7(),
        task_id: task.into(),
        workload: Workload::Local,
        inputs: Json::empty_object(),
        limits: Limits {
            timeout: None,
            queue_timeout: None,
            max_attempts: 1,
            retry_delay: Duration::from_secs(1),
            priority: 0,
        },
        labels: Labels::default(),
        run_at: None,
        retry_of: None,
    }
}

/// One with three attempts.
pub fn retried(task: &str) -> NewInstance {
    let mut new = new(task);
    new.limits.max_attempts = 3;
    new
}

/// One with this priority.
pub fn urgent(task: &str, priority: i16) -> NewInstance {
    let mut new = new(task);
    new.limits.priority = priority;
    new
}

/// One with these labels.
pub fn labelled<const N: usize>(task: &str, labels: [(&str, &str); N]) -> NewInstance {
    let labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    NewInstance { labels: Labels::new(labels).expect("valid labels"), ..new(task) }
}

/// A request for one instance.
pub fn one(new: NewInstance) -> Start {
    Start { instances: vec![new], idempotency: None }
}

/// Room for `n` local instances of `task`.
pub fn room(task: &str, n: u32) -> Room {
    Room { task_id: task.into(), workload: Workload::Local, n, older: true }
}

/// Claims with more slots than any case needs.
pub fn claims(rooms: impl IntoIterator<Item = Room>) -> Claims {
    Claims { rooms: rooms.into_iter().collect(), local_slots: 1000, command_slots: 1000 }
}

pub fn json(text: &str) -> Json {
    Json::parse(text).expect("valid JSON")
}

pub fn error(message: &str, attempt: u32) -> InstanceError {
    InstanceError { kind: ErrorKind::Handler { causes: vec!["disk".into()] }, message: message.into(), attempt }
}

pub fn completed() -> Ending {
    Ending { then: Then::Done(Outcome::Completed), ended: Ended::Completed, error: None }
}

pub fn cancelled() -> Ending {
    Ending { then: Then::Done(Outcome::Cancelled), ended: Ended::Cancelled, error: None }
}

pub fn failed(error: InstanceError) -> Ending {
    Ending { then: Then::Done(Outcome::Failed(Box::new(error.clone()))), ended: Ended::Failed, error: Some(error) }
}

pub fn again(run_at: Micros, error: InstanceError) -> Ending {
    Ending { then: Then::Again { run_at }, ended: Ended::Failed, error: Some(error) }
}

/// A finish that is `completed`, or `cancelled` where a stop was requested.
pub fn finish(instance: u64, attempt: u32) -> Finish {
    finish_as(instance, attempt, completed())
}

/// A finish that is `ending`, or `cancelled` where a stop was requested.
pub fn finish_as(instance: u64, attempt: u32, ending: Ending) -> Finish {
    Finish {
        instance,
        attempt,
        expected: None,
        unless_stopped: ending,
        if_stopped: cancelled(),
        progress: None,
        output: None,
        exit_code: None,
        signal: None,
    }
}

pub fn report(instance: u64, attempt: u32) -> Report {
    Report { instance, attempt, progress: None, output: None, verdict: None }
}

pub fn stop(instance: u64, deadline: Micros) -> Stop {
    Stop { instance, deadline, only: None }
}

/// Lines from `first` on, one for each text.
pub fn chunk(instance: u64, first: u64, stream: Stream, texts: &[&str]) -> LogChunk {
    let lines = (first..)
        .zip(texts)
        .map(|(seq, text)| LogLine {
            seq,
            time: Micros(1_700_000_000_000_000 + seq.cast_signed()),
            attempt: 1,
            stream,
            text: (*text).to_owned(),
        })
        .collect();
    LogChunk { instance, lines, keep_from: 1, dropped: 0 }
}

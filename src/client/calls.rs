//! What clients ask of a daemon, one function a request of the contract.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;
use serde_json::{json, value::RawValue};
use uuid::Uuid;

use super::{Answer, Call, Client, ClientError, Lines, segment};

/// The longest that a daemon lets a request wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How much longer than its wait a waiting request may take.
const SLACK: Duration = Duration::from_secs(15);

/// A start, or what a retry changes. What is None is as the definition, or the original, has it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Start {
    /// The task; None in a retry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// A JSON object, sent as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Box<RawValue>>,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Higher runs first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// The most attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// The delay before a second attempt, as people write durations. So for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_delay: Option<String>,
    /// The longest an attempt may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// The longest it may wait for its first attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_timeout: Option<String>,
    /// Not to be run before so long after the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<String>,
    /// Not to be run before, as RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_at: Option<String>,
}

/// Which instances are meant: those that satisfy everything given.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this task.
    pub task: Option<String>,
    /// In one of these, as words.
    pub status: Vec<String>,
    /// With all of these, each `key:value` or `key`.
    pub labels: Vec<String>,
    /// Started then or later: a time, or a duration ago such as `-24h`.
    pub created_after: Option<String>,
    /// Started before.
    pub created_before: Option<String>,
}

/// Which part of a log.
#[derive(Debug, Clone, Default)]
pub struct LogSlice {
    /// From this line on.
    pub from: Option<u64>,
    /// The last so many lines.
    pub tail: Option<u64>,
    /// At most so many lines.
    pub limit: Option<u64>,
    /// Of this stream.
    pub stream: Option<String>,
    /// With this text.
    pub grep: Option<String>,
}

/// The query of a request.
struct Query(String);

impl Query {
    fn of(path: impl Into<String>) -> Query {
        Query(path.into())
    }

    fn with(mut self, name: &str, value: impl AsRef<str>) -> Query {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&segment(value.as_ref()).to_string());
        self
    }

    fn with_some(self, name: &str, value: Option<impl AsRef<str>>) -> Query {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    fn filtered(self, filter: &Filter) -> Query {
        let status = (!filter.status.is_empty()).then(|| filter.status.join(","));
        let query = self
            .with_some("task_id", filter.task.as_ref())
            .with_some("status", status)
            .with_some("created_after", filter.created_after.as_ref())
            .with_some("created_before", filter.created_before.as_ref());
        filter.labels.iter().fold(query, |query, label| query.with("label", label))
    }

    fn sliced(self, slice: &LogSlice) -> Query {
        self.with_some("from", slice.from.map(|from| from.to_string()))
            .with_some("tail", slice.tail.map(|tail| tail.to_string()))
            .with_some("limit", slice.limit.map(|limit| limit.to_string()))
            .with_some("stream", slice.stream.as_ref())
            .with_some("grep", slice.grep.as_ref())
    }
}

/// A new key under which a request may be sent again without being done again.
pub fn new_key() -> String {
    format!("cli-{}", Uuid::now_v7())
}

fn keyed(call: Call, key: &str) -> Call {
    match HeaderValue::from_str(key) {
        Ok(value) => call.header(HeaderName::from_static("idempotency-key"), value),
        // What no header can hold the daemon cannot be asked about; it refuses an empty one.
        Err(_) => call.header(HeaderName::from_static("idempotency-key"), HeaderValue::from_static("")),
    }
}

fn waiting(call: Call, wait: Option<Duration>) -> Call {
    match wait {
        Some(wait) => call.patience(wait + SLACK),
        None => call,
    }
}

fn seconds(wait: Duration) -> String {
    wait.min(LONGEST_WAIT).as_secs_f64().to_string()
}

fn instance(id: &str) -> String {
    format!("/v1/instances/{}", segment(id))
}

fn definition(task: &str) -> String {
    format!("/v1/definitions/{}", segment(task))
}

fn json_of(body: &impl Serialize) -> String {
    // Texts, numbers and JSON that was read: nothing here can fail to be written.
    serde_json::to_string(body).unwrap_or_default()
}

/// Each answers the daemon's own text, and fails with a [`ClientError`].
impl Client {
    /// Starts an instance. The same `key` starts no second one.
    ///
    /// # Errors
    /// [`ClientError`]. So for all calls here.
    pub async fn start(&self, start: &Start, key: &str) -> Result<Answer, ClientError> {
        self.send(keyed(Call::new(Method::POST, "/v1/instances").body(json_of(start)), key)).await
    }

    /// Checks a start and makes nothing.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn check_start(&self, start: &Start) -> Result<Answer, ClientError> {
        self.send(Call::new(Method::POST, "/v1/instances?dry_run=true").body(json_of(start))).await
    }

    /// Runs a done instance again as a new one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn retry(&self, id: &str, changes: &Start, key: &str) -> Result<Answer, ClientError> {
        self.send(keyed(Call::new(Method::POST, format!("{}/retry", instance(id))).body(json_of(changes)), key)).await
    }

    /// An instance; with `wait` once it is done, or after so long, at most 60 s.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn instance(&self, id: &str, wait: Option<Duration>) -> Result<Answer, ClientError> {
        let query = Query::of(instance(id)).with_some("wait", wait.map(seconds));
        self.send(waiting(Call::get(query.0), wait)).await
    }

    /// Its attempts.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn attempts(&self, id: &str) -> Result<Answer, ClientError> {
        self.send(Call::get(format!("{}/attempts", instance(id)))).await
    }

    /// A page of instances, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn instances(&self, filter: &Filter, limit: u64, cursor: Option<&str>) -> Result<Answer, ClientError> {
        let query = Query::of("/v1/instances").filtered(filter).with("limit", limit.to_string());
        self.send(Call::get(query.with_some("cursor", cursor).0)).await
    }

    /// Asks an instance to stop; with `wait` answers once it has ended, or after so long.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stop(&self, id: &str, grace: Option<&str>, force: bool) -> Result<Answer, ClientError> {
        let query = Query::of(instance(id)).with_some("grace", grace).with_some("force", force.then_some("true"));
        self.send(Call::new(Method::DELETE, query.0)).await
    }

    /// Asks every instance that matches to stop; an empty filter means all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn stop_all(&self, filter: &Filter, grace: Option<&str>, force: bool) -> Result<Answer, ClientError> {
        let mut body = json!({});
        if let Some(task) = &filter.task {
            body["task_id"] = json!(task);
        }
        if !filter.status.is_empty() {
            body["status"] = json!(filter.status);
        }
        if !filter.labels.is_empty() {
            let pairs = filter.labels.iter().map(|label| label.split_once(':').unwrap_or((label, "")));
            body["labels"] = json!(pairs.collect::<BTreeMap<_, _>>());
        }
        if let Some(before) = &filter.created_before {
            body["created_before"] = json!(before);
        }
        if body.as_object().is_some_and(serde_json::Map::is_empty) {
            body["all"] = json!(true);
        }
        if let Some(grace) = grace {
            body["grace"] = json!(grace);
        }
        if force {
            body["force"] = json!(true);
        }
        self.send(Call::new(Method::POST, "/v1/instances/stop").body(body.to_string())).await
    }

    /// Every task.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn definitions(&self) -> Result<Answer, ClientError> {
        self.send(Call::get("/v1/definitions")).await
    }

    /// One task.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn definition(&self, task: &str) -> Result<Answer, ClientError> {
        self.send(Call::get(definition(task))).await
    }

    /// How many instances there are in each status.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn counts(&self, task: Option<&str>) -> Result<Answer, ClientError> {
        let query = Query::of("/v1/stats").with("window", "1m").with("bucket", "1m").with_some("task_id", task);
        self.send(Call::get(query.0)).await
    }

    /// A page of a log.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn log(&self, id: &str, slice: &LogSlice) -> Result<Answer, ClientError> {
        self.send(Call::get(Query::of(format!("{}/logs", instance(id))).sliced(slice).0)).await
    }

    /// The lines of a log as they come, to the end of the instance.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn follow_log(&self, id: &str, slice: &LogSlice) -> Result<Lines, ClientError> {
        let query = Query::of(format!("{}/logs", instance(id))).with("follow", "true").sliced(slice);
        self.lines(Call::get(query.0)).await
    }

    /// The changes of one instance, the present first, to its end.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn instance_events(&self, id: &str) -> Result<Lines, ClientError> {
        self.lines(Call::get(format!("{}/events", instance(id)))).await
    }

    /// The changes of all instances that match, after the event with the id `after`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn events(&self, filter: &Filter, after: Option<&str>) -> Result<Lines, ClientError> {
        self.lines(Call::get(Query::of("/v1/events").filtered(filter).with_some("after", after).0)).await
    }
}

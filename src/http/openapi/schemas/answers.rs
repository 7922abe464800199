//! What the server answers. Never built: these types are what the document says.
#![allow(dead_code, reason = "read by the document, never built")]

use std::{borrow::Cow, collections::BTreeMap};

use chrono::{DateTime, Utc};
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};
use uuid::Uuid;

use super::object;

/// How far along an instance is. The last three are terminal.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
}

/// Why an instance is pending: the first that holds.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PendingReason {
    UnknownTask,
    Retrying,
    Scheduled,
    Concurrency,
    Slots,
}

/// Where a task runs: in the daemon, or as a process outside of it.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    Local,
    Remote,
}

/// What kind of failure an error is.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    Handler,
    Panic,
    Timeout,
    QueueTimeout,
    Exit,
    Signal,
    Spawn,
    Output,
    InvalidInputs,
    Interrupted,
}

/// Why an instance or an attempt failed. Which of the optional members there are depends on the kind.
#[derive(ToSchema)]
pub struct TaskError {
    kind: ErrorKind,
    /// One line for people.
    message: String,
    /// The attempt that failed; 0 if none ran.
    attempt: u32,
    /// Of `handler`: the causes, outermost first.
    #[schema(nullable = false)]
    causes: Option<Vec<String>>,
    /// Of `panic`: `file:line:column`.
    location: Option<String>,
    /// Of `timeout` and `queue_timeout`: seconds.
    #[schema(nullable = false)]
    after: Option<f64>,
    /// Of `exit`.
    #[schema(nullable = false)]
    exit_code: Option<i32>,
    /// Of `signal`.
    #[schema(nullable = false)]
    signal: Option<i32>,
    /// Of `signal`, such as `SIGSEGV`.
    #[schema(nullable = false)]
    signal_name: Option<String>,
    /// Of `spawn`: the program.
    #[schema(nullable = false)]
    program: Option<String>,
    /// Of `output` and `invalid_inputs`.
    #[schema(nullable = false)]
    errors: Option<Vec<Fault>>,
    /// Of `interrupted`: `crash` or `shutdown`.
    #[schema(nullable = false)]
    reason: Option<String>,
}

/// One run of a task.
#[derive(ToSchema)]
pub struct Instance {
    /// UUIDv7.
    id: Uuid,
    /// Its place in the store's sequence; never reused.
    #[schema(minimum = 1)]
    number: u64,
    /// The definition it was started from.
    task_id: String,
    status: Status,
    /// Null unless pending. Not part of `version`.
    pending_reason: Option<PendingReason>,
    /// As the task last set it; never forced to 1.0.
    #[schema(minimum = 0, maximum = 1)]
    progress: f64,
    /// What the task said beside the progress.
    message: Option<String>,
    /// What the task gets.
    #[schema(value_type = BTreeMap<String, Value>)]
    inputs: Value,
    /// What the task set or returned.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    output: Value,
    /// `output.result` where the output has that member, else the whole output.
    result: Value,
    /// Null unless failed.
    error: Option<TaskError>,
    workload: Workload,
    /// The latest attempt; 0 before the first.
    attempt: u32,
    max_attempts: u32,
    /// Seconds.
    timeout: Option<f64>,
    stop_requested_at: Option<DateTime<Utc>>,
    /// When what still runs is dropped or killed.
    stop_deadline: Option<DateTime<Utc>>,
    /// Higher runs first.
    priority: i16,
    labels: BTreeMap<String, String>,
    /// Not to be run before.
    run_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    /// When the latest attempt began.
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    updated_at: DateTime<Utc>,
    /// How many commits changed it; also its ETag and the id of its events.
    #[schema(minimum = 1)]
    version: u64,
    /// The done instance that this one runs again.
    retry_of: Option<Uuid>,
    /// The daemon of the latest attempt.
    node: Option<String>,
}

/// A start that was only to be checked would be taken.
#[derive(ToSchema)]
pub struct Valid {
    valid: bool,
}

/// The instances of a batch, in order.
#[derive(ToSchema)]
pub struct Batch {
    instances: Vec<Summary>,
}

/// An instance without its payloads.
pub struct Summary;

impl PartialSchema for Summary {
    fn schema() -> RefOr<Schema> {
        instance_without(&["inputs", "output", "result"], "An instance without its inputs, output and result.")
    }
}

impl ToSchema for Summary {
    fn name() -> Cow<'static, str> {
        "Summary".into()
    }
}

/// One page, newest first.
#[derive(ToSchema)]
pub struct InstanceList {
    instances: Vec<Summary>,
    /// Where the next page begins; null at the end.
    next_cursor: Option<String>,
}

/// What a stop of many did.
#[derive(ToSchema)]
pub struct StopCounts {
    /// Instances that were pending or running and matched.
    matched: u64,
    /// Those that were pending, and are cancelled.
    cancelled: u64,
    /// Those that run and are to stop.
    stopping: u64,
}

/// `{"status":"running"}`
#[derive(ToSchema)]
pub struct StatusPart {
    status: Status,
}

/// `{"progress":0.5,"message":null}`
#[derive(ToSchema)]
pub struct ProgressPart {
    #[schema(minimum = 0, maximum = 1)]
    progress: f64,
    message: Option<String>,
}

/// The answer to a report, after its commit.
#[derive(ToSchema)]
pub struct Receipt {
    /// Whether the attempt should end.
    should_stop: bool,
    reason: Option<StopReason>,
    /// The instance's version.
    version: u64,
}

/// Why an attempt should end.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    Stop,
    Shutdown,
}

/// Where a line came from.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    Stdout,
    Stderr,
    Task,
    System,
}

/// One line of a log.
#[derive(ToSchema)]
pub struct LogLine {
    /// Its place, from 1 through all attempts.
    #[schema(minimum = 1)]
    seq: u64,
    time: DateTime<Utc>,
    attempt: u32,
    stream: LogStream,
    text: String,
}

/// A part of a log.
#[derive(ToSchema)]
pub struct LogPage {
    lines: Vec<LogLine>,
    /// Where to read on; null once the log of a done instance is read out.
    next: Option<u64>,
}

/// How an attempt ended.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    Completed,
    Failed,
    Cancelled,
    Interrupted,
}

/// One execution of an instance.
#[derive(ToSchema)]
pub struct Attempt {
    attempt: u32,
    node: String,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    /// Null while it runs.
    ended: Option<Ended>,
    error: Option<TaskError>,
    /// Of a command that exited.
    exit_code: Option<i32>,
    /// That ended a command.
    signal: Option<i32>,
}

/// The attempts, oldest first.
#[derive(ToSchema)]
pub struct Attempts {
    attempts: Vec<Attempt>,
}

/// Where a definition comes from.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Compiled,
    Configured,
    Registered,
}

/// A task that can be started.
#[derive(ToSchema)]
pub struct Definition {
    id: String,
    name: String,
    description: Option<String>,
    workload: Workload,
    source: Source,
    command: Option<Vec<String>>,
    /// Seconds.
    timeout: Option<f64>,
    /// Seconds.
    queue_timeout: Option<f64>,
    max_attempts: u32,
    /// Seconds.
    retry_delay: f64,
    concurrency: Option<u32>,
    /// A JSON Schema.
    input_schema: Value,
    /// A JSON Schema.
    output_schema: Value,
    app_id: Option<String>,
    app_version_id: Option<String>,
}

/// Every task, by id.
#[derive(ToSchema)]
pub struct Definitions {
    definitions: Vec<Definition>,
}

/// What an operation answers.
#[derive(ToSchema)]
pub struct GraphqlAnswer {
    /// What was asked for; null where nothing can be told.
    data: Option<BTreeMap<String, Value>>,
    /// Why something was not done or cannot be told.
    #[schema(nullable = false)]
    errors: Option<Vec<GraphqlError>>,
}

/// Why an operation was refused, or a part of it.
#[derive(ToSchema)]
pub struct GraphqlError {
    message: String,
    /// Of which part.
    #[schema(nullable = false)]
    path: Option<Vec<Value>>,
    /// Where in the text of the operation.
    #[schema(nullable = false)]
    locations: Option<Vec<BTreeMap<String, u32>>>,
    /// `code`, as the last segment of a problem's type, and `request_id`.
    #[schema(nullable = false)]
    extensions: Option<BTreeMap<String, Value>>,
}

/// Whether the server lives or is ready.
#[derive(ToSchema)]
pub struct Health {
    status: String,
    /// With `verbose` only.
    #[schema(nullable = false)]
    checks: Option<Checks>,
}

/// What readiness is made of.
#[derive(ToSchema)]
pub struct Checks {
    store: bool,
    draining: bool,
    synchronous: String,
    backend: String,
}

/// One thing wrong with one place of a request: of the body or of the query.
#[derive(ToSchema)]
pub struct Fault {
    /// An RFC 6901 pointer into the body.
    #[schema(nullable = false)]
    pointer: Option<String>,
    /// A query parameter.
    #[schema(nullable = false)]
    parameter: Option<String>,
    detail: String,
}

/// Why a request was refused (RFC 9457).
#[derive(ToSchema)]
pub struct Problem {
    /// `/problems/…`, served as a page.
    r#type: String,
    title: String,
    status: u16,
    detail: String,
    /// In our log, and as `X-Request-Id`.
    request_id: String,
    #[schema(nullable = false)]
    instance_id: Option<String>,
    #[schema(nullable = false)]
    task_id: Option<String>,
    #[schema(nullable = false)]
    errors: Option<Vec<Fault>>,
    /// Of `task-failed`.
    #[schema(nullable = false)]
    error: Option<TaskError>,
    /// Of a report that came too late.
    #[schema(nullable = false)]
    should_stop: Option<bool>,
}

pub(super) fn instance_without(members: &[&str], about: &str) -> RefOr<Schema> {
    let mut instance = object(Instance::schema());
    for member in members {
        instance.properties.remove(*member);
    }
    instance.description = Some(about.to_owned());
    RefOr::T(Schema::Object(instance))
}

//! What clients send. Never built: these types are what the document says.
#![allow(dead_code, reason = "read by the document, never built")]

use std::{borrow::Cow, collections::BTreeMap};

use chrono::{DateTime, Utc};
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Type},
    },
};

use super::{
    answers::{Status, Workload},
    object,
};

/// A duration: a number of seconds, or a text with a unit.
pub struct Duration;

impl PartialSchema for Duration {
    fn schema() -> RefOr<Schema> {
        let seconds = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0)).description(Some("Seconds"));
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^[0-9]*\.?[0-9]+(ms|s|m|h|d)?$"))
            .description(Some("A number with ms, s, m, h or d, such as 30s"));
        OneOfBuilder::new().item(seconds).item(text).into()
    }
}

impl ToSchema for Duration {
    fn name() -> Cow<'static, str> {
        "Duration".into()
    }
}

/// One operation; the schema can be asked for (`__schema`).
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphqlRequest {
    /// The text of the operation, at most 64 KiB.
    query: String,
    /// Which one, where the text holds several.
    operation_name: Option<String>,
    /// The values of its variables.
    variables: Option<BTreeMap<String, Value>>,
}

/// A command to be registered. It runs without a shell, in the folder of the server's configuration file.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DefinitionRequest {
    /// Another word for the id; unique among all ids and names. By default the id.
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    /// One line for people.
    description: Option<String>,
    command: CommandLine,
    /// The longest an attempt may run.
    timeout: Option<Duration>,
    /// The longest an instance may wait for its first attempt.
    queue_timeout: Option<Duration>,
    /// 1 by default.
    #[schema(minimum = 1, maximum = 1000)]
    max_attempts: Option<u32>,
    /// The delay before the second attempt; 1 s by default.
    retry_delay: Option<Duration>,
    /// How many instances may run at once; by default as many as there are slots.
    #[schema(minimum = 1, maximum = 1_000_000)]
    concurrency: Option<u32>,
    /// A JSON Schema that inputs must satisfy.
    input_schema: Option<Value>,
    /// A JSON Schema that outputs must satisfy.
    output_schema: Option<Value>,
    app_id: Option<String>,
    app_version_id: Option<String>,
}

/// Program and arguments: an array, or one text that is split as a shell splits words.
pub struct CommandLine;

impl PartialSchema for CommandLine {
    fn schema() -> RefOr<Schema> {
        let word = || ObjectBuilder::new().schema_type(Type::String);
        let words = ArrayBuilder::new().items(word()).min_items(Some(1));
        let line = word().description(Some("Split as a shell splits words, such as `python3 \"my script.py\"`"));
        OneOfBuilder::new().item(words).item(line).into()
    }
}

impl ToSchema for CommandLine {
    fn name() -> Cow<'static, str> {
        "CommandLine".into()
    }
}

/// What replaces the definition's values for one instance.
#[derive(ToSchema)]
pub struct StartOptions {
    /// The longest an attempt may run.
    timeout: Option<Duration>,
    /// The longest it may wait for its first attempt, from `run_at`.
    queue_timeout: Option<Duration>,
    #[schema(minimum = 1, maximum = 1000)]
    max_attempts: Option<u32>,
    /// The delay before the second attempt; doubled before each further one.
    retry_delay: Option<Duration>,
    /// Higher runs first.
    #[schema(minimum = -32768, maximum = 32767)]
    priority: Option<i16>,
    /// At most 32.
    labels: Option<BTreeMap<String, String>>,
    /// Not to be run before. Excludes `delay`.
    run_at: Option<DateTime<Utc>>,
    /// Not to be run before so long after the start. Excludes `run_at`.
    delay: Option<Duration>,
    /// What the task is believed to be; another is refused.
    workload: Option<Workload>,
    /// A JSON object; `{}` if left out. A retry keeps the original's.
    #[schema(value_type = Option<BTreeMap<String, Value>>, nullable = false)]
    inputs: Option<Value>,
}

/// Many starts in one commit.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    #[schema(min_items = 1, max_items = 10000)]
    instances: Vec<StartRequest>,
}

/// One start. Described by hand below.
pub struct StartRequest;

impl PartialSchema for StartRequest {
    fn schema() -> RefOr<Schema> {
        let mut start = object(StartOptions::schema());
        let task =
            ObjectBuilder::new().schema_type(Type::String).description(Some("The id or name of the definition."));
        start.properties.insert("task_id".into(), task.into());
        start.required = vec!["task_id".into()];
        start.description = Some("One start: the task, its inputs, and what replaces the definition's values.".into());
        RefOr::T(Schema::Object(start))
    }
}

impl ToSchema for StartRequest {
    fn name() -> Cow<'static, str> {
        "StartRequest".into()
    }
}

/// Which instances to stop: those that satisfy every member given, or all of them.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopFilter {
    /// Every instance that is not done. Excludes a filter.
    all: Option<bool>,
    /// Only of the task with this id or name.
    task_id: Option<String>,
    /// Only in one of these. Of what is done nothing is stopped, nor counted.
    #[schema(min_items = 1)]
    status: Option<Vec<Status>>,
    /// Only with all of these.
    labels: Option<BTreeMap<String, String>>,
    /// Only created before: a time, or a duration ago such as `-24h`.
    created_before: Option<String>,
    /// The time until what still runs is dropped or killed; at most 1 h.
    grace: Option<Duration>,
    /// No grace at all.
    force: Option<bool>,
}

/// A progress to be reported; without a message it is cleared.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgressReport {
    #[schema(minimum = 0, maximum = 1)]
    progress: f64,
    message: Option<String>,
}

/// How the attempt states that it ends; `running` withdraws it. It takes effect when the attempt ends.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusReport {
    status: Verdict,
    /// Becomes the message of a failed instance's error.
    message: Option<String>,
}

/// What an attempt can state.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Running,
    Completed,
    Failed,
    Cancelled,
}

/// Lines to be added to the log.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogReport {
    #[schema(max_items = 1000)]
    lines: Vec<NewLine>,
}

/// A line; a text with newlines is several.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLine {
    text: String,
    /// `task` if left out.
    stream: Option<WritableStream>,
}

/// The streams that a report may write.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WritableStream {
    Task,
    Stdout,
    Stderr,
}

//! An instance as a daemon shows it: what this client reads of it. What it prints as JSON is the daemon's own text.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::{Micros, Status};

/// An instance, whole or as a summary. Members that a later daemon adds are passed over.
#[derive(Debug, Clone, Deserialize)]
pub struct Image {
    /// UUIDv7.
    pub id: Uuid,
    /// Its short number.
    pub number: u64,
    /// Its task.
    pub task_id: String,
    /// Where it stands.
    pub status: Status,
    /// Why it has not begun.
    pub pending_reason: Option<String>,
    /// From 0.0 to 1.0.
    pub progress: f64,
    /// What it said with its progress.
    pub message: Option<String>,
    /// As text; None in a summary.
    pub inputs: Option<Box<RawValue>>,
    /// As text; None in a summary, and where there is none yet.
    #[serde(default, deserialize_with = "value")]
    pub output: Option<Box<RawValue>>,
    /// As text; None in a summary, and where there is none yet.
    #[serde(default, deserialize_with = "value")]
    pub result: Option<Box<RawValue>>,
    /// Why it failed.
    pub error: Option<Fault>,
    /// The attempt that runs, or ran last; 0 before the first.
    pub attempt: u32,
    /// The most there may be.
    pub max_attempts: u32,
    /// When it was asked to stop.
    pub stop_requested_at: Option<Micros>,
    /// Higher runs first.
    pub priority: i32,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Not to be run before.
    pub run_at: Micros,
    /// When it was started.
    pub created_at: Micros,
    /// When its latest attempt began.
    pub started_at: Option<Micros>,
    /// When it was done.
    pub finished_at: Option<Micros>,
    /// Counts the changes.
    pub version: u64,
    /// What it runs again.
    pub retry_of: Option<Uuid>,
    /// Where its latest attempt ran.
    pub node: Option<String>,
}

/// Why an instance or an attempt failed.
#[derive(Debug, Clone, Deserialize)]
pub struct Fault {
    /// What kind of failure.
    pub kind: String,
    /// For people.
    pub message: String,
}

/// One execution of an instance.
#[derive(Debug, Clone, Deserialize)]
pub struct AttemptImage {
    /// From 1.
    pub attempt: u32,
    /// Where.
    pub node: Option<String>,
    /// When it began.
    pub started_at: Micros,
    /// When it ended.
    pub finished_at: Option<Micros>,
    /// `completed`, `failed`, `cancelled`, `interrupted`; None while it runs.
    pub ended: Option<String>,
    /// Why it failed.
    pub error: Option<Fault>,
    /// Of a command.
    pub exit_code: Option<i32>,
    /// Of a command that a signal ended.
    pub signal: Option<i32>,
}

/// A task that can be started.
#[derive(Debug, Clone, Deserialize)]
pub struct DefinitionImage {
    /// Its id.
    pub id: String,
    /// Its name, often the same.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// `compiled`, `configured` or `registered`.
    pub source: String,
    /// A command's words.
    pub command: Option<Vec<String>>,
    /// Seconds.
    pub timeout: Option<f64>,
    /// The most attempts.
    pub max_attempts: u32,
    /// The most instances at a time.
    pub concurrency: Option<u32>,
    /// What its inputs must be.
    pub input_schema: Option<serde_json::Value>,
}

/// One line of a log.
#[derive(Debug, Clone, Deserialize)]
pub struct LineImage {
    /// From 1, through all attempts.
    pub seq: u64,
    /// When it came.
    pub time: Micros,
    /// `stdout`, `stderr`, `task`, `system`.
    pub stream: String,
    /// Without its end.
    pub text: String,
}

/// JSON's null is no value.
fn value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok((raw.get() != "null").then_some(raw))
}

impl Image {
    /// The result as people read it: a string bare, else its JSON.
    pub fn result_text(&self) -> Option<String> {
        let raw = self.result.as_ref()?.get();
        Some(serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned()))
    }
}

//! One line of a history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Microseconds since the history began.
    pub at: u64,
    /// Which client.
    pub client: u32,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum What {
    /// A request is about to be sent.
    Invoke {
        /// Its number in this history.
        op: u64,
        /// What it asks for.
        call: Call,
    },
    /// It was acknowledged.
    Ok {
        /// Which.
        op: u64,
        /// The instances as they were shown.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        saw: Vec<Image>,
        /// The version that a report was committed at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
    },
    /// It was refused, or never sent: nothing may have come of it.
    Fail {
        /// Which.
        op: u64,
        /// The status, 0 where nothing was sent.
        status: u16,
    },
    /// Nobody knows what came of it.
    Unknown {
        /// Which.
        op: u64,
        /// What was seen.
        why: String,
    },
    /// The feed of all instances told this.
    Fed {
        /// The event's id.
        id: String,
        /// The instance.
        image: Box<Image>,
    },
    /// The feed said that something may have been missed.
    Resync,
    /// The daemon was harmed.
    Fault {
        /// How.
        how: String,
        /// How many writes were on their way then.
        in_flight: u64,
    },
    /// Everything works again; what is asked from here on must be acknowledged.
    Healed,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "call")]
pub enum Call {
    /// To start `count` instances, all or none. Asked again under the same key, it is the same start: its tag is equal.
    Start {
        /// The label that its instances have.
        tag: String,
        /// The idempotency key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The task.
        task: String,
        /// How many instances.
        count: usize,
        /// The done instance that it runs again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_of: Option<String>,
    },
    /// To stop an instance.
    Stop {
        /// Which.
        id: String,
    },
    /// To write something for the attempt that runs.
    Report {
        /// The instance.
        id: String,
        /// The attempt whose token is shown; none where a client reports for whichever runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
        /// `progress`, `output` or `status`.
        field: String,
        /// What is written.
        value: Value,
    },
    /// To see an instance.
    Read {
        /// Which.
        id: String,
    },
}

impl Call {
    /// Whether it changes something.
    pub fn writes(&self) -> bool {
        !matches!(self, Call::Read { .. })
    }
}

/// An instance as it was shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Its UUID.
    pub id: String,
    /// Its status.
    pub status: String,
    /// Its version.
    pub version: u64,
    /// Its attempt.
    pub attempt: u32,
    /// How many it may have.
    pub max_attempts: u32,
    /// Whether a stop was requested.
    #[serde(default)]
    pub stop_requested_at: Option<String>,
    /// When it was done.
    #[serde(default)]
    pub finished_at: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub error: Value,
    /// Its task.
    pub task_id: String,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its output, where that was shown.
    #[serde(default, deserialize_with = "shown", skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}

/// A member that is there, also where it is null.
fn shown<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Image {
    /// The instance that a body shows.
    pub fn of(body: Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(body)
    }

    /// Whether it is in a status that is final.
    pub fn is_done(&self) -> bool {
        !matches!(self.status.as_str(), "pending" | "running")
    }

    /// The tag of the start that made it.
    pub fn tag(&self) -> Option<&str> {
        self.labels.get("tag").map(String::as_str)
    }
}

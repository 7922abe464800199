//! What a task is: the immutable description that instances are started from.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use serde::Serialize;

use super::{duration::Seconds, instance::Workload, json::Json, retention::RetentionOptions};

/// The id or name of a definition: 1 to 128 characters, no control character, no `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct DefinitionId(Arc<str>);

/// A text that can be no definition's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` can be no task id: use 1 to 128 characters, no control character and no `/`")]
pub struct InvalidDefinitionId(pub String);

impl DefinitionId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as shared text.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for DefinitionId {
    type Err = InvalidDefinitionId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let length_ok = (1..=128).contains(&text.chars().count());
        if length_ok && !text.chars().any(|c| c.is_control() || c == '/') {
            Ok(DefinitionId(text.into()))
        } else {
            Err(InvalidDefinitionId(text.chars().take(200).collect()))
        }
    }
}

impl fmt::Display for DefinitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a definition comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A handler in this binary.
    Compiled,
    /// `[[tasks]]` in the configuration.
    Configured,
    /// Registered over REST.
    Registered,
}

/// An immutable description of a task. Serialises as the API answers it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Definition {
    /// The id; unique among all ids and names.
    pub id: DefinitionId,
    /// The name; unique among all ids and names.
    pub name: DefinitionId,
    /// One line for people.
    pub description: Option<String>,
    /// Whether it runs in the daemon or as a process.
    pub workload: Workload,
    /// Where it comes from.
    pub source: Source,
    /// The argument vector of a command.
    pub command: Option<Vec<String>>,
    /// The longest an attempt may run.
    #[serde(serialize_with = "optional_seconds")]
    pub timeout: Option<Duration>,
    /// The longest an instance may wait for its first attempt.
    #[serde(serialize_with = "optional_seconds")]
    pub queue_timeout: Option<Duration>,
    /// How many attempts an instance has.
    pub max_attempts: u32,
    /// The delay before the second attempt; doubled before each further one.
    #[serde(serialize_with = "seconds")]
    pub retry_delay: Duration,
    /// How many instances may run at once.
    pub concurrency: Option<u32>,
    /// The JSON Schema that inputs must satisfy.
    pub input_schema: Option<Json>,
    /// The JSON Schema that outputs must satisfy.
    pub output_schema: Option<Json>,
    /// The `numerous` app it belongs to.
    pub app_id: Option<String>,
    /// The version of that app.
    pub app_version_id: Option<String>,
    /// How long done instances are kept, where that is not as for all tasks. A matter of this daemon, so not answered.
    #[serde(skip)]
    pub retention: RetentionOptions,
}

impl Definition {
    /// The default of `retry_delay`.
    pub const RETRY_DELAY: Duration = Duration::from_secs(1);

    /// A definition with the default limits; its name is its id.
    pub fn new(id: DefinitionId, workload: Workload, source: Source) -> Self {
        Definition {
            name: id.clone(),
            id,
            description: None,
            workload,
            source,
            command: None,
            timeout: None,
            queue_timeout: None,
            max_attempts: 1,
            retry_delay: Self::RETRY_DELAY,
            concurrency: None,
            input_schema: None,
            output_schema: None,
            app_id: None,
            app_version_id: None,
            retention: RetentionOptions::NONE,
        }
    }
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    Seconds(*duration).serialize(serializer)
}

fn optional_seconds<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(Seconds).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_may_hold_spaces_but_no_slash() {
        assert!("Task Test".parse::<DefinitionId>().is_ok());
        for text in ["", "a/b", "a\nb", &"x".repeat(129)] {
            assert!(text.parse::<DefinitionId>().is_err(), "{text}");
        }
    }
}

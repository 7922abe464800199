//! Labels: small key–value pairs that a caller gives an instance to find it again.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

/// The most labels one instance may carry.
pub const MOST: usize = 32;
/// The longest key, in bytes.
pub const LONGEST_KEY: usize = 63;
/// The longest value, in characters.
pub const LONGEST_VALUE: usize = 256;

/// Validated labels, cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Labels(Arc<BTreeMap<String, String>>);

/// Why labels were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLabels {
    /// More than [`MOST`].
    #[error("there are {0} labels; at most {MOST} are allowed")]
    TooMany(usize),
    /// The key has the wrong form.
    #[error("the label key `{0}` must be 1 to {LONGEST_KEY} of A-Z a-z 0-9 . _ / -")]
    Key(String),
    /// The value is too long or holds a control character.
    #[error("the value of label `{0}` must be at most {LONGEST_VALUE} characters, none of them a control character")]
    Value(String),
}

impl InvalidLabels {
    /// The key at fault, where there is one.
    pub fn key(&self) -> Option<&str> {
        match self {
            InvalidLabels::TooMany(_) => None,
            InvalidLabels::Key(key) | InvalidLabels::Value(key) => Some(key),
        }
    }
}

/// Whether `key` has the form of a label key.
pub fn is_key(key: &str) -> bool {
    (1..=LONGEST_KEY).contains(&key.len())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-'))
}

impl Labels {
    /// Checks and keeps `labels`.
    ///
    /// # Errors
    /// The first thing wrong with them.
    pub fn new(labels: BTreeMap<String, String>) -> Result<Self, InvalidLabels> {
        if labels.len() > MOST {
            return Err(InvalidLabels::TooMany(labels.len()));
        }
        for (key, value) in &labels {
            if !is_key(key) {
                return Err(InvalidLabels::Key(key.clone()));
            }
            if value.chars().count() > LONGEST_VALUE || value.chars().any(char::is_control) {
                return Err(InvalidLabels::Value(key.clone()));
            }
        }
        Ok(Labels(Arc::new(labels)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

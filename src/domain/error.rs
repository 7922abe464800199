//! Why an instance failed: data that is stored with it and answered to its readers.

use serde::{Deserialize, Serialize};

/// The error of a failed instance or attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceError {
    /// What kind of failure, with the members that belong to it.
    #[serde(flatten)]
    pub kind: ErrorKind,
    /// One line for people.
    pub message: String,
    /// The attempt that failed; 0 if none ran.
    pub attempt: u32,
}

/// The kinds of failure. On the wire the name stands in `kind`, the members beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ErrorKind {
    /// The handler returned an error, or stated that it failed.
    Handler {
        /// The chain of causes, outermost first, without the message itself.
        causes: Vec<String>,
    },
    /// The handler panicked.
    Panic {
        /// `file:line:column`, where it is known.
        location: Option<String>,
    },
    /// The attempt ran longer than its timeout.
    Timeout {
        /// The timeout, in seconds.
        after: f64,
    },
    /// The instance waited longer than its queue timeout.
    QueueTimeout {
        /// The queue timeout, in seconds.
        after: f64,
    },
    /// The program ended with another exit code than 0.
    Exit {
        /// The code.
        exit_code: i32,
    },
    /// The program was ended by a signal that was not ours.
    Signal {
        /// The signal's number.
        signal: i32,
        /// Its name, such as `SIGSEGV`.
        signal_name: String,
    },
    /// The program could not be started.
    Spawn {
        /// The program, as configured.
        program: String,
    },
    /// The output is no JSON, too large, or against its schema.
    Output {
        /// What is wrong, field by field.
        errors: Vec<FieldError>,
    },
    /// The inputs, accepted once, are not valid for the task as it is now.
    InvalidInputs {
        /// What is wrong, field by field.
        errors: Vec<FieldError>,
    },
    /// The attempt was cut short, and no other is left.
    Interrupted {
        /// By what.
        reason: Interruption,
    },
}

/// What cut an attempt short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// The daemon, or the process that watched the attempt, died.
    Crash,
    /// The daemon was asked to shut down.
    Shutdown,
}

/// The most errors that one refusal lists: enough to mend a document with, bounded whatever the document.
pub const MOST_ERRORS: usize = 100;

/// One thing wrong with one place of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Where: an RFC 6901 JSON pointer, empty for the whole document.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl FieldError {
    /// An error at `pointer`.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        FieldError { pointer: pointer.into(), detail: detail.into() }
    }

    /// The same error, seen from a document that holds this one at `prefix`.
    #[must_use]
    pub fn below(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}

/// An error with its causes, outermost first, on one line: for logs and for errors kept as data.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat their source in their own text.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// `token` as one segment of a JSON pointer (RFC 6901 §3).
pub fn pointer_segment(token: &str) -> String {
    format!("/{}", token.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_members_of_a_kind_stand_beside_it() {
        let error = InstanceError { kind: ErrorKind::Exit { exit_code: 3 }, message: "no disk".into(), attempt: 2 };
        let text = serde_json::to_string(&error).expect("serialises");
        assert_eq!(text, r#"{"kind":"exit","exit_code":3,"message":"no disk","attempt":2}"#);
        assert_eq!(serde_json::from_str::<InstanceError>(&text).expect("reads back"), error);
    }
}

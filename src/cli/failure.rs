//! How a verb ends when it does not succeed: one line on stderr and an exit code.

use crate::{config::ConfigError, domain::error::chain};

/// Something failed at run time; also "no" as an answer.
pub(super) const FAILURE: u8 = 1;
/// The command line is wrong (clap's own code).
pub(super) const USAGE: u8 = 2;
/// The daemon refused, or a report came too late.
pub(super) const REFUSED: u8 = 5;
/// A port, a store or a daemon is not available (`EX_UNAVAILABLE`).
pub(super) const UNAVAILABLE: u8 = 69;
/// The configuration is wrong (`EX_CONFIG`).
pub(super) const CONFIGURATION: u8 = 78;

/// What ended a verb.
#[derive(Debug)]
pub(super) struct Failure {
    /// The exit code.
    pub code: u8,
    /// What is wrong and what to do; empty where everything was said.
    pub message: String,
}

impl Failure {
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Failure { code, message: message.into() }
    }

    /// `error` with its causes.
    pub fn of(code: u8, error: &(dyn std::error::Error + 'static)) -> Self {
        Failure::new(code, chain(error))
    }

    /// "No": there is nothing to say.
    pub fn silent(code: u8) -> Self {
        Failure::new(code, "")
    }

    /// The message on one line.
    pub fn line(&self) -> String {
        one_line(&self.message)
    }
}

/// `text` on one line: what came from outside cannot draw on a terminal or forge a second line.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.trim_end().chars() {
        match c {
            '\n' | '\r' | '\t' => line.push(' '),
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::of(CONFIGURATION, &error)
    }
}

//! The exit codes of a client's verbs: one rule for every verb.

use crate::{
    cli::failure::{FAILURE, REFUSED, UNAVAILABLE, USAGE},
    client::{Nature, Refusal},
    domain::Status,
};

/// The instance was cancelled.
pub(super) const CANCELLED: u8 = 3;
/// There is no such task or instance.
pub(super) const UNKNOWN: u8 = 4;
/// The time was over; the task goes on.
pub(super) const TIMED_OUT: u8 = 124;
/// Somebody pressed Ctrl-C (128 and SIGINT).
pub(super) const INTERRUPTED: u8 = 130;
/// Somebody sent SIGTERM (128 and SIGTERM).
pub(super) const TERMINATED: u8 = 143;

/// How an instance ended; None while it has not.
pub(super) fn of_status(status: Status) -> Option<u8> {
    match status {
        Status::Completed => Some(0),
        Status::Failed => Some(FAILURE),
        Status::Cancelled => Some(CANCELLED),
        Status::Pending | Status::Running => None,
    }
}

/// What a daemon answered that did not do what was asked.
pub(super) fn of_refusal(refusal: &Refusal) -> u8 {
    match refusal.nature() {
        Nature::Unreadable => USAGE,
        Nature::Unknown => UNKNOWN,
        Nature::Refused => REFUSED,
        Nature::Unable => UNAVAILABLE,
    }
}

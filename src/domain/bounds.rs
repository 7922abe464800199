//! How far options may go, whoever gives them: the configuration, a client, or the code around us.

use std::time::Duration;

use super::{
    definition::Definition,
    retention::{Age, Count},
};

/// The longest duration that any option takes: 365 days.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// The longest time between a stop and its deadline.
pub const LONGEST_GRACE: Duration = Duration::from_secs(3600);
/// The most attempts that an instance can have.
pub const MOST_ATTEMPTS: u32 = 1000;
/// The most instances of one task that a definition can let run at once.
pub const MOST_AT_ONCE: u32 = 1_000_000;

/// What is wrong with a duration that an option gives.
pub const fn duration_fault(duration: Duration) -> Option<&'static str> {
    if duration.is_zero() || duration.as_nanos() > LONGEST.as_nanos() {
        Some("must be more than 0 and at most 365 days")
    } else {
        None
    }
}

/// What is wrong with a grace.
pub fn grace_fault(grace: Duration) -> Option<&'static str> {
    (grace > LONGEST_GRACE).then_some("must be at most 1 hour")
}

/// What is wrong with a number of attempts.
pub const fn attempts_fault(attempts: u32) -> Option<&'static str> {
    if attempts == 0 || attempts > MOST_ATTEMPTS { Some("must be from 1 to 1000") } else { None }
}

/// The first member of `definition` that is out of bounds, and what is wrong with it.
pub fn definition_fault(definition: &Definition) -> Option<(&'static str, &'static str)> {
    let Definition { timeout, queue_timeout, max_attempts, retry_delay, concurrency, retention, .. } = definition;
    let age = retention.age.and_then(|Age(age)| age);
    let faults = [
        ("timeout", timeout.and_then(duration_fault)),
        ("queue_timeout", queue_timeout.and_then(duration_fault)),
        ("max_attempts", attempts_fault(*max_attempts)),
        ("retry_delay", duration_fault(*retry_delay)),
        ("concurrency", concurrency.filter(|n| !(1..=MOST_AT_ONCE).contains(n)).map(|_| "must be from 1 to 1000000")),
        ("retention.age", age.and_then(duration_fault)),
        ("retention.count", retention.count.filter(|count| *count == Count(Some(0))).map(|_| "must be at least 1")),
    ];
    faults.into_iter().find_map(|(member, fault)| Some((member, fault?)))
}

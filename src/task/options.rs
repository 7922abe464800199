//! What a task is called and how far it may go, unless the configuration or a start says otherwise.

use std::time::Duration;

use crate::domain::{
    Definition, RetentionOptions,
    bounds::{attempts_fault, duration_fault},
    retention::{Age, Count},
};

/// The name, description and limits of a handler.
///
/// Built in a `const`, so that a limit out of range does not compile. `[handlers.ID]` in the configuration overrides
/// the limits, and a start overrides both.
///
/// ```
/// use std::time::Duration;
/// use taskwright::TaskOptions;
///
/// const OPTIONS: TaskOptions =
///     TaskOptions::new().description("Resizes an image").timeout(Duration::from_secs(600)).max_attempts(3);
/// ```
///
/// ```compile_fail
/// const OPTIONS: taskwright::TaskOptions = taskwright::TaskOptions::new().max_attempts(0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskOptions {
    pub(super) name: Option<&'static str>,
    pub(super) description: Option<&'static str>,
    pub(super) timeout: Option<Duration>,
    pub(super) queue_timeout: Option<Duration>,
    pub(super) max_attempts: u32,
    pub(super) retry_delay: Duration,
    pub(super) concurrency: Option<u32>,
    pub(super) retention: RetentionOptions,
}

impl TaskOptions {
    /// No timeouts, one attempt, any number at once, kept as the configuration says; the name is the id.
    pub const fn new() -> Self {
        TaskOptions {
            name: None,
            description: None,
            timeout: None,
            queue_timeout: None,
            max_attempts: 1,
            retry_delay: Definition::RETRY_DELAY,
            concurrency: None,
            retention: RetentionOptions::NONE,
        }
    }

    /// A name to start it by, beside the id. Unique among all ids and names.
    #[must_use]
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// One line for people.
    #[must_use]
    pub const fn description(mut self, description: &'static str) -> Self {
        self.description = Some(description);
        self
    }

    /// The longest an attempt may run. Then its future is dropped and the attempt has failed.
    ///
    /// # Panics
    /// Unless it is above 0 and at most 365 days.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        assert!(in_range(timeout), "timeout must be above 0 and at most 365 days");
        self.timeout = Some(timeout);
        self
    }

    /// The longest an instance may wait for its first attempt. Then it has failed.
    ///
    /// # Panics
    /// Unless it is above 0 and at most 365 days.
    #[must_use]
    pub const fn queue_timeout(mut self, queue_timeout: Duration) -> Self {
        assert!(in_range(queue_timeout), "queue_timeout must be above 0 and at most 365 days");
        self.queue_timeout = Some(queue_timeout);
        self
    }

    /// How many attempts an instance has. With more than 1 the handler may run again after it failed, or after the
    /// daemon died while it ran: what it does must bear being done twice.
    ///
    /// # Panics
    /// Unless it is from 1 to 1,000.
    #[must_use]
    pub const fn max_attempts(mut self, max_attempts: u32) -> Self {
        assert!(attempts_fault(max_attempts).is_none(), "max_attempts must be from 1 to 1,000");
        self.max_attempts = max_attempts;
        self
    }

    /// The delay before the second attempt; doubled before each further one, up to 5 minutes.
    ///
    /// # Panics
    /// Unless it is above 0 and at most 365 days.
    #[must_use]
    pub const fn retry_delay(mut self, retry_delay: Duration) -> Self {
        assert!(in_range(retry_delay), "retry_delay must be above 0 and at most 365 days");
        self.retry_delay = retry_delay;
        self
    }

    /// How many instances of this task may run at once.
    ///
    /// # Panics
    /// If it is 0.
    #[must_use]
    pub const fn concurrency(mut self, concurrency: u32) -> Self {
        assert!(concurrency >= 1, "concurrency must be at least 1");
        self.concurrency = Some(concurrency);
        self
    }

    /// How long a done instance of this task is kept.
    ///
    /// # Panics
    /// Unless it is above 0 and at most 365 days.
    #[must_use]
    pub const fn retention_age(mut self, age: Duration) -> Self {
        assert!(in_range(age), "retention_age must be above 0 and at most 365 days");
        self.retention.age = Some(Age(Some(age)));
        self
    }

    /// How many done instances of this task are kept, the newest ones.
    ///
    /// # Panics
    /// If it is 0.
    #[must_use]
    pub const fn retention_count(mut self, count: u64) -> Self {
        assert!(count >= 1, "retention_count must be at least 1");
        self.retention.count = Some(Count(Some(count)));
        self
    }
}

impl Default for TaskOptions {
    fn default() -> Self {
        TaskOptions::new()
    }
}

const fn in_range(duration: Duration) -> bool {
    duration_fault(duration).is_none()
}

//! What happened in a stretch of time, in buckets, and what there is.

use std::time::Duration;

use super::{histogram::Histogram, status::Status, time::Micros};

/// What counts are kept by.
pub const MINUTE: Duration = Duration::from_secs(60);
/// The longest bucket.
pub const DAY: Duration = Duration::from_secs(86_400);
/// The most buckets.
pub const MOST_BUCKETS: u64 = 1_440;

/// The widths that a bucket has where nobody asks for one: the first with which there are not too many.
const STEPS: [Duration; 6] = [
    MINUTE,
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(3600),
    Duration::from_secs(6 * 3600),
    DAY,
];

/// Which figures are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsQuery {
    /// Only of this task.
    pub task_id: Option<String>,
    /// When the first bucket begins: a multiple of `bucket` since 1970.
    pub from: Micros,
    /// How long a bucket is: whole minutes.
    pub bucket: Duration,
    /// How many there are.
    pub buckets: usize,
}

/// A window and bucket that make no sense together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWindow {
    /// A bucket that is too short, too long, or has half a minute.
    #[error("must be whole minutes, from 1m to 1d")]
    Bucket,
    /// A window of no time.
    #[error("must be more than 0")]
    Empty,
    /// A window of more buckets than there may be.
    #[error("has more than 1440 buckets of {} s: take a shorter window or longer buckets, at most 1d", .bucket.as_secs())]
    TooLong {
        /// The bucket.
        bucket: Duration,
    },
}

impl StatsQuery {
    /// The last `window` up to `now`, in buckets of this length or of a fitting one. They begin at its multiples since
    /// 1970, so that the last one is still going on.
    ///
    /// # Errors
    /// [`InvalidWindow`].
    pub fn until(
        now: Micros,
        window: Duration,
        bucket: Option<Duration>,
        task_id: Option<String>,
    ) -> Result<Self, InvalidWindow> {
        if window.is_zero() {
            return Err(InvalidWindow::Empty);
        }
        let count =
            |bucket: Duration| u64::try_from(window.as_micros().div_ceil(bucket.as_micros())).unwrap_or(u64::MAX);
        let bucket = match bucket {
            Some(bucket) => bucket,
            None => STEPS.into_iter().find(|step| count(*step) <= MOST_BUCKETS).unwrap_or(DAY),
        };
        if bucket < MINUTE || bucket > DAY || bucket.as_micros() % MINUTE.as_micros() != 0 {
            return Err(InvalidWindow::Bucket);
        }
        let buckets = count(bucket);
        if buckets > MOST_BUCKETS {
            return Err(InvalidWindow::TooLong { bucket });
        }
        let width = micros(bucket);
        let last = now.0.div_euclid(width) * width;
        Ok(StatsQuery {
            task_id,
            from: Micros(last.saturating_sub(width * (buckets as i64 - 1))),
            bucket,
            buckets: buckets as usize,
        })
    }

    /// The bucket in which `time` lies.
    pub fn bucket_of(&self, time: Micros) -> Option<usize> {
        let at = time.0.checked_sub(self.from.0)?.div_euclid(micros(self.bucket));
        usize::try_from(at).ok().filter(|at| *at < self.buckets)
    }

    /// When a bucket begins.
    pub fn start(&self, bucket: usize) -> Micros {
        Micros(self.from.0.saturating_add(micros(self.bucket).saturating_mul(bucket as i64)))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// What a task, or all of them, did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// How many instances there are, in the order of [`Status::ALL`].
    pub by_status: [u64; Status::ALL.len()],
    /// How long the latest attempts took of those that completed or failed within the window.
    pub durations: Histogram,
    /// What happened, in order of time, those in which nothing did included.
    pub buckets: Vec<Happened>,
}

/// What happened in one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Happened {
    /// Instances that were accepted.
    pub started: u64,
    /// Instances that became completed.
    pub completed: u64,
    /// Instances that became failed.
    pub failed: u64,
    /// Instances that became cancelled.
    pub cancelled: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Micros = Micros(1_700_049_600_000_000);

    fn until(now: Micros, window: u64, bucket: Option<u64>) -> Result<StatsQuery, InvalidWindow> {
        StatsQuery::until(now, Duration::from_secs(window), bucket.map(Duration::from_secs), None)
    }

    #[test]
    fn buckets_are_aligned_and_end_with_the_present_one() {
        let query = until(Micros(NOON.0 + 90_500_000), 3600, Some(60)).expect("valid");
        assert_eq!((query.buckets, query.start(59)), (60, Micros(NOON.0 + 60_000_000)));
        assert_eq!(query.bucket_of(Micros(NOON.0 + 119_999_999)), Some(59));
        assert_eq!(query.bucket_of(Micros(NOON.0 + 120_000_000)), None);
        assert_eq!(query.bucket_of(query.from), Some(0));
        assert_eq!(query.bucket_of(Micros(query.from.0 - 1)), None);
        let week = until(NOON, 7 * 86_400, Some(86_400)).expect("valid");
        assert_eq!((week.buckets, week.from.0 % 86_400_000_000), (7, 0));
        assert_eq!(until(NOON, 90, Some(60)).map(|query| query.buckets), Ok(2));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for bucket in [0, 1, 59, 90, 86_460] {
            assert_eq!(until(NOON, 3600, Some(bucket)), Err(InvalidWindow::Bucket), "{bucket}");
        }
        assert_eq!(until(NOON, 0, None), Err(InvalidWindow::Empty));
        assert_eq!(until(NOON, 1440 * 60, Some(60)).map(|query| query.buckets), Ok(1440));
        assert!(matches!(until(NOON, 1440 * 60 + 1, Some(60)), Err(InvalidWindow::TooLong { .. })));
        assert!(matches!(until(NOON, 1441 * 86_400, None), Err(InvalidWindow::TooLong { .. })));
    }

    #[test]
    fn without_a_bucket_there_is_one_that_fits() {
        for (window, bucket) in [(60, 60), (3600, 60), (86_400, 60), (7 * 86_400, 900), (365 * 86_400, 86_400)] {
            assert_eq!(until(NOON, window, None).map(|query| query.bucket.as_secs()), Ok(bucket), "{window}");
        }
    }
}

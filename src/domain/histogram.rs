//! How durations are spread, in little room: buckets whose width grows with what they hold.
//!
//! A bucket ends a tenth above the one before, in whole microseconds. So a value below 20 µs is kept exactly, and any
//! other is told within 5 %.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

/// Beyond this, more than a year, all durations are one.
const LONGEST: u64 = 40_000_000_000_000;

/// The largest number of microseconds in each bucket. The first holds 0 alone.
static TOPS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut tops = vec![0];
    let mut top: u64 = 0;
    while top < LONGEST {
        top = (top + 1).max(top * 11 / 10);
        tops.push(top);
    }
    tops
});

/// How often durations came, by bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    counts: BTreeMap<u16, u64>,
}

impl Histogram {
    /// The number of buckets.
    pub fn buckets() -> u16 {
        u16::try_from(TOPS.len()).unwrap_or(u16::MAX)
    }

    /// The bucket of a duration.
    pub fn bucket(duration: Duration) -> u16 {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let at = TOPS.partition_point(|top| *top < micros).min(TOPS.len() - 1);
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    /// Counts one duration.
    pub fn add(&mut self, duration: Duration) {
        self.add_to(Self::bucket(duration), 1);
    }

    /// Counts `n` more in a bucket; one that there is not is the last.
    pub fn add_to(&mut self, bucket: u16, n: u64) {
        let count = self.counts.entry(bucket.min(Self::buckets() - 1)).or_default();
        *count = count.saturating_add(n);
    }

    /// Counts all that `other` has counted.
    pub fn merge(&mut self, other: &Histogram) {
        for (bucket, n) in other.iter() {
            self.add_to(bucket, n);
        }
    }

    /// The buckets that are not empty, from the shortest.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> {
        self.counts.iter().map(|(bucket, n)| (*bucket, *n))
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.values().fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// The duration that the share `q` of all do not exceed, within 5 %; None where there are none.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = ((self.count() as f64 * q).ceil() as u64).max(1);
        let mut below = 0_u64;
        for (bucket, n) in self.iter() {
            below = below.saturating_add(n);
            if below >= rank {
                let at = usize::from(bucket);
                let least = if at == 0 { 0 } else { TOPS[at - 1] + 1 };
                return Some(Duration::from_micros(least.midpoint(TOPS[at])));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_told_within_a_twentieth() {
        let mut micros = 1_u64;
        while micros < 365 * 86_400 * 1_000_000 {
            let mut histogram = Histogram::default();
            histogram.add(Duration::from_micros(micros));
            let told = histogram.quantile(0.5).expect("one").as_micros() as f64;
            assert!((told / micros as f64 - 1.0).abs() <= 0.05, "{micros} is told as {told}");
            micros += 1 + micros / 37;
        }
        assert!(Histogram::buckets() < 400);
        assert_eq!(Histogram::bucket(Duration::ZERO), 0);
        assert_eq!(Histogram::bucket(Duration::MAX), Histogram::buckets() - 1);
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for micros in 1..=20 {
            histogram.add(Duration::from_micros(micros));
        }
        assert_eq!((histogram.count(), histogram.quantile(0.5)), (20, Some(Duration::from_micros(10))));
        assert_eq!(histogram.quantile(0.95), Some(Duration::from_micros(19)));
        assert_eq!(histogram.quantile(1.0), Some(Duration::from_micros(20)));
        let mut both = Histogram::default();
        both.merge(&histogram);
        both.merge(&histogram);
        assert_eq!((both.count(), both.quantile(0.5)), (40, Some(Duration::from_micros(10))));
    }
}

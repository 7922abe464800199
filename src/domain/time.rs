//! Wall-clock instants, in whole microseconds so that a stored time reads back equal.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Microseconds since 1970-01-01T00:00:00Z. Shown as RFC 3339 UTC with six decimals and `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Micros(pub i64);

impl Micros {
    /// The wall clock now.
    pub fn now() -> Self {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
            Err(before) => Micros(i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us)),
        }
    }

    /// This instant moved forward by `by`; saturates at the end of time.
    pub fn after(self, by: Duration) -> Self {
        Micros(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This instant moved back by `by`; saturates at the beginning of time.
    pub fn before(self, by: Duration) -> Self {
        Micros(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long from `earlier` to this instant; zero if it is not later.
    pub fn since(self, earlier: Micros) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads an RFC 3339 time; digits beyond the microsecond are dropped.
    ///
    /// # Errors
    /// [`InvalidTime`] for any other text.
    pub fn parse(text: &str) -> Result<Self, InvalidTime> {
        DateTime::parse_from_rfc3339(text)
            .map(|time| Micros(time.timestamp_micros()))
            .map_err(|_| InvalidTime(text.to_owned()))
    }
}

/// A text that is no RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no RFC 3339 time such as 2026-01-31T12:00:00Z")]
pub struct InvalidTime(pub String);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_micros(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true)),
            None => write!(f, "{}us", self.0),
        }
    }
}

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Micros {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Micros::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_equal() {
        let time = Micros::parse("2026-11-24T08:09:10.123456789+02:00").expect("valid");
        assert_eq!(time.to_string(), "2026-11-24T06:09:10.123456Z");
        assert_eq!(Micros::parse(&time.to_string()), Ok(time));
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Micros(i64::MAX).after(Duration::from_secs(1)), Micros(i64::MAX));
        assert_eq!(Micros(1).since(Micros(5)), Duration::ZERO);
    }
}

//! Durations as people write them: `90`, `1.5`, `"30s"`, `"250ms"`, `"2h"`.

use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no duration: write seconds as a number, or a number with ms, s, m, h or d, such as 30s")]
pub struct InvalidDuration(pub String);

/// Reads a number of seconds or `<number><unit>` with the units `ms s m h d`.
///
/// # Errors
/// [`InvalidDuration`] for anything else, a negative number, or more than 10,000 years.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let invalid = || InvalidDuration(text.to_owned());
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(invalid()),
    };
    let shape_ok = !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && number.bytes().any(|b| b.is_ascii_digit());
    if !shape_ok {
        return Err(invalid());
    }
    let number: f64 = number.parse().map_err(|_| invalid())?;
    from_seconds(number * factor).ok_or_else(invalid)
}

/// A duration as [`parse`] reads it, in the largest unit that leaves no remainder.
pub fn text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match duration.subsec_nanos() {
        0 => match [("d", 86400), ("h", 3600), ("m", 60)]
            .into_iter()
            .find(|(_, unit)| seconds > 0 && seconds.is_multiple_of(*unit))
        {
            Some((unit, length)) => format!("{}{unit}", seconds / length),
            None => format!("{seconds}s"),
        },
        nanos if nanos % 1_000_000 == 0 => format!("{}ms", duration.as_millis()),
        _ => format!("{}s", duration.as_micros() as f64 / 1e6),
    }
}

/// The moment that comes `after` past `from`; where that is too far for the clock, one that nobody lives to see.
pub fn deadline(from: Instant, after: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    from.checked_add(after.min(FAR)).unwrap_or(from)
}

/// Seconds as a [`Duration`], rounded to the microsecond. None when negative, not finite or absurdly large.
pub fn from_seconds(seconds: f64) -> Option<Duration> {
    const ABSURD: f64 = 10_000.0 * 365.0 * 86400.0;
    if !(0.0..=ABSURD).contains(&seconds) {
        return None;
    }
    Some(Duration::from_micros((seconds * 1e6).round() as u64))
}

/// A duration in configuration or JSON: a number of seconds or a text with a unit; answered as seconds,
/// whole ones without a decimal point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(pub Duration);

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.subsec_nanos() == 0 {
            serializer.serialize_u64(self.0.as_secs())
        } else {
            serializer.serialize_f64(self.0.as_micros() as f64 / 1e6)
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Seconds;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("seconds as a number, or a text such as \"30s\"")
            }

            fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Seconds, E> {
                from_seconds(seconds).map(Seconds).ok_or_else(|| E::custom(InvalidDuration(seconds.to_string())))
            }

            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Seconds, E> {
                self.visit_f64(seconds as f64)
            }

            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Seconds, E> {
                self.visit_f64(seconds as f64)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Seconds, E> {
                parse(text).map(Seconds).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in
            [("0", 0), ("3", 3000), ("1.5", 1500), ("250ms", 250), ("30s", 30_000), ("2m", 120_000), ("1d", 86_400_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1", "1 s", "1w", "1e3", ".", "1.2.3", "nan", "10S"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_text_reads_back() {
        for (millis, said) in
            [(0, "0s"), (25_000, "25s"), (90_000, "90s"), (600_000, "10m"), (86_400_000, "1d"), (1500, "1500ms")]
        {
            let duration = Duration::from_millis(millis);
            assert_eq!(text(duration), said);
            assert_eq!(parse(said), Ok(duration));
        }
        assert_eq!(parse(&text(Duration::from_micros(1))), Ok(Duration::from_micros(1)));
    }

    #[test]
    fn no_duration_is_too_long_for_a_deadline() {
        let now = Instant::now();
        assert_eq!(deadline(now, Duration::from_secs(5)), now + Duration::from_secs(5));
        let far = deadline(now, Duration::MAX);
        assert!(far > now + crate::domain::bounds::LONGEST);
        assert!(deadline(far, Duration::MAX) > far);
    }

    #[test]
    fn answers_whole_seconds_as_integers() {
        let text = |millis| serde_json::to_string(&Seconds(Duration::from_millis(millis))).expect("serialises");
        assert_eq!((text(3000), text(1500)), ("3".to_owned(), "1.5".to_owned()));
    }
}

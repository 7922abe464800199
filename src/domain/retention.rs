//! How long a done instance is kept.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};

use super::{bounds::duration_fault, duration::Seconds};

/// How long done instances of a task are kept. What exceeds either goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long after its end; None for ever.
    pub age: Option<Duration>,
    /// How many, the newest ones, of each task; None any number.
    pub count: Option<u64>,
}

impl Default for Retention {
    /// 30 days, any number.
    fn default() -> Self {
        Retention { age: Some(Duration::from_secs(30 * 86_400)), count: None }
    }
}

/// What a task says of its retention; what it does not say is as for all tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table such as { age = \"30d\", count = 1000 }")]
pub struct RetentionOptions {
    /// See [`Retention::age`].
    #[serde(default)]
    pub age: Option<Age>,
    /// See [`Retention::count`].
    #[serde(default)]
    pub count: Option<Count>,
}

impl RetentionOptions {
    /// Says nothing.
    pub const NONE: RetentionOptions = RetentionOptions { age: None, count: None };

    /// What holds where `all` holds for all tasks.
    pub fn over(self, all: Retention) -> Retention {
        Retention {
            age: self.age.map_or(all.age, |Age(age)| age),
            count: self.count.map_or(all.count, |Count(count)| count),
        }
    }
}

/// An age as it is written: a duration above 0 up to 365 days, or `"forever"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age(pub Option<Duration>);

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const SHAPE: &str = "must be a duration above 0 up to 365 d, such as \"30d\", or \"forever\"";
        match Written::deserialize(deserializer)? {
            Written::Text(word) if word.trim() == "forever" => Ok(Age(None)),
            written => {
                let read = match written {
                    Written::Text(text) => {
                        Seconds::deserialize(de::value::StrDeserializer::<D::Error>::new(text.trim()))
                    }
                    Written::Whole(seconds) => {
                        Seconds::deserialize(de::value::I64Deserializer::<D::Error>::new(seconds))
                    }
                    Written::Number(seconds) => {
                        Seconds::deserialize(de::value::F64Deserializer::<D::Error>::new(seconds))
                    }
                };
                let age = read.map(|Seconds(age)| age).ok();
                let age = age.filter(|age| duration_fault(*age).is_none());
                age.map(|age| Age(Some(age))).ok_or_else(|| de::Error::custom(SHAPE))
            }
        }
    }
}

/// A count as it is written: a whole number from 1, or `"unlimited"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(word) if word.trim() == "unlimited" => Ok(Count(None)),
            Written::Whole(count) if count > 0 => Ok(Count(Some(count.unsigned_abs()))),
            _ => Err(de::Error::custom("must be a whole number from 1, or \"unlimited\"")),
        }
    }
}

enum Written {
    Text(String),
    Whole(i64),
    Number(f64),
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a text in quotes")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Written, E> {
                Ok(Written::Whole(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Written, E> {
                i64::try_from(number).map(Written::Whole).map_err(|_| E::custom("is too large"))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Written, E> {
                Ok(Written::Number(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Written, E> {
                Ok(Written::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Retention, String> {
        let options: Result<RetentionOptions, _> = serde_json::from_str(json);
        options.map(|options| options.over(Retention::default())).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_is_as_for_all() {
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        assert_eq!(read("{}"), Ok(Retention { age: days(30), count: None }));
        assert_eq!(read(r#"{"age":"7d","count":5}"#), Ok(Retention { age: days(7), count: Some(5) }));
        assert_eq!(read(r#"{"age":86400}"#), Ok(Retention { age: days(1), count: None }));
        assert_eq!(read(r#"{"age":"forever","count":"unlimited"}"#), Ok(Retention { age: None, count: None }));
        assert_eq!(read(r#"{"age":0.5}"#).map(|found| found.age), Ok(Some(Duration::from_millis(500))));
        for wrong in [r#"{"age":0}"#, r#"{"age":"never"}"#, r#"{"age":"366d"}"#, r#"{"count":0}"#, r#"{"count":1.5}"#] {
            assert!(read(wrong).is_err_and(|error| error.starts_with("must be a ")), "{wrong}");
        }
        assert!(read(r#"{"days":1}"#).is_err_and(|error| error.contains("unknown field `days`")));
    }
}

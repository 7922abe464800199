//! A handler's own table of the configuration, `[handlers.ID]`: six keys are its limits, the rest its settings.

use std::cell::Cell;

use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Visitor, forward_to_deserialize_any};
use toml::{Table, Value};

use super::options::TaskOptions;
use crate::domain::{
    RetentionOptions,
    bounds::{attempts_fault, duration_fault},
    duration::Seconds,
    suggest,
};

/// The keys that override the limits of [`TaskOptions`].
pub(super) const LIMITS: [&str; 6] =
    ["timeout", "queue_timeout", "max_attempts", "retry_delay", "concurrency", "retention"];

/// Takes the limits out of `table` into `options`.
///
/// # Errors
/// Key and fault of a limit out of range, or of another type.
pub(super) fn take_limits(table: &mut Table, options: &mut TaskOptions) -> Result<(), (String, String)> {
    for key in LIMITS {
        let Some(value) = table.remove(key) else { continue };
        let fault = |detail: &str| (key.to_owned(), detail.to_owned());
        match key {
            "max_attempts" => {
                options.max_attempts = whole(&value)
                    .filter(|n| attempts_fault(*n).is_none())
                    .ok_or_else(|| fault("must be a whole number from 1 to 1,000"))?;
            }
            "concurrency" => {
                options.concurrency =
                    Some(whole(&value).filter(|n| *n >= 1).ok_or_else(|| fault("must be a whole number from 1"))?);
            }
            "retention" => {
                let retention: RetentionOptions =
                    serde_path_to_error::deserialize(value).map_err(|error| retention_fault(&error))?;
                options.retention.age = retention.age.or(options.retention.age);
                options.retention.count = retention.count.or(options.retention.count);
            }
            _ => {
                let Seconds(duration) = Seconds::deserialize(value).map_err(|error| fault(error.message()))?;
                if duration_fault(duration).is_some() {
                    return Err(fault("must be above 0 and at most 365 days"));
                }
                match key {
                    "timeout" => options.timeout = Some(duration),
                    "queue_timeout" => options.queue_timeout = Some(duration),
                    _ => options.retry_delay = duration,
                }
            }
        }
    }
    Ok(())
}

fn retention_fault(error: &serde_path_to_error::Error<toml::de::Error>) -> (String, String) {
    let path = error.path().to_string();
    let key = if path == "." { "retention".to_owned() } else { format!("retention.{path}") };
    (key, error.inner().message().to_owned())
}

fn whole(value: &Value) -> Option<u32> {
    value.as_integer().and_then(|n| u32::try_from(n).ok())
}

/// Reads what is left of `table` into the handler's own settings.
///
/// # Errors
/// Key (empty for the whole table) and fault. A key that a structure has no field for is one, whether or not the
/// structure denies unknown fields itself.
pub(super) fn read<S: DeserializeOwned>(table: Table) -> Result<S, (String, String)> {
    let keys: Vec<String> = table.keys().cloned().collect();
    let fields = Cell::new(None);
    let result = serde_path_to_error::deserialize::<_, S>(Fields { inner: Value::Table(table), seen: &fields });
    if let Some(known) = fields.get()
        && let Some(key) = keys.into_iter().find(|key| !known.contains(&&**key))
    {
        return Err(unknown_key(key, known));
    }
    result.map_err(|error| {
        let path = error.path().to_string();
        (if path == "." { String::new() } else { path }, error.inner().message().to_owned())
    })
}

/// The fault of a key that nobody knows.
pub(super) fn unknown_key(key: String, known: &[&str]) -> (String, String) {
    let known: Vec<&str> = known.iter().chain(&LIMITS).copied().collect();
    let hint = suggest::hint(&key, &known);
    (key, format!("unknown key{hint}"))
}

/// A table that notes the fields of the structure that is read from it.
struct Fields<'a> {
    inner: Value,
    seen: &'a Cell<Option<&'static [&'static str]>>,
}

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = toml::de::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.inner.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.seen.set(Some(fields));
        self.inner.deserialize_struct(name, fields, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

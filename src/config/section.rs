//! One table of a configuration, read key by key. A value of another type or out of range is named with its place.

use std::{ops::RangeInclusive, time::Duration};

use toml::{Table, Value};

use super::{ConfigError, sources::Merged};
use crate::domain::{bounds, duration, size::ByteSize, suggest};

/// A table that is being read.
pub(super) struct Section<'a> {
    merged: &'a Merged,
    /// How messages call it: `server`, `tasks[2]`; empty at the top.
    name: String,
    table: Table,
}

impl<'a> Section<'a> {
    /// The table `value`, called `name`, which may have the keys `known`.
    pub fn open(merged: &'a Merged, name: String, value: Option<Value>, known: &[&str]) -> Result<Self, ConfigError> {
        let table = match value {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                return Err(ConfigError::Value {
                    place: merged.place(&name),
                    detail: format!("must be a table: write [{name}]"),
                });
            }
        };
        if let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) {
            let place = if name.is_empty() {
                merged.file.as_ref().map_or(String::new(), |path| path.display().to_string())
            } else {
                merged.place(&name)
            };
            return Err(ConfigError::Unknown { place, name: key.clone(), hint: suggest::hint(key, known) });
        }
        Ok(Section { merged, name, table })
    }

    /// An error about the value of `key`.
    pub fn error(&self, key: &str, detail: impl Into<String>) -> ConfigError {
        let dotted = if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) };
        ConfigError::Value { place: self.merged.place(&dotted), detail: detail.into() }
    }

    /// The value as it is.
    pub fn value(&mut self, key: &str) -> Option<Value> {
        self.table.remove(key)
    }

    /// A text.
    pub fn text(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) if text.contains('\0') => Err(self.error(key, "must not hold a NUL character")),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.error(key, format!("must be a text in quotes, not {}", kind(&other)))),
        }
    }

    /// A text that cannot be left out.
    pub fn required(&mut self, key: &str) -> Result<String, ConfigError> {
        match self.text(key)? {
            Some(text) if !text.is_empty() => Ok(text),
            Some(_) => Err(self.error(key, "must not be empty")),
            None => Err(self.error(key, "is missing")),
        }
    }

    /// One of `words`.
    pub fn word(&mut self, key: &str, words: &[&'static str]) -> Result<Option<&'static str>, ConfigError> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match words.iter().find(|word| **word == text) {
            Some(word) => Ok(Some(word)),
            None => Err(self.error(key, format!("`{text}` is not known{}", suggest::hint(&text, words)))),
        }
    }

    /// True or false.
    pub fn flag(&mut self, key: &str) -> Result<Option<bool>, ConfigError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Boolean(flag)) => Ok(Some(flag)),
            Some(other) => Err(self.error(key, format!("must be true or false, not {}", kind(&other)))),
        }
    }

    /// A whole number in `range`.
    pub fn whole(&mut self, key: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, ConfigError> {
        let detail = || format!("must be a whole number from {} to {}", range.start(), range.end());
        match self.value(key) {
            None => Ok(None),
            Some(Value::Integer(number)) => match u64::try_from(number) {
                Ok(number) if range.contains(&number) => Ok(Some(number)),
                _ => Err(self.error(key, format!("is {number}; it {}", detail()))),
            },
            Some(other) => Err(self.error(key, format!("{}, not {}", detail(), kind(&other)))),
        }
    }

    /// A whole number in `range`, as a `u32`.
    pub fn small(&mut self, key: &str, range: RangeInclusive<u32>) -> Result<Option<u32>, ConfigError> {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        Ok(self.whole(key, range)?.and_then(|number| u32::try_from(number).ok()))
    }

    /// A duration up to `longest`; zero only where `zero` says so.
    pub fn duration(&mut self, key: &str, zero: bool, longest: Duration) -> Result<Option<Duration>, ConfigError> {
        let shape = "write seconds as a number, or a number with ms, s, m, h or d, such as \"30s\"";
        let found = match self.value(key) {
            None => return Ok(None),
            Some(Value::String(text)) => {
                duration::parse(text.trim()).map_err(|error| self.error(key, error.to_string()))?
            }
            Some(Value::Integer(seconds)) => duration::from_seconds(seconds as f64)
                .ok_or_else(|| self.error(key, format!("{seconds} is no duration: {shape}")))?,
            Some(Value::Float(seconds)) => duration::from_seconds(seconds)
                .ok_or_else(|| self.error(key, format!("{seconds} is no duration: {shape}")))?,
            Some(other) => return Err(self.error(key, format!("is {}: {shape}", kind(&other)))),
        };
        if found > longest {
            let limit = if longest >= bounds::LONGEST { "365 d" } else { "1 h" };
            return Err(self.error(key, format!("must be at most {limit}")));
        }
        if found.is_zero() && !zero {
            return Err(self.error(key, "must be more than 0"));
        }
        Ok(Some(found))
    }

    /// A number of bytes, at least 1.
    pub fn size(&mut self, key: &str) -> Result<Option<ByteSize>, ConfigError> {
        let shape = "write bytes as an integer, or a number with KiB, MiB or GiB, such as \"16 MiB\"";
        let size = match self.value(key) {
            None => return Ok(None),
            Some(Value::String(text)) => {
                text.trim().parse::<ByteSize>().map_err(|error| self.error(key, error.to_string()))?
            }
            Some(Value::Integer(bytes)) => u64::try_from(bytes)
                .map(ByteSize)
                .map_err(|_| self.error(key, format!("{bytes} is no size: {shape}")))?,
            Some(other) => return Err(self.error(key, format!("is {}: {shape}", kind(&other)))),
        };
        if size.0 == 0 {
            return Err(self.error(key, "must be more than 0"));
        }
        Ok(Some(size))
    }

    /// A value that reads itself.
    pub fn read<T: serde::de::DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        T::deserialize(value).map(Some).map_err(|error| self.error(key, error.message()))
    }

    /// A list of texts.
    pub fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        let shape = "must be a list of texts, such as [\"one\", \"two\"]";
        let items = match self.value(key) {
            None => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(self.error(key, format!("{shape}, not {}", kind(&other)))),
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Value::String(text) if text.contains('\0') => {
                    return Err(self.error(key, "must not hold a NUL character"));
                }
                Value::String(text) => texts.push(text),
                other => return Err(self.error(key, format!("{shape}; one of them is {}", kind(&other)))),
            }
        }
        Ok(Some(texts))
    }
}

/// The tables of a list such as `[[tasks]]`.
pub(super) fn list(merged: &Merged, name: &str, value: Option<Value>) -> Result<Vec<Value>, ConfigError> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(ConfigError::Value {
            place: merged.place(name),
            detail: format!("must be a list of tables: write [[{name}]]"),
        }),
    }
}

/// What a value is, for messages.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a decimal point",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date or time",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

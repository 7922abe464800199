//! A configuration as `config show` tells it: every key with its value and where the value comes from, secrets hidden.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use toml::{Table, Value};

use super::{Config, ConfigError, LogFormat, Sources, keys, sources::Merged};
use crate::{domain::duration, http::Shown};

/// What stands in place of a secret.
const HIDDEN: &str = "(hidden)";

/// What a handler's setting is called that is not shown.
const SECRET_NAMES: [&str; 5] = ["password", "passphrase", "secret", "token", "credential"];

/// One table.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its name, such as `server` or `handlers.checksum`.
    pub name: Vec<String>,
    /// Whether it is one of a list: `[[tasks]]`.
    pub is_item: bool,
    /// Its keys.
    pub settings: Vec<Setting>,
}

/// One key.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Its name in the table.
    pub key: String,
    /// Its value as written, or the default; what is secret in it is replaced.
    pub value: Value,
    /// A value that a daemon would take in the place of a hidden one, where [`Setting::value`] is none.
    pub stand_in: Option<Value>,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody has set it.
    Default,
    /// This file.
    File(PathBuf),
    /// This variable.
    Variable(String),
    /// This flag.
    Flag(String),
}

/// Everything that `sources` make, in the order of `config.example.toml`.
///
/// # Errors
/// As for [`Config::load`].
pub fn show(sources: &Sources) -> Result<Vec<Group>, ConfigError> {
    let mut merged = sources.merge()?;
    let written = merged.table.clone();
    let config = Config::read(&mut merged, sources)?;
    let mut groups = Vec::new();
    for (section, known) in keys::SECTIONS {
        let table = written.get(*section).and_then(Value::as_table);
        let settings = known.iter().filter_map(|(key, _)| {
            let set = table.and_then(|table| table.get(*key)).cloned();
            let origin = origin(&merged, &[section, key], set.is_some());
            Some(Setting::plain(key, set.or_else(|| default(&config, section, key))?, origin))
        });
        groups.push(Group { name: vec![(*section).to_owned()], is_item: false, settings: settings.collect() });
    }
    for (n, table) in items(&written, "tokens").enumerate() {
        groups.push(token(&merged, n, table));
    }
    for table in items(&written, "tasks") {
        groups.push(task(&merged, table));
    }
    let handlers = written.get("handlers").and_then(Value::as_table).into_iter().flatten();
    for (name, value) in handlers {
        let settings = value.as_table().into_iter().flatten().map(|(key, value)| {
            let origin = origin(&merged, &["handlers", name, key], true);
            Setting::plain(key, without_secrets(key, value), origin)
        });
        groups.push(Group {
            name: vec!["handlers".to_owned(), name.clone()],
            is_item: false,
            settings: settings.collect(),
        });
    }
    Ok(groups)
}

/// `groups` line by line, for whoever asks a running daemon: `server.listen`, `tasks.0.command`.
pub fn lines(groups: &[Group]) -> Vec<Shown> {
    let mut counts = BTreeMap::<&[String], usize>::new();
    let mut lines = Vec::new();
    for group in groups {
        let mut name = group.name.join(".");
        if group.is_item {
            let n = counts.entry(&group.name).or_default();
            name.push_str(&format!(".{n}"));
            *n += 1;
        }
        lines.extend(group.settings.iter().map(|setting| Shown {
            key: format!("{name}.{}", setting.key),
            value: setting.value.to_string(),
            origin: setting.origin.to_string(),
        }));
    }
    lines
}

impl fmt::Display for Origin {
    /// On one line: a path may hold any character.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => path.display().to_string().escape_debug().fmt(f),
            Origin::Variable(name) | Origin::Flag(name) => f.write_str(name),
        }
    }
}

impl Setting {
    fn plain(key: &str, value: Value, origin: Origin) -> Setting {
        Setting { key: key.to_owned(), value, stand_in: None, origin }
    }
}

/// Where the value at `path` comes from; of a list or table that a variable has set as a whole, the variable.
fn origin(merged: &Merged, path: &[&str], is_set: bool) -> Origin {
    let by = (1..=path.len()).rev().find_map(|length| merged.origins.get(&path[..length].join(".")));
    match (by, &merged.file) {
        _ if !is_set => Origin::Default,
        (Some(flag), _) if flag.starts_with('-') => Origin::Flag(flag.clone()),
        (Some(variable), _) => Origin::Variable(variable.clone()),
        (None, Some(file)) => Origin::File(file.clone()),
        (None, None) => Origin::Default,
    }
}

fn items<'a>(written: &'a Table, list: &str) -> impl Iterator<Item = &'a Table> {
    written.get(list).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table)
}

fn token(merged: &Merged, n: usize, table: &Table) -> Group {
    let settings = keys::TOKEN.iter().filter_map(|key| {
        let setting = Setting::plain(key, table.get(*key)?.clone(), origin(merged, &["tokens"], true));
        Some(match *key {
            // Well formed, each another, and the hash of no token that anybody could find.
            "sha256" => {
                let stand_in = Some(Value::String(format!("{:064x}", n + 1)));
                Setting { value: Value::String(HIDDEN.to_owned()), stand_in, ..setting }
            }
            _ => setting,
        })
    });
    Group { name: vec!["tokens".to_owned()], is_item: true, settings: settings.collect() }
}

fn task(merged: &Merged, table: &Table) -> Group {
    let settings = keys::TASK.iter().filter_map(|key| {
        let set = table.get(*key).cloned();
        let origin = origin(merged, &["tasks"], set.is_some());
        let value = match (*key, set) {
            ("env", Some(Value::Table(env))) => {
                Value::Table(env.into_iter().map(|(name, _)| (name, Value::String(HIDDEN.to_owned()))).collect())
            }
            (_, Some(value)) => value,
            ("max_attempts", None) => Value::Integer(1),
            ("retry_delay", None) => Value::String("1s".to_owned()),
            ("inputs", None) => Value::String("environment".to_owned()),
            (_, None) => return None,
        };
        Some(Setting::plain(key, value, origin))
    });
    Group { name: vec!["tasks".to_owned()], is_item: true, settings: settings.collect() }
}

/// A handler's own value; texts whose name says that they are secret are replaced.
fn without_secrets(key: &str, value: &Value) -> Value {
    let key = key.to_lowercase();
    match value {
        Value::String(_) if SECRET_NAMES.iter().any(|name| key.contains(name)) => Value::String(HIDDEN.to_owned()),
        Value::Table(table) => Value::Table(
            table
                .iter()
                .map(|(inner, value)| (inner.clone(), without_secrets(&format!("{key}.{inner}"), value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(|item| without_secrets(&key, item)).collect()),
        other => other.clone(),
    }
}

/// The value of a key that nobody has set.
fn default(config: &Config, section: &str, key: &str) -> Option<Value> {
    let text = |text: &dyn std::fmt::Display| Some(Value::String(text.to_string()));
    let number = |number: u64| i64::try_from(number).ok().map(Value::Integer);
    let time = |time| Some(Value::String(duration::text(time)));
    let engine = &config.engine;
    match (section, key) {
        ("server", "listen") => text(&config.listen),
        ("server", "hosts") => Some(Value::Array(config.hosts.iter().cloned().map(Value::String).collect())),
        ("server", "base_path") => text(&config.base_path),
        ("server", "max_connections") => number(config.max_connections.into()),
        ("server", "drain") => time(engine.drain),
        ("server", "drain_grace") => time(engine.drain_grace),
        ("server", "node") => text(&engine.node),
        ("database", "url") => text(&format_args!("sqlite://{}", config.store.path.display())),
        ("database", "synchronous") => text(&config.store.synchronous),
        ("worker", "local_slots") => number(engine.local_slots.get().into()),
        ("worker", "command_slots") => number(engine.command_slots.get().into()),
        ("worker", "stop_grace") => time(engine.stop_grace),
        ("limits", "body") => text(&config.body),
        ("limits", "batch_body") => text(&config.batch_body),
        ("limits", "pending") => number(engine.pending),
        ("limits", "output") => text(&engine.output),
        ("limits", "log") => text(&engine.log),
        ("limits", "streams") => number(config.streams.into()),
        ("retention", "age") => engine.retention.age.map_or_else(|| text(&"forever"), time),
        ("retention", "count") => engine.retention.count.map_or_else(|| text(&"unlimited"), number),
        ("definitions", "remote") => Some(Value::Boolean(engine.remote_definitions)),
        ("numerous", "organization") => text(&engine.numerous.organization.as_deref().unwrap_or_default()),
        ("numerous", "deployment") => text(&engine.numerous.deployment.as_deref().unwrap_or_default()),
        ("log", "format") => text(match config.log.format {
            LogFormat::Auto => &"auto",
            LogFormat::Text => &"text",
            LogFormat::Json => &"json",
        }),
        ("log", "level") => text(&config.log.level),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_shown() {
        let groups = show(&Sources::default()).expect("nothing is configured");
        assert_eq!(groups.len(), keys::SECTIONS.len());
        for ((section, known), group) in keys::SECTIONS.iter().zip(groups) {
            let shown: Vec<&str> = group.settings.iter().map(|setting| setting.key.as_str()).collect();
            let known: Vec<&str> = known.iter().map(|(key, _)| *key).collect();
            assert_eq!(shown, known, "[{section}]: give the missing keys a default in `default`");
            assert!(group.settings.iter().all(|setting| setting.origin == Origin::Default));
        }
    }
}

//! `[[tasks]]`: commands as tasks.

use std::{collections::BTreeMap, path::Path};

use toml::Value;

use super::{ConfigError, keys, section, section::Section, sources::Merged};
use crate::{
    domain::{Definition, DefinitionId, Json, RetentionOptions, Source, Workload, bounds, variables},
    engine::{CommandTask, InputsBy},
};

/// The variables that a command gets from the daemon: a task's `env` cannot mean something else by them.
const RESERVED: [&str; 11] = [
    variables::INSTANCE,
    variables::INPUT_DATA,
    variables::STORE,
    variables::INPUT_FILE,
    variables::OUTPUT_FILE,
    variables::URL,
    variables::TOKEN,
    variables::NUMEROUS_URL,
    variables::NUMEROUS_TOKEN,
    variables::NUMEROUS_ORGANIZATION,
    variables::NUMEROUS_DEPLOYMENT,
];

/// `directory` is where commands are started.
pub(super) fn read(merged: &Merged, value: Option<Value>, directory: &Path) -> Result<Vec<CommandTask>, ConfigError> {
    let items = section::list(merged, "tasks", value)?;
    items.into_iter().enumerate().map(|(index, item)| task(merged, index, item, directory)).collect()
}

fn task(merged: &Merged, index: usize, item: Value, directory: &Path) -> Result<CommandTask, ConfigError> {
    let mut section = Section::open(merged, format!("tasks[{index}]"), Some(item), keys::TASK)?;
    let name = section.required("name")?;
    let id: DefinitionId = name.parse().map_err(|error| section.error("name", format!("{error}")))?;
    let mut definition = Definition::new(id, Workload::Remote, Source::Configured);
    definition.description = section.text("description")?;
    definition.command = Some(command(&mut section)?);
    definition.timeout = section.duration("timeout", false, bounds::LONGEST)?;
    definition.queue_timeout = section.duration("queue_timeout", false, bounds::LONGEST)?;
    definition.max_attempts =
        section.small("max_attempts", 1..=bounds::MOST_ATTEMPTS)?.unwrap_or(definition.max_attempts);
    definition.retry_delay = section.duration("retry_delay", false, bounds::LONGEST)?.unwrap_or(definition.retry_delay);
    definition.concurrency = section.small("concurrency", 1..=bounds::MOST_AT_ONCE)?;
    definition.retention = retention(&mut section)?;
    definition.input_schema = schema(&mut section, "input_schema")?;
    definition.output_schema = schema(&mut section, "output_schema")?;
    definition.app_id = section.text("app_id")?;
    definition.app_version_id = section.text("app_version_id")?;
    let env = environment(&mut section)?;
    let inputs = match section.word("inputs", &["environment", "file"])? {
        Some("file") => InputsBy::File,
        _ => InputsBy::Environment,
    };
    Ok(CommandTask { definition, env, inputs, directory: directory.to_owned() })
}

/// `{ age, count }`.
fn retention(section: &mut Section<'_>) -> Result<RetentionOptions, ConfigError> {
    let Some(value) = section.value("retention") else { return Ok(RetentionOptions::NONE) };
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let key = if path == "." { "retention".to_owned() } else { format!("retention.{path}") };
        section.error(&key, error.inner().message())
    })
}

/// An argument vector, or one text that is split as a shell splits words.
fn command(section: &mut Section<'_>) -> Result<Vec<String>, ConfigError> {
    let shape = "write [\"program\", \"argument\"] or \"program argument\"";
    let argv = match section.value("command") {
        None => return Err(section.error("command", format!("is missing: {shape}"))),
        Some(Value::String(line)) => {
            shell_words::split(&line).map_err(|_| section.error("command", "has a quote that is not closed"))?
        }
        Some(Value::Array(items)) => {
            let words = items.into_iter().map(|item| match item {
                Value::String(word) => Ok(word),
                other => Err(section.error("command", format!("holds {}: {shape}", section::kind(&other)))),
            });
            words.collect::<Result<_, _>>()?
        }
        Some(other) => return Err(section.error("command", format!("is {}: {shape}", section::kind(&other)))),
    };
    if argv.first().is_none_or(String::is_empty) {
        return Err(section.error("command", format!("names no program: {shape}")));
    }
    if argv.iter().any(|word| word.contains('\0')) {
        return Err(section.error("command", "must not hold a NUL character"));
    }
    Ok(argv)
}

fn environment(section: &mut Section<'_>) -> Result<BTreeMap<String, String>, ConfigError> {
    let shape = "write { NAME = \"value\" }";
    let table = match section.value("env") {
        None => return Ok(BTreeMap::new()),
        Some(Value::Table(table)) => table,
        Some(other) => return Err(section.error("env", format!("is {}: {shape}", section::kind(&other)))),
    };
    let mut env = BTreeMap::new();
    for (name, value) in table {
        // Values may be secret: no message repeats one.
        let key = format!("env.{name}");
        if name.is_empty() || name.contains(['=', '\0']) || name.chars().any(char::is_whitespace) {
            let detail = format!("`{}` can be no variable's name: no space, no `=`", name.escape_debug());
            return Err(section.error("env", detail));
        }
        if RESERVED.contains(&name.as_str()) {
            return Err(section.error(&key, "is set by the daemon for each attempt: use another name"));
        }
        match value {
            Value::String(value) if value.contains('\0') => {
                return Err(section.error(&key, "must not hold a NUL character"));
            }
            Value::String(value) => env.insert(name, value),
            other => {
                let detail = format!("must be a text in quotes, not {}", section::kind(&other));
                return Err(section.error(&key, detail));
            }
        };
    }
    Ok(env)
}

/// A JSON Schema, as a TOML table.
fn schema(section: &mut Section<'_>, key: &str) -> Result<Option<Json>, ConfigError> {
    let value = match section.value(key) {
        None => return Ok(None),
        Some(value @ (Value::Table(_) | Value::Boolean(_))) => value,
        Some(other) => {
            let detail = format!("must be a JSON Schema as a table, not {}", section::kind(&other));
            return Err(section.error(key, detail));
        }
    };
    let json = json(value).map_err(|detail| section.error(key, detail))?;
    Json::of(&json).map(Some).map_err(|error| section.error(key, error.to_string()))
}

fn json(value: Value) -> Result<serde_json::Value, &'static str> {
    Ok(match value {
        Value::String(text) => text.into(),
        Value::Integer(number) => number.into(),
        Value::Float(number) => serde_json::Number::from_f64(number).ok_or("holds a number that JSON has not")?.into(),
        Value::Boolean(flag) => flag.into(),
        Value::Datetime(_) => return Err("holds a date or time, which JSON has not: put it in quotes"),
        Value::Array(items) => items.into_iter().map(json).collect::<Result<Vec<_>, _>>()?.into(),
        Value::Table(table) => {
            let members = table.into_iter().map(|(key, value)| Ok::<_, &str>((key, json(value)?)));
            members.collect::<Result<serde_json::Map<_, _>, _>>()?.into()
        }
    })
}

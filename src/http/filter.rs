//! Which instances a list or a feed holds: the query parameters that both share.

use std::fmt::Write;

use super::{call::Call, problem::Problem, query::Query};
use crate::domain::{InstanceQuery, LabelFilter, Micros, Status, labels};

/// The parameters.
pub const NAMES: [&str; 5] = ["task_id", "status", "label", "created_after", "created_before"];

/// Reads them; `now` is what a duration counts back from. `below` and `limit` are the caller's.
///
/// # Errors
/// 400 for what cannot be read.
pub fn read(query: &Query<'_>, now: Micros) -> Result<InstanceQuery, Problem> {
    let statuses = match query.value("status") {
        Some(words) => words
            .split(',')
            .map(|word| word.parse::<Status>().map_err(|error| Problem::parameter("status", error.to_string())))
            .collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    Ok(InstanceQuery {
        task_id: query.value("task_id").map(str::to_owned),
        statuses,
        labels: query.values("label").map(label).collect::<Result<_, _>>()?,
        created_after: query.time("created_after", Some(now))?,
        created_before: query.time("created_before", Some(now))?,
        below: None,
        limit: 0,
    })
}

fn label(text: &str) -> Result<LabelFilter, Problem> {
    let (key, value) = match text.split_once(':') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    if !labels::is_key(key) {
        return Err(Problem::parameter("label", labels::InvalidLabels::Key(key.to_owned()).to_string()));
    }
    Ok(LabelFilter { key: key.to_owned(), value })
}

/// Puts the id in place of a name, which is as good.
pub fn resolve(call: &Call, wanted: &mut InstanceQuery) {
    if let Some(task) = &mut wanted.task_id {
        *task = call.engine().task_id(task);
    }
}

/// The filter as the caller wrote it: what a cursor belongs to.
pub fn text(query: &Query<'_>) -> String {
    let mut text = String::new();
    for name in NAMES {
        for value in query.values(name) {
            // Lengths keep two different filters from reading the same.
            _ = write!(text, "{name}={}:{value}&", value.len());
        }
    }
    text
}

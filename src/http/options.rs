//! The options of a start: as members of a body, or as query parameters.

use std::collections::BTreeMap;

use super::{
    fields::Fields,
    problem::{Fault, Problem},
    query::{Parameter, Query, flag, many, one},
};
use crate::{
    domain::{Labels, Workload, bounds},
    engine::{StartOptions, When},
};

/// The members of a body that are options.
pub const MEMBERS: [&str; 9] =
    ["timeout", "queue_timeout", "max_attempts", "retry_delay", "priority", "labels", "run_at", "delay", "workload"];

/// The parameters of the route whose body is the bare inputs.
pub const PARAMETERS: &[Parameter] = &[
    one("timeout"),
    one("queue_timeout"),
    one("max_attempts"),
    one("retry_delay"),
    one("priority"),
    many("label"),
    one("run_at"),
    one("delay"),
    one("workload"),
    flag("wait"),
    flag("dry_run"),
];

/// How many attempts an instance may have.
pub const ATTEMPTS: std::ops::RangeInclusive<i64> = 1..=bounds::MOST_ATTEMPTS as i64;
const PRIORITY: std::ops::RangeInclusive<i64> = i16::MIN as i64..=i16::MAX as i64;
const BOTH: &str = "run_at and delay exclude each other: give one";
const NO_WORKLOAD: &str = "must be local or remote";

/// Reads options from the members of a body.
pub fn from_fields(fields: &Fields<'_>, faults: &mut Vec<Fault>) -> StartOptions {
    let run_at = fields.time("run_at", faults);
    let delay = fields.duration("delay", faults);
    if fields.raw("run_at").is_some() && fields.raw("delay").is_some() {
        faults.push(fields.fault("delay", BOTH));
    }
    let workload = fields.string("workload", faults).and_then(|word| {
        let workload = word.parse::<Workload>();
        if workload.is_err() {
            faults.push(fields.fault("workload", NO_WORKLOAD));
        }
        workload.ok()
    });
    StartOptions {
        timeout: fields.duration("timeout", faults),
        queue_timeout: fields.duration("queue_timeout", faults),
        max_attempts: fields.integer("max_attempts", ATTEMPTS, faults).and_then(|n| n.try_into().ok()),
        retry_delay: fields.duration("retry_delay", faults),
        priority: fields.integer("priority", PRIORITY, faults).and_then(|n| n.try_into().ok()),
        labels: fields.labels("labels", faults),
        when: when(run_at, delay),
        workload,
    }
}

/// Reads options from query parameters.
///
/// # Errors
/// 400 for what cannot be read; what makes no sense is a fault.
pub fn from_query(query: &Query<'_>, faults: &mut Vec<Fault>) -> Result<StartOptions, Problem> {
    let mut duration = |name| -> Result<_, Problem> {
        let duration = query.duration(name)?;
        if let Some(detail) = duration.and_then(bounds::duration_fault) {
            faults.push(Fault::of(name, detail));
        }
        Ok(duration)
    };
    let timeout = duration("timeout")?;
    let queue_timeout = duration("queue_timeout")?;
    let retry_delay = duration("retry_delay")?;
    let delay = duration("delay")?;
    let run_at = query.time("run_at", None)?;
    if run_at.is_some() && delay.is_some() {
        faults.push(Fault::of("delay", BOTH));
    }
    let max_attempts = query.integer("max_attempts", ATTEMPTS, faults)?.and_then(|n| n.try_into().ok());
    let priority = query.integer("priority", PRIORITY, faults)?.and_then(|n| n.try_into().ok());
    let workload = query.value("workload").and_then(|word| {
        let workload = word.parse::<Workload>();
        if workload.is_err() {
            faults.push(Fault::of("workload", NO_WORKLOAD));
        }
        workload.ok()
    });
    let labels = if query.has("label") { labels(query, faults)? } else { None };
    let when = when(run_at, delay);
    Ok(StartOptions { timeout, queue_timeout, max_attempts, retry_delay, priority, labels, when, workload })
}

fn when(run_at: Option<crate::domain::Micros>, delay: Option<std::time::Duration>) -> When {
    match (run_at, delay) {
        (Some(time), _) => When::At(time),
        (None, Some(delay)) => When::After(delay),
        (None, None) => When::Now,
    }
}

fn labels(query: &Query<'_>, faults: &mut Vec<Fault>) -> Result<Option<Labels>, Problem> {
    let mut labels = BTreeMap::new();
    for pair in query.values("label") {
        let (key, value) = pair
            .split_once(':')
            .ok_or_else(|| Problem::parameter("label", format!("`{pair}` has no colon: write key:value")))?;
        if labels.insert(key.to_owned(), value.to_owned()).is_some() {
            faults.push(Fault::of("label", format!("the key `{key}` is given twice")));
        }
    }
    match Labels::new(labels) {
        Ok(labels) => Ok(Some(labels)),
        Err(error) => {
            faults.push(Fault::of("label", error.to_string()));
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn both_ways_read_the_same() {
        let query = "timeout=1m&queue_timeout=90&max_attempts=3&retry_delay=250ms&priority=-5&label=a:b:c&label=d:\
                     &run_at=2030-01-01T00:00:00Z&workload=local";
        let mut faults = Vec::new();
        let query = Query::parse(Some(query), PARAMETERS).expect("readable");
        let from_query = from_query(&query, &mut faults).expect("readable");
        let body = r#"{"timeout":60,"queue_timeout":"90s","max_attempts":3,"retry_delay":0.25,"priority":-5,
            "labels":{"a":"b:c","d":""},"run_at":"2030-01-01T00:00:00Z","workload":"local"}"#;
        let body = RawValue::from_string(body.to_owned()).expect("JSON");
        let fields = Fields::of(&body, "", &MEMBERS, &mut faults).expect("an object");
        assert_eq!(from_fields(&fields, &mut faults), from_query);
        assert_eq!(faults, []);
        assert_eq!(from_query.timeout, Some(Duration::from_secs(60)));
    }

    #[test]
    fn what_makes_no_sense_is_a_fault_and_what_cannot_be_read_a_400() {
        let faults = |raw: &str| {
            let mut faults = Vec::new();
            let query = Query::parse(Some(raw), PARAMETERS).expect("known parameters");
            from_query(&query, &mut faults).map(|_| faults.len()).map_err(|problem| problem.status().as_u16())
        };
        for raw in [
            "timeout=0",
            "timeout=366d",
            "max_attempts=0",
            "max_attempts=1001",
            "priority=32768",
            "workload=x",
            "delay=1&run_at=2030-01-01T00:00:00Z",
            "label=a b:c",
            "label=a:1&label=a:2",
        ] {
            assert_eq!(faults(raw), Ok(1), "{raw}");
        }
        for raw in ["timeout=x", "max_attempts=1.5", "priority=high", "run_at=soon", "label=a"] {
            assert_eq!(faults(raw), Err(400), "{raw}");
        }
    }
}

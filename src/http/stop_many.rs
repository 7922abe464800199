//! `POST /v1/instances/stop`: stops every instance that matches a filter, or all of them.

use std::time::Duration;

use ::http::StatusCode;
use serde_json::value::RawValue;

use super::{
    Response,
    accept::Media,
    body,
    call::Call,
    fields::Fields,
    filter,
    problem::{Fault, Problem},
    render, reply,
};
use crate::{
    domain::{InstanceQuery, LabelFilter, Micros, Status, bounds::grace_fault, duration::Seconds},
    engine::StopOptions,
};

/// The members that say which.
const FILTERS: [&str; 4] = ["task_id", "status", "labels", "created_before"];
const MEMBERS: [&str; 7] = ["all", FILTERS[0], FILTERS[1], FILTERS[2], FILTERS[3], "grace", "force"];

/// Stops them, and counts them.
pub async fn stop(call: &mut Call) -> Result<Response, Problem> {
    call.accept(&[Media::Json])?;
    let limit = call.app.settings().body.bytes();
    body::check(call, limit)?;
    let bytes = body::read(call, limit).await?;
    let text = body::text(&bytes)?;
    call.query(&[])?;
    let mut faults = Vec::new();
    let wanted = read(body::raw(&text)?, Micros::now(), &mut faults);
    let Some((mut query, options)) = wanted.filter(|_| faults.is_empty()) else {
        return Err(Problem::invalid(faults));
    };
    filter::resolve(call, &mut query);
    let counts = call.engine().stop_matching(query, options).await?;
    Ok(reply::fresh(StatusCode::OK, Media::Json, reply::json(|out| render::value(out, &counts))))
}

/// What a request to stop many says.
pub fn read(raw: &RawValue, now: Micros, faults: &mut Vec<Fault>) -> Option<(InstanceQuery, StopOptions)> {
    let fields = Fields::of(raw, "", &MEMBERS, faults)?;
    let all = fields.boolean("all", faults).unwrap_or(false);
    let given: Vec<&str> = FILTERS.into_iter().filter(|name| fields.raw(name).is_some()).collect();
    if all && !given.is_empty() {
        faults.push(fields.fault("all", format!("excludes a filter, and {} is given", given.join(", "))));
    }
    if !all && given.is_empty() {
        let detail = format!("says not what to stop: give {}, or \"all\": true", FILTERS.join(", "));
        faults.push(Fault::at("", detail));
    }
    let query = InstanceQuery {
        task_id: fields.string("task_id", faults).map(|task| task.into_owned()),
        statuses: statuses(&fields, faults),
        labels: labels(&fields, faults),
        created_before: fields.time_or_ago("created_before", now, faults),
        ..InstanceQuery::default()
    };
    let force = fields.boolean("force", faults).unwrap_or(false);
    Some((query, StopOptions { grace: grace(&fields, faults), force, by_itself: false }))
}

/// What is given must narrow: an empty list is most likely a mistake, and everything would be stopped by it.
fn statuses(fields: &Fields<'_>, faults: &mut Vec<Fault>) -> Vec<Status> {
    let Some(words) = fields.strings("status", faults) else { return Vec::new() };
    if words.is_empty() {
        faults.push(fields.fault("status", "must name at least one status"));
    }
    let mut statuses = Vec::with_capacity(words.len());
    for (n, word) in words.iter().enumerate() {
        match word.parse::<Status>() {
            Ok(status) => statuses.push(status),
            Err(error) => faults.push(fields.fault(&format!("status/{n}"), error.to_string())),
        }
    }
    statuses
}

fn labels(fields: &Fields<'_>, faults: &mut Vec<Fault>) -> Vec<LabelFilter> {
    let Some(labels) = fields.labels("labels", faults) else { return Vec::new() };
    if labels.is_empty() {
        faults.push(fields.fault("labels", "must have at least one label"));
    }
    labels.iter().map(|(key, value)| LabelFilter { key: key.to_owned(), value: Some(value.to_owned()) }).collect()
}

fn grace(fields: &Fields<'_>, faults: &mut Vec<Fault>) -> Option<Duration> {
    let raw = fields.raw("grace")?;
    match serde_json::from_str(raw.get()) {
        Ok(Seconds(grace)) => match grace_fault(grace) {
            None => Some(grace),
            Some(detail) => {
                faults.push(fields.fault("grace", detail));
                None
            }
        },
        Err(_) => fields.duration("grace", faults),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Place;

    fn wanted(text: &str) -> Result<(InstanceQuery, StopOptions), Vec<String>> {
        let raw = RawValue::from_string(text.to_owned()).expect("JSON");
        let mut faults = Vec::new();
        let wanted = read(&raw, Micros(3_600_000_000), &mut faults);
        let place = |fault: Fault| match fault.place {
            Place::Pointer(pointer) => pointer,
            Place::Parameter(name) => name,
        };
        if faults.is_empty() { Ok(wanted.expect("read")) } else { Err(faults.into_iter().map(place).collect()) }
    }

    #[test]
    fn a_filter_is_read() {
        let text = r#"{"task_id":"a","status":["pending","running"],"labels":{"k":"v"},"created_before":"-30m",
            "grace":"1m","force":true,"all":false}"#;
        let query = InstanceQuery {
            task_id: Some("a".into()),
            statuses: vec![Status::Pending, Status::Running],
            labels: vec![LabelFilter { key: "k".into(), value: Some("v".into()) }],
            created_before: Some(Micros(1_800_000_000)),
            ..InstanceQuery::default()
        };
        let options = StopOptions { grace: Some(Duration::from_secs(60)), force: true, by_itself: false };
        assert_eq!(wanted(text), Ok((query, options)));
        let everything = wanted(r#"{"all":true,"grace":0}"#).expect("valid");
        assert_eq!((everything.0, everything.1.grace), (InstanceQuery::default(), Some(Duration::ZERO)));
    }

    #[test]
    fn what_says_not_what_to_stop_is_refused() {
        for (text, places) in [
            ("{}", &[""] as &[_]),
            ("[]", &[""]),
            (r#"{"all":false}"#, &[""]),
            (r#"{"task_id":null,"grace":5}"#, &[""]),
            (r#"{"all":true,"task_id":"a"}"#, &["/all"]),
            (r#"{"all":1,"task_id":"a"}"#, &["/all"]),
            (r#"{"status":[]}"#, &["/status"]),
            (r#"{"status":"pending"}"#, &["/status"]),
            (r#"{"status":["pending","done",3]}"#, &["/status/2"]),
            (r#"{"status":["pending","done"]}"#, &["/status/1"]),
            (r#"{"labels":{}}"#, &["/labels"]),
            (r#"{"labels":{"k":1}}"#, &["/labels/k"]),
            (r#"{"created_before":"soon"}"#, &["/created_before"]),
            (r#"{"created_before":"-soon"}"#, &["/created_before"]),
            (r#"{"all":true,"grace":"61m"}"#, &["/grace"]),
            (r#"{"all":true,"grace":-1}"#, &["/grace"]),
            (r#"{"all":true,"force":"yes","tasks":1}"#, &["/tasks", "/force"]),
        ] {
            assert_eq!(wanted(text).expect_err(text), places, "{text}");
        }
    }
}

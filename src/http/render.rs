//! Instances as JSON, in the contract's order of fields.
//!
//! Written by hand into one buffer: this is most of what a start answers, and payloads are copied as they are stored.
//! A test compares the members with those that `openapi.yaml` promises.

use std::{io::Write, time::Duration};

use serde::Serialize;

use crate::domain::{Attempt, Instance, Json, LogLine, Micros, PendingReason, Summary, duration::Seconds};

/// A whole instance.
pub fn instance(out: &mut Vec<u8>, instance: &Instance, reason: Option<PendingReason>) {
    write(out, &instance.summary, reason, Payloads::All(instance));
}

/// An instance without its payloads.
pub fn summary(out: &mut Vec<u8>, summary: &Summary, reason: Option<PendingReason>) {
    write(out, summary, reason, Payloads::None);
}

/// A summary with the output: what an event of one instance holds.
pub fn event(out: &mut Vec<u8>, instance: &Instance, reason: Option<PendingReason>) {
    write(out, &instance.summary, reason, Payloads::Output(instance));
}

enum Payloads<'a> {
    None,
    Output(&'a Instance),
    All(&'a Instance),
}

fn write(out: &mut Vec<u8>, summary: &Summary, reason: Option<PendingReason>, payloads: Payloads<'_>) {
    let status = summary.status();
    out.extend_from_slice(b"{\"id\":\"");
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    out.extend_from_slice(summary.id.as_hyphenated().encode_lower(&mut id).as_bytes());
    out.extend_from_slice(b"\",\"number\":");
    number(out, summary.number);
    out.extend_from_slice(b",\"task_id\":");
    value(out, &summary.task_id);
    out.extend_from_slice(b",\"status\":\"");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b"\",\"pending_reason\":");
    value(out, &reason);
    out.extend_from_slice(b",\"progress\":");
    value(out, &summary.progress.value());
    out.extend_from_slice(b",\"message\":");
    value(out, &summary.progress.message);
    match payloads {
        Payloads::None => {}
        Payloads::Output(instance) => {
            out.extend_from_slice(b",\"output\":");
            raw(out, instance.output.as_ref().map(Json::as_str));
        }
        Payloads::All(instance) => {
            out.extend_from_slice(b",\"inputs\":");
            raw(out, Some(instance.inputs.as_str()));
            out.extend_from_slice(b",\"output\":");
            raw(out, instance.output.as_ref().map(Json::as_str));
            out.extend_from_slice(b",\"result\":");
            raw(out, instance.output.as_ref().map(|output| output.result().get()));
        }
    }
    out.extend_from_slice(b",\"error\":");
    value(out, &summary.error());
    out.extend_from_slice(b",\"workload\":\"");
    out.extend_from_slice(summary.workload.as_str().as_bytes());
    out.extend_from_slice(b"\",\"attempt\":");
    number(out, summary.attempt.into());
    out.extend_from_slice(b",\"max_attempts\":");
    number(out, summary.limits.max_attempts.into());
    out.extend_from_slice(b",\"timeout\":");
    seconds(out, summary.limits.timeout);
    out.extend_from_slice(b",\"stop_requested_at\":");
    time(out, summary.stop.map(|stop| stop.requested_at));
    out.extend_from_slice(b",\"stop_deadline\":");
    time(out, summary.stop.map(|stop| stop.deadline));
    out.extend_from_slice(b",\"priority\":");
    value(out, &summary.limits.priority);
    out.extend_from_slice(b",\"labels\":");
    value(out, &summary.labels);
    out.extend_from_slice(b",\"run_at\":");
    time(out, Some(summary.run_at));
    out.extend_from_slice(b",\"created_at\":");
    time(out, Some(summary.created_at));
    out.extend_from_slice(b",\"started_at\":");
    time(out, summary.started_at);
    out.extend_from_slice(b",\"finished_at\":");
    time(out, summary.finished_at());
    out.extend_from_slice(b",\"updated_at\":");
    time(out, Some(summary.updated_at));
    out.extend_from_slice(b",\"version\":");
    number(out, summary.version);
    out.extend_from_slice(b",\"retry_of\":");
    value(out, &summary.retry_of);
    out.extend_from_slice(b",\"node\":");
    value(out, &summary.node);
    out.push(b'}');
}

/// One attempt.
pub fn attempt(out: &mut Vec<u8>, attempt: &Attempt) {
    let end = attempt.end.as_ref();
    out.extend_from_slice(b"{\"attempt\":");
    number(out, attempt.attempt.into());
    out.extend_from_slice(b",\"node\":");
    value(out, &attempt.node);
    out.extend_from_slice(b",\"started_at\":");
    time(out, Some(attempt.started_at));
    out.extend_from_slice(b",\"finished_at\":");
    time(out, end.map(|end| end.finished_at));
    out.extend_from_slice(b",\"ended\":");
    value(out, &end.map(|end| end.ended.as_str()));
    out.extend_from_slice(b",\"error\":");
    value(out, &end.and_then(|end| end.error.as_ref()));
    out.extend_from_slice(b",\"exit_code\":");
    value(out, &end.and_then(|end| end.exit_code));
    out.extend_from_slice(b",\"signal\":");
    value(out, &end.and_then(|end| end.signal));
    out.push(b'}');
}

/// One line of a log.
pub fn line(out: &mut Vec<u8>, line: &LogLine) {
    out.extend_from_slice(b"{\"seq\":");
    number(out, line.seq);
    out.extend_from_slice(b",\"time\":");
    time(out, Some(line.time));
    out.extend_from_slice(b",\"attempt\":");
    number(out, line.attempt.into());
    out.extend_from_slice(b",\"stream\":\"");
    out.extend_from_slice(line.stream.as_str().as_bytes());
    out.extend_from_slice(b"\",\"text\":");
    value(out, &line.text);
    out.push(b'}');
}

/// `items` as an array.
pub fn array<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// Any value. Those that are written here cannot fail to be JSON.
pub fn value<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let before = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(before);
        out.extend_from_slice(b"null");
    }
}

fn raw(out: &mut Vec<u8>, text: Option<&str>) {
    out.extend_from_slice(text.unwrap_or("null").as_bytes());
}

fn number(out: &mut Vec<u8>, number: u64) {
    // Writing to a Vec cannot fail.
    _ = write!(out, "{number}");
}

fn seconds(out: &mut Vec<u8>, duration: Option<Duration>) {
    value(out, &duration.map(Seconds));
}

/// A time in quotes, or null. By hand, since an instance has six.
fn time(out: &mut Vec<u8>, time: Option<Micros>) {
    let Some(time) = time else { return out.extend_from_slice(b"null") };
    const DAY: i64 = 86_400_000_000;
    // Years of four digits, 1970 to 9999; anything else takes the long way.
    if !(0..253_402_300_800_000_000).contains(&time.0) {
        return value(out, &time);
    }
    let (year, month, day) = civil(time.0 / DAY);
    let of_day = time.0 % DAY;
    let mut text = *b"\"0000-00-00T00:00:00.000000Z\"";
    let mut put = |at: usize, width: usize, mut number: i64| {
        for digit in text[at..at + width].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    put(1, 4, year);
    put(6, 2, month);
    put(9, 2, day);
    put(12, 2, of_day / 3_600_000_000);
    put(15, 2, of_day / 60_000_000 % 60);
    put(18, 2, of_day / 1_000_000 % 60);
    put(21, 6, of_day % 1_000_000);
    out.extend_from_slice(&text);
}

/// The date of a day counted from 1970-01-01, by the 400-year cycle of the Gregorian calendar that begins in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
pub mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Labels, Limits, instance::fixture};

    /// An instance as of its start.
    pub fn started() -> Instance {
        let labels = Labels::new(BTreeMap::from([("run".to_owned(), "a\"b".to_owned())])).expect("valid");
        let now = Micros::parse("2026-01-31T12:00:00.000001Z").expect("a time");
        Instance {
            summary: Summary {
                task_id: Arc::from("sleep"),
                limits: Limits {
                    timeout: Some(Duration::from_millis(1500)),
                    priority: -3,
                    ..fixture::pending().limits
                },
                labels,
                run_at: now,
                created_at: now,
                updated_at: now,
                ..fixture::pending()
            },
            inputs: Json::parse(r#"{"n":18446744073709551616}"#).expect("JSON"),
            output: None,
        }
    }

    #[test]
    fn an_instance_has_its_fields_in_order() {
        let mut out = Vec::new();
        instance(&mut out, &started(), Some(PendingReason::Slots));
        assert_eq!(
            String::from_utf8(out).expect("text"),
            concat!(
                r#"{"id":"00000000-0000-0000-0000-000000000000","number":7,"task_id":"sleep","status":"pending","#,
                r#""pending_reason":"slots","progress":0.0,"message":null,"inputs":{"n":18446744073709551616},"#,
                r#""output":null,"result":null,"error":null,"workload":"local","attempt":0,"max_attempts":1,"#,
                r#""timeout":1.5,"stop_requested_at":null,"stop_deadline":null,"priority":-3,"#,
                r#""labels":{"run":"a\"b"},"run_at":"2026-01-31T12:00:00.000001Z","#,
                r#""created_at":"2026-01-31T12:00:00.000001Z","started_at":null,"finished_at":null,"#,
                r#""updated_at":"2026-01-31T12:00:00.000001Z","version":1,"retry_of":null,"node":null}"#
            )
        );
    }

    #[test]
    fn a_summary_has_no_payloads_and_an_event_the_output() {
        let mut instance = started();
        instance.output = Some(Json::parse(r#"{"result":[1]}"#).expect("JSON"));
        let text = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&out).expect("an object")
        };
        let summary = text(&|out| super::summary(out, &instance, None));
        let event = text(&|out| super::event(out, &instance, None));
        assert_eq!((summary.len(), event.len()), (24, 25));
        assert!(["inputs", "output", "result"].iter().all(|name| !summary.contains_key(*name)));
        assert_eq!(event["output"], serde_json::json!({"result": [1]}));
    }

    proptest! {
        #[test]
        fn times_are_written_as_the_domain_writes_them(micros in 0_i64..253_402_300_800_000_000) {
            let mut out = Vec::new();
            time(&mut out, Some(Micros(micros)));
            prop_assert_eq!(out, serde_json::to_vec(&Micros(micros)).expect("serialises"));
        }
    }
}

//! `POST /v1/instances/batch`: many starts in one commit, all or none.

use std::fmt;

use ::http::StatusCode;
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Response,
    accept::Media,
    blocking::heavy,
    body,
    call::Call,
    fields::{self, Fields},
    problem::{Fault, Place, Problem},
    render, reply,
    start::{self, Unknown},
};
use crate::{domain::error::MOST_ERRORS, engine::StartRequest};

/// The most items of a batch.
const MOST: usize = 10_000;

/// Starts every item, or none.
pub async fn start(call: &mut Call) -> Result<Response, Problem> {
    call.accept(&[Media::Json])?;
    let limit = call.app.settings().batch_body.bytes();
    body::check(call, limit)?;
    call.engine().accepting()?;
    let bytes = body::read(call, limit).await?;
    call.query(&[])?;
    let key = call.idempotency_key()?;
    let requests = heavy(bytes.len(), || read(call, &bytes))?;
    let started = call.engine().start_batch(requests, key).await?;
    let status = if started.replayed { StatusCode::OK } else { StatusCode::CREATED };
    let engine = call.engine();
    let body = heavy(bytes.len(), || {
        reply::json(|out| {
            out.extend_from_slice(b"{\"instances\":");
            render::array(out, &started.instances, |out, instance| {
                render::summary(out, instance, engine.pending_reason(instance));
            });
            out.push(b'}');
        })
    });
    let mut response = reply::fresh(status, Media::Json, body);
    start::tell_replay(&mut response, started.replayed);
    Ok(response)
}

/// The requests that a body holds.
fn read(call: &Call, bytes: &[u8]) -> Result<Vec<StartRequest>, Problem> {
    let text = body::text(bytes)?;
    let mut faults = Vec::new();
    let items = items(body::raw(&text)?, &mut faults);
    let mut requests = Vec::with_capacity(items.len());
    for (n, raw) in items.into_iter().enumerate() {
        let at = format!("/instances/{n}");
        let request = start::request(call, raw, &at, &mut faults, Unknown::Note)?;
        requests.extend(request.map(|request| (n, request)));
        // When so much is wrong, the rest need not be looked at.
        if faults.len() >= MOST_ERRORS {
            break;
        }
    }
    if !faults.is_empty() {
        // What else is wrong is told at once. A good batch is checked by its start.
        for (n, request) in &requests {
            let errors = call.engine().check(*n, request).err().unwrap_or_default();
            faults.extend(errors.into_iter().map(|error| Fault::at(error.pointer, error.detail)));
        }
        faults.sort_by_key(item_of);
        faults.truncate(MOST_ERRORS);
        return Err(Problem::invalid_batch(faults));
    }
    Ok(requests.into_iter().map(|(_, request)| request).collect())
}

/// The item that a fault belongs to.
fn item_of(fault: &Fault) -> usize {
    match &fault.place {
        Place::Pointer(pointer) => pointer.split('/').nth(2).and_then(|n| n.parse().ok()).unwrap_or(0),
        Place::Parameter(_) => 0,
    }
}

/// The items of an array: of too many only the number, for a body has room for millions.
struct Items<'a> {
    count: usize,
    items: Vec<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct First;
        impl<'de> Visitor<'de> for First {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
                let mut found = Items { count: 0, items: Vec::new() };
                while let Some(item) = sequence.next_element()? {
                    found.count += 1;
                    if found.count <= MOST {
                        found.items.push(item);
                    }
                }
                Ok(found)
            }
        }
        deserializer.deserialize_seq(First)
    }
}

fn items<'a>(raw: &'a RawValue, faults: &mut Vec<Fault>) -> Vec<&'a RawValue> {
    let Some(fields) = Fields::of(raw, "", &["instances"], faults) else { return Vec::new() };
    let Some(list) = fields.raw("instances") else {
        faults.push(fields.fault("instances", "is missing: list the starts"));
        return Vec::new();
    };
    match serde_json::from_str::<Items<'a>>(list.get()) {
        Ok(Items { count, items }) if (1..=MOST).contains(&count) => items,
        Ok(Items { count, .. }) => {
            let detail = format!("must have 1 to {MOST} items, not {count}");
            faults.push(fields.fault("instances", detail));
            Vec::new()
        }
        Err(_) => {
            faults.push(fields.fault("instances", format!("must be an array, not {}", fields::kind(list))));
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_1_to_10000_items() {
        let count = |text: &str| {
            let raw = RawValue::from_string(text.to_owned()).expect("JSON");
            let mut faults = Vec::new();
            let items = items(&raw, &mut faults).len();
            (items, faults.len())
        };
        let many = |n: usize| format!("{{\"instances\":[{}]}}", vec!["{}"; n].join(","));
        assert_eq!(count(&many(1)), (1, 0));
        assert_eq!(count(&many(10_000)), (10_000, 0));
        for bad in [many(0), many(10_001), "{}".into(), "[]".into(), r#"{"instances":{}}"#.into()] {
            assert_eq!(count(&bad), (0, 1));
        }
    }
}

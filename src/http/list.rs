//! `GET /v1/instances`: pages, newest first.

use std::fmt::Write;

use ::http::{HeaderValue, StatusCode, header::LINK};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    Response,
    accept::Media,
    call::Call,
    filter,
    problem::{Fault, Problem},
    query::{Parameter, Query, many, one},
    render, reply,
};
use crate::domain::{InstanceQuery, Micros, cursor};

/// The parameters.
pub const PARAMETERS: &[Parameter] = &[
    one("task_id"),
    one("status"),
    many("label"),
    one("created_after"),
    one("created_before"),
    one("limit"),
    one("cursor"),
];
const PAGE: usize = 50;
const LONGEST_PAGE: usize = 500;
/// What needs no encoding in a query (RFC 3986 §3.4).
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b',');

/// One page.
pub async fn list(call: &mut Call) -> Result<Response, Problem> {
    call.accept(&[Media::Json])?;
    let query = call.query(PARAMETERS)?;
    let filter = filter::text(&query);
    let mut faults = Vec::new();
    let mut wanted = read(&query, &filter, Micros::now(), &mut faults)?;
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    filter::resolve(call, &mut wanted);
    let page = call.engine().list(&wanted).await?;
    let next = match page.items.last() {
        Some(last) if page.more => Some(cursor::encode(&filter, last.number)),
        _ => None,
    };
    let engine = call.engine();
    let body = reply::json(|out| {
        out.extend_from_slice(b"{\"instances\":");
        render::array(out, &page.items, |out, summary| render::summary(out, summary, engine.pending_reason(summary)));
        out.extend_from_slice(b",\"next_cursor\":");
        render::value(out, &next);
        out.push(b'}');
    });
    let mut response = reply::fresh(StatusCode::OK, Media::Json, body);
    if let Some(next) = next {
        let mut link = format!("<{}/v1/instances?", call.base_path());
        for name in filter::NAMES {
            for value in query.values(name) {
                _ = write!(link, "{name}={}&", utf8_percent_encode(value, ENCODED));
            }
        }
        if query.flag("pretty")? {
            link.push_str("pretty=true&");
        }
        _ = write!(link, "limit={}&cursor={next}>; rel=\"next\"", wanted.limit);
        if let Ok(link) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(LINK, link);
        }
    }
    Ok(response)
}

fn read(query: &Query<'_>, filter: &str, now: Micros, faults: &mut Vec<Fault>) -> Result<InstanceQuery, Problem> {
    let wanted = filter::read(query, now)?;
    let limit = query.integer("limit", 1..=i64::MAX, faults)?;
    let limit = limit.map_or(PAGE, |limit| usize::try_from(limit).unwrap_or(LONGEST_PAGE).min(LONGEST_PAGE));
    let below = query
        .value("cursor")
        .map(|text| cursor::decode(filter, text).map_err(|error| Problem::parameter("cursor", error.to_string())))
        .transpose()?;
    Ok(InstanceQuery { below, limit, ..wanted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{LabelFilter, Status};

    fn wanted(raw: &str) -> Result<InstanceQuery, u16> {
        let status = |problem: Problem| problem.status().as_u16();
        let query = Query::parse(Some(raw), PARAMETERS).map_err(status)?;
        let mut faults = Vec::new();
        let wanted = read(&query, &filter::text(&query), Micros(3_600_000_000), &mut faults).map_err(status)?;
        if faults.is_empty() { Ok(wanted) } else { Err(422) }
    }

    #[test]
    fn filters_are_read() {
        let query = wanted("task_id=a&status=failed,cancelled&label=k:v:w&label=has&created_after=-30m&limit=9999");
        let expected = InstanceQuery {
            task_id: Some("a".into()),
            statuses: vec![Status::Failed, Status::Cancelled],
            labels: vec![
                LabelFilter { key: "k".into(), value: Some("v:w".into()) },
                LabelFilter { key: "has".into(), value: None },
            ],
            created_after: Some(Micros(1_800_000_000)),
            created_before: None,
            below: None,
            limit: 500,
        };
        assert_eq!(query, Ok(expected));
        assert_eq!(wanted("").map(|query| query.limit), Ok(50));
        for unreadable in ["status=done", "status=", "label=:v", "limit=x", "cursor=x", "created_after=now", "tasks=1"]
        {
            assert_eq!(wanted(unreadable), Err(400), "{unreadable}");
        }
        assert_eq!(wanted("limit=0"), Err(422));
    }

    #[test]
    fn a_cursor_goes_with_its_filter_only() {
        let query = Query::parse(Some("task_id=a"), PARAMETERS).expect("readable");
        let cursor = cursor::encode(&filter::text(&query), 7);
        assert_eq!(wanted(&format!("cursor={cursor}&task_id=a&limit=3")).map(|query| query.below), Ok(Some(7)));
        assert_eq!(wanted(&format!("cursor={cursor}&task_id=b")), Err(400));
    }
}

//! What reads a client's bytes, for `fuzz/`: each function must not panic, and holds what it reads against an oracle.

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version,
    header::{ACCEPT, HOST, IF_MATCH, IF_NONE_MATCH, ORIGIN, TRANSFER_ENCODING},
};
use serde_json::value::RawValue;

use super::{
    accept::{self, Media},
    auth::Principal,
    body, definitions,
    fields::Fields,
    filter,
    framing::{self, LineEnds},
    graphql::request,
    host::{self, Authority},
    list, logs, options, origin, preconditions,
    prefer::Wait,
    problem::Problem,
    query::Query,
    report, request_id,
    settings::Settings,
    start, stop_many,
};
use crate::domain::{InstanceKey, Micros, cursor};

/// A checked body as one raw value; None for one that is refused.
fn checked<T>(bytes: &[u8], read: impl FnOnce(&RawValue) -> T) -> Option<T> {
    let text = match body::text(bytes) {
        Ok(text) => text,
        Err(problem) => {
            tell(problem);
            return None;
        }
    };
    // What was checked is JSON for others too, and is compact.
    assert!(serde_json::from_str::<&RawValue>(&text).is_ok(), "{text}");
    let again = body::text(text.as_bytes());
    assert_eq!(again.ok().as_deref(), Some(&*text));
    body::raw(&text).ok().map(read)
}

/// Writes a refusal, which must always be possible.
fn tell(problem: Problem) {
    assert!(problem.status().is_client_error(), "{problem:?}");
    assert_eq!(problem.into_response("fuzz", &HeaderMap::new()).status().as_u16() / 100, 4);
}

/// The bodies of starts, stops and registrations.
pub fn start_body(bytes: &[u8]) {
    checked(bytes, |raw| {
        let mut faults = Vec::new();
        if let Some(fields) = Fields::of(raw, "", &options::MEMBERS, &mut faults) {
            _ = start::inputs(&fields, &mut faults);
            _ = options::from_fields(&fields, &mut faults);
        }
        _ = stop_many::read(raw, Micros(0), &mut faults);
        if let Ok(id) = "id".parse() {
            _ = definitions::definition(raw, Some(&id), &mut faults);
        }
        tell(Problem::invalid(faults));
    });
}

/// The bodies of `POST /query` and what a WebSocket's subscription asks for: the text of an operation, and its variables.
pub fn graphql(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(problem) = request::read(text).map(request::operation) {
        tell(problem);
    }
    // Most bytes are no JSON: the text of an operation is worth as much.
    _ = request::subscription(text.into());
}

/// Queries, with cursors and times, and what may stand for an instance in a path.
pub fn query(bytes: &[u8]) {
    let Ok(raw) = std::str::from_utf8(bytes) else { return };
    for known in [options::PARAMETERS, list::PARAMETERS, logs::PARAMETERS] {
        let query = match Query::parse(Some(raw), known) {
            Ok(query) => query,
            Err(problem) => {
                tell(problem);
                continue;
            }
        };
        let mut faults = Vec::new();
        for problem in [
            options::from_query(&query, &mut faults).err(),
            filter::read(&query, Micros(0)).err(),
            logs::wanted(&query, &mut faults).map(|wanted| wanted.query(1)).err(),
            Wait::of(&query, &HeaderMap::new()).err(),
        ]
        .into_iter()
        .flatten()
        {
            tell(problem);
        }
        tell(Problem::invalid(faults));
        let filter = filter::text(&query);
        if let Some(given) = query.value("cursor")
            && let Ok(number) = cursor::decode(&filter, given)
        {
            assert_eq!(cursor::decode(&filter, &cursor::encode(&filter, number)), Ok(number));
        }
    }
    _ = raw.parse::<InstanceKey>();
}

/// Headers, one a line: Host, Origin, Accept, If-Match, If-None-Match, Prefer, Idempotency-Key and others.
pub fn headers(bytes: &[u8]) {
    let ends = LineEnds::default().after(bytes);
    let piecemeal = bytes.iter().fold(LineEnds::default(), |ends, byte| ends.after(&[*byte]));
    assert_eq!(ends, piecemeal);
    let names = [
        HOST,
        ORIGIN,
        ACCEPT,
        IF_MATCH,
        IF_NONE_MATCH,
        TRANSFER_ENCODING,
        HeaderName::from_static("prefer"),
        HeaderName::from_static("idempotency-key"),
        HeaderName::from_static("x-request-id"),
    ];
    let mut headers = HeaderMap::new();
    for (line, name) in bytes.split(|byte| *byte == b'\n').zip(names.iter().cycle()).take(2 * names.len()) {
        if let Ok(value) = HeaderValue::from_bytes(line)
            && !line.is_empty()
        {
            headers.append(name.clone(), value);
        }
    }
    let settings = Settings::new(([192, 0, 2, 7], 80).into());
    match host::check(&settings, Version::HTTP_11, &Uri::from_static("/"), &headers) {
        Ok(()) => {
            // Read otherwise than by us, it is this machine as well.
            let text = headers[HOST].to_str().expect("what is let in is a text").to_ascii_lowercase();
            let host = match text.rsplit_once(':') {
                Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.ends_with(':') => host,
                _ => &text,
            };
            let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            assert!(
                host == "localhost" || address.is_ok_and(|ip| ip.is_loopback() || ip == settings.bound.ip()),
                "{text}"
            );
            assert!(Authority::parse(&text).is_some());
        }
        Err(problem) => tell(problem),
    }
    for problem in [
        origin::check(&settings, &Method::POST, &headers).err(),
        framing::check(&headers).err(),
        preconditions::pinned(&headers).err(),
        preconditions::idempotency_key(&headers, &Principal::Anyone).err(),
    ]
    .into_iter()
    .flatten()
    {
        tell(problem);
    }
    if let Ok(query) = Query::parse(None, &[]) {
        _ = Wait::of(&query, &headers).map_err(tell);
    }
    _ = preconditions::is_known(&headers, 1);
    _ = accept::choose(&headers, &[Media::Json, Media::Text, Media::Ndjson]);
    _ = request_id::of(&headers);
}

/// The bodies of reports.
pub fn report_body(bytes: &[u8]) {
    checked(bytes, |raw| {
        let mut faults = Vec::new();
        for read in [report::read_progress, report::read_output, report::read_status] {
            _ = read(raw, &mut faults);
        }
        _ = report::lines(raw, &mut faults);
        tell(Problem::invalid(faults));
    });
}

//! Path, query and header parameters, each described once.

use utoipa::openapi::{
    Ref, RefOr, Required, Schema,
    path::{Parameter, ParameterBuilder, ParameterIn},
    schema::{ArrayBuilder, ObjectBuilder, Type},
};

/// The parameter of this name.
pub fn parameter(name: &str) -> Parameter {
    let (place, about, schema) = described(name);
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place.clone())
        .required(if matches!(place, ParameterIn::Path) { Required::True } else { Required::False })
        .description(Some(about))
        .schema(Some(schema))
        .build()
}

fn described(name: &str) -> (ParameterIn, &'static str, RefOr<Schema>) {
    use ParameterIn::{Header, Path, Query};
    match name {
        "id" => (Path, "Of an instance: its UUID or number. Of a definition: its id or name.", text()),
        "name" => (Path, "The last segment of a problem's type.", text()),
        "wait" => {
            (Query, "Answer once the instance is done, or after so long. Alone: 60 s, also the most.", duration())
        }
        "dry_run" => {
            (Query, "Only check: refused as the start would be, else valid. Makes nothing, uses no key.", flag())
        }
        "pretty" => (Query, "Indent the JSON of the answer, a problem's too. Every route knows it.", flag()),
        "since" => (Query, "With wait: answer once the version is above this.", integer(0, i64::MAX)),
        "grace" => (Query, "The time until what still runs is dropped or killed; at most 1 h.", duration()),
        "force" => (Query, "No grace at all.", flag()),
        "timeout" => (Query, "The longest an attempt may run.", duration()),
        "queue_timeout" => (Query, "The longest it may wait for its first attempt.", duration()),
        "retry_delay" => (Query, "The delay before the second attempt.", duration()),
        "delay" => (Query, "Not to be run before so long after the start. Excludes run_at.", duration()),
        "run_at" => (Query, "Not to be run before. Excludes delay.", text()),
        "max_attempts" => (Query, "How many attempts it has.", integer(1, 1000)),
        "priority" => (Query, "Higher runs first.", integer(i16::MIN.into(), i16::MAX.into())),
        "workload" => (Query, "What the task is believed to be; another is refused.", reference("Workload")),
        "label" => (Query, "`key:value`. Repeated: all of them. In lists a key alone means that it is there.", texts()),
        "task_id" => (Query, "Only of this task.", text()),
        "status" => (Query, "Only in one of these, separated by commas.", text()),
        "created_after" => (Query, "Only created then or later: a time, or a duration ago such as -24h.", text()),
        "created_before" => (Query, "Only created before: a time, or a duration ago such as -24h.", text()),
        "window" => (Query, "How far to look back: 1 h by default.", duration()),
        "bucket" => (
            Query,
            "How long a bucket is: whole minutes up to 1 d, at most 1440 of them. Default: 1 m, or longer where the window asks for it.",
            duration(),
        ),
        "limit" => (Query, "The most to return; larger ones are lowered.", integer(1, i64::MAX)),
        "cursor" => (Query, "`next_cursor` of the page before, with the same filters.", text()),
        "tail" => (Query, "The last so many lines. Excludes from.", integer(1, i64::MAX)),
        "from" => (Query, "The first seq.", integer(1, i64::MAX)),
        "stream" => (Query, "Only of this stream.", reference("LogStream")),
        "grep" => (Query, "Only lines with this text.", text()),
        "follow" => (Query, "Send lines as they come, to the end of the instance.", flag()),
        "after" => (Query, "Resume after this id, as Last-Event-ID does, which counts if both are there.", text()),
        "verbose" => (Query, "Tell what readiness is made of.", flag()),
        "Prefer" => (Header, "`wait=N`: as the parameter wait. `respond-async`: at once.", text()),
        "Idempotency-Key" => (Header, "Repeat the request with it safely: 1 to 255 visible ASCII characters.", text()),
        "If-Match" => (Header, "Only if the instance still has this ETag.", text()),
        "If-None-Match" => (Header, "304 if the instance still has this ETag.", text()),
        "Last-Event-ID" => (Header, "Resume after this id.", text()),
        _ => (Query, "", text()),
    }
}

fn text() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

fn texts() -> RefOr<Schema> {
    ArrayBuilder::new().items(text()).into()
}

fn flag() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Boolean).into()
}

fn integer(least: i64, most: i64) -> RefOr<Schema> {
    let integer = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(least as isize));
    if most == i64::MAX { integer.into() } else { integer.maximum(Some(most as isize)).into() }
}

fn duration() -> RefOr<Schema> {
    reference("Duration")
}

/// The schema of this name.
pub fn reference(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

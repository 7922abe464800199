//! What each operation takes and answers, in the order of the table of routes.

use std::collections::BTreeMap;

use utoipa::openapi::{
    Content, HttpMethod, Paths, Ref, RefOr, Required, Response, ResponseBuilder, Schema,
    path::{OperationBuilder, PathsBuilder},
    request_body::RequestBodyBuilder,
    schema::{Object, ObjectBuilder, OneOfBuilder, SchemaType, Type},
    security::SecurityRequirement,
};

use super::parameters::{parameter, reference};
use crate::http::{accept::Media, problem::Kind};

/// An operation.
struct Doc {
    path: &'static str,
    method: HttpMethod,
    id: &'static str,
    summary: &'static str,
    parameters: &'static [&'static str],
    body: Option<Body>,
    answers: &'static [(u16, &'static str, Shape)],
    /// Statuses of refusals, beside those that every operation has.
    refusals: &'static [u16],
}

/// A body to be sent.
#[derive(Clone, Copy)]
enum Body {
    Required(&'static str),
    /// May be left out, and then is `{}`.
    Optional(&'static str),
    /// Any object.
    Inputs,
    /// An object or null.
    Output,
}

/// The shape of an answer.
#[derive(Clone, Copy)]
enum Shape {
    Nothing,
    Json(&'static str),
    /// Any JSON value, or its bare text.
    Value,
    JsonOrText(&'static str),
    /// An instance, or that one would be started.
    Started,
    Page,
    Only(Media),
    /// Events, or lines of a log as JSON, text or a stream.
    Events,
    Feed,
    Log,
}

impl Shape {
    /// Whether it may be a JSON document.
    fn is_json(self) -> bool {
        matches!(self, Json(_) | Value | JsonOrText(_) | Started | Only(Media::Json) | Log)
    }
}

use Shape::{Events, Feed, Json, JsonOrText, Log, Nothing, Only, Page, Started, Value};

const START: &[&str] = &[
    "timeout",
    "queue_timeout",
    "max_attempts",
    "retry_delay",
    "priority",
    "label",
    "run_at",
    "delay",
    "workload",
    "wait",
    "dry_run",
    "Prefer",
    "Idempotency-Key",
];
const STARTED: &[(u16, &str, Shape)] = &[
    (
        200,
        "The key was used before for the same request: that instance, as it is now. With dry_run: it is valid",
        Started,
    ),
    (201, "Started: committed and synced to disk; as plain text the id", JsonOrText("Instance")),
];
const RETRIED: &[(u16, &str, Shape)] = &[
    (200, "The key was used before for the same request: that instance, as it is now", JsonOrText("Instance")),
    (201, "Started: committed and synced to disk; as plain text the id", JsonOrText("Instance")),
];
const RECEIPT: &[(u16, &str, Shape)] = &[(200, "Committed", Json("Receipt"))];
const STARTING: &[u16] = &[404, 406, 408, 409, 413, 415, 422];
const REPORTING: &[u16] = &[404, 406, 408, 409, 412, 413, 415, 422];

const GET: HttpMethod = HttpMethod::Get;
const PUT: HttpMethod = HttpMethod::Put;
const POST: HttpMethod = HttpMethod::Post;

#[rustfmt::skip]
const DOCS: &[Doc] = &[
    Doc { path: "/v1/definitions", method: GET, id: "listDefinitions", summary: "List the tasks",
        parameters: &[], body: None, answers: &[(200, "Every definition, by id", Json("Definitions"))], refusals: &[406] },
    Doc { path: "/v1/definitions/{id}", method: GET, id: "getDefinition", summary: "Read one task",
        parameters: &["id"], body: None, answers: &[(200, "The definition", Json("Definition"))], refusals: &[404, 406] },
    Doc { path: "/v1/definitions/{id}", method: PUT, id: "putDefinition",
        summary: "Register a command, where the operator allows it",
        parameters: &["id"], body: Some(Body::Required("DefinitionRequest")),
        answers: &[(200, "The same definition was registered before", Json("Definition")),
            (201, "Registered: committed, and can be started", Json("Definition"))],
        refusals: &[406, 408, 409, 413, 415, 422] },
    Doc { path: "/v1/definitions/{id}", method: HttpMethod::Delete, id: "deleteDefinition",
        summary: "Remove a registered command of which no instance is pending or running",
        parameters: &["id"], body: None, answers: &[(204, "Removed; its instances stay readable", Nothing)],
        refusals: &[404, 409] },
    Doc { path: "/v1/definitions/{id}/instances", method: POST, id: "startWithInputs",
        summary: "Start an instance: the body is the bare inputs, options are query parameters",
        parameters: START, body: Some(Body::Inputs), answers: STARTED, refusals: STARTING },
    Doc { path: "/v1/instances", method: GET, id: "listInstances", summary: "List instances, newest first",
        parameters: &["task_id", "status", "label", "created_after", "created_before", "limit", "cursor"], body: None,
        answers: &[(200, "One page; Link leads to the next", Json("InstanceList"))], refusals: &[406, 422] },
    Doc { path: "/v1/instances", method: POST, id: "start", summary: "Start an instance",
        parameters: &["wait", "dry_run", "Prefer", "Idempotency-Key"], body: Some(Body::Required("StartRequest")), answers: STARTED,
        refusals: STARTING },
    Doc { path: "/v1/instances/batch", method: POST, id: "startBatch", summary: "Start many instances, all or none",
        parameters: &["Idempotency-Key"], body: Some(Body::Required("BatchRequest")),
        answers: &[(200, "The key was used before for the same request: the same instances", Json("Batch")),
            (201, "All started, in one commit", Json("Batch"))], refusals: STARTING },
    Doc { path: "/v1/instances/stop", method: POST, id: "stopMany",
        summary: "Ask every instance that matches to stop, or all; those that are started meanwhile are left alone",
        parameters: &[], body: Some(Body::Required("StopFilter")),
        answers: &[(200, "Every stop is committed; how many there were", Json("StopCounts"))],
        refusals: &[406, 408, 413, 415, 422] },
    Doc { path: "/v1/instances/{id}", method: GET, id: "getInstance", summary: "Read an instance, or wait for it",
        parameters: &["id", "wait", "since", "Prefer", "If-None-Match"], body: None,
        answers: &[(200, "The instance; its ETag is its version", Json("Instance")), (304, "It still has that ETag", Nothing)],
        refusals: &[404, 406, 409, 422] },
    Doc { path: "/v1/instances/{id}", method: HttpMethod::Delete, id: "stop",
        summary: "Ask an instance to stop; its record stays",
        parameters: &["id", "grace", "force", "wait", "Prefer", "If-Match"], body: None,
        answers: &[(200, "It is done", Json("Instance")), (202, "It still runs", Json("Instance"))],
        refusals: &[404, 406, 409, 412, 422] },
    Doc { path: "/v1/instances/{id}/status", method: GET, id: "getStatus", summary: "Read the status",
        parameters: &["id"], body: None, answers: &[(200, "The status", JsonOrText("StatusPart"))], refusals: &[404, 406, 409] },
    Doc { path: "/v1/instances/{id}/status", method: PUT, id: "reportStatus",
        summary: "State how the attempt ends; it takes effect when it ends",
        parameters: &["id", "If-Match"], body: Some(Body::Required("StatusReport")), answers: RECEIPT, refusals: REPORTING },
    Doc { path: "/v1/instances/{id}/progress", method: GET, id: "getProgress", summary: "Read the progress",
        parameters: &["id"], body: None, answers: &[(200, "The progress", JsonOrText("ProgressPart"))], refusals: &[404, 406, 409] },
    Doc { path: "/v1/instances/{id}/progress", method: PUT, id: "reportProgress", summary: "Report progress",
        parameters: &["id", "If-Match"], body: Some(Body::Required("ProgressReport")), answers: RECEIPT, refusals: REPORTING },
    Doc { path: "/v1/instances/{id}/output", method: GET, id: "getOutput", summary: "Read the output",
        parameters: &["id"], body: None, answers: &[(200, "The bare output; null before there is one", Value)],
        refusals: &[404, 406, 409] },
    Doc { path: "/v1/instances/{id}/output", method: PUT, id: "reportOutput", summary: "Set the output; null clears it",
        parameters: &["id", "If-Match"], body: Some(Body::Output), answers: RECEIPT, refusals: REPORTING },
    Doc { path: "/v1/instances/{id}/result", method: GET, id: "getResult", summary: "Read the result, or wait for it",
        parameters: &["id", "wait", "Prefer"], body: None,
        answers: &[(200, "The bare result of a completed instance", Value),
            (202, "It is not done; Retry-After tells when to ask again", JsonOrText("Summary"))],
        refusals: &[404, 406, 409] },
    Doc { path: "/v1/instances/{id}/logs", method: GET, id: "readLog", summary: "Read or follow the log",
        parameters: &["id", "tail", "from", "limit", "stream", "grep", "follow", "after", "Last-Event-ID"], body: None,
        answers: &[(200, "Lines, or with follow a stream of them", Log), (204, "Nothing is left to follow", Nothing)],
        refusals: &[404, 406, 409, 422] },
    Doc { path: "/v1/instances/{id}/logs", method: POST, id: "reportLog", summary: "Add lines to the log",
        parameters: &["id", "If-Match"], body: Some(Body::Required("LogReport")), answers: RECEIPT, refusals: REPORTING },
    Doc { path: "/v1/instances/{id}/attempts", method: GET, id: "listAttempts", summary: "List the attempts, oldest first",
        parameters: &["id"], body: None, answers: &[(200, "The attempts", Json("Attempts"))], refusals: &[404, 406, 409] },
    Doc { path: "/v1/instances/{id}/events", method: GET, id: "followInstance",
        summary: "Follow an instance: its present state, then each committed change",
        parameters: &["id", "after", "Last-Event-ID"], body: None,
        answers: &[(200, "Events to the end of the instance", Events), (204, "Nothing is left to follow", Nothing)],
        refusals: &[404, 406, 409] },
    Doc { path: "/v1/instances/{id}/retry", method: POST, id: "retry", summary: "Run a done instance again, as a new one",
        parameters: &["id", "wait", "Prefer", "Idempotency-Key"], body: Some(Body::Optional("RetryRequest")),
        answers: RETRIED, refusals: STARTING },
    Doc { path: "/v1/events", method: GET, id: "followAll",
        summary: "Follow all instances that match: `ready`, whose id is where to resume, then `instance` for each \
            committed change, and `resync` where some were lost",
        parameters: &["task_id", "status", "label", "created_after", "created_before", "after", "Last-Event-ID"], body: None,
        answers: &[(200, "Events until the reader leaves or the server ends", Feed)], refusals: &[406] },
    Doc { path: "/v1/stats", method: GET, id: "getStats", summary: "Read counts by status, and what happened lately",
        parameters: &["window", "bucket", "task_id"], body: None,
        answers: &[(200, "The figures", Json("Stats"))], refusals: &[404, 406, 422] },
    Doc { path: "/v1/system", method: GET, id: "getSystem",
        summary: "Read what the daemon is, what it has room for, and what the bearer of this token may do",
        parameters: &[], body: None, answers: &[(200, "The facts", Json("System"))], refusals: &[406] },
    Doc { path: "/query", method: GET, id: "subscribe",
        summary: "Open a WebSocket for subscriptions, in `graphql-transport-ws` or `graphql-ws`; the token may come in \
            `connection_init`",
        parameters: &[], body: None, answers: &[(101, "A WebSocket", Nothing)], refusals: &[503] },
    Doc { path: "/query", method: POST, id: "query",
        summary: "What the `numerous` package and command line ask for, in GraphQL; a refused operation is answered with 200 \
            and `errors`",
        parameters: &[], body: Some(Body::Required("GraphqlRequest")),
        answers: &[(200, "What was asked for, or why not", Json("GraphqlAnswer"))], refusals: &[406, 408, 413, 415, 422] },
    Doc { path: "/livez", method: GET, id: "live", summary: "Whether the process lives",
        parameters: &["verbose"], body: None, answers: &[(200, "It does", JsonOrText("Health"))], refusals: &[] },
    Doc { path: "/readyz", method: GET, id: "ready", summary: "Whether starts are taken and can be committed",
        parameters: &["verbose"], body: None, answers: &[(200, "They are", JsonOrText("Health"))], refusals: &[] },
    Doc { path: "/metrics", method: GET, id: "metrics", summary: "Figures for Prometheus",
        parameters: &[], body: None, answers: &[(200, "OpenMetrics text", Only(Media::Metrics))], refusals: &[] },
    Doc { path: "/openapi.yaml", method: GET, id: "openapiYaml", summary: "This document",
        parameters: &[], body: None, answers: &[(200, "YAML", Only(Media::Yaml))], refusals: &[] },
    Doc { path: "/openapi.json", method: GET, id: "openapiJson", summary: "This document",
        parameters: &[], body: None, answers: &[(200, "JSON", Only(Media::Json))], refusals: &[] },
    Doc { path: "/problems/{name}", method: GET, id: "explainProblem", summary: "What a kind of problem means",
        parameters: &["name"], body: None, answers: &[(200, "A page", Page)], refusals: &[404] },
    Doc { path: "/", method: GET, id: "root", summary: "What to do next, with this host and these tasks",
        parameters: &[], body: None, answers: &[(200, "A page", Page)], refusals: &[] },
];

/// Every operation.
pub fn all() -> Paths {
    let mut paths = PathsBuilder::new().build();
    for doc in DOCS {
        let mut operation = OperationBuilder::new().operation_id(Some(doc.id)).summary(Some(doc.summary));
        // The path's own parameter, which lists of options leave out.
        for name in ["id", "name"] {
            if doc.path.contains(&format!("{{{name}}}")) && !doc.parameters.contains(&name) {
                operation = operation.parameter(parameter(name));
            }
        }
        for name in doc.parameters {
            operation = operation.parameter(parameter(name));
        }
        if doc.answers.iter().any(|(_, _, shape)| shape.is_json()) {
            operation = operation.parameter(parameter("pretty"));
        }
        if let Some(body) = doc.body {
            operation = operation.request_body(Some(request_body(body)));
        }
        for (status, about, shape) in doc.answers {
            operation = operation.response(status.to_string(), answer(about, *shape));
        }
        let guarded = doc.path.starts_with("/v1/") || matches!(doc.path, "/metrics" | "/query");
        for status in common(doc.path, guarded).into_iter().chain(doc.refusals.iter().copied()) {
            let shared = RefOr::<Response>::Ref(Ref::from_response_name(name_of(status)));
            operation = operation.response(status.to_string(), shared);
        }
        if guarded {
            // The empty one says that without configured tokens none is needed.
            let needs = [SecurityRequirement::new::<_, [&str; 0], _>("token", []), SecurityRequirement::default()];
            operation = operation.securities(Some(needs));
        }
        paths.add_path_operation(doc.path, vec![doc.method.clone()], operation.build());
    }
    paths
}

/// The refusals that every operation has.
fn common(path: &str, guarded: bool) -> Vec<u16> {
    let mut all = vec![400, 414, 500];
    if !matches!(path, "/livez" | "/readyz") {
        all.extend([403, 421]);
    }
    if guarded {
        all.push(401);
    }
    if path.starts_with("/v1/") || path == "/readyz" {
        all.push(503);
    }
    all
}

/// The refusals that operations share, by name.
pub fn refusals() -> BTreeMap<String, RefOr<Response>> {
    let statuses = Kind::ALL.iter().map(|kind| kind.status());
    statuses.map(|status| (name_of(status), RefOr::T(refusal(status)))).collect()
}

fn name_of(status: u16) -> String {
    format!("Refused{status}")
}

fn refusal(status: u16) -> Response {
    let about = match status {
        400 => "The request cannot be read",
        401 => "No token, or one that is not known",
        403 => "The token or the configuration does not allow it, or the request comes from a foreign page",
        404 => "There is no such thing",
        406 => "Accept excludes every form there is",
        408 => "The body did not arrive in time",
        409 => "The state of the instance or of the definition does not allow it",
        412 => "The instance has changed since",
        413 => "The body is too large",
        414 => "The request target is longer than 8 KiB",
        415 => "The body is not declared as JSON",
        421 => "The Host is not this server",
        422 => "A field, an option or the inputs are not valid",
        503 => "Not now; Retry-After tells when to try again",
        _ => "A defect of the server",
    };
    ResponseBuilder::new()
        .description(about)
        .content(Media::Problem.content_type(), Content::new(Some(reference("Problem"))))
        .content("text/plain", Content::new(Some(text())))
        .build()
}

fn request_body(body: Body) -> utoipa::openapi::request_body::RequestBody {
    let (schema, required) = match body {
        Body::Required(name) => (reference(name), Required::True),
        Body::Optional(name) => (reference(name), Required::False),
        Body::Inputs => (free_object(Type::Object.into()), Required::False),
        Body::Output => (free_object(SchemaType::from_iter([Type::Object, Type::Null])), Required::True),
    };
    RequestBodyBuilder::new()
        .required(Some(required))
        .content(Media::Json.content_type(), Content::new(Some(schema)))
        .build()
}

fn free_object(kind: SchemaType) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(kind).into()
}

fn answer(about: &str, shape: Shape) -> Response {
    let mut answer = ResponseBuilder::new().description(about);
    let mut add = |media: Media, schema: RefOr<Schema>| {
        let built = std::mem::take(&mut answer);
        answer = built.content(media.essence(), Content::new(Some(schema)));
    };
    match shape {
        Nothing => {}
        Json(name) => add(Media::Json, reference(name)),
        Value => {
            add(Media::Json, any());
            add(Media::Text, text());
        }
        JsonOrText(name) => {
            add(Media::Json, reference(name));
            add(Media::Text, text());
        }
        Started => {
            let either = OneOfBuilder::new().item(reference("Instance")).item(reference("Valid"));
            add(Media::Json, either.into());
            add(Media::Text, text());
        }
        Page => {
            add(Media::Text, text());
            add(Media::Html, text());
        }
        Only(media @ (Media::Json | Media::Yaml)) => add(media, ObjectBuilder::new().into()),
        Only(media) => add(media, text()),
        Events => {
            add(Media::EventStream, text());
            add(Media::Ndjson, reference("EventLine"));
        }
        Feed => {
            add(Media::EventStream, text());
            add(Media::Ndjson, reference("FeedLine"));
        }
        Log => {
            add(Media::Json, reference("LogPage"));
            add(Media::Text, text());
            add(Media::EventStream, text());
            add(Media::Ndjson, reference("LogLine"));
        }
    }
    answer.build()
}

fn text() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

fn any() -> RefOr<Schema> {
    RefOr::T(Schema::Object(Object::with_type(SchemaType::AnyValue)))
}

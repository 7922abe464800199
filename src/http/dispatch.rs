//! One request from its head to its answer: the checks that all share, in the contract's order, then its route.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use ::http::{
    Method, StatusCode,
    header::{CONTENT_LENGTH, EXPECT},
    request::Parts,
};
use axum::{
    body::{Body, HttpBody},
    extract::Request,
};
use futures_util::FutureExt;
use tokio::time::Instant;

use super::{
    App, Response, auth,
    auth::Principal,
    body,
    call::{Call, Unread},
    framing::{self, BareLineFeed},
    host, origin, pretty,
    problem::{Kind, Problem},
    query, request_id,
    router::{Access, Operation, Route},
};

/// The longest request target.
const LONGEST_URI: usize = 8 * 1024;
/// A request that takes longer is worth a line in the log, unless it was asked to wait.
const SLOW: Duration = Duration::from_secs(1);

/// Answers one request. `route` is what its path matched.
pub async fn dispatch(app: App, route: Option<&'static Route>, request: Request) -> Response {
    let begun = Instant::now();
    let (parts, body) = request.into_parts();
    let request_id = request_id::of(&parts.headers);
    let head = parts.method == Method::HEAD;
    let operation = route.and_then(|route| route.operation(&parts.method));
    let mut call = Call { app, parts, body: Unread::new(body), principal: Principal::Anyone, request_id, begun };

    let answer = AssertUnwindSafe(answer(&mut call, route, operation)).catch_unwind().await;
    let outcome = answer.unwrap_or_else(|panic| Err(Problem::internal(panic_text(&*panic))));
    let mut response = match outcome {
        Ok(response) => response,
        Err(problem) => refuse(&call, problem),
    };
    if query::wants_pretty(call.parts.uri.query()) {
        response = pretty::indented(response).await;
    }
    if let Some(body) = call.body.take()
        && !body.is_end_stream()
        && !call.parts.headers.contains_key(EXPECT)
    {
        // A client that is still sending would not read the answer before a closed connection tells it off.
        body::discard(body).await;
    }

    let elapsed = begun.elapsed();
    let is_long = operation.is_some_and(|operation| operation.waits) && may_wait(&call.parts);
    if elapsed > SLOW && !is_long {
        tracing::warn!(
            request_id = call.request_id.to_str().unwrap_or_default(),
            method = %call.parts.method,
            path = call.parts.uri.path(),
            status = response.status().as_u16(),
            elapsed_ms = elapsed.as_millis() as u64,
            "slow request"
        );
    }
    let timed = (!is_long).then_some(elapsed);
    call.app.metrics().count(route, operation, response.status(), timed);
    if head {
        without_body(&mut response);
    }
    response.headers_mut().insert(request_id::HEADER, call.request_id);
    response
}

async fn answer(
    call: &mut Call,
    route: Option<&'static Route>,
    operation: Option<&'static Operation>,
) -> Result<Response, Problem> {
    let Parts { method, uri, version, headers, extensions, .. } = &call.parts;
    framing::check(headers)?;
    if extensions.get::<BareLineFeed>().is_some() {
        return Err(framing::bare_line_feed());
    }
    if uri.path_and_query().is_some_and(|target| target.as_str().len() > LONGEST_URI) {
        return Err(Problem::new(Kind::UriTooLong, "the request target is longer than 8 KiB"));
    }
    if !route.is_some_and(|route| route.is_health()) {
        host::check(call.app.settings(), *version, uri, headers)?;
        origin::check(call.app.settings(), method, headers)?;
    }
    let Some(route) = route else {
        return Err(no_such_route(uri.path()));
    };
    let Some(operation) = operation else {
        return Err(Problem::method_not_allowed(&route.allow()));
    };
    if let Access::Scope(scope) | Access::Instance(scope) | Access::Fields(scope) = operation.access {
        let principal = auth::authenticate(&call.app, headers)?;
        let own = matches!(operation.access, Access::Instance(_)).then(|| call.id());
        let asks_each_field = matches!((operation.access, &principal), (Access::Fields(_), Principal::Attempt(_)));
        if !asks_each_field {
            auth::authorize(&call.app, &principal, scope, own.as_deref()).await?;
        }
        call.principal = principal;
    }
    (operation.run)(call).await
}

/// Leaves out the body of an answer to HEAD, and says how long it would be, where that is known and there can be one
/// (RFC 9110 §8.6).
fn without_body(response: &mut Response) {
    let has_length = response.status() != StatusCode::NO_CONTENT;
    let length = response.body().size_hint().exact().filter(|_| has_length);
    *response.body_mut() = match length {
        Some(_) => Body::empty(),
        // An empty one would be told as of length 0.
        None => Body::from_stream(futures_util::stream::empty::<Result<bytes::Bytes, std::convert::Infallible>>()),
    };
    if let Some(length) = length {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
}

fn no_such_route(path: &str) -> Problem {
    let shown: String = path.chars().take(200).collect();
    let detail = match path.strip_suffix('/') {
        Some(shorter) if !shorter.is_empty() => {
            format!("there is no route `{shown}`: paths have no trailing slash; GET /openapi.yaml lists them")
        }
        _ => format!("there is no route `{shown}`: GET /openapi.yaml lists them"),
    };
    Problem::new(Kind::NotFound, detail)
}

/// Whether the client asked for an answer that takes its time: those are not slow.
fn may_wait(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    query.contains("wait") || query.contains("follow") || parts.headers.contains_key("prefer")
}

fn refuse(call: &Call, problem: Problem) -> Response {
    let id = call.request_id.to_str().unwrap_or_default();
    let status = problem.status();
    if let Some(cause) = problem.cause() {
        tracing::error!(
            request_id = id,
            method = %call.parts.method,
            path = call.parts.uri.path(),
            status = status.as_u16(),
            cause,
            "request failed"
        );
    } else if status.is_server_error() {
        // Our own limits, told to every client: one line each would make an overload worse.
        tracing::debug!(request_id = id, path = call.parts.uri.path(), status = status.as_u16(), "request refused");
    }
    let mut response = problem.into_response(id, &call.parts.headers);
    if status == StatusCode::REQUEST_TIMEOUT {
        // The rest of the body may still come; it must not be read as the next request.
        response.headers_mut().insert(::http::header::CONNECTION, ::http::HeaderValue::from_static("close"));
    }
    response
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a request's code panicked: {}", text.unwrap_or("no message"))
}

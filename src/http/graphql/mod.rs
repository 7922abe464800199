//! `POST /query`: what the published `numerous` package and command line ask their platform for.
//!
//! A second door to the same engine. In reading order: [`request`] takes a body apart and bounds what it may ask;
//! `reads` and `writes` are the two roots of the schema; [`types`] are what they answer; [`apps`] says which tasks an app
//! has; [`caller`] knows who asks, what he may, and how a refusal reads. A refusal of the request as such (no token, no
//! JSON, no operation, too large) is a problem as on every route; what an operation is refused for is answered with 200 and `errors`.

mod apps;
mod caller;
mod logs;
mod reads;
pub(super) mod request;
mod scalars;
mod socket;
mod types;
mod writes;

use std::sync::LazyLock;

use ::http::StatusCode;
use async_graphql::Schema;

pub use self::socket::open;
use self::{caller::Caller, logs::Logs, reads::Reads, writes::Writes};
use super::{Response, accept::Media, blocking::heavy, body, call::Call, problem::Problem, reply};

/// How deep fields may stand in each other. The usual query for a schema needs 13.
const DEEPEST: usize = 15;
/// How many fields a query may ask for, fragments unfolded; a list counts as [`LIST_COST`] more.
const MOST_FIELDS: usize = 1000;
/// How many directives one field may carry.
const MOST_DIRECTIVES: usize = 4;
/// What a list adds to what a query costs, so that few fit one query.
const LIST_COST: usize = 200;

type Platform = Schema<Reads, Writes, Logs>;

/// Made once: it holds no data of a daemon, every request brings its own.
static PLATFORM: LazyLock<Platform> = LazyLock::new(|| {
    Schema::build(Reads, Writes, Logs)
        .limit_depth(DEEPEST)
        .limit_complexity(MOST_FIELDS)
        .limit_directives(MOST_DIRECTIVES)
        .finish()
});

/// `POST /query`
pub async fn query(call: &mut Call) -> Result<Response, Problem> {
    call.accept(&[Media::Json])?;
    let limit = request::largest_body(call.app.settings().body.bytes());
    body::check(call, limit)?;
    let bytes = body::read(call, limit).await?;
    call.query(&[])?;
    let operation =
        heavy(bytes.len(), || body::text(&bytes).and_then(|text| request::read(&text).map(request::operation)))?;
    drop(bytes);
    let answer = match operation {
        Ok(request) => PLATFORM.execute(request.data(Caller::of_call(call))).await,
        Err(refused) => async_graphql::Response::from_errors(vec![*refused]),
    };
    let mut body = serde_json::to_vec(&answer).map_err(|error| Problem::internal(error.to_string()))?;
    body.push(b'\n');
    Ok(reply::fresh(StatusCode::OK, Media::Json, body))
}

//! `DELETE /v1/instances/{id}`: asks for a stop. The record stays.

use ::http::StatusCode;

use super::{
    Response,
    accept::Media,
    call::Call,
    preconditions,
    prefer::Wait,
    problem::{Fault, Problem},
    query::{Parameter, flag, one},
    reply,
};
use crate::{
    domain::{InstanceKey, bounds},
    engine::StopOptions,
};

const PARAMETERS: &[Parameter] = &[one("grace"), flag("force"), flag("wait")];

/// Stops the instance; 202 while it still runs, 200 when it is done.
pub async fn stop(call: &mut Call) -> Result<Response, Problem> {
    let key = call.key()?;
    let query = call.query(PARAMETERS)?;
    let grace = query.duration("grace")?;
    let force = query.flag("force")?;
    let wait = Wait::of(&query, call.headers())?;
    call.accept_for(key, &[Media::Json]).await?;
    if let Some(detail) = grace.and_then(bounds::grace_fault) {
        let problem = Problem::invalid(vec![Fault::of("grace", detail)]);
        return Err(call.unless_missing(key, problem).await);
    }
    call.check_pinned(key, preconditions::pinned(call.headers())?).await?;
    let by_itself = call.principal.stops_itself();
    let mut instance = call.engine().stop(key, StopOptions { grace, force, by_itself }).await?;
    if !wait.time.is_zero() && !instance.is_done() {
        instance = call.settled(InstanceKey::Id(instance.id), wait.time).await?;
    }
    let status = if instance.is_done() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = reply::instance(call, status, &instance);
    wait.tell(&mut response);
    Ok(response)
}

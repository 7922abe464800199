//! `GET /v1/instances/{id}`

use std::time::Duration;

use ::http::StatusCode;

use super::{
    Response,
    accept::Media,
    call::Call,
    preconditions,
    prefer::Wait,
    problem::Problem,
    query::{Parameter, flag, one},
    reply,
};

const PARAMETERS: &[Parameter] = &[flag("wait"), one("since")];

/// The instance now, once it is done, or once it is beyond a version.
pub async fn show(call: &mut Call) -> Result<Response, Problem> {
    let key = call.key()?;
    let query = call.query(PARAMETERS)?;
    let wait = Wait::of(&query, call.headers())?;
    let since = match query.value("since") {
        Some(_) => {
            let mut faults = Vec::new();
            let since = query.integer("since", 0..=i64::MAX, &mut faults)?;
            if !faults.is_empty() {
                return Err(call.unless_missing(key, Problem::invalid(faults)).await);
            }
            since.map(i64::unsigned_abs)
        }
        None => None,
    };
    call.accept_for(key, &[Media::Json]).await?;
    let instance = match since {
        Some(since) if wait.time > Duration::ZERO => {
            tokio::select! {
                changed = call.engine().wait_changed(key, since, wait.time) => changed?,
                () = call.app.closing() => call.engine().instance(key).await?,
            }
        }
        _ => call.settled(key, wait.time).await?,
    };
    let mut response = if preconditions::is_known(call.headers(), instance.version) {
        reply::not_modified(instance.version)
    } else {
        reply::instance(call, StatusCode::OK, &instance)
    };
    wait.tell(&mut response);
    Ok(response)
}

//! `GET …/attempts`: every execution of an instance, oldest first.

use ::http::StatusCode;

use super::{Response, accept::Media, call::Call, problem::Problem, render, reply};

/// The attempts.
pub async fn list(call: &mut Call) -> Result<Response, Problem> {
    let key = call.key()?;
    call.query(&[])?;
    call.accept_for(key, &[Media::Json]).await?;
    let attempts = call.engine().attempts(key).await?;
    let body = reply::json(|out| {
        out.extend_from_slice(b"{\"attempts\":");
        render::array(out, &attempts, render::attempt);
        out.push(b'}');
    });
    Ok(reply::fresh(StatusCode::OK, Media::Json, body))
}

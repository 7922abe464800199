//! `GET /v1/definitions`, `GET /v1/definitions/{id}`

use ::http::StatusCode;

use super::{Response, accept::Media, call::Call, problem::Problem, render, reply};

/// Every definition, by id.
pub async fn list(call: &mut Call) -> Result<Response, Problem> {
    call.accept(&[Media::Json])?;
    call.query(&[])?;
    let definitions = call.engine().definitions();
    let body = reply::json(|out| {
        out.extend_from_slice(b"{\"definitions\":");
        render::array(out, &definitions, render::value);
        out.push(b'}');
    });
    Ok(reply::with_body(StatusCode::OK, Media::Json, body))
}

/// One definition.
pub async fn show(call: &mut Call) -> Result<Response, Problem> {
    call.query(&[])?;
    let definition = call.engine().definition(&call.id())?;
    call.accept(&[Media::Json])?;
    Ok(reply::with_body(StatusCode::OK, Media::Json, reply::json(|out| render::value(out, &definition))))
}

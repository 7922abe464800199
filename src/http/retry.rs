//! `POST /v1/instances/{id}/retry`: runs a done instance again as a new one.

use super::{
    Response, body,
    call::Call,
    fields::Fields,
    options,
    prefer::Wait,
    problem::Problem,
    query::{Parameter, flag},
    start,
};
use crate::engine::StartOptions;

const WAIT: &[Parameter] = &[flag("wait")];

/// Starts it, with other inputs or options where the body gives some.
pub async fn retry(call: &mut Call) -> Result<Response, Problem> {
    let media = call.accept(&start::FORMS)?;
    let limit = call.app.settings().body.bytes();
    let has_body = body::check_optional(call, limit)?;
    call.engine().accepting()?;
    let bytes = match has_body {
        true => body::read(call, limit).await?,
        false => bytes::Bytes::from_static(b"{}"),
    };
    let text = body::text(&bytes)?;
    let wait = Wait::of(&call.query(WAIT)?, call.headers())?;
    let idempotency = call.idempotency_key()?;
    let key = call.key()?;
    let mut faults = Vec::new();
    let (mut inputs, mut options) = (None, StartOptions::default());
    let known: Vec<&str> = ["inputs"].into_iter().chain(options::MEMBERS).collect();
    if let Some(fields) = Fields::of(body::raw(&text)?, "", &known, &mut faults) {
        inputs = start::inputs(&fields, &mut faults);
        options = options::from_fields(&fields, &mut faults);
    }
    if !faults.is_empty() {
        return Err(call.unless_missing(key, Problem::invalid(faults)).await);
    }
    let started = call.engine().retry(key, inputs, options, idempotency).await.map_err(start::refused)?;
    let started = start::settle(call, started, wait).await?;
    start::answer(call, started, wait, media)
}

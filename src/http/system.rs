//! `GET /v1/system`: what this daemon is, what it has room for, and who asks.

use ::http::StatusCode;
use serde::Serialize;

use super::{
    Response, Scope, accept::Media, auth::Principal, call::Call, problem::Problem, render, reply, settings::Shown,
};
use crate::{
    domain::Micros,
    engine::{Facts, Health, Slots},
};

#[derive(Serialize)]
struct System<'a> {
    version: &'static str,
    node: &'a str,
    started_at: Micros,
    base_path: &'a str,
    store: Store<'a>,
    health: Ready,
    slots: ByKind,
    settings: &'a [Shown],
    you: You<'a>,
}

#[derive(Serialize)]
struct Store<'a> {
    backend: &'a str,
    path: &'a str,
    synchronous: &'a str,
    schema: u64,
    bytes: Option<u64>,
    disk_free: Option<u64>,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    draining: bool,
}

#[derive(Serialize)]
struct ByKind {
    local: Slots,
    command: Slots,
}

#[derive(Serialize)]
struct You<'a> {
    name: Option<&'a str>,
    scopes: Vec<&'static str>,
}

/// The facts.
pub async fn show(call: &mut Call) -> Result<Response, Problem> {
    call.accept(&[Media::Json])?;
    call.query(&[])?;
    let Health { store, draining, .. } = call.engine().health().await;
    let Facts { node, began, identity, local, command, space } = call.engine().facts().await;
    let system = System {
        version: env!("CARGO_PKG_VERSION"),
        node,
        started_at: began,
        base_path: call.base_path(),
        store: Store {
            backend: &identity.backend,
            path: &identity.location,
            synchronous: &identity.synchronous,
            schema: identity.schema,
            bytes: space.map(|space| space.used),
            disk_free: space.map(|space| space.free),
        },
        health: Ready { ready: store && !draining, draining },
        slots: ByKind { local, command },
        settings: &call.app.settings().shown,
        you: you(&call.principal),
    };
    let body = reply::json(|out| render::value(out, &system));
    Ok(reply::fresh(StatusCode::OK, Media::Json, body))
}

/// Who asks, with every scope that he has.
fn you(principal: &Principal) -> You<'_> {
    let all = [Scope::Read, Scope::Run, Scope::Admin];
    let (name, widest) = match principal {
        Principal::Anyone => (None, Some(Scope::Admin)),
        Principal::Token { name, scope } => (Some(name.as_str()), *scope),
        // It reads nothing but its own instance.
        Principal::Attempt(_) => (None, None),
    };
    let scopes = all.into_iter().filter(|scope| widest.is_some_and(|widest| *scope <= widest)).map(Scope::as_str);
    You { name, scopes: scopes.collect() }
}

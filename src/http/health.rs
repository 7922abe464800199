//! `/livez` and `/readyz`: whether the process lives, and whether it can do its work. Without a token.

use ::http::{HeaderValue, header::CACHE_CONTROL};

use super::{
    Response,
    accept::{self, Media},
    call::Call,
    problem::{Kind, Problem},
    query::{Parameter, flag},
    render, reply,
};
use crate::engine::Health;

const PARAMETERS: &[Parameter] = &[flag("verbose")];

/// 200 while the process answers at all.
pub async fn alive(call: &mut Call) -> Result<Response, Problem> {
    call.query(PARAMETERS)?.flag("verbose")?;
    Ok(page(call, "ok\n".into(), b"{\"status\":\"ok\"}"))
}

/// 200 while starts are taken and can be committed.
pub async fn ready(call: &mut Call) -> Result<Response, Problem> {
    let verbose = call.query(PARAMETERS)?.flag("verbose")?;
    let health = call.engine().health().await;
    if !health.store {
        return Err(Problem::new(Kind::StoreUnavailable, told("the store refuses commits", &health, verbose)));
    }
    if health.draining {
        return Err(Problem::new(Kind::Draining, told("the daemon is shutting down", &health, verbose)));
    }
    if !verbose {
        return Ok(page(call, "ready\n".into(), b"{\"status\":\"ready\"}"));
    }
    let mut json = b"{\"status\":\"ready\",\"checks\":".to_vec();
    render::value(&mut json, &health);
    json.push(b'}');
    Ok(page(call, format!("ready\n{}", lines(&health)), &json))
}

fn page(call: &Call, text: String, json: &[u8]) -> Response {
    let mut response = match accept::choose(call.headers(), &[Media::Text, Media::Json]) {
        Some(Media::Json) => reply::page(Media::Json, reply::json(|out| out.extend_from_slice(json))),
        _ => reply::page(Media::Text, text),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn told(reason: &'static str, health: &Health, verbose: bool) -> String {
    if !verbose {
        return reason.to_owned();
    }
    format!("{reason}: {}", lines(health).trim_end().replace('\n', ", "))
}

fn lines(health: &Health) -> String {
    let Health { store, draining, synchronous, backend } = health;
    let store = if *store { "ok" } else { "refuses commits" };
    let draining = if *draining { "yes" } else { "no" };
    let mut text = format!("store: {store} ({backend})\nsynchronous: {synchronous}\ndraining: {draining}\n");
    if !synchronous.eq_ignore_ascii_case("full") && !synchronous.eq_ignore_ascii_case("extra") {
        text.push_str(&format!(
            "warning: database.synchronous is {synchronous}: a power cut may lose acknowledged starts; set it to full\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_a_full_sync_is_warned_of() {
        let health = |synchronous: &str| Health {
            store: true,
            draining: false,
            synchronous: synchronous.into(),
            backend: "SQLite".into(),
        };
        assert!(!lines(&health("full")).contains("warning"));
        assert!(lines(&health("normal")).contains("warning"));
    }
}

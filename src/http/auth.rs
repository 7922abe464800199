//! Who asks, and whether he may.

use std::sync::Arc;

use ::http::{HeaderMap, header::AUTHORIZATION};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    App, dashboard,
    problem::{Kind, Problem},
    settings::Scope,
};
use crate::{
    domain::{InstanceKey, Status},
    engine::{AttemptIdentity, EngineError, IdempotencyKey, Writer},
    negative_control::NegativeControl,
};

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Anybody on this machine, while no tokens are configured; or a route that is open to all.
    Anyone,
    /// The holder of a configured token.
    Token {
        /// Its name.
        name: String,
        /// The widest of its scopes.
        scope: Option<Scope>,
    },
    /// The program of one attempt.
    Attempt(AttemptIdentity),
}

impl Principal {
    /// `key` in this principal's own space of keys.
    pub fn owns(&self, key: &str) -> IdempotencyKey {
        let principal = match self {
            Principal::Token { name, .. } => Arc::from(format!("token:{name}")),
            Principal::Anyone | Principal::Attempt(_) => Arc::from(""),
        };
        IdempotencyKey { principal, key: Arc::from(key) }
    }

    /// For whom it reports.
    pub fn writer(&self) -> Writer {
        match self {
            Principal::Attempt(identity) => Writer::Attempt(identity.attempt),
            Principal::Anyone | Principal::Token { .. } => Writer::Current,
        }
    }

    /// Whether a stop that it asks for is of its own instance, which then gets no signal before the deadline.
    pub fn stops_itself(&self) -> bool {
        matches!(self, Principal::Attempt(_))
    }
}

/// Finds out who asks: by `Authorization`, else by the cookie of the dashboard.
///
/// # Errors
/// 401 where tokens are configured and none, or an unknown one, came.
pub fn authenticate(app: &App, headers: &HeaderMap) -> Result<Principal, Problem> {
    match bearer(headers) {
        Some(token) => identify(app, Some(token)),
        None => identify(app, dashboard::token(headers).as_deref()),
    }
}

/// [`authenticate`] by the token alone, wherever it came from.
///
/// # Errors
/// As there.
pub fn identify(app: &App, bearer: Option<&str>) -> Result<Principal, Problem> {
    let tokens = &app.settings().tokens;
    if tokens.is_empty() {
        // An attempt is held to its own instance even where anybody else may do everything.
        let attempt = bearer.and_then(|token| app.engine().attempt_of_token(token));
        return Ok(attempt.map_or(Principal::Anyone, Principal::Attempt));
    }
    let Some(bearer) = bearer else {
        return Err(Problem::unauthorized("send a token: `Authorization: Bearer TOKEN`", "Bearer"));
    };
    let hash: [u8; 32] = Sha256::digest(bearer.as_bytes()).into();
    let mut known = None;
    // Every token is compared in full, so that the time tells nothing about any of them.
    for token in tokens {
        if bool::from(token.sha256.ct_eq(&hash)) {
            known = Some(token);
        }
    }
    if let Some(token) = known {
        return Ok(Principal::Token { name: token.name.clone(), scope: token.scopes.iter().copied().max() });
    }
    match app.engine().attempt_of_token(bearer) {
        Some(identity) => Ok(Principal::Attempt(identity)),
        None => Err(Problem::unauthorized(
            "the token is not known: use one that is configured under [[tokens]]",
            "Bearer error=\"invalid_token\"",
        )),
    }
}

/// The token that a request carries.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    bearer_in(headers.get(AUTHORIZATION)?.to_str().ok()?)
}

/// The token in the value of an `Authorization`.
pub fn bearer_in(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

/// Checks that `principal` may do what needs `scope`. `own` is the instance that the path names, on routes that the
/// attempt of that instance may use.
///
/// # Errors
/// 403, or 409 for an attempt that is over.
pub async fn authorize(app: &App, principal: &Principal, scope: Scope, own: Option<&str>) -> Result<(), Problem> {
    match principal {
        Principal::Anyone => Ok(()),
        Principal::Token { scope: Some(held), .. } if *held >= scope => Ok(()),
        Principal::Token { name, .. } => {
            Err(Problem::new(Kind::Forbidden, format!("the token `{name}` lacks the scope `{scope}` that this needs")))
        }
        Principal::Attempt(identity) => {
            let is_own = match own.map(str::parse) {
                Some(Ok(InstanceKey::Id(id))) => id == identity.instance,
                Some(Ok(key @ InstanceKey::Number(_))) => {
                    app.engine().instance(key).await.is_ok_and(|instance| instance.id == identity.instance)
                }
                Some(Err(_)) | None => false,
            };
            if is_own {
                return still_counts(app, *identity).await;
            }
            Err(Problem::new(
                Kind::Forbidden,
                "the token of an attempt may read, report and stop its own instance and nothing else",
            ))
        }
    }
}

/// Whether the attempt is the one that runs: a late token does nothing any more.
async fn still_counts(app: &App, identity: AttemptIdentity) -> Result<(), Problem> {
    let instance = app.engine().instance(InstanceKey::Id(identity.instance)).await?;
    let is_current = instance.attempt == identity.attempt || NegativeControl::FenceWithoutAttempt.is_on();
    if instance.status() == Status::Running && is_current {
        return Ok(());
    }
    Err(EngineError::AttemptOver.into())
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    #[test]
    fn the_scheme_is_read_in_any_case() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read("Bearer abc"), Some("abc".to_owned()));
        assert_eq!(read("bearer  abc "), Some("abc".to_owned()));
        for other in ["Basic abc", "Bearer", "Bearer ", "abc"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn keys_of_two_tokens_never_meet() {
        let of = |name: &str| Principal::Token { name: name.into(), scope: Some(Scope::Run) }.owns("k");
        assert_ne!(of("a"), of("b"));
        assert_ne!(of("a"), Principal::Anyone.owns("k"));
    }
}

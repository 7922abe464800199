//! One request, as the shared checks and its route's function see it, with what most of them ask for.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::http::{HeaderMap, HeaderName, HeaderValue, request::Parts};
use axum::body::{Body, HttpBody};
use percent_encoding::percent_decode_str;
use tokio::time::Instant;

use super::{
    App,
    accept::{self, Media},
    auth::Principal,
    preconditions,
    problem::Problem,
    query::{self, Query},
};
use crate::{
    domain::{Instance, InstanceKey},
    engine::{Engine, EngineError, IdempotencyKey},
};

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A body that may still be to be read.
pub struct Unread {
    /// Whether there is none at all.
    pub is_empty: bool,
    /// The least that it will be, in bytes: all of it where the head says so.
    pub at_least: u64,
    /// Only for `Sync`: nobody waits for it.
    body: Mutex<Option<Body>>,
}

impl Unread {
    /// A body that nobody has read from.
    pub fn new(body: Body) -> Self {
        Unread { is_empty: body.is_end_stream(), at_least: body.size_hint().lower(), body: Mutex::new(Some(body)) }
    }

    /// The body, to be read.
    pub fn take(&mut self) -> Option<Body> {
        self.body.get_mut().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What is left of it.
    pub fn put_back(&mut self, body: Body) {
        *self.body.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(body);
    }
}

/// A request. It is made as anyone's, before the checks that all requests share; its route's function sees it after them.
pub struct Call {
    /// What it can reach.
    pub app: App,
    /// Its head.
    pub parts: Parts,
    /// Its body.
    pub body: Unread,
    /// Who asks.
    pub principal: Principal,
    /// Its name in our log.
    pub request_id: HeaderValue,
    /// When its head was complete.
    pub begun: Instant,
}

impl Call {
    /// The engine.
    pub fn engine(&self) -> &Engine {
        self.app.engine()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Whether a proxy says that its client came over TLS. Anybody may say so: only what he gets himself may depend on it.
    pub fn came_by_tls(&self) -> bool {
        let scheme = self.headers().get(FORWARDED_PROTO);
        scheme.is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"))
    }

    /// The prefix of every link.
    pub fn base_path(&self) -> &str {
        &self.app.settings().base_path
    }

    /// The query, which may hold only `known` parameters.
    ///
    /// # Errors
    /// 400 naming the parameter that is unknown, unreadable or repeated.
    pub fn query(&self, known: &'static [query::Parameter]) -> Result<Query<'_>, Problem> {
        Query::parse(self.parts.uri.query(), known)
    }

    /// Segment `n` of the path, decoded; what is no UTF-8 is replaced, and then names nothing.
    pub fn segment(&self, n: usize) -> Cow<'_, str> {
        let segment = self.parts.uri.path().split('/').nth(n).unwrap_or_default();
        percent_decode_str(segment).decode_utf8_lossy()
    }

    /// What stands for `{id}` in `/v1/definitions/{id}` and `/v1/instances/{id}`.
    pub fn id(&self) -> Cow<'_, str> {
        self.segment(3)
    }

    /// The instance that the path names.
    ///
    /// # Errors
    /// 404 for a text that can name none.
    pub fn key(&self) -> Result<InstanceKey, Problem> {
        let id = self.id();
        id.parse().map_err(|_| Problem::unknown_instance(&id))
    }

    /// The form that the client prefers among `offers`.
    ///
    /// # Errors
    /// 406 if it excludes them all.
    pub fn accept(&self, offers: &[Media]) -> Result<Media, Problem> {
        accept::choose(self.headers(), offers).ok_or_else(|| Problem::not_acceptable(offers))
    }

    /// [`Call::accept`] for a route of one instance: an instance that is not there is told first.
    ///
    /// # Errors
    /// 404, else 406.
    pub async fn accept_for(&self, key: InstanceKey, offers: &[Media]) -> Result<Media, Problem> {
        match self.accept(offers) {
            Ok(media) => Ok(media),
            Err(problem) => Err(self.unless_missing(key, problem).await),
        }
    }

    /// The problem that counts for an instance: that it is not there comes before what is wrong with the request.
    pub async fn unless_missing(&self, key: InstanceKey, problem: Problem) -> Problem {
        match self.engine().instance(key).await {
            Ok(_) => problem,
            Err(missing) => missing.into(),
        }
    }

    /// The instance once it is done, or as it is after `wait` or when the server goes away.
    pub async fn settled(&self, key: InstanceKey, wait: Duration) -> Result<Arc<Instance>, Problem> {
        if wait.is_zero() {
            return Ok(self.engine().instance(key).await?);
        }
        tokio::select! {
            settled = self.engine().wait_done(key, wait) => Ok(settled?),
            () = self.app.closing() => Ok(self.engine().instance(key).await?),
        }
    }

    /// Whether the instance is at the version that the client pins, if it pins one.
    ///
    /// # Errors
    /// 412 where it is at another, 404.
    pub async fn check_pinned(&self, key: InstanceKey, pinned: Option<u64>) -> Result<(), Problem> {
        if let Some(pinned) = pinned {
            let version = self.engine().instance(key).await?.version;
            if version != pinned {
                return Err(EngineError::VersionMismatch { version }.into());
            }
        }
        Ok(())
    }

    /// The key under which this request may be repeated, in the space of keys of who asks.
    ///
    /// # Errors
    /// As for [`preconditions::idempotency_key`].
    pub fn idempotency_key(&self) -> Result<Option<IdempotencyKey>, Problem> {
        preconditions::idempotency_key(self.headers(), &self.principal)
    }
}

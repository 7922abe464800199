//! Who asks, what he may, and how a refusal reads to the clients.

use async_graphql::{Context, Error, ErrorExtensions, Result};
use tokio::sync::{OnceCell, OwnedSemaphorePermit};

use crate::{
    domain::InstanceKey,
    engine::{Engine, Writer},
    http::{
        App, Scope,
        auth::{self, Principal},
        call::Call,
        problem::{Kind, Problem},
    },
};

/// The `code` of what is wrong with an operation as such.
pub const INVALID: &str = "invalid-request";

/// Who asks, and what he reaches.
pub struct Caller {
    app: App,
    principal: Principal,
    request_id: String,
    /// Held until the operation is carried out: all of it has one turn, so that no two wait for each other.
    turn: OnceCell<Option<OwnedSemaphorePermit>>,
}

impl Caller {
    /// Who makes a request.
    pub fn of_call(call: &Call) -> Self {
        Caller::new(call, call.principal.clone())
    }

    /// Somebody who makes a request, and who is known otherwise than by its head.
    pub fn new(call: &Call, principal: Principal) -> Self {
        let request_id = call.request_id.to_str().unwrap_or_default().to_owned();
        Caller { app: call.app.clone(), principal, request_id, turn: OnceCell::new() }
    }

    /// The same, for what goes on when the operation has been answered.
    pub fn lasting(&self) -> Self {
        let (app, principal, request_id) = (self.app.clone(), self.principal.clone(), self.request_id.clone());
        Caller { app, principal, request_id, turn: OnceCell::new() }
    }

    /// The same connection, of somebody else.
    pub fn known_as(self, principal: Principal) -> Self {
        Caller { principal, ..self }
    }

    /// Who makes the request that is carried out.
    pub fn of<'a>(context: &Context<'a>) -> &'a Caller {
        context.data_unchecked()
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        self.app.engine()
    }

    /// Waits until this request may read a list of whole instances.
    pub async fn list_turn(&self) {
        self.turn.get_or_init(|| self.app.list_turn()).await;
    }

    /// The most bytes of inputs that a request may hold.
    pub fn body_limit(&self) -> usize {
        self.app.settings().body.bytes()
    }

    /// For whom it reports.
    pub fn writer(&self) -> Writer {
        self.principal.writer()
    }

    /// Whether a stop is of its own instance.
    pub fn stops_itself(&self) -> bool {
        self.principal.stops_itself()
    }

    /// Checks that the caller has `scope`.
    ///
    /// # Errors
    /// "access denied".
    pub async fn may(&self, scope: Scope) -> Result<()> {
        self.authorized(scope, None).await
    }

    /// Checks that the caller has `scope`, or is the attempt of this instance.
    ///
    /// # Errors
    /// "access denied", or that the attempt is over.
    pub async fn may_with(&self, scope: Scope, instance: &str) -> Result<()> {
        self.authorized(scope, Some(instance)).await
    }

    async fn authorized(&self, scope: Scope, own: Option<&str>) -> Result<()> {
        auth::authorize(&self.app, &self.principal, scope, own).await.map_err(|problem| self.refuse(problem))
    }

    /// The instance that an id names.
    ///
    /// # Errors
    /// "task instance not found" for a text that can name none.
    pub fn key(&self, id: &str) -> Result<InstanceKey> {
        id.parse().map_err(|_| self.refuse(Problem::unknown_instance(id)))
    }

    /// "app not found".
    pub fn unknown_app(&self, slug: &str) -> Error {
        let slug: String = slug.chars().take(128).collect();
        Error::new(format!("app not found: no task has the app_id `{slug}`, and every task has one"))
            .extend_with(|_, extensions| extensions.set("code", "app-not-found"))
    }

    /// A problem as GraphQL answers it. Its first words are those that the clients look for.
    pub fn refuse(&self, problem: impl Into<Problem>) -> Error {
        let problem = problem.into();
        if let Some(cause) = problem.cause() {
            tracing::error!(request_id = self.request_id, path = "/query", cause, "request failed");
        }
        let kind = problem.kind();
        let detail = problem.line();
        let message = match kind {
            Kind::TaskDefinitionNotFound => format!("task not found: {detail}"),
            Kind::TaskInstanceNotFound => format!("task instance not found: {detail}"),
            Kind::Forbidden => format!("access denied: {detail}"),
            _ => detail,
        };
        let request_id = self.request_id.as_str();
        Error::new(message).extend_with(|_, extensions| {
            extensions.set("code", kind.slug());
            extensions.set("request_id", request_id);
        })
    }
}

/// A refusal of what stands in the arguments.
pub fn invalid(message: impl Into<String>) -> Error {
    Error::new(message).extend_with(|_, extensions| extensions.set("code", INVALID))
}

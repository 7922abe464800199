//! Every route, in one table.

use ::http::{Method, Uri};
use axum::{
    Router,
    extract::{Request, State},
    routing::any,
};
use futures_util::future::BoxFuture;
use tower::ServiceExt;

#[cfg(feature = "docs-ui")]
use super::docs_ui;
use super::{
    App, Response,
    accept::{self, Media},
    attempts, batch,
    call::Call,
    dashboard, definitions,
    dispatch::dispatch,
    feed, graphql, health, instance_events, instances, list, logs, metrics, openapi,
    problem::Problem,
    problem_kinds, report, retry, root,
    settings::Scope::{Admin, Read, Run},
    start, stats, stop, stop_many, system, values,
};

/// A path and what can be done there.
pub struct Route {
    /// The path, with `{id}` or `{name}` for a segment.
    pub path: &'static str,
    /// Its methods.
    pub operations: &'static [Operation],
}

/// One method of one path.
pub struct Operation {
    /// The method. HEAD comes with GET.
    pub method: Method,
    /// Who may.
    pub access: Access,
    /// Whether the answer may be asked to take its time.
    pub waits: bool,
    /// What answers it.
    pub run: Answer,
}

/// Who may use an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, under whatever name the server was asked.
    Health,
    /// Everybody.
    Open,
    /// A token with this scope.
    Scope(super::settings::Scope),
    /// A token with this scope, or the attempt of the instance that the path names.
    Instance(super::settings::Scope),
    /// A token with this scope, or any attempt: what is asked for says what it needs beyond that.
    Fields(super::settings::Scope),
    /// Everybody, who then has to say in the first message of the connection who he is.
    Introduced,
    /// Everybody: it is for browsers and no part of the contract.
    Page,
}

type Answer = for<'a> fn(&'a mut Call) -> BoxFuture<'a, Result<Response, Problem>>;

macro_rules! op {
    ($method:ident, $access:expr, $handler:path) => {
        Operation { method: Method::$method, access: $access, waits: false, run: |call| Box::pin($handler(call)) }
    };
    ($method:ident, $access:expr, $handler:path, waits) => {
        Operation { method: Method::$method, access: $access, waits: true, run: |call| Box::pin($handler(call)) }
    };
}

use Access::{Fields, Health, Instance, Introduced, Open, Page, Scope};

static ROUTES: &[Route] = &[
    Route { path: "/v1/definitions", operations: &[op!(GET, Scope(Read), definitions::list)] },
    Route {
        path: "/v1/definitions/{id}",
        operations: &[
            op!(GET, Scope(Read), definitions::show),
            op!(PUT, Scope(Admin), definitions::register),
            op!(DELETE, Scope(Admin), definitions::remove),
        ],
    },
    Route {
        path: "/v1/definitions/{id}/instances",
        operations: &[op!(POST, Scope(Run), start::with_bare_inputs, waits)],
    },
    Route {
        path: "/v1/instances",
        operations: &[op!(GET, Scope(Read), list::list), op!(POST, Scope(Run), start::with_task_id, waits)],
    },
    Route { path: "/v1/instances/batch", operations: &[op!(POST, Scope(Run), batch::start)] },
    Route { path: "/v1/instances/stop", operations: &[op!(POST, Scope(Run), stop_many::stop)] },
    Route {
        path: "/v1/instances/{id}",
        operations: &[op!(GET, Instance(Read), instances::show, waits), op!(DELETE, Instance(Run), stop::stop, waits)],
    },
    Route {
        path: "/v1/instances/{id}/status",
        operations: &[op!(GET, Instance(Read), values::status), op!(PUT, Instance(Run), report::status)],
    },
    Route {
        path: "/v1/instances/{id}/progress",
        operations: &[op!(GET, Instance(Read), values::progress), op!(PUT, Instance(Run), report::progress)],
    },
    Route {
        path: "/v1/instances/{id}/output",
        operations: &[op!(GET, Instance(Read), values::output), op!(PUT, Instance(Run), report::output)],
    },
    Route { path: "/v1/instances/{id}/result", operations: &[op!(GET, Instance(Read), values::result, waits)] },
    Route {
        path: "/v1/instances/{id}/logs",
        operations: &[op!(GET, Instance(Read), logs::read, waits), op!(POST, Instance(Run), report::logs)],
    },
    Route { path: "/v1/instances/{id}/attempts", operations: &[op!(GET, Instance(Read), attempts::list)] },
    Route { path: "/v1/instances/{id}/events", operations: &[op!(GET, Instance(Read), instance_events::follow)] },
    Route { path: "/v1/instances/{id}/retry", operations: &[op!(POST, Scope(Run), retry::retry, waits)] },
    Route { path: "/v1/events", operations: &[op!(GET, Scope(Read), feed::follow)] },
    Route { path: "/v1/stats", operations: &[op!(GET, Scope(Read), stats::show)] },
    Route {
        path: "/query",
        operations: &[op!(GET, Introduced, graphql::open), op!(POST, Fields(Read), graphql::query)],
    },
    Route { path: "/v1/system", operations: &[op!(GET, Scope(Read), system::show)] },
    Route { path: "/livez", operations: &[op!(GET, Health, health::alive)] },
    Route { path: "/readyz", operations: &[op!(GET, Health, health::ready)] },
    Route { path: "/metrics", operations: &[op!(GET, Scope(Read), metrics::show)] },
    Route { path: "/openapi.yaml", operations: &[op!(GET, Open, openapi::yaml)] },
    Route { path: "/openapi.json", operations: &[op!(GET, Open, openapi::json)] },
    Route { path: "/problems/{name}", operations: &[op!(GET, Open, problem_kinds::show)] },
    Route { path: "/", operations: &[op!(GET, Open, root::show)] },
    Route { path: "/instances", operations: &[op!(GET, Page, dashboard::page)] },
    Route { path: "/instances/{id}", operations: &[op!(GET, Page, dashboard::page)] },
    Route { path: "/instances/{id}/logs", operations: &[op!(GET, Page, dashboard::page)] },
    Route { path: "/tasks", operations: &[op!(GET, Page, dashboard::page)] },
    Route { path: "/tasks/{id}", operations: &[op!(GET, Page, dashboard::page)] },
    Route { path: "/tasks/{id}/start", operations: &[op!(GET, Page, dashboard::page)] },
    Route { path: "/system", operations: &[op!(GET, Page, dashboard::page)] },
    Route {
        path: "/login",
        operations: &[
            op!(GET, Page, dashboard::page),
            op!(POST, Page, dashboard::log_in),
            op!(DELETE, Page, dashboard::log_out),
        ],
    },
    Route { path: "/assets/{bundle}/{*file}", operations: &[op!(GET, Page, dashboard::asset)] },
    #[cfg(feature = "docs-ui")]
    Route { path: "/docs", operations: &[op!(GET, Page, docs_ui::page)] },
    #[cfg(feature = "docs-ui")]
    Route { path: "/docs/{file}", operations: &[op!(GET, Page, docs_ui::file)] },
];

impl Route {
    /// The operation for a method.
    pub fn operation(&self, method: &Method) -> Option<&Operation> {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        self.operations.iter().find(|operation| operation.method == *method)
    }

    /// Whether it tells of the server's health, and so answers under any name.
    pub fn is_health(&self) -> bool {
        self.operations.iter().any(|operation| operation.access == Access::Health)
    }

    /// The value of `Allow`.
    pub fn allow(&self) -> String {
        let mut methods: Vec<&str> = Vec::new();
        for operation in self.operations {
            methods.push(operation.method.as_str());
            if operation.method == Method::GET {
                methods.push("HEAD");
            }
        }
        methods.join(", ")
    }
}

/// Every path with its methods that is part of the contract, as `openapi.yaml` must list them.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static Method)> {
    let operations = ROUTES.iter().flat_map(|route| route.operations.iter().map(move |operation| (route, operation)));
    let of_contract = operations.filter(|(_, operation)| operation.access != Page);
    of_contract.map(|(route, operation)| (route.path, &operation.method))
}

/// The routes of `app` for another server, which strips the path under which it serves them.
pub fn mounted<S>(app: App) -> Router<S> {
    table().with_state(app)
}

fn table() -> Router<App> {
    let mut table =
        Router::new().fallback(async |State(app): State<App>, request: Request| dispatch(app, None, request).await);
    for route in ROUTES {
        let answer = async move |State(app): State<App>, request: Request| dispatch(app, Some(route), request).await;
        table = table.route(route.path, any(answer));
    }
    table
}

/// The whole HTTP interface of `app`: at the root and, where a base path is configured, below that too, since a proxy
/// may strip it or not.
pub fn router(app: App) -> Router {
    let base_path = app.settings().base_path.clone();
    if base_path.is_empty() {
        return table().with_state(app);
    }
    let table = table().with_state(app.clone());
    // Not nested: the prefix may be that of a page, such as `/tasks`.
    Router::new().fallback(async move |mut request: Request| {
        match below(&base_path, request.uri()) {
            Below::Route(target) => *request.uri_mut() = target,
            // What a proxy that strips the prefix asks for may look the same, in a browser.
            Below::Nothing if !wants_page(&request) => return dispatch(app, None, request).await,
            Below::Nothing | Below::Elsewhere => {}
        }
        let Ok(response) = table.oneshot(request).await;
        response
    })
}

fn wants_page(request: &Request) -> bool {
    accept::choose(request.headers(), &[Media::Text, Media::Html]) == Some(Media::Html)
}

/// What stands below a base path.
#[derive(Debug, PartialEq, Eq)]
enum Below {
    /// This, of ours.
    Route(Uri),
    /// Nothing that we have.
    Nothing,
    /// The request is of no path below it.
    Elsewhere,
}

/// What `uri` asks for below `base_path`.
fn below(base_path: &str, uri: &Uri) -> Below {
    let path = match uri.path().strip_prefix(base_path) {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => return Below::Elsewhere,
    };
    if !ROUTES.iter().any(|route| fits(route.path, path)) {
        return Below::Nothing;
    }
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    format!("{path}{query}").parse().map_or(Below::Nothing, Below::Route)
}

/// Whether the path of a route covers `path`.
fn fits(template: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for part in template.split('/') {
        if part.starts_with("{*") {
            return segments.next().is_some_and(|segment| !segment.is_empty());
        }
        match segments.next() {
            Some(segment) if part == segment => {}
            Some(segment) if part.starts_with('{') && !segment.is_empty() => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_comes_with_get() {
        let route = ROUTES.iter().find(|route| route.path == "/v1/instances/{id}").expect("a route");
        assert_eq!(route.allow(), "GET, HEAD, DELETE");
        assert!(route.operation(&Method::HEAD).is_some());
        assert!(route.operation(&Method::POST).is_none());
    }

    #[test]
    fn what_stands_below_the_base_path_is_found_there() {
        let of = |base: &str, target: &'static str| match below(base, &Uri::from_static(target)) {
            Below::Route(uri) => uri.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(of("/tasks", "/tasks"), "/");
        assert_eq!(of("/tasks", "/tasks/"), "/");
        assert_eq!(of("/tasks", "/tasks/tasks/sleep?from=1"), "/tasks/sleep?from=1");
        assert_eq!(of("/tasks", "/tasks/v1/instances/1"), "/v1/instances/1");
        assert_eq!(of("/tasks", "/tasks/login"), "/login");
        assert_eq!(of("/tasks", "/tasks/assets/x/core/api.js"), "/assets/x/core/api.js");
        for own in ["/tasks/sleep", "/tasks/sleep/start"] {
            assert_eq!(of("/tasks", own), "Nothing", "{own}");
        }
        for other in ["/v1/instances", "/tasksv1/instances", "/"] {
            assert_eq!(of("/tasks", other), "Elsewhere", "{other}");
        }
    }

    #[test]
    fn only_health_and_what_holds_no_data_is_open() {
        let open: Vec<_> = ROUTES
            .iter()
            .filter(|route| route.operations.iter().any(|op| matches!(op.access, Access::Health | Access::Open)))
            .map(|route| route.path)
            .collect();
        assert_eq!(open, ["/livez", "/readyz", "/openapi.yaml", "/openapi.json", "/problems/{name}", "/"]);
    }
}

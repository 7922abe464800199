//! Every route of the router's table with every kind of bearer: who may not is told so, and changes nothing.

use reqwest::Method;
use serde_json::Value;

use super::{api::Api, assert_well, token, wire};
use crate::support::{server::TestServer, wait_for};

const IDLE: &str =
    "[[tasks]]\nname = \"idle\"\ncommand = [\"sh\", \"-c\", \"echo token=$TASKWRIGHT_TOKEN; exec sleep 600\"]\n";

fn config() -> String {
    ["read", "run", "admin"].map(|scope| token(scope, scope)).concat() + "[definitions]\nremote = true\n" + IDLE
}

/// What a request needs, by the contract and not by the router's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    Nothing,
    Read,
    Run,
    Admin,
}

fn needs(method: &Method, path: &str) -> Needs {
    let reads = *method == Method::GET || *method == Method::HEAD;
    match path {
        "/" | "/livez" | "/readyz" | "/openapi.yaml" | "/openapi.json" | "/problems/{name}" => Needs::Nothing,
        "/v1/definitions/{id}" if !reads => Needs::Admin,
        _ if reads => Needs::Read,
        _ => Needs::Run,
    }
}

/// Whether an attempt's token may do it to its own instance.
fn is_of_an_attempt(path: &str) -> bool {
    path == "/query" || (path.starts_with("/v1/instances/{id}") && !path.ends_with("/retry"))
}

/// Every method of every route, HEAD too.
fn operations() -> impl Iterator<Item = (&'static str, Method)> {
    taskwright::http::routes().flat_map(|(path, method)| {
        let head = (*method == Method::GET).then_some((path, Method::HEAD));
        [(path, method.clone())].into_iter().chain(head)
    })
}

/// Those that say with their request what they want. What a WebSocket asks for is in its messages: its test is
/// tests/it/numerous/socket.rs.
fn whole() -> impl Iterator<Item = (&'static str, Method)> {
    operations().filter(|(path, method)| *path != "/query" || *method == Method::POST)
}

/// A body that would change something if it were let in; this instance, where it names one.
fn body(path: &str, instance: &str) -> Option<String> {
    let text = match path {
        "/v1/definitions/{id}" => r#"{"command":["true"]}"#,
        "/v1/definitions/{id}/instances" => r#"{"seconds":0}"#,
        "/v1/instances" => r#"{"task_id":"sleep","inputs":{"seconds":0}}"#,
        "/v1/instances/batch" => r#"{"instances":[{"task_id":"sleep","inputs":{"seconds":0}}]}"#,
        "/v1/instances/stop" => r#"{"all":true,"force":true}"#,
        "/v1/instances/{id}/status" => r#"{"status":"completed"}"#,
        "/v1/instances/{id}/progress" => r#"{"progress":0.9,"message":"changed"}"#,
        "/v1/instances/{id}/output" => r#"{"changed":true}"#,
        "/v1/instances/{id}/logs" => r#"{"lines":[{"text":"changed"}]}"#,
        "/v1/instances/{id}/retry" => "{}",
        "/query" => QUERY,
        _ => return None,
    };
    Some(text.replace("{id}", instance))
}

/// One field that writes. What others need: tests/it/numerous/query.rs.
const QUERY: &str = concat!(
    r#"{"query":"mutation($id: ID!) { taskInstanceUpdateProgress(taskInstanceID: $id, value: 90, "#,
    r#"message: \"changed\") { id } }","variables":{"id":"{id}"}}"#
);

/// The path of the operation on this instance; of definitions, one that may be started, made or removed.
fn fill(method: &Method, path: &str, instance: &str) -> String {
    let definition = if path.ends_with("/instances") { "sleep" } else { "spare" };
    let id = if path.starts_with("/v1/definitions") { definition } else { instance };
    let filled = path.replace("{id}", id).replace("{name}", "internal");
    if *method == Method::DELETE && path.starts_with("/v1/instances") { filled + "?force" } else { filled }
}

/// Status and problem of a refusal; of what is let in the status only, since it may be a stream that never ends.
async fn ask(
    server: &TestServer,
    method: &Method,
    path: &str,
    body: Option<String>,
    bearer: Option<&str>,
) -> (u16, String) {
    let mut request = server.client().request(method.clone(), server.url(path));
    if let Some(bearer) = bearer {
        request = request.header("authorization", bearer);
    }
    if let Some(body) = body.filter(|_| method != Method::GET && method != Method::HEAD && method != Method::DELETE) {
        request = request.header("content-type", "application/json").body(body);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    if status == 200 && path == "/query" {
        return refused_field(&answer.json().await.expect("JSON"));
    }
    if status < 400 {
        return (status, String::new());
    }
    let is_problem = answer.headers().get("content-type").is_some_and(|kind| kind == "application/problem+json");
    assert!(is_problem, "{method} {path}: {status} without a problem");
    let text = answer.text().await.expect("a body");
    // An answer to HEAD has none.
    let problem = serde_json::from_str::<Value>(&text).ok();
    let kind = problem.as_ref().and_then(|problem| problem["type"].as_str()?.strip_prefix("/problems/"));
    (status, kind.unwrap_or_default().to_owned())
}

/// What a route would have said that refuses what GraphQL answers with 200.
fn refused_field(answer: &Value) -> (u16, String) {
    match answer["errors"][0]["extensions"]["code"].as_str() {
        None => (200, String::new()),
        Some(code) => (if code == "forbidden" { 403 } else { 409 }, code.to_owned()),
    }
}

/// Asks every operation that needs more than `level` with this Authorization, and lists those that were not refused as
/// they must be: 401 where nobody is known, else 403.
async fn matrix(server: &TestServer, bearer: Option<&str>, level: Needs, instance: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (path, method) in operations() {
        let needed = needs(&method, path);
        if needed <= level {
            continue;
        }
        let expected = if level == Needs::Nothing { (401, "unauthorized") } else { (403, "forbidden") };
        let (status, problem) =
            ask(server, &method, &fill(&method, path, instance), body(path, instance), bearer).await;
        if status != expected.0 || (method != Method::HEAD && problem != expected.1) {
            found.push(format!("{method} {path} with {bearer:?}: {status} {problem}"));
        }
    }
    found
}

/// Everything that a client could have changed.
async fn state(api: &Api) -> String {
    let mut state = String::new();
    for path in
        ["/v1/instances?limit=500", "/v1/definitions", "/v1/instances/1", "/v1/instances/1/logs", "/v1/instances/2"]
    {
        let answer = api.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        state += &answer.text;
    }
    state
}

/// A daemon with a registered definition and two running instances, numbers 1 and 2, which tell their tokens.
async fn scene(config: &str, token: Option<&str>) -> Api {
    let mut api = Api::with_config(config).await;
    api.token = token.map(str::to_owned);
    if token.is_some() {
        let made = api.put("/v1/definitions/spare", r#"{"command":["true"]}"#).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    for number in 1..=2 {
        assert_eq!(api.post("/v1/definitions/idle/instances", "{}").await.status, 201);
        attempt_token(&api, number).await;
    }
    api
}

/// The token of an instance's attempt, from its log.
async fn attempt_token(api: &Api, number: u32) -> String {
    wait_for("the token in the log", async || {
        let log = api.text(&format!("/v1/instances/{number}/logs")).await.text;
        log.lines().find_map(|line| line.strip_prefix("token=").map(str::to_owned))
    })
    .await
}

#[tokio::test]
async fn hostile_no_route_lets_in_whom_it_must_not() {
    let mut api = Api::with_config(&(config() + &token("leaver", "admin"))).await;
    api.token = Some("tw_leaver".to_owned());
    assert_eq!(api.put("/v1/definitions/spare", r#"{"command":["true"]}"#).await.status, 201, "not yet revoked");
    // Revoked: taken out of the configuration, and restarted.
    std::fs::write(api.server.config(), config()).expect("the configuration can be written");
    api.server.restart().await;
    api.token = Some("tw_admin".to_owned());
    let live = api.post("/v1/definitions/idle/instances", "{}").await.json()["id"].as_str().unwrap().to_owned();
    api.post("/v1/definitions/idle/instances", "{}").await;
    let attempt = attempt_token(&api, 1).await;
    let before = state(&api).await;
    let mut found = Vec::new();
    let forged: Vec<String> = [
        attempt[..attempt.len() - 1].to_owned(),
        format!("{attempt}A"),
        format!("{attempt}="),
        attempt.to_uppercase(),
        with_byte_changed(&attempt, attempt.len() / 2),
        with_byte_changed(&attempt, attempt.len() - 1),
        with_byte_changed(&attempt, 8),
    ]
    .map(|token| format!("Bearer {token}"))
    .to_vec();
    let hash = super::hex(&<sha2::Sha256 as sha2::Digest>::digest("tw_admin"));
    let stolen = format!("Bearer {hash}");
    let nobody = [
        "Bearer tw_leaver",
        "Bearer wrong",
        "Bearer ",
        "Bearer",
        "Bearer tw_admi",
        "Bearer tw_admin_",
        "Bearer TW_ADMIN",
        "Bearer tw_admin,tw_read",
        "Basic dHdfYWRtaW46",
        "Basic tw_admin",
        "tw_admin",
        stolen.as_str(),
    ];
    found.extend(matrix(&api.server, None, Needs::Nothing, &live).await);
    for bearer in nobody.into_iter().chain(forged.iter().map(String::as_str)) {
        found.extend(matrix(&api.server, Some(bearer), Needs::Nothing, &live).await);
    }
    for (bearer, level) in [("Bearer tw_read", Needs::Read), ("Bearer tw_run", Needs::Run)] {
        found.extend(matrix(&api.server, Some(bearer), level, &live).await);
    }
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(state(&api).await, before, "a refused request has changed something");
    assert_well(&api.server).await;
}

fn with_byte_changed(token: &str, at: usize) -> String {
    let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}

#[tokio::test]
async fn hostile_a_token_counts_only_in_its_header() {
    let api = scene(&config(), Some("tw_admin")).await;
    let before = state(&api).await;
    let ask = |target: &str, header: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{header}Connection: close\r\n\r\n")
    };
    let requests = [
        ask("/v1/instances?access_token=tw_admin", ""),
        ask("/v1/instances?token=tw_admin", ""),
        ask("/v1/instances", "Cookie: token=tw_admin; Authorization=Bearer tw_admin\r\n"),
        ask("/v1/instances", "X-Authorization: Bearer tw_admin\r\n"),
        ask("/v1/instances", "Proxy-Authorization: Bearer tw_admin\r\n"),
        ask("/v1/instances", "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n"),
        ask("/v1/instances", "X-Original-URL: /livez\r\nX-Rewrite-URL: /livez\r\n"),
        ask("/v1/instances", "X-HTTP-Method-Override: OPTIONS\r\n"),
        ask("/v1/instances", "Authorization: Bearer wrong\r\nAuthorization: Bearer tw_admin\r\n"),
        ask("http://tw_admin@localhost/v1/instances", ""),
        // Other spellings of a path that needs a token.
        ask("/V1/instances", ""),
        ask("//v1/instances", ""),
        ask("/v1//instances", ""),
        ask("/v1/instances/", ""),
        ask("/v1/./instances", ""),
        ask("/livez/../v1/instances", ""),
        ask("/livez/..%2fv1/instances", ""),
        ask("/%2e%2e/v1/instances", ""),
        ask("/v1%2Finstances", ""),
        ask("/v1/%69nstances", ""),
        ask("/v1/instances;a=b", ""),
        ask("/v1/instances%3f", ""),
        ask("/v1/instances%23", ""),
        ask("/v1\\instances", ""),
        ask("/problems/../v1/instances", ""),
        ask("/problems/%2e%2e%2fv1%2finstances", ""),
    ];
    for request in &requests {
        let seen = wire::exchange(api.server.address(), request.as_bytes(), wire::PATIENCE).await;
        let statuses = wire::statuses(&seen.bytes);
        assert!(matches!(statuses[..], [400 | 401 | 404]), "{request}: {statuses:?}\n{}", seen.text());
        assert!(!seen.text().contains("\"instances\""), "{request}: {}", seen.text());
    }
    assert_eq!(state(&api).await, before);
    let good = ask("/v1/instances", "Authorization: Bearer tw_admin\r\n");
    let seen = wire::exchange(api.server.address(), good.as_bytes(), wire::PATIENCE).await;
    assert!(seen.text().contains("\"instances\""), "negative control: what is let in is noticed");
}

/// Asks everything but what the attempt of `own` may do, and lists what was let in. `others` are further instances.
async fn reach_of_an_attempt(server: &TestServer, bearer: &str, own: &str, others: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = async |method: &Method, path: &str, instance: &str| {
        let (status, problem) =
            ask(server, method, &fill(method, path, instance), body(path, instance), Some(bearer)).await;
        if status != 403 || (*method != Method::HEAD && problem != "forbidden") {
            found.push(format!("{method} {path} of {instance}: {status} {problem}"));
        }
    };
    for (path, method) in whole() {
        if needs(&method, path) == Needs::Nothing {
            continue;
        }
        if !is_of_an_attempt(path) {
            check(&method, path, own).await;
        } else {
            for other in others {
                check(&method, path, other).await;
            }
        }
    }
    found
}

#[tokio::test]
async fn hostile_an_attempt_reaches_nothing_but_its_own_instance() {
    for with_tokens in [true, false] {
        let (config, admin) = if with_tokens { (config(), Some("tw_admin")) } else { (IDLE.to_owned(), None) };
        let mut api = scene(&config, admin).await;
        let own = api.get("/v1/instances/1").await.json()["id"].as_str().unwrap().to_owned();
        let other = api.get("/v1/instances/2").await.json()["id"].as_str().unwrap().to_owned();
        let bearer = format!("Bearer {}", attempt_token(&api, 1).await);
        let upper = other.to_uppercase();
        let others = [
            other.as_str(),
            "2",
            upper.as_str(),
            "3",
            "0",
            "00000000-0000-0000-0000-000000000000",
            "no-id",
            "01",
            "%32",
        ];
        let before = state(&api).await;
        let found = reach_of_an_attempt(&api.server, &bearer, &own, &others).await;
        assert!(found.is_empty(), "{found:#?}");
        assert_eq!(state(&api).await, before, "a refused request has changed something");

        // What is its own it may do, else the matrix above proves nothing.
        for (path, method) in whole() {
            let is_done_last = method == Method::DELETE || (path.ends_with("/status") && method == Method::PUT);
            if is_of_an_attempt(path) && !is_done_last {
                let (status, problem) =
                    ask(&api.server, &method, &fill(&method, path, &own), body(path, &own), Some(&bearer)).await;
                assert!(matches!(status, 200 | 202), "{method} {path}: {status} {problem}");
            }
        }
        let stopped =
            ask(&api.server, &Method::DELETE, &format!("/v1/instances/{own}?force&wait"), None, Some(&bearer)).await;
        assert!(matches!(stopped.0, 200 | 202), "{stopped:?}");
        api.token = admin.map(str::to_owned);
        wait_for("its end", async || (api.get("/v1/instances/1").await.json()["status"] == "cancelled").then_some(()))
            .await;

        // Late, it may nothing at all: not even read.
        for (path, method) in whole().filter(|(path, _)| is_of_an_attempt(path)) {
            let (status, _) =
                ask(&api.server, &method, &fill(&method, path, &own), body(path, &own), Some(&bearer)).await;
            assert_eq!(status, 409, "{method} {path}");
        }
        assert_well(&api.server).await;
    }
}

/// Negative control: a daemon without tokens lets everybody in, and the matrix must say so for each operation.
#[tokio::test]
async fn hostile_control_an_open_daemon_fails_the_matrix() {
    let api = scene(IDLE, None).await;
    let guarded = operations().filter(|(path, method)| needs(method, path) > Needs::Nothing).count();
    let found = matrix(&api.server, None, Needs::Nothing, "1").await;
    assert_eq!(found.len(), guarded, "{found:#?}");
}

/// Negative control: a token that may is noticed as let in, for each operation, and what it did is seen.
#[tokio::test]
async fn hostile_control_a_good_token_fails_the_matrix() {
    let api = scene(&config(), Some("tw_admin")).await;
    let before = state(&api).await;
    let guarded = operations().filter(|(path, method)| needs(method, path) > Needs::Nothing).count();
    let found = matrix(&api.server, Some("Bearer tw_admin"), Needs::Nothing, "1").await;
    assert_eq!(found.len(), guarded, "{found:#?}");
    assert_ne!(state(&api).await, before);

    let api = scene(&config(), Some("tw_admin")).await;
    let guarded = whole().filter(|(path, method)| needs(method, path) > Needs::Nothing).count();
    let found = reach_of_an_attempt(&api.server, "Bearer tw_admin", "1", &["2"]).await;
    assert_eq!(found.len(), guarded, "{found:#?}");
}

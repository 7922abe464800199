//! Whom a request believes to talk to, and which page sent it: DNS rebinding and foreign pages.

use super::{api::Api, assert_well, wire};

/// Names that resolve, or look as if they resolved, to this machine, and are not ours.
const FOREIGN: [&str; 24] = [
    "evil.test",
    "evil.test:80",
    "EVIL.TEST",
    "localhost.evil.test",
    "evil.test.localhost",
    "localhost.",
    "localhostx",
    "127.0.0.1.evil.test",
    "127.0.0.1.nip.io",
    "127.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "127.0.0.01",
    "0.0.0.0",
    "0",
    "[::]",
    "[::ffff:8.8.8.8]",
    "[fe80::1]",
    "169.254.169.254",
    "192.168.0.1",
    "ip6-localhost",
    "xn--localhost-9ib",
];

/// Hosts that are none.
const MALFORMED: [&str; 14] = [
    "localhost evil.test",
    "localhost,evil.test",
    "localhost/evil.test",
    "localhost@evil.test",
    "evil.test@localhost",
    "localhost#evil.test",
    "localhost?evil.test",
    "localhost:80:80",
    "localhost:",
    "localhost:65536",
    "localhost:-1",
    "[::1",
    "[::1]evil.test",
    "\u{ff4c}ocalhost",
];

fn is_health(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz")
}

/// The operations that answer under this name as if it were ours.
async fn reachable_as(api: &Api, host: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (path, method) in taskwright::http::routes().filter(|(path, _)| !is_health(path)) {
        let path = path.replace("{id}", "1").replace("{name}", "internal");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: localhost\r\nForwarded: host=localhost\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        );
        let seen = wire::exchange(api.server.address(), request.as_bytes(), wire::PATIENCE).await;
        let statuses = wire::statuses(&seen.bytes);
        if statuses != [421] || !seen.text().contains("/problems/misdirected-request") {
            found.push(format!("{method} {path} as {host}: {statuses:?}"));
        }
    }
    found
}

async fn state(api: &Api) -> String {
    api.get("/v1/instances").await.text + &api.get("/v1/definitions").await.text
}

#[tokio::test]
async fn hostile_a_foreign_name_reaches_no_route() {
    let api = Api::start().await;
    api.sleep(600.0).await;
    let before = state(&api).await;
    for host in FOREIGN {
        let found = reachable_as(&api, host).await;
        assert!(found.is_empty(), "{found:#?}");
    }
    for host in MALFORMED {
        let request = format!("GET /v1/instances HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let seen = wire::exchange(api.server.address(), request.as_bytes(), wire::PATIENCE).await;
        assert_eq!(wire::statuses(&seen.bytes), [400], "{host}");
    }
    // In absolute form either name may be the foreign one, also on a path that does not exist.
    for (target, host) in [
        ("http://evil.test/v1/instances", "localhost"),
        ("http://localhost/v1/instances", "evil.test"),
        ("http://localhost@evil.test/v1/instances", "localhost"),
        ("https://evil.test/nowhere", "localhost"),
        ("/nowhere", "evil.test"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let seen = wire::exchange(api.server.address(), request.as_bytes(), wire::PATIENCE).await;
        assert!(matches!(wire::statuses(&seen.bytes)[..], [400 | 421]), "{target} at {host}: {}", seen.text());
    }
    // Health tells no data, and is asked under whatever name a probe has; it is asked nothing else.
    for path in ["/livez", "/readyz"] {
        let answer = api.send("GET", path, &[("host", "evil.test")], None).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text.len() < 100, "{}", answer.text);
    }
    assert_eq!(state(&api).await, before);
    api.delete("/v1/instances/1?force&wait").await;
    assert_well(&api.server).await;
}

/// Negative control: where the name is configured every route answers, and the check says so for each.
#[tokio::test]
async fn hostile_control_a_name_that_is_let_in_is_noticed() {
    let api = Api::with_config("[server]\nhosts = [\"evil.test\"]\n").await;
    let all = taskwright::http::routes().filter(|(path, _)| !is_health(path)).count();
    let found = reachable_as(&api, "evil.test").await;
    assert_eq!(found.len(), all, "{found:#?}");
}

/// The operations that a page of this origin may use to change something.
async fn changed_from(api: &Api, header: (&str, &str)) -> Vec<String> {
    let mut found = Vec::new();
    for (path, method) in taskwright::http::routes().filter(|(_, method)| *method != "GET") {
        let path = path.replace("{id}", "1").replace("{name}", "internal");
        for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
            let answer =
                api.send(method.as_str(), &path, &[header, ("content-type", kind)], Some("{\"all\":true}")).await;
            if answer.status != 403 || answer.problem() != "foreign-origin" {
                found.push(format!("{method} {path} with {header:?} as {kind}: {}", answer.status));
            }
        }
    }
    found
}

#[tokio::test]
async fn hostile_a_foreign_page_changes_nothing_on_any_route() {
    let api = Api::start().await;
    api.sleep(600.0).await;
    let before = state(&api).await;
    let port = api.server.address().rsplit(':').next().unwrap().to_owned();
    let near = [
        format!("http://localhost:{port}@evil.test"),
        format!("http://localhost.evil.test:{port}"),
        format!("http://127.0.0.1:{port}.evil.test"),
        format!("ftp://127.0.0.1:{port}"),
        format!("127.0.0.1:{port}"),
        "http://127.0.0.1:1".to_owned(),
        format!("http://127.0.0.1:{port}/ http://evil.test"),
    ];
    let origins = ["http://evil.test", "https://evil.test", "null", "file://", "about:blank"];
    for origin in origins.into_iter().chain(near.iter().map(String::as_str)) {
        let found = changed_from(&api, ("origin", origin)).await;
        assert!(found.is_empty(), "{found:#?}");
    }
    let found = changed_from(&api, ("sec-fetch-site", "cross-site")).await;
    assert!(found.is_empty(), "{found:#?}");
    // What a page may send without asking first is no JSON, whatever it says to be.
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json, text/plain",
    ] {
        let answer = api.send("POST", "/v1/instances/stop", &[("content-type", kind)], Some("{\"all\":true}")).await;
        assert_eq!(answer.status, 415, "{kind}");
    }
    // And it is told of no permission.
    let asked = [("origin", "http://evil.test"), ("access-control-request-method", "POST")];
    let preflight = api.send("OPTIONS", "/v1/instances", &asked, None).await;
    let read = api.send("GET", "/v1/instances", &[("origin", "http://evil.test")], None).await;
    for answer in [preflight, read] {
        assert!(
            answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")),
            "{:?}",
            answer.headers
        );
    }
    assert_eq!(state(&api).await, before);
    api.delete("/v1/instances/1?force&wait").await;
    assert_well(&api.server).await;
}

/// Negative control: a page of our own may, and the check says so for each operation.
#[tokio::test]
async fn hostile_control_a_page_that_is_let_in_is_noticed() {
    let api = Api::start().await;
    let own = api.server.url("");
    let writes = taskwright::http::routes().filter(|(_, method)| *method != "GET").count();
    assert_eq!(changed_from(&api, ("origin", &own)).await.len(), 4 * writes);
}

//! What the server gives a browser: the document of each page, its files, the cookie that keeps a token, the facts of the
//! system. What the pages do is tested in a real browser: `tests/browser`.

use reqwest::{Method, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{contract::Api, support::server::TestServer};

const PAGES: [&str; 9] = [
    "/",
    "/instances",
    "/instances/7",
    "/instances/7/logs",
    "/tasks",
    "/tasks/a%20b",
    "/tasks/sleep/start",
    "/system",
    "/login",
];

fn token(name: &str, text: &str) -> String {
    let hash: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[tokens]]\nname = \"{name}\"\nsha256 = \"{hash}\"\nscopes = [\"{name}\"]\n")
}

/// Asks for HTML, as a browser does.
async fn browse(server: &TestServer, path: &str) -> reqwest::Response {
    browse_in(server, path, "identity").await
}

async fn browse_in(server: &TestServer, path: &str, coding: &str) -> reqwest::Response {
    let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let request = server.client().get(server.url(path)).header("accept", accept).header("accept-encoding", coding);
    request.send().await.unwrap()
}

fn header(answer: &reqwest::Response, name: &str) -> String {
    answer.headers().get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
}

/// What stands in quotes after each `attribute`.
fn quoted(text: &str, attribute: &str) -> Vec<String> {
    text.split(&format!("{attribute}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_page_is_one_document_that_runs_only_our_own_files() {
    let server = TestServer::start().await;
    let first = browse(&server, "/").await.text().await.unwrap();
    for page in PAGES {
        let answer = browse(&server, page).await;
        assert_eq!(answer.status(), StatusCode::OK, "{page}");
        assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8", "{page}");
        let policy = header(&answer, "content-security-policy");
        for rule in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for"] {
            assert!(policy.contains(rule), "{page}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.text().await.unwrap(), first, "{page}");
    }
    let mut linked = [quoted(&first, "href"), quoted(&first, "src")].concat();
    linked.retain(|link| link != "/");
    assert!(linked.len() > 5, "{first}");
    for file in linked {
        assert!(file.starts_with("/assets/"), "{file}");
        let answer = browse_in(&server, &file, "gzip, br").await;
        assert_eq!(answer.status(), StatusCode::OK, "{file}");
        assert_eq!(header(&answer, "content-encoding"), "gzip", "{file}");
        assert_eq!(header(&answer, "cache-control"), "public, max-age=31536000, immutable", "{file}");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{file}");
    }
    let compressed = browse_in(&server, "/", "gzip").await;
    assert_eq!(header(&compressed, "content-encoding"), "gzip");
    let vary: Vec<_> = compressed.headers().get_all("vary").iter().collect();
    assert_eq!(vary, ["Accept", "Accept-Encoding"]);
    assert!(compressed.bytes().await.unwrap().len() < first.len() / 2);
    let script = quoted(&first, "src").remove(0);
    let plain = server.client().get(server.url(&script)).send().await.unwrap();
    assert_eq!(header(&plain, "content-encoding"), "");
    assert_eq!(header(&plain, "content-type"), "text/javascript; charset=utf-8");
    for missing in ["/assets/x/none.js", "/assets/x/vendor/VENDORED", "/assets/x/../../mod.rs", "/assets/x"] {
        assert_eq!(browse(&server, missing).await.status(), StatusCode::NOT_FOUND, "{missing}");
    }
}

#[tokio::test]
async fn a_head_tells_the_length_of_what_a_get_would_send() {
    let server = TestServer::start().await;
    for path in ["/login", "/v1/definitions", "/openapi.json"] {
        let whole = server.client().get(server.url(path)).send().await.unwrap();
        let head = server.client().request(Method::HEAD, server.url(path)).send().await.unwrap();
        assert_eq!(header(&head, "content-length"), header(&whole, "content-length"), "{path}");
        assert!(head.text().await.unwrap().is_empty());
    }
    // A stream has none to tell.
    let head = server.client().request(Method::HEAD, server.url("/v1/events")).send().await.unwrap();
    assert_eq!(header(&head, "content-length"), "");
}

#[tokio::test]
async fn links_carry_the_prefix_of_a_proxy() {
    // The second is the name of a page too.
    for base in ["/work", "/tasks"] {
        let server = TestServer::with_config(&format!("[server]\nbase_path = \"{base}\"\n")).await;
        for path in ["/login", &format!("{base}/login"), &format!("{base}/"), base, "/tasks/sleep"] {
            let page = browse(&server, path).await.text().await.unwrap();
            assert!(page.contains(&format!("data-base=\"{base}\"")), "{path}: {page}");
            let script = quoted(&page, "src").remove(0);
            assert!(script.starts_with(&format!("{base}/assets/")), "{script}");
            assert_eq!(browse(&server, &script).await.status(), StatusCode::OK);
        }
        for path in ["/v1/definitions/sleep", "/v1/stats", "/openapi.json"] {
            let answer = server.client().get(server.url(&format!("{base}{path}"))).send().await.unwrap();
            assert_eq!(
                (answer.status(), header(&answer, "content-type").as_str()),
                (StatusCode::OK, "application/json"),
                "{path}"
            );
        }
        let missing = server.client().get(server.url(&format!("{base}/none/none"))).send().await.unwrap();
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_token_is_kept_in_a_cookie_that_no_script_sees() {
    // One may be any text.
    let config = [token("read", "tw_read"), token("run", "odd; token=1")].concat();
    let api = Api::with_config(&config).await;
    let log_in = async |token: &str| api.post("/login", &json!({ "token": token }).to_string()).await;

    let refused = log_in("tw_wrong").await;
    assert_eq!((refused.status, refused.problem().as_str(), refused.header("set-cookie")), (401, "unauthorized", ""));
    assert_eq!(api.post("/login", "{\"toke\":1}").await.status, 422);
    assert_eq!(api.post("/login", "{").await.status, 400);
    let foreign = api.send("POST", "/login", &[("origin", "http://evil.test")], Some("{\"token\":\"tw_read\"}")).await;
    assert_eq!((foreign.status, foreign.problem().as_str()), (403, "foreign-origin"));

    let cookie_of = |set: &str| {
        for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(set.split("; ").any(|given| given == part), "{set}");
        }
        set.split(';').next().unwrap().to_owned()
    };
    let accepted = log_in("tw_read").await;
    assert_eq!(accepted.status, 204);
    let read = cookie_of(accepted.header("set-cookie"));
    let run = cookie_of(log_in("odd; token=1").await.header("set-cookie"));

    let with = async |method: &str, path: &str, cookie: &str, more: &[(&str, &str)], body: Option<&str>| {
        let headers = [&[("cookie", cookie)], more].concat();
        api.send(method, path, &headers, body).await
    };
    let you = with("GET", "/v1/system", &read, &[], None).await.json()["you"].clone();
    assert_eq!(you, json!({"name": "read", "scopes": ["read"]}));
    let start = "/v1/definitions/sleep/instances";
    assert_eq!(with("POST", start, &read, &[], Some("{\"seconds\":0}")).await.status, 403);
    assert_eq!(with("POST", start, &run, &[], Some("{\"seconds\":0}")).await.status, 201);
    // A cookie comes by itself, so a page of another port on this host must not use it.
    let foreign = with("POST", start, &run, &[("origin", "http://127.0.0.1:1")], Some("{\"seconds\":0}")).await;
    assert_eq!(foreign.problem(), "foreign-origin");
    // A token that is said is the one that counts.
    let said = [("authorization", "Bearer tw_wrong")];
    assert_eq!(with("GET", "/v1/instances", &run, &said, None).await.status, 401);
    assert_eq!(with("GET", "/v1/instances", "taskwright_token=tw_wrong", &[], None).await.status, 401);

    let over = with("DELETE", "/login", &run, &[], None).await;
    assert_eq!(over.status, 204);
    assert!(over.header("set-cookie").contains("Max-Age=0"), "{}", over.header("set-cookie"));
    let https = api.send("POST", "/login", &[("x-forwarded-proto", "https")], Some("{\"token\":\"tw_read\"}")).await;
    assert!(https.header("set-cookie").ends_with("; Secure"), "{}", https.header("set-cookie"));
}

#[tokio::test]
async fn the_system_tells_what_it_is_and_hides_secrets() {
    let config = format!(
        "[worker]\nlocal_slots = 7\n[[tasks]]\nname = \"t\"\ncommand = [\"true\"]\nenv = {{ KEY = \"planted\" }}\n{}",
        token("admin", "tw_admin")
    );
    let mut api = Api::with_config(&config).await;
    assert_eq!(api.get("/v1/system").await.status, 401);
    api.token = Some("tw_admin".to_owned());
    let answer = api.get("/v1/system").await;
    let system = answer.json();
    assert_eq!(system["slots"]["local"], json!({"used": 0, "total": 7}));
    assert_eq!(system["you"], json!({"name": "admin", "scopes": ["read", "run", "admin"]}));
    assert_eq!(system["health"], json!({"ready": true, "draining": false}));
    assert!(system["store"]["bytes"].as_u64().unwrap() > 0 && system["store"]["disk_free"].as_u64().unwrap() > 0);
    let settings = system["settings"].as_array().unwrap();
    let of = |key: &str| settings.iter().find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("{key}"));
    assert_eq!(of("worker.local_slots")["value"], "7");
    assert!(of("worker.local_slots")["origin"].as_str().unwrap().ends_with(".toml"));
    assert_eq!(of("limits.output")["origin"], "default");
    assert!(!answer.text.contains("planted") && !answer.text.contains(&token("admin", "tw_admin")[25..60]));
}

#[cfg(feature = "docs-ui")]
#[tokio::test]
async fn the_contract_can_be_browsed_without_a_network() {
    let server = TestServer::start().await;
    let page = browse(&server, "/docs").await;
    let policy = header(&page, "content-security-policy");
    assert!(policy.contains("script-src 'self';"), "{policy}");
    let text = page.text().await.unwrap();
    assert!(!text.contains("http:") && !text.contains("https:"), "{text}");
    for file in [quoted(&text, "href"), quoted(&text, "src")].concat() {
        assert_eq!(browse(&server, &file).await.status(), StatusCode::OK, "{file}");
    }
    let start = browse(&server, "/docs/start.js").await.text().await.unwrap();
    assert!(start.contains("/openapi.json") && start.contains("validatorUrl: null"));
    assert_eq!(browse(&server, "/docs/none.js").await.status(), StatusCode::NOT_FOUND);
}

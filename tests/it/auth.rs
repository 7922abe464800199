//! Who may do what: tokens, scopes, the token of an attempt, Host and Origin.

use sha2::{Digest, Sha256};

use crate::{
    contract::Api,
    support::{server::TestServer, wait_for},
};

fn tokens() -> String {
    ["read", "run", "admin"].map(token).concat()
}

fn token(scope: &str) -> String {
    let hash: String = Sha256::digest(format!("tw_{scope}")).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[tokens]]\nname = \"{scope}\"\nsha256 = \"{hash}\"\nscopes = [\"{scope}\"]\n")
}

#[tokio::test]
async fn every_route_needs_its_scope() {
    let mut api = Api::with_config(&tokens()).await;
    let fills = |path: &str| match path {
        // One that is refused for its parameter ends.
        "/v1/events" => "/v1/events?after=".to_owned(),
        _ => path.replace("{id}", "1").replace("{name}", "internal"),
    };
    for (path, method) in taskwright::http::routes() {
        let path = fills(path);
        let is_open = !path.starts_with("/v1/") && path != "/metrics" && path != "/query";
        let reads = method == "GET";
        // Each of its fields says for itself what it needs beyond reading.
        let only_reads = reads || path == "/query";
        let body = (!reads && method != "DELETE").then_some("{}");
        for (token, level) in
            [(None, 0), (Some("wrong"), 0), (Some("tw_read"), 1), (Some("tw_run"), 2), (Some("tw_admin"), 3)]
        {
            api.token = token.map(str::to_owned);
            let answer = api.send(method.as_str(), &path, &[], body).await;
            // What an administrator may do is off here.
            let defines = path == "/v1/definitions/1" && !reads;
            let expected = match (is_open, level, only_reads) {
                (true, _, _) => None,
                (_, 0, _) => Some(401),
                (_, 1, false) => Some(403),
                _ if defines => Some(403),
                _ => None,
            };
            match expected {
                Some(status) => assert_eq!(answer.status, status, "{method} {path} with {token:?}"),
                None => assert!(!matches!(answer.status, 401 | 403), "{method} {path} with {token:?}: {}", answer.text),
            }
            if defines {
                let problem = ["unauthorized", "forbidden", "forbidden", "remote-definitions-off"][level];
                assert_eq!(answer.problem(), problem, "{method} {path} with {token:?}");
            }
            if answer.status == 401 {
                assert!(answer.header("www-authenticate").starts_with("Bearer"), "{method} {path}");
                assert_eq!(answer.problem(), "unauthorized");
            }
        }
    }
}

#[tokio::test]
async fn keys_are_scoped_by_token() {
    let config =
        tokens() + &token("run").replace("\"run\"\nsha", "\"other\"\nsha").replace(&hex("tw_run"), &hex("tw_other"));
    let mut api = Api::with_config(&config).await;
    let mut ids = Vec::new();
    for token in ["tw_run", "tw_other", "tw_run"] {
        api.token = Some(token.into());
        let key = [("idempotency-key", "k")];
        let answer = api.send("POST", "/v1/definitions/sleep/instances", &key, Some(r#"{"seconds":0}"#)).await;
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text);
        ids.push(answer.json()["id"].clone());
    }
    assert_eq!(ids[0], ids[2]);
    assert_ne!(ids[0], ids[1]);
}

fn hex(token: &str) -> String {
    Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
}

const TELLS_ITS_TOKEN: &str =
    "[[tasks]]\nname = \"idle\"\ncommand = [\"sh\", \"-c\", \"echo token=$TASKWRIGHT_TOKEN; exec sleep 600\"]\n";

/// The token of the running attempt of a task that logs it.
async fn attempt_token(api: &Api, path: &str) -> String {
    wait_for("the token in the log", async || {
        let log = api.text(&format!("{path}/logs")).await.text;
        log.lines().find_map(|line| line.strip_prefix("token=").map(str::to_owned))
    })
    .await
}

#[tokio::test]
async fn an_attempt_may_only_what_is_its_own() {
    for config in [TELLS_ITS_TOKEN.to_owned(), tokens() + TELLS_ITS_TOKEN] {
        let with_tokens = config.contains("[[tokens]]");
        let mut api = Api::with_config(&config).await;
        let admin = with_tokens.then(|| "tw_admin".to_owned());
        api.token.clone_from(&admin);
        let started = api.post("/v1/definitions/idle/instances", "{}").await;
        let path = started.header("location").to_owned();
        let other = api.post("/v1/definitions/idle/instances", "{}").await.header("location").to_owned();
        let token = attempt_token(&api, &path).await;
        api.token = Some(token.clone());
        let by_number = format!("/v1/instances/{}", started.json()["number"]);
        for own in [&path, &by_number] {
            assert_eq!(api.get(own).await.status, 200);
            assert_eq!(api.get(&format!("{own}/status")).await.status, 200);
            assert_eq!(api.put(&format!("{own}/progress"), r#"{"progress":0.5}"#).await.status, 200);
            assert_eq!(api.post(&format!("{own}/logs"), r#"{"lines":[]}"#).await.status, 200);
        }
        for (method, foreign) in [
            ("GET", other.as_str()),
            ("GET", "/v1/instances/999"),
            ("GET", "/v1/instances"),
            ("GET", "/v1/definitions"),
            ("GET", "/v1/events"),
            ("GET", "/metrics"),
            ("DELETE", other.as_str()),
        ] {
            let answer = api.send(method, foreign, &[], None).await;
            assert_eq!((answer.status, answer.problem().as_str()), (403, "forbidden"), "{method} {foreign}");
        }
        for foreign in ["/v1/definitions/sleep/instances".to_owned(), format!("{path}/retry")] {
            assert_eq!(api.post(&foreign, "{}").await.status, 403, "{foreign}");
        }
        assert_eq!(api.put(&format!("{other}/progress"), r#"{"progress":0.5}"#).await.status, 403);
        assert_eq!(api.get("/readyz").await.status, 200);

        api.token.clone_from(&admin);
        api.delete(&format!("{path}?force&wait")).await;
        api.token = Some(token);
        let late = api.put(&format!("{path}/progress"), r#"{"progress":0.6}"#).await;
        assert_eq!((late.status, late.problem().as_str()), (409, "attempt-over"));
        assert_eq!(late.json()["should_stop"], true);
        assert_eq!(api.delete(&path).await.status, 409);
    }
}

#[tokio::test]
async fn without_tokens_other_bearers_are_ignored() {
    let mut api = Api::start().await;
    api.token = Some("whatever".into());
    assert_eq!(api.get("/v1/instances").await.status, 200);
}

#[tokio::test]
async fn a_foreign_host_is_misdirected_on_every_route() {
    let api = Api::start().await;
    for (path, method) in taskwright::http::routes() {
        let path = path.replace("{id}", "1").replace("{name}", "internal");
        let answer = api.send(method.as_str(), &path, &[("host", "evil.test")], None).await;
        if matches!(path.as_str(), "/livez" | "/readyz") {
            assert_eq!(answer.status, 200, "{method} {path}");
        } else {
            assert_eq!((answer.status, answer.problem().as_str()), (421, "misdirected-request"), "{method} {path}");
        }
    }
    for host in ["localhost", "localhost:1", "127.0.0.9", "[::1]:99"] {
        assert_eq!(api.send("GET", "/v1/instances", &[("host", host)], None).await.status, 200, "{host}");
    }
    let named = Api::with_config("[server]\nhosts = [\"tasks.example\"]\n").await;
    assert_eq!(named.send("GET", "/v1/instances", &[("host", "tasks.example")], None).await.status, 200);
}

#[tokio::test]
async fn a_foreign_page_changes_nothing() {
    let api = Api::start().await;
    for header in [("origin", "http://evil.test"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let answer = api.send("POST", "/v1/definitions/sleep/instances", &[header], Some(r#"{"seconds":0}"#)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (403, "foreign-origin"), "{header:?}");
        assert_eq!(api.send("GET", "/v1/instances", &[header], None).await.status, 200);
    }
    let own = api.server.url("");
    let same = api.send("POST", "/v1/definitions/sleep/instances", &[("origin", &own)], Some(r#"{"seconds":0}"#)).await;
    assert_eq!(same.status, 201, "{}", same.text);
}

#[tokio::test]
async fn secrets_stay_out_of_the_log() {
    let mut server = TestServer::with_config(&tokens()).await;
    let api = Api { server, token: Some("tw_canary_1234".into()) };
    api.get("/v1/instances").await;
    server = api.server;
    server.stop().await;
    assert!(!server.stderr().contains("canary"), "{}", server.stderr());
}

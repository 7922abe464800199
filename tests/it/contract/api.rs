//! A daemon that is talked to in HTTP, and what it may answer.

use std::sync::LazyLock;

use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};

use crate::support::server::TestServer;

/// A daemon that is talked to in HTTP; every answer must be one that `openapi.yaml` documents.
pub struct Api {
    pub server: TestServer,
    pub token: Option<String>,
}

/// One answer.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The last segment of a problem's type.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert_eq!(problem["request_id"], self.header("x-request-id"));
        if self.status == 503 {
            assert_ne!(self.header("retry-after"), "");
        }
        problem["type"].as_str().unwrap().trim_start_matches("/problems/").to_owned()
    }

    /// Where the problem says that something is wrong.
    pub fn places(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        let place =
            |error: &Value| error.get("pointer").or(error.get("parameter")).unwrap().as_str().unwrap().to_owned();
        errors.iter().map(place).collect()
    }
}

impl Api {
    pub async fn start() -> Self {
        Api { server: TestServer::start().await, token: None }
    }

    pub async fn with_config(config: &str) -> Self {
        Api { server: TestServer::with_config(config).await, token: None }
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let method: Method = method.parse().unwrap();
        let mut request = self.server.client().request(method.clone(), self.server.url(path));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.body(body.to_owned());
            if headers.iter().all(|(name, _)| *name != "content-type") {
                request = request.header("content-type", "application/json");
            }
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        assert_documented(&method, path, status);
        assert_ne!(headers.get("x-request-id"), None, "{method} {path}");
        Answer { status, headers, text: answer.text().await.unwrap() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).await
    }

    pub async fn text(&self, path: &str) -> Answer {
        self.send("GET", path, &[("accept", "text/plain")], None).await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[], Some(body)).await
    }

    pub async fn put(&self, path: &str, body: &str) -> Answer {
        self.send("PUT", path, &[], Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], None).await
    }

    /// Starts a `sleep` and answers its id.
    pub async fn sleep(&self, seconds: f64) -> String {
        let body = json!({"task_id": "sleep", "inputs": {"seconds": seconds}}).to_string();
        let answer = self.post("/v1/instances", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()["id"].as_str().unwrap().to_owned()
    }
}

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(&taskwright::http::openapi::document_json()).unwrap());

/// Asserts that the contract documents this status, for paths and methods that it has.
fn assert_documented(method: &Method, path: &str, status: u16) {
    let path = path.split('?').next().unwrap();
    if path == "/login" {
        // The dashboard's own.
        return;
    }
    let fits = |template: &str| {
        let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        template.len() == path.len()
            && template.iter().zip(&path).all(|(t, p)| t == p || (t.starts_with('{') && !p.is_empty()))
    };
    let paths = DOCUMENT["paths"].as_object().unwrap();
    // The most literal template is the one that answers.
    let Some(template) =
        paths.keys().filter(|template| fits(template)).min_by_key(|template| template.matches('{').count())
    else {
        return assert!(
            matches!(status, 400 | 403 | 404 | 414 | 421),
            "{method} {path} is documented nowhere: {status}"
        );
    };
    let method = if *method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
    match paths[template].get(&method) {
        Some(operation) => {
            let documented = operation["responses"].get(status.to_string()).is_some();
            assert!(documented, "{method} {template} answers {status}, which is not documented");
        }
        None => assert!(matches!(status, 400 | 403 | 405 | 414 | 421), "{method} {template}: {status}"),
    }
}

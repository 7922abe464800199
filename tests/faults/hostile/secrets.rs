//! Secrets, planted wherever a client or an operator may put one: they turn up where they belong and nowhere else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reqwest::Client;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{api::Api, assert_well, hex};
use crate::support::{server::run, wait_for};

/// What was told, by where it was told.
type Told = BTreeMap<&'static str, String>;

/// A text that stands nowhere else.
fn canary(name: &str) -> String {
    format!("canary-{name}-4f1c9a7e")
}

/// Each secret, and where it may be told: to whoever sent it, or to whoever reads the instance that it is of.
const CANARIES: [(&str, &[&str]); 25] = [
    // Who calls.
    ("token", &[]),
    ("read-token", &[]),
    ("wrong-token", &[]),
    ("basic", &[]),
    ("cookie", &[]),
    ("proxy-authorization", &[]),
    ("api-key", &[]),
    ("query-token", &[]),
    ("forwarded", &[]),
    // What was sent.
    ("handler-input", &["instance"]),
    ("command-input", &["instance"]),
    ("batch-input", &[]),
    ("refused-input", &["own refusal"]),
    ("unreadable-body", &[]),
    ("text-body", &[]),
    ("key", &[]),
    ("bad-key", &[]),
    ("definition-env", &[]),
    // What the operator wrote.
    ("task-env", &[]),
    ("daemon-env", &[]),
    ("token-name", &["own refusal", "configuration"]),
    // What a task said, to whoever reads that instance.
    ("task-log", &["instance"]),
    ("task-output", &["instance"]),
    ("task-message", &["instance", "list", "events", "start page"]),
    ("task-label", &["instance", "list", "events", "start page"]),
];

/// The secrets that were told where they must not be.
fn leaks(told: &Told, secrets: &[(String, &[&str])]) -> Vec<String> {
    let mut found = Vec::new();
    for (secret, allowed) in secrets {
        for (place, text) in told {
            if text.contains(secret.as_str()) && !allowed.contains(place) {
                let at = text.find(secret.as_str()).expect("it is there");
                let from = text.floor_char_boundary(at.saturating_sub(100));
                found.push(format!("{secret} in {place}: …{}…", &text[from..at + secret.len()]));
            }
        }
    }
    found
}

fn config() -> String {
    let token = |name: &str, text: &str, scope: &str| {
        let hash = hex(&Sha256::digest(text));
        format!("[[tokens]]\nname = \"{name}\"\nsha256 = \"{hash}\"\nscopes = [\"{scope}\"]\n")
    };
    // Every line that any part of the daemon could write.
    "[log]\nlevel = \"trace\"\n[definitions]\nremote = true\n".to_owned()
        + &token("admin", &canary("token"), "admin")
        + &token(&canary("token-name"), &canary("read-token"), "read")
        + "[[tasks]]\nname = \"talks\"\ncommand = [\"sh\", \"talks.sh\"]\n"
        + &format!("env = {{ SECRET = \"{}\" }}\n", canary("task-env"))
        + "[[tasks]]\nname = \"waits\"\ncommand = [\"sh\", \"-c\", \"env; exec sleep 600\"]\n"
}

/// The command lines of all processes, for as long as it is there.
struct CommandLines {
    seen: Arc<Mutex<BTreeSet<String>>>,
    over: Arc<AtomicBool>,
}

impl CommandLines {
    fn watch() -> Self {
        let lines = CommandLines { seen: Arc::default(), over: Arc::default() };
        let (seen, over) = (Arc::clone(&lines.seen), Arc::clone(&lines.over));
        // This program's own holds no secret either.
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let processes = fs::read_dir("/proc").expect("/proc is there").filter_map(Result::ok);
                let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
                seen.lock().unwrap().extend(lines.map(|line| String::from_utf8_lossy(&line).into_owned()));
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        lines
    }

    fn text(&self) -> String {
        self.seen.lock().unwrap().iter().cloned().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for CommandLines {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// What a stream tells from now on.
fn follow(api: &Api, path: &str) -> Arc<Mutex<String>> {
    let told = Arc::new(Mutex::new(String::new()));
    let request = api.server.client().get(api.server.url(path)).header("accept", "application/x-ndjson");
    let request = request.bearer_auth(api.token.clone().unwrap_or_default());
    let hears = Arc::clone(&told);
    tokio::spawn(async move {
        let mut answer = request.send().await.expect("a stream");
        while let Ok(Some(bytes)) = answer.chunk().await {
            hears.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes));
        }
    });
    told
}

/// What everybody with a token can read.
async fn read_everything(api: &Api, told: &mut Told) {
    for (place, path) in [
        ("metrics", "/metrics"),
        ("definitions", "/v1/definitions"),
        ("list", "/v1/instances?limit=500"),
        ("statistics", "/v1/stats"),
        ("start page", "/"),
        ("health", "/readyz?verbose"),
        ("document", "/openapi.json"),
    ] {
        let answer = api.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        told.insert(place, answer.text);
    }
    told.insert("log", api.server.stderr());
    let output = run(&["config", "show", "--origin", "--config", api.server.config().to_str().unwrap()]);
    told.insert("configuration", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned());
}

/// Requests that are refused for how their caller says who it is; what they were told.
async fn knock(client: &Client, url: &str) -> String {
    use base64::Engine as _;
    let basic =
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("user:{}", canary("basic"))));
    let mut told = String::new();
    for (name, value) in [
        ("authorization", format!("Bearer {}", canary("wrong-token"))),
        ("authorization", basic),
        ("authorization", format!("Basic {}", canary("basic"))),
        ("authorization", canary("wrong-token")),
        ("cookie", format!("session={}", canary("cookie"))),
        ("proxy-authorization", format!("Bearer {}", canary("proxy-authorization"))),
        ("x-api-key", canary("api-key")),
        ("x-forwarded-user", canary("forwarded")),
    ] {
        let answer = client.get(format!("{url}/v1/instances")).header(name, value).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        told += &format!("{:?}", answer.headers());
        told += &answer.text().await.unwrap();
    }
    told
}

#[tokio::test]
async fn hostile_secrets_stay_where_they_belong() {
    let lines = CommandLines::watch();
    let variable = canary("daemon-env");
    let server = crate::support::server::TestServer::with(&config(), &[("SECRET_OF_THE_DAEMON", &variable)]).await;
    let mut api = Api { server, token: Some(canary("token")) };
    fs::write(api.server.folder().join("talks.sh"), format!("echo {}\nexec sleep 600\n", canary("task-log"))).unwrap();
    let events = follow(&api, "/v1/events");
    let mut told = Told::new();
    let mut refusals = knock(api.server.client(), &api.server.url("")).await;

    // Two instances with secrets, and one that may know none of them.
    let start = json!({"task_id": "talks", "inputs": {"password": canary("command-input")}, "labels": {"a": canary("task-label")}});
    let key = canary("key");
    let started = api.send("POST", "/v1/instances", &[("idempotency-key", &key)], Some(&start.to_string())).await;
    assert_eq!(started.status, 201, "{}", started.text);
    let talks = started.header("location").to_owned();
    let other = api.post("/v1/definitions/waits/instances", "{}").await.header("location").to_owned();
    let other_events = follow(&api, &format!("{other}/events"));
    wait_for("its line", async || api.text(&format!("{talks}/logs")).await.text.contains("canary").then_some(())).await;
    let message = json!({"progress": 0.5, "message": canary("task-message")}).to_string();
    assert_eq!(api.put(&format!("{talks}/progress"), &message).await.status, 200);
    let output = json!({"said": canary("task-output")}).to_string();
    assert_eq!(api.put(&format!("{talks}/output"), &output).await.status, 200);
    let handler = json!({"path": canary("handler-input")}).to_string();
    let checksum = api.post("/v1/definitions/checksum/instances?wait", &handler).await;
    assert_eq!(checksum.json()["status"], "failed");
    let batch = json!({"instances": [{"task_id": "waits", "inputs": {"a": canary("batch-input")}, "run_at": "2100-01-01T00:00:00Z"}]});
    assert_eq!(api.post("/v1/instances/batch", &batch.to_string()).await.status, 201);

    // What is refused, by those who sent nothing secret of their own but their names, and by others.
    for answer in [
        api.get(&format!("/v1/instances?token={}", canary("query-token"))).await,
        api.post("/v1/instances", &format!("{{\"a\":{}", canary("unreadable-body"))).await,
        api.send("POST", "/v1/instances", &[("content-type", "text/plain")], Some(&canary("text-body"))).await,
        api.send("POST", "/v1/instances", &[("idempotency-key", &format!("{} x", canary("bad-key")))], Some("{}"))
            .await,
        api.send("POST", "/v1/instances", &[("idempotency-key", &key)], Some(r#"{"task_id":"waits"}"#)).await,
        api.put(
            "/v1/definitions/new",
            &json!({"command": ["true"], "env": {"A": canary("definition-env")}}).to_string(),
        )
        .await,
        api.post(&format!("{talks}/retry"), "{}").await,
    ] {
        assert!((400..500).contains(&answer.status), "{}", answer.text);
        refusals += &answer.text;
    }
    let mut own = api
        .post("/v1/definitions/sleep/instances", &json!({"seconds": canary("refused-input")}).to_string())
        .await
        .text;
    api.token = Some(canary("read-token"));
    own += &api.post("/v1/definitions/sleep/instances", "{}").await.text;
    api.token = Some(canary("token"));

    told.insert("refusals", refusals);
    told.insert("own refusal", own);
    told.insert("instance", [&talks, &checksum.header("location").to_owned()].map(|path| path.clone()).join(" "));
    let mut instance = String::new();
    for path in [talks.clone(), format!("{talks}/logs"), checksum.header("location").to_owned()] {
        instance += &api.get(&path).await.text;
    }
    told.insert("instance", instance);
    told.insert("another instance", api.get(&other).await.text + &api.text(&format!("{other}/logs")).await.text);
    read_everything(&api, &mut told).await;
    wait_for("the last event", async || events.lock().unwrap().contains("checksum").then_some(())).await;
    wait_for("its event", async || (!other_events.lock().unwrap().is_empty()).then_some(())).await;

    // The token of the attempt, which nobody planted.
    let environments =
        api.server.processes().into_iter().filter_map(|pid| fs::read(format!("/proc/{pid}/environ")).ok());
    let tokens: BTreeSet<String> = environments
        .flat_map(|environment| {
            environment
                .split(|byte| *byte == 0)
                .map(|entry| String::from_utf8_lossy(entry).into_owned())
                .collect::<Vec<_>>()
        })
        .filter_map(|entry| entry.strip_prefix("TASKWRIGHT_TOKEN=").map(str::to_owned))
        .collect();
    assert!(tokens.len() >= 2, "{tokens:?}");

    wait_for("a command line", async || lines.text().contains("sleep\x00600").then_some(())).await;

    let modes = ["store", "store/taskwright.db", "store/taskwright.db-wal", "store/taskwright.db.lock"];
    for name in modes {
        let mode = fs::metadata(api.server.folder().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} is open to others: {mode:o}");
    }
    api.post("/v1/instances/stop", r#"{"all":true,"force":true}"#).await;
    api.server.stop().await;
    told.insert("log", api.server.stderr());
    told.insert("events", events.lock().unwrap().clone());
    told.insert("events of another instance", other_events.lock().unwrap().clone());
    told.insert("command lines", lines.text());

    for (place, text) in &told {
        assert!(!text.is_empty(), "{place} told nothing");
    }
    assert!(told["log"].contains("drained"), "nothing was looked at");
    assert!(told["another instance"].contains("TASKWRIGHT_TOKEN="), "it tells its own");
    let mut secrets: Vec<(String, &[&str])> = CANARIES.iter().map(|(name, allowed)| (canary(name), *allowed)).collect();
    secrets.extend(
        tokens
            .into_iter()
            .filter(|token| !told["another instance"].contains(token.as_str()))
            .map(|token| (token, &[][..])),
    );
    secrets.push((hex(&Sha256::digest(canary("token"))), &[]));
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, start["inputs"].to_string());
    secrets.push((base64, &[]));
    let found = leaks(&told, &secrets);
    assert!(found.is_empty(), "{}", found.join("\n"));
    for (name, places) in CANARIES {
        // What may be told somewhere is, else it was not planted.
        let is_told = places.is_empty() || places.iter().any(|place| told[place].contains(&canary(name)));
        assert!(is_told, "{name} was told nowhere");
    }
    api.server.restart().await;
    assert_well(&api.server).await;
}

/// Negative control: secrets where everybody sees them are noticed in each of those places.
#[tokio::test]
async fn hostile_control_a_secret_in_the_open_is_noticed() {
    let lines = CommandLines::watch();
    let (name, argument, id) = (canary("name"), canary("argument"), canary("request-id"));
    let task = format!("[[tasks]]\nname = \"{name}\"\ncommand = [\"sh\", \"-c\", \"sleep 600\", \"{argument}\"]\n");
    let api = Api::with_config(&("[log]\nlevel = \"trace\"\n".to_owned() + &task)).await;
    let events = follow(&api, "/v1/events");
    let started = api.post(&format!("/v1/definitions/{name}/instances"), "{}").await;
    assert_eq!(started.status, 201);
    api.send("POST", "/v1/instances", &[("x-request-id", &id)], Some("{\"task_id\":\"nothing\"}")).await;
    let mut told = Told::new();
    read_everything(&api, &mut told).await;
    wait_for("the event", async || events.lock().unwrap().contains("instance").then_some(())).await;
    wait_for("the process", async || lines.text().contains(&argument).then_some(())).await;
    told.insert("events", events.lock().unwrap().clone());
    told.insert("command lines", lines.text());
    told.insert("refusals", api.post(&format!("/v1/definitions/{name}/instances"), "[]").await.text);
    let metric = "taskwright_instances".to_owned();
    let found = leaks(&told, &[(name.clone(), &[]), (argument.clone(), &[]), (metric.clone(), &[])]);
    for (secret, place) in [
        (&name, "definitions"),
        (&name, "list"),
        (&name, "events"),
        (&name, "start page"),
        (&name, "refusals"),
        (&name, "configuration"),
        (&argument, "definitions"),
        (&argument, "command lines"),
        // No name that a client chooses stands in the metrics: one of our own, then.
        (&metric, "metrics"),
    ] {
        let sign = format!("{secret} in {place}:");
        assert!(found.iter().any(|found| found.starts_with(&sign)), "{sign} {found:#?}");
    }
    api.delete("/v1/instances/1?force&wait").await;
    let _: Value = api.get("/v1/instances/1").await.json();
}

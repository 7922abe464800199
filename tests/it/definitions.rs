//! Commands that are registered over HTTP: the table of answers, what survives, and what cannot be stranded.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::{
    contract::Api,
    support::{
        server::{run, write},
        wait_for,
    },
};

fn token(scope: &str) -> String {
    let hash: String = Sha256::digest(format!("tw_{scope}")).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[tokens]]\nname = \"{scope}\"\nsha256 = \"{hash}\"\nscopes = [\"{scope}\"]\n")
}

fn config() -> String {
    "[definitions]\nremote = true\n".to_owned() + &token("admin") + &token("run")
}

const CONFIGURED: &str = "[[tasks]]\nname = \"configured\"\ncommand = \"true\"\n";

/// A daemon that lets commands be registered, and an administrator.
async fn admin(rest: &str) -> Api {
    let mut api = Api::with_config(&(config() + rest)).await;
    api.token = Some("tw_admin".into());
    api
}

fn path(id: &str) -> String {
    format!("/v1/definitions/{id}")
}

/// Registers a shell line.
async fn register(api: &Api, id: &str, line: &str) {
    let body = json!({"command": ["sh", "-c", line]}).to_string();
    let answer = api.put(&path(id), &body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
}

async fn start(api: &Api, id: &str, options: &str) -> Value {
    let answer = api.post(&format!("{}/instances?{options}", path(id)), "{}").await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()
}

async fn refusal(api: &Api, method: &str, id: &str, body: Option<&str>) -> (u16, String) {
    let answer = api.send(method, &path(id), &[], body).await;
    (answer.status, answer.problem())
}

#[tokio::test]
async fn a_command_is_registered_runs_and_is_removed() {
    let api = admin("").await;
    let body = r#"{"name":"word count","description":"Counts","command":"sh -c 'cat \"$TASKWRIGHT_INPUT_FILE\" > \"$TASKWRIGHT_OUTPUT_FILE\"; pwd'",
        "timeout":"1m","queue_timeout":3600,"max_attempts":2,"retry_delay":0.5,"concurrency":3,
        "input_schema":{"type":"object","required":["n"]},"output_schema":true,"app_id":"app","app_version_id":"1"}"#;
    let made = api.put(&path("a%20b"), body).await;
    assert_eq!((made.status, made.header("location")), (201, "/v1/definitions/a%20b"), "{}", made.text);
    let expected = json!({"id": "a b", "name": "word count", "description": "Counts", "workload": "remote",
        "source": "registered", "command": ["sh", "-c", "cat \"$TASKWRIGHT_INPUT_FILE\" > \"$TASKWRIGHT_OUTPUT_FILE\"; pwd"],
        "timeout": 60, "queue_timeout": 3600, "max_attempts": 2, "retry_delay": 0.5, "concurrency": 3,
        "input_schema": {"type": "object", "required": ["n"]}, "output_schema": true, "app_id": "app", "app_version_id": "1"});
    assert_eq!(made.json(), expected);
    assert_eq!(api.get(made.header("location")).await.json(), expected);
    assert_eq!(api.get(&path("word%20count")).await.json(), expected);
    let listed = api.get("/v1/definitions").await.json();
    assert!(listed["definitions"].as_array().unwrap().contains(&expected), "{listed}");

    let again = api.put(&path("a%20b"), body).await;
    assert_eq!((again.status, again.json(), again.header("location")), (200, expected.clone(), ""));
    let reordered = body.replace(r#"{"type":"object","required":["n"]}"#, r#"{"required":["n"],"type":"object"}"#);
    assert_eq!(api.put(&path("a%20b"), &reordered).await.status, 200);

    let bad = api.post("/v1/definitions/a%20b/instances", "{}").await;
    assert_eq!((bad.status, bad.problem().as_str()), (422, "invalid-inputs"));
    let done = api.post("/v1/definitions/word%20count/instances?wait", r#"{"n":1}"#).await.json();
    assert_eq!((&done["status"], &done["output"]), (&json!("completed"), &json!({"n": 1})), "{done}");
    let instance = format!("/v1/instances/{}", done["id"].as_str().unwrap());
    let folder = api.text(&format!("{instance}/logs")).await.text;
    assert_eq!(folder.trim_end(), api.server.folder().to_str().unwrap());

    let removed = api.delete(&path("word%20count")).await;
    assert_eq!((removed.status, removed.text.as_str()), (204, ""));
    assert_eq!(refusal(&api, "DELETE", "a%20b", None).await, (404, "task-definition-not-found".into()));
    assert_eq!(api.get(&path("a%20b")).await.status, 404);
    assert_eq!(api.get(&path("word%20count")).await.status, 404);
    let kept = api.get(&instance).await.json();
    assert_eq!((&kept["task_id"], &kept["status"]), (&json!("a b"), &json!("completed")));
    assert_eq!(api.post(&format!("{instance}/retry"), "{}").await.problem(), "task-definition-not-found");
    register(&api, "a%20b", "exit 0").await;
    api.server.fsck();
}

#[tokio::test]
async fn ids_and_names_are_one_namespace() {
    let api = admin(CONFIGURED).await;
    let taken = || (409, "definition-exists".to_owned());
    let named = |name: &str| json!({"command": "true", "name": name}).to_string();
    assert_eq!(api.put(&path("a"), &named("b")).await.status, 201);
    let cases = [
        ("sleep", named("z")),
        ("configured", named("configured")),
        ("b", named("z")),
        ("z", named("a")),
        ("z", named("b")),
        ("z", named("sleep")),
        ("a", named("c")),
        ("a", json!({"command": "false", "name": "b"}).to_string()),
        ("a", json!({"command": "true", "name": "b", "max_attempts": 2}).to_string()),
    ];
    for (id, body) in cases {
        assert_eq!(refusal(&api, "PUT", id, Some(&body)).await, taken(), "{id} {body}");
    }
    let told = api.put(&path("sleep"), &named("z")).await.text;
    assert!(told.contains("`sleep (compiled in)`"), "{told}");
    // By its name it is the same one.
    let same = api.put(&path("b"), &named("b")).await;
    assert_eq!((same.status, same.json()["id"].clone()), (200, json!("a")));
    for fixed in ["sleep", "configured"] {
        assert_eq!(refusal(&api, "DELETE", fixed, None).await, taken(), "{fixed}");
    }
    assert_eq!(api.get("/v1/definitions").await.json()["definitions"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn what_makes_no_definition_is_refused_field_by_field() {
    let api = admin("").await;
    for (id, body, places) in [
        ("a", "{}", vec!["/command"]),
        ("a", r#"{"command":"true","envs":{},"timout":3}"#, vec!["/envs", "/timout"]),
        ("a", r#"{"command":"true","env":{"A":"b"}}"#, vec!["/env"]),
        (
            "a",
            r#"{"id":"a","workload":"remote","source":"registered","command":"true"}"#,
            vec!["/id", "/workload", "/source"],
        ),
        ("a", r#"{"command":["true",7],"max_attempts":0}"#, vec!["/command/1", "/max_attempts"]),
        ("a", r#"{"command":"true","input_schema":{"type":3}}"#, vec!["/input_schema"]),
        ("a", r#"{"command":"true","output_schema":{"$ref":"http://127.0.0.1:1/x"}}"#, vec!["/output_schema"]),
        ("a", r#"{"command":"true","name":"x/y"}"#, vec!["/name"]),
        ("a%2Fb", r#"{"command":"true"}"#, vec!["id"]),
        ("a%0Ab", r#"{"command":"true"}"#, vec!["id"]),
        ("%FF", r#"{"command":"true"}"#, vec!["id"]),
        (&"x".repeat(129), r#"{"command":"true"}"#, vec!["id"]),
    ] {
        let refused = api.put(&path(id), body).await;
        assert_eq!((refused.status, refused.problem().as_str()), (422, "invalid-request"), "{id} {body}");
        assert_eq!(refused.places(), places, "{id} {body}");
    }
    let hint = api.put(&path("a"), r#"{"command":"true","timout":3}"#).await.text;
    assert!(hint.contains("did you mean `timeout`?"), "{hint}");
    assert_eq!(refusal(&api, "PUT", "a", Some("{")).await, (400, "malformed-request".into()));
    assert_eq!(refusal(&api, "PUT", "a?force", Some(r#"{"command":"true"}"#)).await, (400, "malformed-request".into()));
    let text = [("content-type", "text/plain")];
    assert_eq!(api.send("PUT", &path("a"), &text, Some(r#"{"command":"true"}"#)).await.status, 415);
    assert_eq!(refusal(&api, "DELETE", "a?force", None).await, (400, "malformed-request".into()));
    assert_eq!(api.get(&path("a")).await.status, 404, "none of these registered anything");
    assert_eq!(api.put(&path(&"%C3%A9".repeat(128)), r#"{"command":"true"}"#).await.status, 201);
}

#[tokio::test]
async fn it_takes_an_administrator() {
    let mut api = admin("").await;
    register(&api, "idle", "echo token=$TASKWRIGHT_TOKEN; exec sleep 600").await;
    let instance = start(&api, "idle", "").await;
    let log = format!("/v1/instances/{}/logs", instance["id"].as_str().unwrap());
    let attempt = wait_for("the token in the log", async || {
        let log = api.text(&log).await.text;
        log.lines().find_map(|line| line.strip_prefix("token=").map(str::to_owned))
    })
    .await;
    for token in ["tw_run", &attempt] {
        api.token = Some(token.to_owned());
        for (method, body) in [("PUT", Some("no JSON")), ("DELETE", None)] {
            assert_eq!(refusal(&api, method, "idle", body).await, (403, "forbidden".into()), "{method}");
        }
    }
    api.token = None;
    assert_eq!(refusal(&api, "DELETE", "idle", None).await, (401, "unauthorized".into()));
    api.token = Some("tw_admin".into());
    assert_eq!(refusal(&api, "DELETE", "idle", None).await, (409, "definition-in-use".into()));
    assert_eq!(api.delete(&format!("/v1/instances/{}?force&wait", instance["number"])).await.status, 200);
    assert_eq!(api.delete(&path("idle")).await.status, 204);
}

#[tokio::test]
async fn it_is_off_unless_the_operator_says_otherwise() {
    for config in [String::new(), token("admin")] {
        let mut api = Api::with_config(&config).await;
        api.token = (!config.is_empty()).then(|| "tw_admin".into());
        for (method, id, body) in
            [("PUT", "a", Some("no JSON")), ("DELETE", "sleep", None), ("DELETE", "nothing", None)]
        {
            assert_eq!(refusal(&api, method, id, body).await, (403, "remote-definitions-off".into()), "{method} {id}");
        }
        assert_eq!(api.get("/v1/definitions").await.status, 200);
    }
    let page = Api::start().await.text("/problems/remote-definitions-off").await;
    assert!(page.text.contains("definitions.remote"), "{}", page.text);
}

#[tokio::test]
async fn a_definition_in_use_stays_until_its_instances_are_done() {
    let api = admin("[worker]\ncommand_slots = 1\n").await;
    register(&api, "a", "exec sleep 600").await;
    let in_use = || (409, "definition-in-use".to_owned());
    let running = start(&api, "a", "").await["number"].clone();
    let waiting = start(&api, "a", "").await["number"].clone();
    let scheduled = start(&api, "a", "delay=1h").await["number"].clone();
    for number in [running, waiting, scheduled] {
        assert_eq!(refusal(&api, "DELETE", "a", None).await, in_use());
        let instance = api.get(&format!("/v1/instances/{number}")).await.json();
        assert_ne!(instance["pending_reason"], "unknown_task", "{instance}");
        assert_eq!(api.delete(&format!("/v1/instances/{number}?force&wait")).await.status, 200);
    }
    assert_eq!(api.delete(&path("a")).await.status, 204);
    let listed = api.get("/v1/instances?task_id=a").await.json();
    assert_eq!(listed["instances"].as_array().unwrap().len(), 3);
    assert_eq!(api.post("/v1/definitions/a/instances", "{}").await.problem(), "task-definition-not-found");
    api.server.fsck();
}

#[tokio::test]
async fn what_is_registered_survives_and_runs_on() {
    let mut api = admin("").await;
    register(&api, "a", "echo done").await;
    register(&api, "gone", "echo done").await;
    let scheduled = start(&api, "a", "delay=2s").await["number"].clone();
    assert_eq!(api.delete(&path("gone")).await.status, 204);
    let before = api.get("/v1/definitions").await.json();
    api.server.kill9();
    api.server.restart().await;
    assert_eq!(api.get("/v1/definitions").await.json(), before);
    let done = api.get(&format!("/v1/instances/{scheduled}?wait")).await.json();
    assert_eq!(done["status"], "completed", "{done}");

    // Switched off, they still run; only nothing changes any more.
    write(api.server.folder(), "config.toml", &token("admin"));
    api.server.restart().await;
    assert_eq!(api.get("/v1/definitions").await.json(), before);
    assert_eq!(refusal(&api, "DELETE", "a", None).await, (403, "remote-definitions-off".into()));
    let done = api.post("/v1/definitions/a/instances?wait", "{}").await.json();
    assert_eq!(done["status"], "completed", "{done}");
    api.server.fsck();
}

#[tokio::test]
async fn what_waits_for_a_task_that_is_gone_runs_once_it_is_registered() {
    let mut api = admin("[[tasks]]\nname = \"old\"\ncommand = \"false\"\n").await;
    let number = start(&api, "old", "delay=500ms").await["number"].clone();
    write(api.server.folder(), "config.toml", &config());
    api.server.restart().await;
    let instance = format!("/v1/instances/{number}");
    assert_eq!(api.get(&instance).await.json()["pending_reason"], "unknown_task");
    // Its time comes while there is nothing to run.
    let due = api.get(&instance).await.json()["run_at"].clone();
    wait_for("the time of the instance", async || {
        let later = api.post("/v1/definitions/sleep/instances?delay=1h", r#"{"seconds":0}"#).await.json();
        (later["created_at"].as_str() > due.as_str()).then_some(())
    })
    .await;
    assert_eq!(refusal(&api, "DELETE", "old", None).await, (404, "task-definition-not-found".into()));
    register(&api, "old", "exit 0").await;
    assert_eq!(api.get(&format!("{instance}?wait=20")).await.json()["status"], "completed");
}

#[tokio::test]
async fn a_configuration_that_takes_a_registered_name_is_refused() {
    let mut api = admin("").await;
    register(&api, "thumbnails", "true").await;
    assert!(api.server.stop().await.success());
    let config = write(api.server.folder(), "other.toml", "[[tasks]]\nname = \"thumbnails\"\ncommand = \"true\"\n");
    let refused = run(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--config",
        config.to_str().unwrap(),
        "--database",
        &api.server.database_url(),
    ]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{told}");
    for said in ["thumbnails (from [[tasks]])", "registered over HTTP", "DELETE /v1/definitions/thumbnails"] {
        assert!(told.contains(said), "{told}\nnot: {said}");
    }
    // Nothing was lost by it.
    api.server.restart().await;
    assert_eq!(api.get(&path("thumbnails")).await.json()["source"], "registered");
}

#[test]
fn remote_definitions_need_an_administrators_token() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/t.db", folder.path().display());
    for tokens in [String::new(), token("run")] {
        let file = write(folder.path(), "config.toml", &format!("definitions.remote = true\n{tokens}"));
        let config = file.to_str().unwrap();
        for verb in
            [&["serve", "--config", config, "--database", &database][..], &["config", "check", "--config", config]]
        {
            let refused = run(verb);
            let told = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(78), "{told}");
            assert!(told.contains("scopes = [\"admin\"]") && told.contains("definitions.remote"), "{told}");
        }
    }
    assert!(!folder.path().join("t.db").exists(), "a refused start leaves no store");
    let file = write(folder.path(), "config.toml", &config());
    assert!(run(&["config", "check", "--config", file.to_str().unwrap()]).status.success());
}

#[tokio::test]
async fn starts_and_removals_that_race_strand_nothing() {
    let api = admin("").await;
    let mut accepted = Vec::new();
    let path = path("a");
    for _ in 0..20 {
        register(&api, "a", "exit 0").await;
        // One instance after the other until the task is gone; the removal may only fall between two of them.
        let starts = async {
            let mut numbers = Vec::new();
            loop {
                let answer = api.post(&format!("{path}/instances?wait"), "{}").await;
                if answer.status == 404 {
                    assert_eq!(answer.problem(), "task-definition-not-found");
                    return numbers;
                }
                assert_eq!(answer.status, 201, "{}", answer.text);
                numbers.push(answer.json()["number"].as_u64().unwrap());
            }
        };
        let removal = async {
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                let answer = api.delete(&path).await;
                match answer.status {
                    204 => return,
                    _ => assert_eq!((answer.status, answer.problem().as_str()), (409, "definition-in-use")),
                }
                assert!(Instant::now() < deadline, "no removal falls between two instances");
            }
        };
        let (numbers, ()) = tokio::join!(starts, removal);
        accepted.extend(numbers);
    }
    assert!(!accepted.is_empty());
    for number in accepted {
        let done = api.get(&format!("/v1/instances/{number}?wait=20")).await.json();
        assert_eq!(done["status"], "completed", "{done}");
    }
    api.server.fsck();
}

#[tokio::test]
async fn two_that_register_at_once_make_one() {
    let api = admin("").await;
    let (one, other) = (r#"{"command":"true"}"#, r#"{"command":"false"}"#);
    let path = path("a");
    let (a, b, c, d) =
        tokio::join!(api.put(&path, one), api.put(&path, one), api.put(&path, other), api.put(&path, other));
    let mut statuses = [a.status, b.status, c.status, d.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201, 409, 409]);
}

#[tokio::test]
async fn a_drain_takes_no_definitions() {
    let mut api = admin("[worker]\ncommand_slots = 1\n").await;
    register(&api, "a", "trap '' TERM; echo ready; while [ ! -e go ]; do sleep 0.05; done").await;
    let instance = start(&api, "a", "").await["number"].clone();
    let log = format!("/v1/instances/{instance}/logs");
    wait_for("the program", async || api.text(&log).await.text.contains("ready").then_some(())).await;
    api.server.signal(rustix::process::Signal::TERM);
    wait_for("the drain", async || (api.get("/readyz").await.status == 503).then_some(())).await;
    assert_eq!(refusal(&api, "PUT", "b", Some("no JSON")).await, (503, "draining".into()));
    assert_eq!(refusal(&api, "DELETE", "a", None).await, (503, "draining".into()));
    std::fs::write(api.server.folder().join("go"), "").unwrap();
    assert!(api.server.ended().await.success());
}

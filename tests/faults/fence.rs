//! The fence: nothing of an attempt that is over lands.

use std::{fs, path::Path, process::Command, sync::Arc};

use reqwest::Method;
use serde_json::{Value, json};
use taskwright::{
    domain::Progress,
    store::{
        Finish, FinishOutcome, Report, Written,
        sqlite::{Settings, SqliteStore},
    },
};

use crate::{
    scene::{Scene, again, claims, error, finish, json as text, report, retried, room},
    support::{server::TestServer, wait_for},
};

#[tokio::test]
async fn nothing_of_an_attempt_that_is_over_lands() {
    assert_eq!(stale_writes(&[]).await, Vec::<String>::new());
}

#[tokio::test]
async fn control_a_fence_without_the_attempt_is_caught() {
    let landed = stale_writes(&[("TASKWRIGHT_CONTROL", "fence-without-attempt")]).await;
    println!("{landed:#?}");
    assert!(landed.len() >= 4, "stale writes were refused: {landed:?}");
}

/// Writes with the tokens of attempts that are over: while the next one runs, after a crash, and when the instance is
/// done. Answers what was not refused or left something behind.
async fn stale_writes(variables: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let line =
        format!("echo $TASKWRIGHT_TOKEN >>{0}/tokens; [ -e {0}/wait ] || exit 1; sleep 60", folder.path().display());
    let config = format!(
        "[[tasks]]\nname = \"task\"\ncommand = [\"sh\", \"-c\", \"{line}\"]\nmax_attempts = 3\nretry_delay = \"1ms\"\n"
    );
    let mut server = TestServer::with(&config, variables).await;
    let instance = server.start_task("task", json!({})).await;
    let number = instance["number"].as_u64().expect("a number");
    // The first attempt fails, the second one waits.
    tokens(folder.path(), 1).await;
    fs::write(folder.path().join("wait"), "").expect("a file can be written");
    let known = tokens(folder.path(), 2).await;
    let mut landed = Vec::new();
    landed.extend(write_as(&server, number, &known[0], "the first while the second runs").await);
    server.kill9();
    server.restart().await;
    let known = tokens(folder.path(), 3).await;
    landed.extend(write_as(&server, number, &known[1], "the second, which a crash ended, while the third runs").await);
    let stop = server.url(&format!("/v1/instances/{number}?force=true&wait=10"));
    let stopped = server.client().delete(stop).send().await.expect("an answer");
    assert_eq!(stopped.status(), 200);
    landed.extend(write_as(&server, number, &known[2], "the third, which is over as the instance is").await);
    server.fsck();
    landed
}

/// The tokens that attempts wrote down, once there are so many.
async fn tokens(folder: &Path, n: usize) -> Vec<String> {
    wait_for("the token of an attempt", async || {
        let tokens = fs::read_to_string(folder.join("tokens")).unwrap_or_default();
        let tokens: Vec<_> = tokens.lines().map(str::to_owned).collect();
        (tokens.len() >= n).then_some(tokens)
    })
    .await
}

/// Writes everything that an attempt may, as `token`, and answers what was not refused or changed the instance.
async fn write_as(server: &TestServer, number: u64, token: &str, who: &str) -> Vec<String> {
    // Once it runs, or is done, nothing else changes it.
    let before = server.wait_until(number, "settled", |one| one["status"] != "pending").await;
    let mut landed = Vec::new();
    for (method, path, body) in [
        (Method::PUT, "/progress", json!({"progress": 0.5})),
        (Method::PUT, "/output", json!({"stale": true})),
        // What says how the instance ends would end it where the fence is broken.
        (Method::PUT, "/status", json!({"status": "running"})),
        (Method::POST, "/logs", json!({"lines": [{"text": "stale"}]})),
    ] {
        let url = server.url(&format!("/v1/instances/{number}{path}"));
        let request = server.client().request(method, url).bearer_auth(token).json(&body);
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let answer: Value = answer.json().await.expect("JSON");
        if status != 409 || answer["type"] != "/problems/attempt-over" || answer["should_stop"] != true {
            landed.push(format!("{who}: {path}: {status} {answer}"));
        }
    }
    let after = server.get(number).await;
    if after != before {
        landed.push(format!("{who}: it became {after}"));
    }
    landed
}

#[tokio::test]
async fn the_store_refuses_what_an_attempt_that_is_over_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = SqliteStore::open(Settings::at(folder.path().join("store.db"))).await.expect("a store");
    let scene = Scene::new(Arc::new(store), folder);
    let number = scene.running(retried("a")).await;
    let now = scene.now();
    scene
        .commit(|batch| {
            batch.finishes.push(Finish { unless_stopped: again(now, error("first", 1)), ..finish(number, 1) });
            batch.claims = Some(claims([room("a", 1)]));
        })
        .await;
    let before = scene.get(number).await;
    assert_eq!(before.attempt, 2);
    let late = Report {
        progress: Some(Progress::new(0.5, None).expect("a progress")),
        output: Some(Some(text("{}"))),
        ..report(number, 1)
    };
    let committed = scene.commit(|batch| batch.reports.push(late)).await;
    assert_eq!(committed.reports, [Written::Fenced]);
    let committed = scene.commit(|batch| batch.finishes.push(finish(number, 1))).await;
    assert_eq!(committed.finishes, [FinishOutcome::Fenced]);
    assert_eq!(scene.get(number).await, before);
    scene.is_sound().await;
}

#[test]
fn control_a_store_without_the_fence_is_caught() {
    let test = "fence::the_store_refuses_what_an_attempt_that_is_over_writes";
    let itself = std::env::current_exe().expect("this test's program");
    let output = Command::new(itself)
        .args([test, "--exact"])
        .env("TASKWRIGHT_CONTROL", "fence-without-attempt")
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("1 failed"), "{said}");
}

//! Done instances go when they are kept no longer.

use serde_json::json;

use super::contract::Api;
use crate::support::wait_for;

const TASKS: &str = r#"
[[tasks]]
name = "echo"
command = ["sh", "-c", "echo hello"]
retention = { count = 2 }

[[tasks]]
name = "short"
command = "true"
retention = { age = "1s" }

[[tasks]]
name = "kept"
command = "true"
"#;

/// The number of an instance of `task` that has ended.
async fn done(api: &Api, task: &str) -> u64 {
    let ended = api.post(&format!("/v1/definitions/{task}/instances?wait"), "{}").await;
    assert_eq!(ended.json()["status"], "completed", "{}", ended.text);
    ended.json()["number"].as_u64().unwrap()
}

/// Waits until an instance is a 404.
async fn gone(api: &Api, number: u64) {
    wait_for("the purge", async || {
        let answer = api.get(&format!("/v1/instances/{number}")).await;
        (answer.status == 404).then(|| assert_eq!(answer.problem(), "task-instance-not-found"))
    })
    .await;
}

#[tokio::test]
async fn what_is_kept_no_longer_is_gone_everywhere() {
    let mut api = Api::with_config(TASKS).await;
    let kept = done(&api, "kept").await;
    let mut echoes = Vec::new();
    for _ in 0..4 {
        echoes.push(done(&api, "echo").await);
    }
    let short = done(&api, "short").await;
    for number in [echoes[0], echoes[1], short] {
        gone(&api, number).await;
        for part in ["status", "output", "logs", "attempts", "events", "result"] {
            assert_eq!(api.get(&format!("/v1/instances/{number}/{part}")).await.status, 404, "{part}");
        }
        assert_eq!(api.send("DELETE", &format!("/v1/instances/{number}"), &[], None).await.status, 404);
    }
    let list = api.get("/v1/instances").await.json();
    let left: Vec<u64> =
        list["instances"].as_array().unwrap().iter().map(|one| one["number"].as_u64().unwrap()).collect();
    assert_eq!(left, [echoes[3], echoes[2], kept]);
    let stats = api.get("/v1/stats").await.json();
    assert_eq!((&stats["by_status"]["completed"], &stats["durations"]["count"]), (&json!(3), &json!(6)));
    assert!(api.get("/metrics").await.text.contains("taskwright_instances_purged_total 3"));
    api.server.fsck();

    // Numbers go on, also after a restart.
    api.server.restart().await;
    assert_eq!(done(&api, "kept").await, short + 1);
    assert_eq!(api.get(&format!("/v1/instances/{short}")).await.status, 404);
    api.server.fsck();
}

#[tokio::test]
async fn a_longer_retention_of_old_instances_is_looked_at_after_a_restart() {
    let mut api = Api::with_config(TASKS).await;
    let kept = done(&api, "kept").await;
    let config = TASKS.replace("name = \"kept\"", "name = \"kept\"\nretention.age = 0.001");
    std::fs::write(api.server.config(), config).unwrap();
    api.server.restart().await;
    gone(&api, kept).await;
    api.server.fsck();
}

#[tokio::test]
async fn instances_of_a_task_that_is_no_longer_configured_go_too() {
    let mut api = Api::with_config(TASKS).await;
    let kept = done(&api, "kept").await;
    std::fs::write(api.server.config(), "retention.age = 0.001").unwrap();
    api.server.restart().await;
    gone(&api, kept).await;
    api.server.fsck();
}

#[tokio::test]
async fn a_store_that_is_never_idle_is_purged_all_the_same() {
    let api = Api::with_config("[retention]\ncount = 50").await;
    let mut clients = tokio::task::JoinSet::new();
    let url = api.server.url("/v1/definitions/sleep/instances");
    for _ in 0..8 {
        let (client, url) = (api.server.client().clone(), url.clone());
        clients.spawn(async move {
            loop {
                let answer = client.post(&url).json(&json!({"seconds": 0})).send().await.unwrap();
                assert_eq!(answer.status(), 201);
            }
        });
    }
    wait_for("a purge beside starts", async || {
        let metrics = api.get("/metrics").await.text;
        let line = metrics.lines().find(|line| line.starts_with("taskwright_instances_purged_total ")).unwrap();
        (line.split(' ').next_back().unwrap().parse::<u64>().unwrap() > 500).then_some(())
    })
    .await;
    clients.abort_all();
    while clients.join_next().await.is_some() {}
    wait_for("the rest", async || {
        let stats = api.get("/v1/stats").await.json();
        (stats["by_status"]["completed"] == 50).then_some(())
    })
    .await;
    api.server.fsck();
}

//! `watch` without a terminal, and `wait --any`.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use super::{Shell, TASKS, begun};
use crate::support::server::TestServer;

#[tokio::test]
async fn watch_prints_a_line_for_each_change_and_ends_with_its_instances() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    shell.run("start gate").ended(0);
    begun(&server, 1).await;
    let watching = shell.begin("watch 1");
    watching.settled().await;
    server
        .client()
        .put(server.url("/v1/instances/1/progress"))
        .json(&serde_json::json!({"progress": 0.25, "message": "a quarter"}))
        .send()
        .await
        .unwrap();
    fs::write(server.folder().join("go"), "").unwrap();
    let watched = watching.end().await.ended(0);
    let rows: Vec<Vec<&str>> = watched.out.lines().map(|line| line.split('\t').skip(1).collect()).collect();
    assert_eq!(rows.first().unwrap()[..3], ["1", "running", "gate"], "{watched:?}");
    assert!(rows.contains(&vec!["1", "running", "gate", "0.25", "a quarter"]), "{watched:?}");
    assert_eq!(rows.last().unwrap()[..3], ["1", "completed", "gate"], "{watched:?}");
}

#[tokio::test]
async fn watch_of_all_shows_what_comes_until_it_is_interrupted() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    let mut watching = shell.command("watch --task greet -o jsonl").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let reader = tokio::task::spawn_blocking(move || {
        let mut statuses = Vec::new();
        while statuses.last().is_none_or(|status| status != "completed") {
            let image: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
            assert_eq!(image["task_id"], "greet");
            statuses.push(image["status"].as_str().unwrap().to_owned());
        }
        statuses
    });
    // Whether it is there already or not: it tells of what is live, and of every change.
    while !reader.is_finished() {
        shell.run("start sleep seconds=0 --wait").ended(0);
        shell.run("start greet --wait").ended(0);
    }
    assert!(!reader.await.unwrap().is_empty());
    watching.kill().unwrap();
    watching.wait().unwrap();
}

#[tokio::test]
async fn wait_any_ends_with_the_first() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    shell.run("start gate").ended(0);
    shell.run("start fail").ended(0);
    let first = shell.run("wait --any 1 2 --json").ended(1);
    assert_eq!(first.json()["number"], 2);
    shell.run("wait --any 1 --timeout 50ms").ended(124);
    shell.run("stop 1 --force").ended(0);
    shell.run("wait --any 1").ended(3);
}

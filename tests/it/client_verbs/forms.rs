//! What is printed: for people, into a pipe, as JSON.

use serde_json::{Value, json};

use super::{Shell, TASKS, begun};
use crate::support::server::TestServer;

#[tokio::test]
async fn json_is_the_body_of_the_api_unchanged() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    shell.run("start greet --wait").ended(0);
    let body = async |path: &str| server.client().get(server.url(path)).send().await.unwrap().text().await.unwrap();
    for (line, path) in [
        ("status 1 --json", "/v1/instances/1"),
        ("ps -a --json", "/v1/instances?limit=50"),
        ("tasks --json", "/v1/definitions"),
        ("tasks sleep -o json", "/v1/definitions/sleep"),
        ("wait 1 -o json", "/v1/instances/1"),
        ("api GET /v1/instances/1/attempts", "/v1/instances/1/attempts"),
        ("api get v1/definitions?pretty", "/v1/definitions?pretty"),
    ] {
        assert_eq!(shell.run(line).ended(0).out, body(path).await, "{line}");
    }
    let lines = shell.run("ps -a -o jsonl").ended(0);
    let list: Value = serde_json::from_str(&body("/v1/instances").await).unwrap();
    assert_eq!(lines.json(), list["instances"][0]);
    assert_eq!(shell.run("tasks -o jsonl").ended(0).out.lines().count(), 6);
}

#[tokio::test]
async fn into_a_pipe_there_are_tabs_and_nothing_is_cut() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    let long = "x".repeat(250);
    shell.run(&format!("start gate --label note:{long}")).ended(0);
    begun(&server, 1).await;
    server
        .client()
        .put(server.url("/v1/instances/1/progress"))
        .json(&json!({"progress": 0.5, "message": "half\tof\nit"}))
        .send()
        .await
        .unwrap();
    shell.run("start greet --wait").ended(0);
    let listed = shell.run("ps").ended(0);
    let cells: Vec<_> = listed.out.trim_end_matches('\n').split('\t').collect();
    let image = server.get(1).await;
    let text = |key: &str| image[key].as_str().unwrap().to_owned();
    assert_eq!(cells[0..5], ["1", &text("id"), "running", "gate", "0.5"]);
    assert_eq!(cells[5..8], [text("created_at"), text("started_at"), String::new()]);
    assert_eq!(cells[8..], [format!("note:{long}"), "half\\tof\\nit".to_owned()]);
    assert_eq!(listed.err, "taskwright: 1 done one is hidden: -a shows them\n");
    let coloured = shell.run("ps -a --color always").ended(0);
    assert!(coloured.out.lines().count() == 2 && !coloured.out.contains('\x1b'), "a table for programs: {coloured:?}");
    shell.run("stop 1 --force --wait").ended(0);
}

#[tokio::test]
async fn a_list_says_what_it_hides() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    for label in ["a", "a", "b"] {
        shell.run(&format!("start greet --wait --label kind:{label}")).ended(0);
    }
    assert_eq!(shell.run("ps").ended(0).err, "taskwright: 3 done ones are hidden: -a shows them\n");
    assert_eq!(shell.run("ps --label kind:a").ended(0).err, "taskwright: 2 done ones are hidden: -a shows them\n");
    assert_eq!(shell.run("ps --task sleep").ended(0).err, "");
    let cut = shell.run("ps -a -n 2 -q").ended(0);
    assert_eq!(cut.err, "taskwright: only the newest 2 are shown: -n shows more\n");
    assert_eq!(cut.out.lines().count(), 2);
    assert_eq!(shell.run("ps -a --since 1h --label kind -q").ended(0).out.lines().count(), 3);
    assert_eq!(shell.run("ps --status failed,cancelled -q").ended(0).out, "");
    assert_eq!(shell.run("ps --status completed --task greet -q").ended(0).out.lines().count(), 3);
}

#[tokio::test]
async fn a_start_says_its_number_and_id() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    let said = shell.run("start greet").ended(0);
    let id = server.get(1).await["id"].as_str().unwrap().to_owned();
    assert_eq!(said.out, format!("started 1  {id}\n"));
    assert_eq!(shell.run("status -q @").ended(0).out, format!("{id}\n"));
    assert_eq!(shell.run("start greet -o none").ended(0).out, "");
    shell.run("wait 1 2").ended(0);
    let status = shell.run("status 1").ended(0);
    assert!(status.out.contains("status\tcompleted\n") && status.out.contains("attempt\t1\tcompleted\t"), "{status:?}");
    assert!(status.out.contains("log\tone\n"), "{status:?}");
    // Any case of the UUID is the same instance.
    shell.run(&format!("watch {}", id.to_uppercase())).ended(0);
}

#[tokio::test]
async fn a_task_is_shown_with_a_line_that_starts_it() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    let shown = shell.run("tasks resize").ended(0);
    let mut lines = shown.out.lines();
    assert_eq!(lines.next(), Some("input\twidth\tinteger ≥ 1\trequired\t\tPixels"));
    let line = lines.next_back().unwrap().strip_prefix("command\ttaskwright ").unwrap();
    assert_eq!(line, "run resize width=1");
    shell.run(line).ended(0);
    let optional: Vec<_> = lines.collect();
    assert!(optional.contains(&"input\tname\tstring\toptional\t\"small\"\t"), "{optional:?}");
}

#[tokio::test]
async fn api_exits_by_what_was_answered() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    let made = shell.run(r#"api POST /v1/definitions/greet/instances?wait=10 -d {}"#).ended(0);
    assert_eq!(made.json()["status"], "completed");
    let from_stdin = shell.run_with("api POST /v1/instances -d - -i", r#"{"task_id": "greet"}"#).ended(0);
    assert!(from_stdin.out.starts_with("HTTP/1.1 201 Created\r\n"), "{from_stdin:?}");
    for (line, code) in [
        ("api GET /v1/instances/99", 4),
        ("api GET /v1/nothing", 4),
        ("api GET /v1/instances?limit=x", 2),
        ("api POST /v1/instances -d {", 2),
        ("api POST /v1/instances -d {}", 5),
        ("api PATCH /v1/instances", 5),
    ] {
        let said = shell.run(line).ended(code);
        assert_eq!(said.json()["status"].to_string(), said.err[12..15], "{said:?}");
    }
    shell.run("api GET /livez -H nonsense").ended(2);
    shell.run("api G:T /livez").ended(2);
    let typed = shell.run("api GET /v1/instances/1/status -H Accept:text/plain").ended(0);
    assert_eq!(typed.out, "completed\n");
}

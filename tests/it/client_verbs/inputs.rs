//! Inputs: typed by the task's schema.

use std::fs;

use serde_json::json;

use super::{Shell, TASKS};
use crate::support::server::TestServer;

#[tokio::test]
async fn inputs_are_typed_by_the_schema() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    let file = shell.home().join("name.txt");
    fs::write(&file, "from a file").unwrap();
    let inputs = |words: &[&str]| {
        let mut command = shell.command("start resize --wait --json");
        let output = command.args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["inputs"].clone()
    };
    assert_eq!(inputs(&["width=3", "name=7", "sharp=true"]), json!({"width": 3, "name": "7", "sharp": true}));
    assert_eq!(inputs(&["width=3", "tags=a", "tags=b c"]), json!({"width": 3, "tags": ["a", "b c"]}));
    assert_eq!(inputs(&["width:=4", r#"tags:=["x"]"#]), json!({"width": 4, "tags": ["x"]}));
    assert_eq!(inputs(&["width=3", &format!("name=@{}", file.display())]), json!({"width": 3, "name": "from a file"}));
    assert_eq!(inputs(&["--inputs", r#"{"width":1,"name":"a"}"#, "width=2"]), json!({"name": "a", "width": 2}));
    fs::write(&file, r#"{"width": 5}"#).unwrap();
    assert_eq!(inputs(&["--inputs", &format!("@{}", file.display())]), json!({"width": 5}));
    let from_stdin = shell.run_with("start resize --inputs - --wait --json", r#"{"width": 6}"#).ended(0);
    assert_eq!(from_stdin.json()["inputs"], json!({"width": 6}));
    // Numbers keep their digits.
    let said = shell.run("start gate --inputs {\"n\":123456789012345678901234567890.10} --json").ended(0);
    assert!(said.out.contains("\"n\":123456789012345678901234567890.10"), "{said:?}");
    shell.run("stop @ --force --wait").ended(0);
}

#[tokio::test]
async fn a_slip_of_the_pen_is_named_before_anything_starts() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    let unknown = shell.run("start resize widt=3").ended(2);
    assert_eq!(unknown.err, "taskwright: the task resize has no input `widt`; did you mean `width`?\n");
    shell.run(r#"start resize --inputs {"widt":3}"#).ended(2);
    shell.run("start resize width=3 width=4").ended(2);
    shell.run("start resize --inputs [1]").ended(2);
    shell.run("start resize width:={").ended(2);
    shell.run("start resize name=@/no/such/file width=3").ended(2);
    shell.run("start resize width=0").ended(5);
    shell.run("start resize --dry-run width=0").ended(5);
    assert_eq!(shell.run("start resize --dry-run width=3").ended(0).out, "valid\n");
    assert_eq!(shell.run("run resize --dry-run width=3 --json").ended(0).json(), json!({"valid": true}));
    let list = server.get_json("/v1/instances").await;
    assert_eq!(list["instances"], json!([]), "nothing was started");
}

#[tokio::test]
async fn options_go_with_the_start_and_a_key_starts_once() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    let line = "start gate --label team:docs --label a=b --priority -5 --max-attempts 3 --task-timeout 1m --delay 1h --key k1 --json";
    let image = shell.run(line).ended(0).json();
    assert_eq!(image["labels"], json!({"team": "docs", "a": "b"}));
    assert_eq!((&image["priority"], &image["max_attempts"], &image["timeout"]), (&json!(-5), &json!(3), &json!(60)));
    assert_eq!(image["pending_reason"], "scheduled");
    assert_eq!(shell.run(line).ended(0).json()["id"], image["id"]);
    shell.run("start gate --key k1").ended(5);
}

//! Inside a task: what a program of the package finds, and `numerous-executor FILE`.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::{Value, json};

use super::package::{APP, daemon, daemon_with, programs};
use crate::support::{server::TestServer, wait_for};

async fn run(server: &TestServer, task: &str, inputs: Value) -> Value {
    let id = server.start_task(task, inputs).await["id"].clone();
    server.wait_done(id.as_str().expect("an id")).await
}

async fn log(server: &TestServer, instance: &Value) -> String {
    let url = server.url(&format!("/v1/instances/{}/logs", instance["number"]));
    let answer = server.client().get(url).header("accept", "text/plain").send().await.expect("an answer");
    answer.text().await.expect("text")
}

/// A task of this name that runs a Python file with the package.
fn program(name: &str, options: &str) -> String {
    format!("[[tasks]]\nname = \"{name}\"\ncommand = \"python3 {name}.py\"\n{options}\n")
}

#[tokio::test]
async fn numerous_program_finds_what_it_needs() {
    let named = "[numerous]\norganization = \"ours\"\ndeployment = \"here\"\n";
    let config =
        named.to_owned() + &program("own", "") + "[[tasks]]\nname = \"env\"\ncommand = \"env\"\napp_id = \"photos\"\n";
    let server = daemon_with(&config).await;
    let value = |log: &str, name: &str| {
        log.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    let done = run(&server, "env", json!({"a": 1})).await;
    let text = log(&server, &done).await;
    assert_eq!(value(&text, "NUMEROUS_API_URL"), Some(server.url("/query")));
    assert_eq!(value(&text, "NUMEROUS_API_ACCESS_TOKEN"), value(&text, "TASKWRIGHT_TOKEN"));
    assert_eq!(value(&text, "NUMEROUS_ORGANIZATION_ID").as_deref(), Some("ours"));
    assert_eq!(value(&text, "NUMEROUS_DEPLOYMENT_ID").as_deref(), Some("photos"), "its app's");
    assert_eq!(value(&text, "NUMEROUS_EXECUTOR"), None, "inside a task functions are called at once");

    fs::write(
        server.folder().join("own.py"),
        "import os\nfrom numerous.tasks import get_task_controller, get_task_inputs, task\n\
         @task\ndef inner(x):\n    return x * 2\n\
         controller = get_task_controller()\ncontroller.set_progress(0.5)\n\
         controller.set_output({'result': [get_task_inputs(), inner(21), controller.should_stop(),\n\
         os.environ['NUMEROUS_ORGANIZATION_ID'], os.environ['NUMEROUS_DEPLOYMENT_ID']]})\n",
    )
    .expect("a program can be written");
    let done = run(&server, "own", json!({"n": "é"})).await;
    assert_eq!(done["status"], "completed", "{done}\n{}", log(&server, &done).await);
    assert_eq!(done["result"], json!([{"n": "é"}, 42, false, "ours", "here"]));
    assert_eq!(done["progress"], 0.5);
}

#[tokio::test]
async fn numerous_program_is_ended_by_a_foreign_stop() {
    let server = daemon("").await;
    let id = server.start_task("waits", json!({})).await["id"].as_str().expect("an id").to_owned();
    server.wait_until(&id, "half", |instance| instance["progress"] == 0.5).await;
    server.client().delete(server.url(&format!("/v1/instances/{id}"))).send().await.expect("an answer");
    assert_eq!(server.wait_done(&id).await["status"], "cancelled");
}

#[tokio::test]
async fn executor_tells_an_exception_with_its_traceback() {
    let server = daemon("").await;
    let failed = run(&server, "fails", json!({})).await;
    assert_eq!(
        failed["error"],
        json!({"kind": "exit", "exit_code": 1, "message": "ValueError: no such luck", "attempt": 1})
    );
    let text = log(&server, &failed).await;
    let file = server.folder().join("app.py");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "Traceback (most recent call last):");
    assert!(text.contains(&format!("File \"{}\", line ", file.display())) && text.contains("in fails"), "{text}");
    assert!(text.contains("raise ValueError(\"no such luck\")"), "{text}");
    assert!(!text.contains("numerous_executor.py"), "the frames are the user's own:\n{text}");
}

#[tokio::test]
async fn executor_says_what_is_wrong() {
    let task = |name: &str, command: &str| format!("[[tasks]]\nname = \"{name}\"\ncommand = \"{command}\"\n");
    let config = task("ad", "numerous-executor app.py")
        + &task("no file", "numerous-executor nothing.py")
        + &task("no argument", "numerous-executor")
        + &task("broken", "numerous-executor broken.py")
        + &task("without", "without/numerous-executor app.py")
        + &task("add", "numerous-executor app.py");
    let server = daemon_with(&config).await;
    fs::write(server.folder().join("broken.py"), "import no_such_module_anywhere\n").expect("a file can be written");
    fs::create_dir(server.folder().join("without")).expect("a folder can be made");
    // A Python without its packages.
    python(&server.folder().join("without"), "-S");
    for (task, said) in [
        ("ad", "numerous-executor: app.py has no @task function 'ad'; it has Task Test, add, crashes,"),
        ("no file", "numerous-executor: there is no Python file 'nothing.py' in "),
        ("no argument", "numerous-executor: give one Python file: numerous-executor FILE"),
        ("broken", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("add", "TypeError: add() got an unexpected keyword argument 'c'"),
        ("without", "-m pip install numerous"),
    ] {
        let failed = run(&server, task, if task == "add" { json!({"a": 1, "c": 2}) } else { json!({}) }).await;
        let message = failed["error"]["message"].as_str().expect("a message");
        assert!(message.contains(said), "{task}: {failed}");
        assert_eq!(failed["error"]["exit_code"], 1, "{task}: {failed}");
    }
}

/// Puts a `python3` into `folder` that says so, and goes on with these options.
fn python(folder: &Path, options: &str) {
    let path = folder.join("python3");
    let script = format!("#!/bin/sh\necho mine\nexec {}/python3 {options} \"$@\"\n", programs().display());
    fs::write(&path, script).expect("a program can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode can be set");
}

#[tokio::test]
async fn executor_takes_the_python_beside_it() {
    let config = "[[tasks]]\nname = \"add\"\ncommand = \"environment/bin/numerous-executor 'my app.py'\"\n";
    let server = TestServer::with(config, &[("PATH", "/usr/bin:/bin")]).await;
    let folder = server.folder().join("environment/bin");
    fs::create_dir_all(&folder).expect("a folder can be made");
    fs::write(server.folder().join("my app.py"), APP).expect("the app can be written");
    python(&folder, "");
    let done = run(&server, "add", json!({"a": 1})).await;
    assert_eq!(done["result"], 2, "{done}");
    assert_eq!(log(&server, &done).await, "mine\nadding 1 and 1\n");
}

#[tokio::test]
async fn executor_takes_a_file_of_any_name() {
    let server = daemon_with("[[tasks]]\nname = \"add\"\ncommand = \"numerous-executor add-script\"\n").await;
    fs::rename(server.folder().join("app.py"), server.folder().join("add-script")).expect("it can be renamed");
    let done = run(&server, "add", json!({"a": 1})).await;
    assert_eq!(done["result"], 2, "{done}");
}

#[tokio::test]
async fn executor_reads_inputs_of_any_size() {
    let task = |name: &str, options: &str| {
        format!("[[tasks]]\nname = \"{name}\"\ncommand = \"numerous-executor app.py\"\n{options}\n")
    };
    let server = daemon_with(&(task("echoes", "inputs = \"file\"") + &task("add", ""))).await;
    let text = "é".repeat(100_000);
    let done = run(&server, "echoes", json!({ "_raw": text })).await;
    assert_eq!(done["result"], json!({ "_raw": text }));
    let refused = server.client().post(server.url("/v1/definitions/add/instances")).json(&json!({ "a": text }));
    assert_eq!(refused.send().await.expect("an answer").status(), 422);
}

/// A task that stops itself gets no signal, and still sets its output; at the deadline it is killed.
#[tokio::test]
async fn executor_lets_a_task_stop_itself() {
    let server = daemon("[worker]\nstop_grace = \"30s\"\n").await;
    let done = run(&server, "stops_itself", json!({})).await;
    assert_eq!((&done["status"], &done["output"]), (&json!("cancelled"), &json!({"result": "done"})), "{done}");
    let stopped = wait_for("what is left", async || server.processes().is_empty().then_some(())).await;
    assert_eq!(stopped, ());
}

//! Programs as tasks: what they find, what they leave, how they end, and what is said of each.

use serde_json::{Value, json};

use crate::support::{server::TestServer, wait_for};

/// A task that runs a shell line, with options in TOML.
fn shell(name: &str, line: &str, options: &str) -> String {
    let line = line.replace('\\', "\\\\").replace('"', "\\\"");
    format!("[[tasks]]\nname = \"{name}\"\ncommand = [\"sh\", \"-c\", \"{line}\"]\n{options}\n")
}

async fn run(server: &TestServer, task: &str, inputs: Value) -> Value {
    let id = server.start_task(task, inputs).await["id"].clone();
    server.wait_done(id.as_str().expect("an id")).await
}

async fn log(server: &TestServer, instance: &Value, query: &str) -> String {
    let url = server.url(&format!("/v1/instances/{}/logs{query}", instance["number"]));
    let answer = server.client().get(url).header("accept", "text/plain").send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.text().await.expect("text")
}

#[tokio::test]
async fn a_command_finds_its_inputs_and_its_own_environment_only() {
    let config = shell(
        "env",
        "env | sort; cat \"$TASKWRIGHT_INPUT_FILE\"; echo; ls -ld \"$(dirname $TASKWRIGHT_INPUT_FILE)\"; umask; pwd",
        "env = { COLOUR = \"blue\" }",
    );
    let server = TestServer::with(&config, &[("SECRET_OF_THE_DAEMON", "hush"), ("LC_ALL", "C.UTF-8")]).await;
    let instance = run(&server, "env", json!({"n": 9_007_199_254_740_993_u64})).await;
    assert_eq!(instance["status"], "completed", "{instance}");
    let log = log(&server, &instance, "").await;
    let value = |name: &str| {
        let prefix = format!("{name}=");
        log.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
    };
    assert_eq!(value("COLOUR").as_deref(), Some("blue"));
    assert_eq!(value("LC_ALL").as_deref(), Some("C.UTF-8"));
    assert_eq!(value("PYTHONUNBUFFERED").as_deref(), Some("1"));
    assert_eq!(value("NUMEROUS_TASK_INSTANCE_ID").as_deref(), instance["id"].as_str());
    assert_eq!(value("TASK_DATA_INPUT").as_deref(), Some("eyJuIjo5MDA3MTk5MjU0NzQwOTkzfQ=="));
    assert_eq!(value("TASKWRIGHT_URL").as_deref(), Some(server.url("").as_str()));
    assert_eq!(value("TASKWRIGHT_STORE"), server.tag());
    assert!(value("PATH").is_some() && value("TASKWRIGHT_TOKEN").is_some());
    assert_eq!(value("SECRET_OF_THE_DAEMON"), None, "the environment is cleaned");
    assert!(log.contains("{\"n\":9007199254740993}\n"), "the input file holds the inputs as they came");
    assert!(log.contains("drwx------"), "the scratch directory is private");
    assert!(log.ends_with(&format!("{}\n", server.folder().display())), "it runs in the configuration's folder");
    let own = std::process::Command::new("sh").args(["-c", "umask"]).output().expect("sh runs");
    assert!(log.contains(&*String::from_utf8_lossy(&own.stdout)), "the daemon's own umask is kept");
    let scratch = value("TASKWRIGHT_INPUT_FILE").expect("a path");
    assert!(!std::path::Path::new(&scratch).exists(), "the scratch directory is removed");
}

#[tokio::test]
async fn how_a_program_ends_is_told_exactly() {
    let config = [
        shell("exit", "echo one >&2; echo 'the last line' >&2; exit $(cat $TASKWRIGHT_INPUT_FILE | tr -dc 0-9)", ""),
        shell("silent", "exit 3", ""),
        shell("killed", "kill -SEGV $$", ""),
        shell("object", "echo '{\"a\": 1, \"result\": [1.50]}' >$TASKWRIGHT_OUTPUT_FILE", ""),
        shell("value", "echo '[1, 2]' >$TASKWRIGHT_OUTPUT_FILE", ""),
        shell("nothing", "true", ""),
        shell("broken", "echo '{\"a\":' >$TASKWRIGHT_OUTPUT_FILE", "max_attempts = 3"),
        shell("huge", "head -c 2000000 /dev/zero | tr '\\0' 1 >$TASKWRIGHT_OUTPUT_FILE", ""),
        shell("kept", "echo '{\"half\": true}' >$TASKWRIGHT_OUTPUT_FILE; exit 1", ""),
        shell(
            "schema",
            "echo '{\"n\": \"x\"}' >$TASKWRIGHT_OUTPUT_FILE",
            "output_schema = { type = \"object\", properties = { n = { type = \"integer\" } } }",
        ),
        "[[tasks]]\nname = \"missing\"\ncommand = [\"no-such-program-anywhere\"]\n".to_owned(),
        shell("slow", "trap '' TERM; sleep 60", "timeout = \"200ms\""),
    ]
    .concat();
    let server = TestServer::with_config(&config).await;
    let error = async |task: &str, inputs: Value| run(&server, task, inputs).await["error"].clone();
    for code in [1, 2, 77, 255] {
        assert_eq!(
            error("exit", json!({"code": code})).await,
            json!({"kind": "exit", "exit_code": code, "message": "the last line", "attempt": 1})
        );
    }
    assert_eq!(error("silent", json!({})).await["message"], "exit code 3");
    let killed = error("killed", json!({})).await;
    assert_eq!(
        (&killed["kind"], &killed["signal"], &killed["signal_name"]),
        (&json!("signal"), &json!(11), &json!("SIGSEGV"))
    );
    let missing = error("missing", json!({})).await;
    assert_eq!((&missing["kind"], &missing["program"]), (&json!("spawn"), &json!("no-such-program-anywhere")));
    assert!(missing["message"].as_str().expect("a message").contains("not found"), "{missing}");

    let object = run(&server, "object", json!({})).await;
    assert_eq!((&object["output"], &object["result"]), (&json!({"a": 1, "result": [1.5]}), &json!([1.5])));
    assert_eq!(object["progress"], json!(0.0), "progress is never forced");
    assert_eq!(run(&server, "value", json!({})).await["output"], json!({"result": [1, 2]}));
    assert_eq!(run(&server, "nothing", json!({})).await["output"], Value::Null);
    let broken = run(&server, "broken", json!({})).await;
    assert_eq!((&broken["error"]["kind"], &broken["attempt"]), (&json!("output"), &json!(1)), "never retried");
    assert_eq!(error("huge", json!({})).await["kind"], "output");
    let kept = run(&server, "kept", json!({})).await;
    assert_eq!((&kept["status"], &kept["output"]), (&json!("failed"), &json!({"half": true})));
    let schema = error("schema", json!({})).await;
    assert_eq!((&schema["kind"], &schema["errors"][0]["pointer"]), (&json!("output"), &json!("/n")));

    let began = std::time::Instant::now();
    let slow = run(&server, "slow", json!({})).await;
    assert_eq!((&slow["error"]["kind"], &slow["error"]["after"]), (&json!("timeout"), &json!(0.2)));
    assert!((5..9).contains(&began.elapsed().as_secs()), "killed 5 s after SIGTERM, not {:?}", began.elapsed());
    assert_eq!(server.processes(), [0_i32; 0]);
    let attempts = server.get_json(&format!("/v1/instances/{}/attempts", object["number"])).await;
    assert_eq!(
        (&attempts["attempts"][0]["ended"], &attempts["attempts"][0]["exit_code"]),
        (&json!("completed"), &json!(0))
    );
    server.fsck();
}

#[tokio::test]
async fn a_stop_reaches_a_command_at_once_and_ends_it_at_its_deadline() {
    let config = [
        shell("obeys", "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.02; done", ""),
        shell("dies", "echo ready; sleep 600", ""),
        shell("deaf", "trap '' TERM; echo ready; while :; do sleep 0.02; done", ""),
    ]
    .concat();
    let server = TestServer::with_config(&config).await;
    for (task, grace) in [("obeys", "1h"), ("dies", "1h"), ("deaf", "300ms")] {
        let instance = server.start_task(task, json!({})).await;
        wait_for("the program", async || (log(&server, &instance, "").await.contains("ready")).then_some(())).await;
        let url = server.url(&format!("/v1/instances/{}?grace={grace}", instance["id"].as_str().expect("an id")));
        let began = std::time::Instant::now();
        let answer = server.client().delete(&url).send().await.expect("an answer");
        assert_eq!(answer.status(), 202);
        let stopping: Value = answer.json().await.expect("JSON");
        assert!(stopping["stop_requested_at"].is_string() && stopping["stop_deadline"].is_string());
        let done = server.wait_done(&instance["number"]).await;
        assert_eq!((&done["status"], &done["error"]), (&json!("cancelled"), &Value::Null), "{task}");
        assert!(began.elapsed().as_millis() < 1500, "{task} took {:?}", began.elapsed());
        assert_eq!(log(&server, &instance, "").await.contains("bye"), task == "obeys");
    }
    assert_eq!(server.processes(), [0_i32; 0]);
    server.fsck();
}

#[tokio::test]
async fn a_command_reports_from_the_shell() {
    let binary = env!("CARGO_BIN_EXE_taskwright");
    let line = format!(
        "t={binary}; $t report progress 0.25 quarter; $t report log 'from the shell'; \
         $t report should-stop; echo \"stop=$?\"; $t report output '{{\"result\":7}}'; $t report progress 0.5 half; \
         $t report status failed because; exit 0"
    );
    let server = TestServer::with_config(&shell("reports", &line, "")).await;
    let instance = run(&server, "reports", json!({})).await;
    assert_eq!((&instance["progress"], &instance["message"]), (&json!(0.5), &json!("half")), "{instance}");
    assert_eq!(instance["result"], json!(7));
    assert_eq!((&instance["status"], &instance["error"]["kind"]), (&json!("failed"), &json!("handler")));
    assert_eq!(instance["error"]["message"], "because");
    let log = log(&server, &instance, "").await;
    assert!(log.contains("from the shell\n") && log.contains("false\nstop=1\n"), "{log}");
}

#[tokio::test]
async fn a_log_is_read_by_part_and_followed_to_its_end() {
    let line = "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; sleep 0.05; done; printf 'a\\rb\\rlast'; printf '\\nbad \\377 byte\\n'";
    let server = TestServer::with_config(&shell("talks", line, "")).await;
    let instance = server.start_task("talks", json!({})).await;
    let id = instance["id"].as_str().expect("an id");
    // Followed while it is written: the stream ends with the instance and misses nothing.
    let url = server.url(&format!("/v1/instances/{id}/logs?follow"));
    let follow = server.client().get(&url).header("accept", "application/x-ndjson").send().await.expect("an answer");
    let followed = follow.text().await.expect("text");
    let followed: Vec<Value> = followed
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let page = server.get_json(&format!("/v1/instances/{id}/logs")).await;
    assert_eq!(page["lines"].as_array().expect("lines"), &followed);
    assert_eq!(page["next"], Value::Null, "it is read out");
    let seqs: Vec<_> = followed.iter().map(|line| line["seq"].as_u64().expect("a number")).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let texts = async |query: &str| -> Vec<String> {
        let page = server.get_json(&format!("/v1/instances/{id}/logs{query}")).await;
        let lines = page["lines"].as_array().expect("lines").clone();
        lines.iter().map(|line| line["text"].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(texts("?stream=stderr").await, ["err 1", "err 2", "err 3", "err 4", "err 5"]);
    assert_eq!(texts("?grep=t%203").await, ["out 3"]);
    assert_eq!(texts("?tail=1&stream=stderr").await, ["err 5"]);
    let stdout = texts("?stream=stdout").await;
    assert_eq!(&stdout[5..], ["last", "bad \u{fffd} byte"], "progress lines are collapsed, bad bytes replaced");
    assert_eq!(texts("?from=3&limit=2").await.len(), 2);
    let sse = server.client().get(&url).header("accept", "text/event-stream").send().await.expect("an answer");
    let sse = sse.text().await.expect("text");
    assert!(sse.contains("event: line\nid: 1\ndata: {\"seq\":1,"), "{sse}");
}

#[tokio::test]
async fn the_output_of_a_quick_program_comes_before_its_complaints() {
    let config = "[[tasks]]\nname = \"quick\"\ncommand = [\"sh\", \"-c\", \"echo out; echo err >&2; exit 3\"]\n";
    let mut server = TestServer::with_config(config).await;
    let done = run(&server, "quick", json!({})).await;
    assert_eq!((&done["status"], &done["error"]["message"]), (&json!("failed"), &json!("err")));
    assert_eq!(log(&server, &done, "").await, "out\nerr\n");
    server.stop().await;
}

#[tokio::test]
async fn a_burst_of_lines_is_stored_once_and_whole() {
    let server = TestServer::with_config(&shell("bursts", "seq 1 20000; echo last >&2", "")).await;
    for _ in 0..3 {
        let instance = run(&server, "bursts", json!({})).await;
        let mut lines = Vec::new();
        let mut from = json!(1);
        while !from.is_null() {
            let path = format!("/v1/instances/{}/logs?limit=10000&from={from}", instance["number"]);
            let page = server.get_json(&path).await;
            lines.extend(page["lines"].as_array().expect("lines").clone());
            from = page["next"].clone();
        }
        let seqs: Vec<_> = lines.iter().map(|line| line["seq"].as_u64().expect("a number")).collect();
        assert_eq!(seqs, (1..=20_001).collect::<Vec<_>>());
        let numbers: Vec<_> =
            lines.iter().filter(|line| line["stream"] == "stdout").map(|line| line["text"].clone()).collect();
        assert!(numbers.iter().zip(1..).all(|(text, n)| text.as_str() == Some(&*n.to_string())), "out of order");
    }
    server.fsck();
}

#[tokio::test]
async fn a_flood_of_log_costs_neither_memory_nor_disk() {
    let config = "[limits]\nlog = \"1 MiB\"\n".to_owned()
        + &shell(
            "floods",
            "yes 'a line that is forty characters long ....' | head -c 150000000; echo; echo the end",
            "",
        );
    let server = TestServer::with_config(&config).await;
    let instance = run(&server, "floods", json!({})).await;
    assert_eq!(instance["status"], "completed");
    let tail = log(&server, &instance, "?tail=1").await;
    assert_eq!(tail, "the end\n", "the newest lines win");
    let first = server.get_json(&format!("/v1/instances/{}/logs?limit=1", instance["number"])).await;
    assert_eq!(first["lines"][0]["stream"], "system", "one line tells of the rest: {first}");
    let text = log(&server, &instance, "?limit=10000").await;
    assert!(text.len() < 1_500_000, "{} bytes of log", text.len());
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_nonzero())).expect("a status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak < 90_000, "the daemon grew to {peak} kB");
    server.fsck();
}

#[tokio::test]
async fn inputs_are_checked_by_the_tasks_schema_and_size() {
    let config = shell(
        "schema",
        "true",
        "input_schema = { type = \"object\", required = [\"n\"], properties = { n = { type = \"integer\", maximum = 9 } } }",
    ) + &shell("file", "wc -c <$TASKWRIGHT_INPUT_FILE; test -z \"$TASK_DATA_INPUT\"", "inputs = \"file\"")
        + &shell("environment", "true", "");
    let server = TestServer::with_config(&config).await;
    let start = async |task: &str, inputs: Value| {
        let url = server.url(&format!("/v1/definitions/{task}/instances?wait=20"));
        let answer = server.client().post(url).json(&inputs).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let (code, problem) = start("schema", json!({"n": 10})).await;
    assert_eq!((code, &problem["type"]), (422, &json!("/problems/invalid-inputs")));
    assert_eq!(problem["errors"][0]["pointer"], "/n");
    assert_eq!(start("schema", json!({})).await.0, 422);
    assert_eq!(start("schema", json!({"n": 9})).await.0, 201);
    let large = json!({"text": "x".repeat(200_000)});
    assert_eq!(start("environment", large.clone()).await.0, 422);
    let (code, instance) = start("file", large).await;
    assert_eq!((code, &instance["status"]), (201, &json!("completed")), "{}", instance["error"]);
    assert_eq!(log(&server, &instance, "").await, "200011\n");
}

#[tokio::test]
async fn when_the_daemon_dies_its_commands_die_and_are_settled() {
    let config = shell("long", "setsid sleep 300 & sleep 300", "")
        + &shell("again", "echo attempt; sleep 300", "max_attempts = 2");
    let mut server = TestServer::with_config(&config).await;
    let long = server.start_task("long", json!({})).await;
    let again = server.start_task("again", json!({})).await;
    wait_for("the processes", async || (server.processes().len() >= 4).then_some(())).await;
    server.kill9();
    wait_for("the end of all processes", async || server.processes().is_empty().then_some(())).await;
    server.restart().await;
    let long = server.get(&long["number"]).await;
    let error = json!({"kind": "interrupted", "reason": "crash", "message": long["error"]["message"], "attempt": 1});
    assert_eq!((&long["status"], &long["error"]), (&json!("failed"), &error));
    let again = server
        .wait_until(&again["number"], "running again", |one| one["status"] == "running" && one["attempt"] == 2)
        .await;
    let attempts = server.get_json(&format!("/v1/instances/{}/attempts", again["number"])).await;
    assert_eq!(
        (&attempts["attempts"][0]["ended"], &attempts["attempts"][1]["ended"]),
        (&json!("interrupted"), &Value::Null)
    );
    server.fsck();
}

#[tokio::test]
async fn the_token_of_an_ended_attempt_does_nothing_any_more() {
    let server = TestServer::with_config(&shell("tells", "echo $TASKWRIGHT_TOKEN", "")).await;
    let instance = run(&server, "tells", json!({})).await;
    let token = log(&server, &instance, "").await;
    for path in ["", "/status", "/logs", "/result"] {
        let url = server.url(&format!("/v1/instances/{}{path}", instance["number"]));
        let answer = server.client().get(url).bearer_auth(token.trim()).send().await.expect("an answer");
        assert_eq!(answer.status(), 409, "{path}");
        assert_eq!(answer.json::<Value>().await.expect("JSON")["type"], "/problems/attempt-over");
    }
}

#[tokio::test]
async fn a_log_that_ends_with_its_page_is_read_out() {
    let server = TestServer::with_config(&shell("twelve", "seq 1 12", "")).await;
    let instance = run(&server, "twelve", json!({})).await;
    let next = async |limit: u32| {
        let path = format!("/v1/instances/{}/logs?limit={limit}", instance["number"]);
        server.get_json(&path).await["next"].clone()
    };
    assert_eq!((next(11).await, next(12).await, next(13).await), (json!(12), Value::Null, Value::Null));
}

#[tokio::test]
async fn in_a_drain_the_verdict_and_the_output_of_a_command_count() {
    let binary = env!("CARGO_BIN_EXE_taskwright");
    let line = format!(
        "trap '{binary} report status completed; echo \"{{}}\" >$TASKWRIGHT_OUTPUT_FILE; exit 4' TERM; \
         echo ready; while :; do sleep 0.02; done"
    );
    let config = "[server]\ndrain = \"200ms\"\ndrain_grace = \"10s\"\n".to_owned() + &shell("tidies", &line, "");
    let mut server = TestServer::with_config(&config).await;
    let instance = server.start_task("tidies", json!({})).await;
    wait_for("the program", async || log(&server, &instance, "").await.contains("ready").then_some(())).await;
    assert!(server.stop().await.success());
    server.restart().await;
    let done = server.get(&instance["number"]).await;
    assert_eq!((&done["status"], &done["output"]), (&json!("completed"), &json!({})), "{done}");
}

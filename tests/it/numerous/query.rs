//! `POST /query` itself: every operation and every rule.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{ask, ask_as, base64, instance, refusal};
use crate::support::{server::TestServer, wait_for};

pub const START: &str =
    "mutation CLITaskStart($input: TaskStartInput!) { taskStart(input: $input) { id task { id command } } }";
const LIST: &str = "query($organizationSlug: String!, $deployID: ID!, $taskID: ID!) { taskInstances(organizationSlug: \
    $organizationSlug, deployID: $deployID, taskID: $taskID) { id input output } }";
pub const STOP: &str = "mutation($id: ID!) { taskStop(taskInstanceID: $id) { taskInstanceID } }";
const PROGRESS: &str = "mutation($id: ID!, $value: Float, $message: String) { taskInstanceUpdateProgress(taskInstanceID: \
    $id, value: $value, message: $message) { id progress { value message } } }";
pub const OUTPUT: &str =
    "mutation($id: ID!, $value: String!) { taskInstanceSetOutput(taskInstanceID: $id, value: $value) { id output } }";
const APP: &str = "query CLIGetTasks($orgSlug: String!, $appSlug: String!) { app(organizationSlug: $orgSlug, appSlug: \
    $appSlug) { id defaultDeployment { id current { appVersion { tasks { id command } } } } } }";

/// Commands for each way to end.
pub const COMMANDS: &str = r#"
[[tasks]]
name = "raw"
command = ["sh", "-c", "printf %s \"$TASK_DATA_INPUT\" | base64 -d; echo; printf %s \"$TASKWRIGHT_TOKEN\" >token; exec sleep 600"]
[[tasks]]
name = "exit"
command = ["sh", "-c", "exit 3"]
[[tasks]]
name = "signal"
command = ["sh", "-c", "kill -SEGV $$"]
[[tasks]]
name = "timeout"
command = ["sleep", "600"]
timeout = "100ms"
[[tasks]]
name = "timeout, and well"
command = ["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]
timeout = "300ms"
[[tasks]]
name = "verdict"
command = ["sh", "-c", "curl -sS --json '{\"status\":\"failed\"}' -X PUT -H \"Authorization: Bearer $TASKWRIGHT_TOKEN\" $TASKWRIGHT_URL/v1/instances/$NUMEROUS_TASK_INSTANCE_ID/status"]
[[tasks]]
name = "no json"
command = ["sh", "-c", "echo '{' >$TASKWRIGHT_OUTPUT_FILE"]
[[tasks]]
name = "no program"
command = ["there-is-no-such-program"]
"#;

pub async fn start(server: &TestServer, task: &str, input: Option<&str>) -> Value {
    let input = json!({"organizationSlug": "o", "deployID": "d", "taskName": task, "input": input});
    ask(server, START, json!({ "input": input })).await
}

pub async fn started(server: &TestServer, task: &str, input: Option<&str>) -> String {
    let answer = start(server, task, input).await;
    answer["data"]["taskStart"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn an_instance_is_told_in_the_platforms_words() {
    let server = TestServer::with_config(COMMANDS).await;
    let answer = start(&server, "sleep", Some(&base64("{\"seconds\": 0}"))).await;
    assert_eq!(answer["data"]["taskStart"]["task"], json!({"id": "sleep", "command": []}));
    let id = answer["data"]["taskStart"]["id"].as_str().expect("an id").to_owned();
    let stored = server.wait_done(&id).await;
    let expected = json!({
        "id": id, "createdAt": stored["created_at"], "input": base64("{\"seconds\":0}"), "output": base64("{\"slept\":0.0}"),
        "task": {"id": "sleep", "command": []}, "progress": {"value": 100.0, "message": null},
        "workload": {"status": "STOPPED", "startedAt": stored["started_at"], "exitCode": 0,
            "cpuUsage": {"current": null}, "memoryUsageMB": {"current": null}},
    });
    let told = instance(&server, &id).await;
    assert_eq!(told["workload"], expected["workload"]);
    assert_eq!(told["input"], expected["input"]);
    assert_eq!(
        (&told["id"], &told["createdAt"], &told["task"]),
        (&expected["id"], &expected["createdAt"], &expected["task"])
    );
    assert_eq!(told["progress"]["value"].as_f64(), stored["progress"].as_f64().map(|value| value * 100.0));
    let output = base64(&serde_json::to_string(&stored["output"]).expect("JSON"));
    assert_eq!(told["output"], output);
    // A short number is as good as the id.
    assert_eq!(instance(&server, &stored["number"].to_string()).await, told);
}

#[tokio::test]
async fn each_ending_has_its_exit_code() {
    let server = TestServer::with_config(COMMANDS).await;
    for (task, status, code) in [
        ("exit", "ERROR", json!(3)),
        ("signal", "ERROR", json!(139)),
        ("timeout", "ERROR", json!(143)),
        ("timeout, and well", "ERROR", json!(1)),
        ("verdict", "ERROR", json!(1)),
        ("no json", "ERROR", json!(1)),
        ("no program", "ERROR", json!(null)),
    ] {
        let id = started(&server, task, None).await;
        server.wait_done(&id).await;
        let told = instance(&server, &id).await;
        assert_eq!((&told["workload"]["status"], &told["workload"]["exitCode"]), (&json!(status), &code), "{task}");
    }
    // A handler has no exit code when it fails.
    let failed = started(&server, "checksum", Some(&base64("{\"path\":\"/no/such\"}"))).await;
    server.wait_done(&failed).await;
    let told = instance(&server, &failed).await["workload"].clone();
    assert_eq!((&told["status"], &told["exitCode"]), (&json!("ERROR"), &json!(null)));
    // Cancelled while it waits, and while it runs.
    let later = server.client().post(server.url("/v1/definitions/exit/instances?delay=1h")).json(&json!({}));
    let later: Value = later.send().await.expect("an answer").json().await.expect("JSON");
    let running = started(&server, "raw", None).await;
    server.wait_running(&running).await;
    for (id, status, begun) in [(later["id"].as_str().expect("an id"), "PENDING", false), (&running, "RUNNING", true)] {
        let told = instance(&server, id).await["workload"].clone();
        assert_eq!((&told["status"], &told["exitCode"]), (&json!(status), &json!(null)));
        assert_eq!(told["startedAt"].is_string(), begun);
        let stopped = ask(&server, STOP, json!({ "id": id })).await;
        assert_eq!(stopped["data"]["taskStop"]["taskInstanceID"], id, "{stopped}");
        server.wait_done(id).await;
        let told = instance(&server, id).await["workload"].clone();
        assert_eq!((&told["status"], &told["exitCode"]), (&json!("STOPPED"), &json!(null)));
        // Again: it is done, and stays as it is.
        let before = server.get(id).await;
        assert_eq!(ask(&server, STOP, json!({ "id": id })).await, stopped);
        assert_eq!(server.get(id).await, before);
    }
    server.fsck();
}

#[tokio::test]
async fn any_text_reaches_the_program_as_it_was_typed() {
    let server = TestServer::with_config(COMMANDS).await;
    for text in ["hello wörld", "[1,  2]", "7", "{\"a\": NaN}", "{\"a\":  1}"] {
        let id = started(&server, "raw", Some(&base64(text))).await;
        // An object is kept compact.
        let seen = if text == "{\"a\":  1}" { "{\"a\":1}" } else { text };
        let url = server.url(&format!("/v1/instances/{id}/logs"));
        wait_for("the inputs in the log", async || {
            let log = server.client().get(&url).header("accept", "text/plain").send().await.expect("an answer");
            (log.text().await.expect("text").lines().next() == Some(seen)).then_some(())
        })
        .await;
        assert_eq!(instance(&server, &id).await["input"], base64(seen));
        let kept = server.get(&id).await["inputs"].clone();
        assert_eq!(kept, if seen == text { json!({ "_raw": text }) } else { json!({"a": 1}) });
        ask(&server, OUTPUT, json!({"id": id, "value": base64(text)})).await;
        assert_eq!(instance(&server, &id).await["output"], base64(seen));
        ask(&server, STOP, json!({ "id": id })).await;
    }
    let none = started(&server, "exit", None).await;
    assert_eq!(instance(&server, &none).await["input"], base64("{}"));
    assert_eq!(instance(&server, &none).await["output"], Value::Null);
}

#[tokio::test]
async fn what_is_unknown_is_said_in_the_clients_words() {
    let server = TestServer::with_config("").await;
    for id in ["00000000-0000-7000-8000-000000000000", "no id", "", "99999999999999999999", "7"] {
        assert_eq!(instance(&server, id).await, Value::Null, "{id}");
        for (query, more) in [(STOP, json!({})), (PROGRESS, json!({"value": 1})), (OUTPUT, json!({"value": ""}))] {
            let mut variables = more;
            variables["id"] = json!(id);
            let answer = ask(&server, query, variables).await;
            assert!(refusal(&answer).starts_with("task instance not found"), "{id}: {answer}");
            assert_eq!(answer["errors"][0]["extensions"]["code"], "task-instance-not-found");
        }
    }
    let answer = start(&server, "slep", None).await;
    assert_eq!(refusal(&answer), "task not found: there is no task `slep`; did you mean `sleep`?");
    assert_eq!(answer["data"], Value::Null);
    let nothing = json!({"organizationSlug": "o", "deployID": "d", "taskID": "8b0c7d3e-6a52-4c8c-a0dc-0f4b4d8c2d11"});
    assert_eq!(ask(&server, LIST, nothing).await, json!({"data": {"taskInstances": []}}));
}

#[tokio::test]
async fn a_program_reports_from_0_to_100() {
    let server = TestServer::with_config(COMMANDS).await;
    let id = started(&server, "raw", None).await;
    server.wait_running(&id).await;
    let report = async |variables: Value| ask(&server, PROGRESS, variables).await;
    let told = report(json!({"id": id, "value": 25, "message": "a quarter"})).await;
    assert_eq!(
        told["data"]["taskInstanceUpdateProgress"],
        json!({"id": id, "progress": {"value": 25.0, "message": "a quarter"}})
    );
    assert_eq!(server.get(&id).await["progress"], 0.25);
    let told = report(json!({"id": id, "message": "still"})).await;
    assert_eq!(told["data"]["taskInstanceUpdateProgress"]["progress"], json!({"value": 25.0, "message": "still"}));
    let told = report(json!({"id": id, "value": 100, "message": null})).await;
    assert_eq!(told["data"]["taskInstanceUpdateProgress"]["progress"], json!({"value": 100.0, "message": null}));
    for bad in [-0.1, 100.1, 1e300] {
        let told = report(json!({"id": id, "value": bad})).await;
        assert!(refusal(&told).starts_with("progress must be a number from 0 to 100"), "{told}");
    }
    assert_eq!(server.get(&id).await["progress"], 1.0);
    let told = ask(&server, OUTPUT, json!({"id": id, "value": base64("{\"result\": \"é\"}")})).await;
    assert_eq!(told["data"]["taskInstanceSetOutput"]["output"], base64("{\"result\":\"é\"}"));
    assert_eq!(server.get(&id).await["output"], json!({"result": "é"}));
    assert!(refusal(&ask(&server, OUTPUT, json!({"id": id, "value": "?"})).await).contains("not base64"));
    ask(&server, STOP, json!({ "id": id })).await;
    server.wait_done(&id).await;
    let late = report(json!({"id": id, "value": 1})).await;
    assert_eq!(late["errors"][0]["extensions"]["code"], "attempt-over", "{late}");
}

#[tokio::test]
async fn an_app_has_the_tasks_that_name_it() {
    let task = |name: &str, app: &str| format!("[[tasks]]\nname = \"{name}\"\ncommand = \"true {name}\"\n{app}\n");
    let photos = "app_id = \"photos\"\napp_version_id = \"3\"";
    let config =
        task("resize", photos) + &task("rotate", photos) + &task("film", "app_id = \"films\"") + &task("own", "");
    let server = TestServer::with_config(&config).await;
    let tasks =
        async |slug: &str| ask(&server, APP, json!({"orgSlug": "o", "appSlug": slug})).await["data"]["app"].clone();
    let named = |app: &Value| -> Vec<String> {
        let tasks = &app["defaultDeployment"]["current"]["appVersion"]["tasks"];
        tasks.as_array().expect("tasks").iter().map(|task| task["id"].as_str().expect("an id").to_owned()).collect()
    };
    let app = tasks("photos").await;
    assert_eq!(named(&app), ["resize", "rotate"]);
    assert_eq!((&app["id"], &app["defaultDeployment"]["id"]), (&json!("photos"), &json!("photos")));
    let first = &app["defaultDeployment"]["current"]["appVersion"]["tasks"][0];
    assert_eq!(*first, json!({"id": "resize", "command": ["true", "resize"]}));
    assert_eq!(named(&tasks("films").await), ["film"]);
    assert_eq!(named(&tasks("anything").await), ["checksum", "own", "sleep"], "those without an app");

    // The deployment is the app's.
    let query = "query DeploymentTasks($organizationSlug: String!, $deployID: ID!) { tasks(organizationSlug: \
        $organizationSlug, deployID: $deployID) { id command } }";
    let answer = ask(&server, query, json!({"organizationSlug": "o", "deployID": "films"})).await;
    assert_eq!(answer["data"]["tasks"], json!([{"id": "film", "command": ["true", "film"]}]));
    let start = async |deployment: &str, task: &str| {
        let input = json!({"organizationSlug": "o", "deployID": deployment, "taskName": task});
        ask(&server, START, json!({ "input": input })).await
    };
    let id = start("films", "film").await["data"]["taskStart"]["id"].as_str().expect("an id").to_owned();
    let foreign = start("photos", "film").await;
    assert!(refusal(&foreign).starts_with("task not found: there is no task `film` in this deployment"), "{foreign}");
    let list = async |deployment: &str, task: &str| {
        let variables = json!({"organizationSlug": "o", "deployID": deployment, "taskID": task});
        ask(&server, LIST, variables).await["data"]["taskInstances"].as_array().expect("a list").len()
    };
    server.wait_done(&id).await;
    assert_eq!((list("films", "film").await, list("photos", "film").await, list("films", "nothing").await), (1, 0, 0));
}

#[tokio::test]
async fn there_is_one_organization_and_every_version_will_do() {
    const ORGANIZATION: &str = "query OrganizationByID($organizationId: ID!) { organizationById(organizationId: \
        $organizationId) { __typename ... on Organization { id slug } } }";
    const VERSION: &str = "query ($version:String!){checkVersion(version: $version){__typename,... on VersionCheckOK{version},\
        ... on VersionCheckWarning{message},... on VersionCheckCritical{message},... on VersionUnknown{version}}}";
    let plain = TestServer::start().await;
    let named = TestServer::with_config("[numerous]\norganization = \"ours\"\ndeployment = \"here\"\n").await;
    for (server, expected) in [(&plain, "theirs"), (&named, "ours")] {
        let answer = ask(server, ORGANIZATION, json!({"organizationId": "theirs"})).await;
        let organization = json!({"__typename": "Organization", "id": expected, "slug": expected});
        assert_eq!(answer["data"]["organizationById"], organization);
        let none = ask(server, ORGANIZATION, json!({"organizationId": ""})).await;
        assert_eq!(none["data"]["organizationById"], json!({"__typename": "OrganizationNotFound"}));
        let answer = ask(server, VERSION, json!({"version": "0.51.2"})).await;
        assert_eq!(answer["data"]["checkVersion"], json!({"__typename": "VersionCheckOK", "version": "0.51.2"}));
    }
    for (server, expected) in [(&plain, "slug"), (&named, "here")] {
        let answer = ask(server, APP, json!({"orgSlug": "o", "appSlug": "slug"})).await;
        assert_eq!(answer["data"]["app"]["defaultDeployment"]["id"], expected);
    }
}

#[tokio::test]
async fn a_list_holds_the_newest_first() {
    let server = TestServer::with_config("").await;
    let mut expected = Vec::new();
    for n in 0..3 {
        expected.insert(0, started(&server, "sleep", Some(&base64(&format!("{{\"seconds\":0.00{n}}}")))).await);
    }
    for id in &expected {
        server.wait_done(id).await;
    }
    let variables = json!({"organizationSlug": "o", "deployID": "d", "taskID": "sleep"});
    let answer = ask(&server, LIST, variables).await;
    let list = answer["data"]["taskInstances"].as_array().expect("a list");
    assert_eq!(list.iter().map(|one| one["id"].as_str().expect("an id")).collect::<Vec<_>>(), expected);
    assert_eq!(list[0]["input"], base64("{\"seconds\":0.002}"));
    assert!(list[0]["output"].is_string(), "{answer}");
}

#[tokio::test]
async fn a_list_ends_where_it_would_be_too_large() {
    let server = TestServer::with_config(
        "[limits]\nbody = \"2 MiB\"\n[[tasks]]\nname = \"t\"\ncommand = \"true\"\ninputs = \"file\"\n",
    )
    .await;
    // Read from the store after the restart, not from memory.
    let mut server = server;
    let large = "x".repeat(1_900_000);
    for _ in 0..20 {
        server.start_task("t", json!({"text": large})).await;
    }
    server.wait_done(20).await;
    server.restart().await;
    let variables = json!({"organizationSlug": "o", "deployID": "d", "taskID": "t"});
    let answer = ask(&server, LIST, variables).await;
    let list = answer["data"]["taskInstances"].as_array().expect("a list");
    assert_eq!(list.len(), (16 << 20) / 1_900_011, "as many as 16 MiB hold");
    let newest = server.get(20).await;
    assert_eq!(list[0]["id"], newest["id"]);
}

fn token(scope: &str) -> String {
    let hash: String = Sha256::digest(format!("tw_{scope}")).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[tokens]]\nname = \"{scope}\"\nsha256 = \"{hash}\"\nscopes = [\"{scope}\"]\n")
}

#[tokio::test]
async fn each_field_needs_its_scope() {
    let config = token("read") + &token("run") + COMMANDS;
    let server = TestServer::with_config(&config).await;
    let api = |path: &str| server.client().post(server.url(path)).bearer_auth("tw_run");
    let made: Value = api("/v1/definitions/raw/instances").json(&json!({})).send().await.unwrap().json().await.unwrap();
    let other: Value =
        api("/v1/definitions/raw/instances").json(&json!({})).send().await.unwrap().json().await.unwrap();
    let (own, other) = (made["id"].as_str().unwrap(), other["id"].as_str().unwrap());
    let read = async |id: &str| {
        let get = server.client().get(server.url(&format!("/v1/instances/{id}"))).bearer_auth("tw_read");
        get.send().await.unwrap().json::<Value>().await.unwrap()
    };
    // The second of them wrote its token last, or the first did: the file is one of the two.
    let token_file = server.folder().join("token");
    let attempt = wait_for("the token of an attempt", async || {
        std::fs::read_to_string(&token_file).ok().filter(|token| token.len() > 60)
    })
    .await;
    let start = json!({"input": {"organizationSlug": "o", "deployID": "d", "taskName": "exit"}});
    let list = json!({"organizationSlug": "o", "deployID": "d", "taskID": "raw"});
    let app = json!({"orgSlug": "o", "appSlug": "a"});

    // A reader reads, and changes nothing.
    let before = (read(own).await, read(other).await);
    for (query, variables) in [
        (START, start.clone()),
        (STOP, json!({ "id": own })),
        (PROGRESS, json!({"id": own, "value": 9})),
        (OUTPUT, json!({"id": own, "value": base64("{}")})),
    ] {
        let answer = ask_as(&server, Some("tw_read"), query, variables).await;
        assert!(refusal(&answer).starts_with("access denied"), "{answer}");
        assert_eq!(answer["errors"][0]["extensions"]["code"], "forbidden");
    }
    assert_eq!((read(own).await, read(other).await), before);
    for (query, variables) in
        [(super::INSTANCE, json!({ "taskInstanceID": own })), (LIST, list.clone()), (APP, app.clone())]
    {
        let answer = ask_as(&server, Some("tw_read"), query, variables).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
    }
    // Nobody who is not known is let in at all.
    let unknown = server.client().post(server.url("/query")).json(&json!({"query": "{ __typename }"}));
    assert_eq!(unknown.send().await.unwrap().status(), 401);

    // An attempt reads, reports and stops its own instance, and nothing else.
    let attempt = Some(attempt.as_str());
    let mine = async |id: &str| {
        ask_as(&server, attempt, PROGRESS, json!({"id": id, "value": 50})).await.get("errors").is_none()
    };
    let (own, other) = if mine(own).await { (own, other) } else { (other, own) };
    assert!(mine(own).await && !mine(other).await);
    for (query, variables) in [
        (START, start),
        (LIST, list),
        (APP, app),
        (super::INSTANCE, json!({ "taskInstanceID": other })),
        (super::INSTANCE, json!({ "taskInstanceID": "no id" })),
        (STOP, json!({ "id": other })),
        (OUTPUT, json!({"id": other, "value": base64("{}")})),
    ] {
        let answer = ask_as(&server, attempt, query, variables).await;
        assert!(refusal(&answer).starts_with("access denied"), "{answer}");
    }
    let told = ask_as(&server, attempt, super::INSTANCE, json!({ "taskInstanceID": own })).await;
    assert_eq!(told["data"]["taskInstance"]["progress"]["value"], 50.0, "{told}");
    // Its own stop sends no signal before the deadline; a foreign one does, and then its token is worth nothing.
    let stopped = ask_as(&server, attempt, STOP, json!({ "id": own })).await;
    assert_eq!(stopped["data"]["taskStop"]["taskInstanceID"], own, "{stopped}");
    let told = ask_as(&server, attempt, OUTPUT, json!({"id": own, "value": base64("{\"result\":1}")})).await;
    assert_eq!(told["data"]["taskInstanceSetOutput"]["output"], base64("{\"result\":1}"), "{told}");
    ask_as(&server, Some("tw_run"), STOP, json!({ "id": own })).await;
    let ended = wait_for("the foreign stop's end", async || {
        let instance = read(own).await;
        (instance["status"] == "cancelled").then_some(instance)
    })
    .await;
    assert_eq!(ended["output"], json!({"result": 1}));
    let late = ask_as(&server, attempt, super::INSTANCE, json!({ "taskInstanceID": own })).await;
    assert_eq!(late["errors"][0]["extensions"]["code"], "attempt-over", "{late}");
    ask_as(&server, Some("tw_run"), STOP, json!({ "id": other })).await;
}

#[tokio::test]
async fn while_there_are_no_tokens_any_is_taken() {
    let server = TestServer::start().await;
    let answer = ask_as(&server, Some("whatever"), "{ __typename }", json!({})).await;
    assert_eq!(answer, json!({"data": {"__typename": "Query"}}));
}

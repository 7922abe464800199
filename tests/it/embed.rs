//! The server inside an application.

#[allow(dead_code, reason = "an example has a main of its own")]
#[path = "../../examples/embed_in_axum.rs"]
mod embed_in_axum;

use std::{
    fs,
    future::{IntoFuture, poll_fn},
    net::SocketAddr,
    process::Stdio,
    task::Poll,
    time::Duration,
};

use embed_in_axum::{MakeReport, app};
use futures_util::future::join_all;
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use taskwright::{
    CompletionError, Server, ServerHandle, TaskController, TaskError, TaskInstanceNotFoundError,
    config::{Config, Sources},
    domain::{Definition, Json, Retention, Source, Status, Workload, error::ErrorKind},
    engine::{CatalogError, CommandTask, EngineError, InvalidCommand, StartOptions, StopOptions, When},
    http::{Scope, TokenSettings},
    server::StartError,
};
use tempfile::tempdir;
use tokio::{net::TcpListener, time::timeout};

use super::support::{
    server::{example, run},
    wait_for,
};

#[derive(serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Number {
    number: i64,
}

async fn square(input: Number, _: TaskController) -> Result<i64, TaskError> {
    input.number.checked_mul(input.number).ok_or_else(|| TaskError::permanent("the square is too large"))
}

async fn half_then_wait(_: (), task: TaskController) -> Result<(), TaskError> {
    task.set_progress_with(0.5, "half")?;
    task.set_output(json!({"half": true}))?;
    task.stopped().await;
    Err(TaskError::stopped())
}

fn server() -> Server {
    Server::temporary().register_fn("square", square).register_fn("half then wait", half_then_wait)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_in_any_task() {
    let tasks = tokio::spawn(server().start()).await.unwrap().unwrap();
    tokio::spawn(async move { tasks.shutdown().await }).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_the_original_is_there() {
    let tasks = server().register_task(MakeReport).start().await.unwrap();
    assert_eq!(tasks.get_task_definition("square").unwrap().workload, Workload::Local);
    let error = tasks.get_task_definition("sqare").unwrap_err();
    assert!(error.to_string().contains("did you mean `square`"), "{error}");
    let ids: Vec<_> = tasks.list_task_definitions().iter().map(|definition| definition.id.to_string()).collect();
    assert_eq!(ids, ["half then wait", "make-report", "square"]);

    let done = tasks.run_task("square", Number { number: -7 }).block().await.unwrap();
    assert!(done.is_done().await.unwrap());
    assert_eq!((done.get_status().await.unwrap(), done.task_id()), (Status::Completed, "square"));
    assert_eq!(done.get_output().await.unwrap().unwrap().as_str(), r#"{"result":49}"#);
    assert_eq!(done.get_result().await.unwrap().unwrap().read::<i64>().unwrap(), 49);
    assert_eq!(tasks.wait_for_completion(done.id()).await.unwrap().read::<i64>().unwrap(), 49);

    let waits = tasks.run_task("half then wait", ()).workload(Workload::Local).await.unwrap();
    let mut watch = waits.watch().await.unwrap();
    while watch.current().progress.value() < 0.5 || watch.current().output.is_none() {
        watch.changed().await.expect("it goes on");
    }
    assert!(!waits.is_done().await.unwrap());
    assert_eq!(waits.get_progress().await.unwrap().message.as_deref(), Some("half"));
    assert_eq!(waits.get_output().await.unwrap().unwrap().as_str(), r#"{"half":true}"#);
    let by_number = tasks.get_task_instance(waits.number()).await.unwrap();
    assert_eq!(by_number.id(), waits.id());
    waits.stop().await.unwrap();
    let cancelled = by_number.wait_for_completion().await.unwrap_err();
    let CompletionError::Cancelled { output, .. } = cancelled else { panic!("{cancelled:?}") };
    assert_eq!(output.as_ref().map(Json::as_str), Some(r#"{"half":true}"#));

    let fails = tasks.run_task("square", Number { number: i64::MAX }).await.unwrap();
    let failed = fails.wait_for_completion().await.unwrap_err();
    assert!(failed.to_string().ends_with("failed: the square is too large"), "{failed}");
    let error = fails.get_error().await.unwrap().unwrap();
    assert!(matches!(error.kind, ErrorKind::Handler { .. }), "{error:?}");

    let squares = tasks.list_task_instances("square").await.unwrap();
    assert_eq!(squares.iter().map(|instance| instance.number()).collect::<Vec<_>>(), [fails.number(), done.number()]);
    assert!(tasks.list_task_instances("never defined").await.unwrap().is_empty());
    tasks.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_an_error_by_name() {
    let tasks = server().start().await.unwrap();
    for id in ["7", "no such", "019a2b3c-0000-7000-8000-000000000000"] {
        let errors = [
            tasks.get_task_instance(id).await.map(drop).unwrap_err(),
            tasks.stop_task_instance(id).await.map(drop).unwrap_err(),
        ];
        for error in errors {
            let EngineError::UnknownInstance(TaskInstanceNotFoundError { instance_id }) = error else {
                panic!("{error:?}")
            };
            assert_eq!(instance_id, id);
        }
    }
    let invalid = tasks.run_task("square", json!({"nmber": 1})).await.unwrap_err();
    assert!(
        matches!(&invalid, EngineError::InvalidInputs { errors, .. } if errors[0].detail.contains("did you mean `number`")),
        "{invalid:?}"
    );
    let invalid = tasks.run_task("square", [1]).await.unwrap_err();
    assert!(matches!(invalid, EngineError::InvalidInputs { .. }), "{invalid:?}");
    let other = tasks.run_task("square", Number { number: 1 }).workload(Workload::Remote).await.unwrap_err();
    assert!(matches!(other, EngineError::InvalidOptions { .. }), "{other:?}");
    let unknown = tasks.run_task("cube", ()).await.unwrap_err();
    assert!(matches!(unknown, EngineError::UnknownTask { .. }), "{unknown:?}");
    assert_eq!(tasks.list_task_instances("square").await.unwrap().len(), 0);

    let once = || tasks.run_task("square", Number { number: 2 }).idempotency_key("k");
    assert_eq!(once().await.unwrap().id(), once().await.unwrap().id());
    tasks.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_kept_and_a_shutdown_lets_no_waiter_hang() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("deep/tasks.db");
    let server = || {
        Server::at(&path)
            .register_fn("square", square)
            .register_fn("half then wait", half_then_wait)
            .drain(Duration::ZERO, Duration::from_secs(5))
    };
    let tasks = server().start().await.unwrap();
    let again = server().start().await.unwrap_err();
    assert!(matches!(again, StartError::Store(_)) && again.to_string().contains("is in use"), "{again}");
    let done = tasks.run_task("square", Number { number: 3 }).block().await.unwrap();
    let twice = StartOptions { max_attempts: Some(2), ..StartOptions::default() };
    let waits = tasks.run_task("half then wait", ()).options(twice.clone()).await.unwrap();
    let waiter = tokio::spawn({
        let waits = waits.clone();
        async move { waits.wait_for_completion().await }
    });
    let blocks = tokio::spawn(tasks.run_task("half then wait", ()).options(twice.clone()).block().into_future());
    wait_for("it to start", async || {
        (tasks.list_task_instances("half then wait").await.unwrap().len() == 2).then_some(())
    })
    .await;
    let (first, second) = tokio::join!(tasks.shutdown(), tasks.shutdown());
    assert_eq!((first, second), (Ok(()), Ok(())));
    let ended = waiter.await.unwrap().unwrap_err();
    let CompletionError::Engine(EngineError::EndedFirst { instance_id }) = ended else { panic!("{ended:?}") };
    assert_eq!(instance_id, waits.id());
    let ended = blocks.await.unwrap().unwrap_err();
    let EngineError::EndedFirst { instance_id: blocked } = ended else { panic!("{ended:?}") };
    let refused = tasks.run_task("square", Number { number: 3 }).await.unwrap_err();
    assert!(matches!(refused, EngineError::Draining), "{refused:?}");
    assert!(run(&["fsck", "--database", &format!("sqlite://{}", path.display())]).status.success());

    // Another attempt was left: it runs again, and is stopped.
    let tasks = server().start().await.unwrap();
    assert_eq!(tasks.wait_for_completion(done.id()).await.unwrap().read::<i64>().unwrap(), 9);
    let mut watch = tasks.get_task_instance(waits.id()).await.unwrap().watch().await.unwrap();
    while watch.current().attempt < 2 {
        watch.changed().await.expect("it runs again");
    }
    let waits = tasks.stop_task_instance(waits.id()).await.unwrap();
    assert!(matches!(waits.wait_for_completion().await, Err(CompletionError::Cancelled { .. })));
    assert_eq!(waits.get().await.unwrap().attempt, 2);
    // What blocked is there under the id that its caller was told.
    tasks.stop_task_instance(blocked).await.unwrap();
    tasks.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_blocks_sees_the_end_also_of_what_is_not_kept() {
    let kept = Retention { age: Some(Duration::from_micros(1)), count: None };
    let tasks = server().engine_settings(|engine| engine.retention = kept).start().await.unwrap();
    for _ in 0..10 {
        let starts = (0..20).map(|number| tasks.run_task("square", Number { number }).block().into_future());
        for done in join_all(starts).await {
            done.unwrap();
        }
    }
    // A repeat under a key waits for the same end.
    let twice = || tasks.run_task("half then wait", ()).idempotency_key("k");
    let waits = twice().await.unwrap();
    let repeat = tokio::spawn(twice().block().into_future());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!repeat.is_finished());
    waits.stop().await.unwrap();
    assert_eq!(repeat.await.unwrap().unwrap().id(), waits.id());
    tasks.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_start_says_what_to_do() {
    // These tests run in a program whose main does not begin with `init`.
    let command = CommandTask::new("true", ["true"]).unwrap();
    let error = server().command(command).start().await.unwrap_err();
    assert!(matches!(error, StartError::NotInitialised(_)), "{error:?}");
    assert!(error.to_string().contains("make it the first line of main"), "{error}");

    taskwright::init();
    let late = server().command(CommandTask::new("true", ["true"]).unwrap()).start().await.unwrap_err();
    assert!(late.to_string().contains("#[tokio::main] starts threads"), "{late}");

    let twice = server().register_fn("square", square).start().await.unwrap_err();
    assert!(matches!(twice, StartError::Catalog(_)) && twice.to_string().contains("rename one"), "{twice}");
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let exposed = server().listen(everywhere).start().await.unwrap_err();
    assert!(exposed.to_string().contains("Server::token"), "{exposed}");
    let exposed = server().mounted_at("http://tasks.example/x").start().await.unwrap_err();
    assert!(matches!(exposed, StartError::Exposed { .. }), "{exposed}");
    let mount = server().mounted_at("/tasks").start().await.unwrap_err();
    assert!(mount.to_string().contains("http://127.0.0.1:3000/tasks"), "{mount}");
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = server().listen(taken.local_addr().unwrap()).start().await.unwrap_err();
    assert!(matches!(listen, StartError::Listen { .. }), "{listen}");

    assert!(matches!(CommandTask::new("a/b", ["true"]), Err(InvalidCommand::Id(_))));
    assert!(matches!(CommandTask::new("a", [""]), Err(InvalidCommand::NoProgram(_))));
    assert!(matches!(CommandTask::new("a", ["x", "\0"]), Err(InvalidCommand::Nul(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_listens_where_it_is_told_and_asks_for_its_tokens() {
    let token = TokenSettings::new("ci", "tw_secret", &[Scope::Run]);
    let tasks = server().listen("127.0.0.1:0".parse().unwrap()).token(token).start().await.unwrap();
    let url = tasks.url().unwrap();
    assert_eq!(url, format!("http://{}", tasks.address().unwrap()));
    let client = Client::builder().no_proxy().build().unwrap();
    let start = |token| {
        let request = client.post(format!("{url}/v1/definitions/square/instances?wait")).bearer_auth(token);
        request.json(&Number { number: 5 }).send()
    };
    assert_eq!(start("other").await.unwrap().status(), 401);
    let answer: Value = start("tw_secret").await.unwrap().json().await.unwrap();
    assert_eq!((&answer["status"], &answer["result"]), (&json!("completed"), &json!(25)));
    assert_eq!(tasks.list_task_instances("square").await.unwrap().len(), 1);
    tasks.shutdown().await.unwrap();
    assert!(start("tw_secret").await.is_err(), "nobody listens any more");
}

/// What is wrong, as pointers.
fn options_at_fault(error: EngineError) -> Vec<String> {
    let EngineError::InvalidOptions { errors } = error else { panic!("{error:?}") };
    errors.into_iter().map(|error| error.pointer).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_client_could_ask_for_is_refused_in_process_too() {
    let tasks = server().start().await.unwrap();
    let options = StartOptions {
        timeout: Some(Duration::MAX),
        queue_timeout: Some(Duration::ZERO),
        max_attempts: Some(0),
        retry_delay: Some(Duration::MAX),
        when: When::After(Duration::MAX),
        ..StartOptions::default()
    };
    let refused = tasks.run_task("half then wait", ()).options(options).await.unwrap_err();
    assert_eq!(options_at_fault(refused), ["/timeout", "/queue_timeout", "/max_attempts", "/retry_delay", "/delay"]);
    let mut definition = Definition::new("true".parse().unwrap(), Workload::Remote, Source::Registered);
    definition.command = Some(vec!["true".to_owned()]);
    definition.queue_timeout = Some(Duration::MAX);
    assert_eq!(options_at_fault(tasks.engine().register(definition).await.unwrap_err()), ["/queue_timeout"]);
    let year = Some(Duration::from_secs(365 * 86_400));
    let options = StartOptions {
        timeout: year,
        queue_timeout: year,
        max_attempts: Some(1000),
        retry_delay: year,
        ..StartOptions::default()
    };
    let waits = tasks.run_task("half then wait", ()).options(options).await.unwrap();
    let too_long = |force| StopOptions { grace: Some(Duration::MAX), force, by_itself: false };
    for force in [false, true] {
        assert_eq!(options_at_fault(waits.stop_with(too_long(force)).await.unwrap_err()), ["/grace"]);
    }
    waits.stop_with(StopOptions { grace: Some(Duration::from_secs(3600)), ..too_long(false) }).await.unwrap();
    assert!(matches!(waits.wait_for_completion().await, Err(CompletionError::Cancelled { .. })));
    let done = tasks.run_task("square", Number { number: 2 }).block().await.unwrap();
    assert_eq!(done.get_status().await.unwrap(), Status::Completed);
    tasks.shutdown().await.unwrap();

    let grace = server().stop_grace(Duration::MAX).start().await.unwrap_err();
    assert_eq!(grace.to_string(), "worker.stop_grace must be at most 1 hour");
    let drain = server().drain(Duration::MAX, Duration::ZERO).start().await.unwrap_err();
    assert_eq!(drain.to_string(), "server.drain must be at most 365 days");
    let mut command = CommandTask::new("true", ["true"]).unwrap();
    command.definition.timeout = Some(Duration::MAX);
    let command = server().command(command).start().await.unwrap_err();
    assert!(matches!(command, StartError::Catalog(CatalogError::OutOfBounds { member: "timeout", .. })), "{command}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_defines_commands_without_an_administrators_token() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("tasks.toml");
    let database = format!("sqlite://{}", folder.path().join("tasks.db").display());
    let text = format!("definitions.remote = true\nserver.listen = \"127.0.0.1:0\"\ndatabase.url = \"{database}\"");
    fs::write(&file, text).unwrap();
    let configured = || Server::configured(Config::load(&Sources::of_process(Some(file.clone()))).unwrap());
    let allowed = || server().engine_settings(|engine| engine.remote_definitions = true);
    let runs = || TokenSettings::new("ci", "tw_secret", &[Scope::Run]);
    for server in [configured(), configured().token(runs()), allowed(), allowed().token(runs())] {
        let refused = server.start().await.unwrap_err();
        assert!(matches!(refused, StartError::NobodyMayDefine), "{refused:?}");
    }
    assert!(!folder.path().join("tasks.db").exists(), "a refused start leaves no store");
    // Only what commands need is missing here.
    let admin = TokenSettings::new("ops", "tw_other", &[Scope::Admin]);
    let late = allowed().token(admin).start().await.unwrap_err();
    assert!(matches!(late, StartError::NotInitialised(_)), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_that_was_dropped_anywhere_can_be_called_again() {
    for polls in 0.. {
        let tasks = server().listen("127.0.0.1:0".parse().unwrap()).start().await.unwrap();
        tasks.run_task("square", Number { number: 2 }).await.unwrap();
        let mut first = Box::pin(tasks.shutdown());
        let mut left = polls;
        let ended = poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(false);
            }
            left -= 1;
            first.as_mut().poll(context).map(|_| true)
        })
        .await;
        drop(first);
        let again = timeout(Duration::from_secs(5), tasks.shutdown()).await;
        assert_eq!(again.unwrap_or_else(|_| panic!("it hangs after {polls} polls")), Ok(()));
        if ended {
            assert!(polls > 2, "it was dropped on its way");
            return;
        }
    }
}

/// An application on a free port, in this process.
async fn serve_app() -> (ServerHandle, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let tasks =
        Server::temporary().register_task(MakeReport).mounted_at(&format!("{url}/tasks")).start().await.unwrap();
    assert_eq!(tasks.url(), Some(format!("{url}/tasks")));
    let app = app(tasks.clone());
    tokio::spawn(async move { taskwright::axum::serve(listener, app).await });
    (tasks, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_has_its_own_routes_beside_ours() {
    let (tasks, url) = serve_app().await;
    let client = Client::builder().no_proxy().build().unwrap();
    let post = |path: &str, body: Value| client.post(format!("{url}{path}")).json(&body).send();
    let get = async |path: &str| client.get(format!("{url}{path}")).send().await.unwrap();

    let started: Value = post("/reports", json!({"rows": 5})).await.unwrap().json().await.unwrap();
    let report = format!("/reports/{}", started["report"]);
    let shown = wait_for("the report", async || {
        let shown: Value = get(&report).await.json().await.unwrap();
        (shown["status"] == "completed").then_some(shown)
    });
    assert_eq!(shown.await, json!({"status": "completed", "progress": 1.0, "result": {"rows": 5, "sum": 15}}));
    assert_eq!(get("/reports/77").await.status(), 404);

    // The whole contract stands below the path, links included.
    let answer = post("/tasks/v1/definitions/make-report/instances", json!({"rows": 100_000})).await.unwrap();
    assert_eq!(answer.status(), 201);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    assert!(location.starts_with("/tasks/v1/instances/"), "{location}");
    let instance: Value = get(&location).await.json().await.unwrap();
    assert_eq!(instance["task_id"], "make-report");
    let unknown = get("/tasks/v1/nothing").await;
    assert_eq!(unknown.headers()["content-type"], "application/problem+json");
    assert!(get("/tasks").await.text().await.unwrap().contains("/tasks/v1/instances"));
    let foreign = client.get(format!("{url}/tasks/v1/instances")).header("host", "evil.test").send().await.unwrap();
    assert_eq!(foreign.status(), 421);

    // Commands report there.
    let arguments = ["report", "--url", &format!("{url}/tasks"), "--instance", &instance["number"].to_string()];
    let report = tokio::task::block_in_place(|| run(&[&arguments[..], &["log", "from outside"]].concat()));
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
    assert!(get(&format!("{location}/logs")).await.text().await.unwrap().contains("from outside"));

    // A stream ends with the server.
    let events = get(&format!("{location}/events")).await;
    let stopped = client.delete(format!("{url}/reports/{}", instance["number"])).send().await.unwrap();
    assert_eq!(stopped.status(), 202);
    assert!(events.text().await.unwrap().contains("\"cancelled\""));
    tasks.shutdown().await.unwrap();
    assert_eq!(post("/tasks/v1/definitions/make-report/instances", json!({"rows": 1})).await.unwrap().status(), 503);
}

#[tokio::test]
async fn an_application_with_commands_runs_and_ends_in_order() {
    let folder = tempdir().unwrap();
    let store = folder.path().join("tasks.db");
    let log = folder.path().join("stdout");
    let mut child = example("embed_in_axum")
        .arg("127.0.0.1:0")
        .arg(&store)
        .stdout(fs::File::create(&log).unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let url = wait_for("its address", async || {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        let text = fs::read_to_string(&log).unwrap();
        text.lines().find_map(|line| line.strip_prefix("listening on ")).map(str::to_owned)
    })
    .await;
    let client = Client::builder().no_proxy().build().unwrap();
    let started = client.post(format!("{url}/tasks/v1/definitions/disk-free/instances?wait")).send().await.unwrap();
    let instance: Value = started.json().await.unwrap();
    assert_eq!((&instance["status"], &instance["workload"]), (&json!("completed"), &json!("remote")), "{instance}");
    let logs = client.get(format!("{url}/tasks/v1/instances/{}/logs", instance["number"])).send().await.unwrap();
    assert!(logs.text().await.unwrap().contains("Filesystem"));
    let begun = client.post(format!("{url}/reports")).json(&json!({"rows": 1})).send().await.unwrap();
    assert_eq!(begun.status(), 202);

    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = wait_for("its end", async || child.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
    assert!(run(&["fsck", "--database", &format!("sqlite://{}", store.display())]).status.success());
}

//! The controller of a task that is a program of its own.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use taskwright::{
    RemoteError, RemoteTaskController,
    client::{ClientError, Environment},
    domain::Status,
    task::{ReportError, StopReason},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{
    cli::text,
    support::{
        server::{TestServer, example},
        wait_for,
    },
};

/// A task that is `examples/remote_controller`, and one that tells its token and does not end.
fn config() -> String {
    let program = example("remote_controller");
    let program = program.get_program().to_str().unwrap();
    format!(
        "[[tasks]]\nname = 'measure'\ncommand = ['{program}']\n\
         [[tasks]]\nname = 'blocking'\ncommand = ['{program}', 'blocking']\n\
         [[tasks]]\nname = 'idle'\ncommand = ['sh', '-c', 'echo token=$TASKWRIGHT_TOKEN; exec sleep 600']\n"
    )
}

/// The environment of a running attempt of `idle`, as its program has it.
async fn idle(server: &TestServer) -> (Value, Environment) {
    let instance = server.start_task("idle", json!({})).await;
    let id = instance["id"].as_str().unwrap().to_owned();
    let token = wait_for("the token in the log", async || {
        let log = server.get_json(&format!("/v1/instances/{id}/logs")).await;
        let line = log["lines"].as_array()?.iter().find_map(|line| line["text"].as_str()?.strip_prefix("token="))?;
        Some(line.to_owned())
    })
    .await;
    (instance, Environment { url: server.url(""), token, instance: id })
}

async fn connect(environment: Environment) -> RemoteTaskController {
    RemoteTaskController::connect(environment, Duration::from_secs(10)).await.expect("the daemon answers")
}

#[tokio::test]
async fn a_program_reports_as_a_handler_does() {
    let server = TestServer::with_config(&config()).await;
    let started = server.start_task("measure", json!({"samples": 200})).await;
    let done = server.wait_done(&started["number"]).await;
    assert_eq!(
        (&done["status"], &done["progress"], &done["message"]),
        (&json!("completed"), &json!(1.0), &json!("200 samples")),
        "{done}"
    );
    assert_eq!(done["output"]["samples"], 200);
    let log = server.get_json(&format!("/v1/instances/{}/logs?stream=task", started["number"])).await;
    let lines: Vec<_> = log["lines"].as_array().unwrap().iter().map(|line| line["text"].clone()).collect();
    assert_eq!(lines, ["sample 100", "sample 200"]);
}

#[tokio::test]
async fn a_program_that_is_stopped_keeps_what_it_has() {
    let server = TestServer::with_config(&config()).await;
    let started = server.start_task("measure", json!({"samples": 100_000})).await;
    let id = &started["number"];
    server.wait_until(id, "on its way", |instance| instance["progress"].as_f64() > Some(0.0)).await;
    server.client().delete(server.url(&format!("/v1/instances/{id}"))).send().await.unwrap();
    let done = server.wait_done(id).await;
    assert_eq!(done["status"], "cancelled", "{done}");
    assert!(done["output"]["samples"].as_u64() > Some(0), "{done}");
    let log = server.get_json(&format!("/v1/instances/{id}/logs?grep=asked")).await;
    assert_eq!(log["lines"][0]["text"], "asked to end: Stop");
}

#[tokio::test]
async fn a_program_without_a_runtime_stops_itself() {
    let server = TestServer::with_config(&config()).await;
    let started = server.start_task("blocking", json!({"samples": 100_000})).await;
    let done = server.wait_done(&started["number"]).await;
    assert_eq!((&done["status"], &done["error"]), (&json!("cancelled"), &Value::Null), "{done}");
    assert!((1..1000).contains(&done["output"]["samples"].as_u64().unwrap()), "{done}");
}

#[tokio::test]
async fn outside_a_task_the_missing_variable_is_named() {
    let output = example("remote_controller").env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.starts_with("NUMEROUS_TASK_INSTANCE_ID is not set: the daemon sets it"), "{said}");
    let environment = Environment { url: "http://127.0.0.1:1".into(), token: "t".into(), instance: "1".into() };
    let away = RemoteTaskController::connect(environment.clone(), Duration::ZERO).await.map(drop).unwrap_err();
    assert!(matches!(away, RemoteError::Daemon(ClientError::Unreachable { .. })), "{away:?}");
    let wrong = Environment { url: "ftp://x".into(), ..environment };
    let wrong = RemoteTaskController::connect(wrong, Duration::ZERO).await.map(drop).unwrap_err();
    assert!(matches!(wrong, RemoteError::Daemon(ClientError::Url { .. })), "{wrong:?}");
}

#[tokio::test]
async fn every_method_reaches_the_daemon() {
    let server = TestServer::with_config(&config()).await;
    let (instance, environment) = idle(&server).await;
    let task = connect(environment).await;
    assert_eq!(
        (task.id().to_string(), task.number()),
        (instance["id"].as_str().unwrap().into(), instance["number"].as_u64().unwrap())
    );
    assert_eq!((task.task_id(), task.attempt(), task.inputs().as_str()), ("idle", 1, "{}"));
    assert_eq!((task.should_stop(), task.flush().await), (false, Ok(())));

    task.set_progress_with(0.25, "a quarter").unwrap();
    assert!(matches!(task.set_progress(1.5), Err(ReportError::Invalid(_))));
    task.set_output(json!({"n": 1})).unwrap();
    assert_eq!(task.set_output(7), Err(ReportError::NotAnObject));
    assert_eq!(task.set_status(Status::Pending), Err(ReportError::PendingStatus));
    task.log("one\ntwo");
    assert_eq!(task.blocking(|task| task.attempt()).await, 1);
    task.flush().await.unwrap();
    let shown = server.get(task.number()).await;
    assert_eq!(
        (&shown["progress"], &shown["message"], &shown["output"]),
        (&json!(0.25), &json!("a quarter"), &json!({"n": 1}))
    );
    let log = server.get_json(&format!("/v1/instances/{}/logs?stream=task", task.number())).await;
    assert_eq!((&log["lines"][0]["text"], &log["lines"][1]["text"]), (&json!("one"), &json!("two")));

    // What the daemon refuses is told by the next flush, once.
    task.set_output(json!({"large": "x".repeat(1 << 20)})).unwrap();
    task.set_progress(0.5).unwrap();
    let refused = task.flush().await.unwrap_err();
    assert!(
        matches!(&refused, ReportError::Refused(why) if why.contains("larger") || why.contains("limit")),
        "{refused:?}"
    );
    assert_eq!(task.flush().await, Ok(()));
    assert_eq!(server.get(task.number()).await["progress"], 0.5);

    // The last clone takes what is unsent along.
    task.set_status_with(Status::Failed, "as it must").unwrap();
    task.set_output(json!({"last": true})).unwrap();
    let number = task.number();
    drop(task);
    assert_eq!(server.get(number).await["output"], json!({"last": true}));
}

#[tokio::test]
async fn a_late_program_is_told_to_end() {
    let server = TestServer::with_config(&config()).await;
    let (instance, environment) = idle(&server).await;
    let (silent, busy) = (connect(environment.clone()).await, connect(environment.clone()).await);
    let path = server.url(&format!("/v1/instances/{}?force=true&wait=10", instance["id"].as_str().unwrap()));
    assert!(server.client().delete(path).send().await.unwrap().status().is_success());
    // It learns by itself; the other one by its report.
    let _ = busy.set_progress(0.5);
    assert_eq!(busy.flush().await, Err(ReportError::Over));
    assert_eq!(silent.stopped().await, StopReason::Over);
    for task in [silent, busy] {
        assert!(task.should_stop());
        assert_eq!(task.set_progress(0.9), Err(ReportError::Over));
        assert_eq!(task.flush_blocking(), Err(ReportError::Over));
    }
    assert_eq!(server.get(&instance["number"]).await["progress"], 0.0);
    let late = RemoteTaskController::connect(environment, Duration::ZERO).await.map(drop).unwrap_err();
    assert!(matches!(&late, RemoteError::Daemon(ClientError::Refused(refusal)) if refusal.is_late()), "{late:?}");
}

/// Passes everything on to the daemon, as long as it lives.
fn relay(listener: TcpListener, to: SocketAddr) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let (mut from, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let mut to = TcpStream::connect(to).await.unwrap();
                let _ = copy_bidirectional(&mut from, &mut to).await;
            });
        }
    })
}

#[tokio::test]
async fn a_short_absence_of_the_daemon_is_survived() {
    let server = TestServer::with_config(&config()).await;
    let (instance, environment) = idle(&server).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let open = relay(listener, server.address().parse().unwrap());
    let environment = Environment { url: format!("http://{address}"), ..environment };
    let task = connect(environment.clone()).await;
    let hasty = RemoteTaskController::connect(environment, Duration::from_millis(200)).await.unwrap();
    open.abort();
    let _ = open.await;

    hasty.set_progress(0.1).unwrap();
    assert_eq!(hasty.flush().await, Err(ReportError::Unavailable), "it has waited long enough");
    task.set_progress(0.5).unwrap();
    task.log("from afar");
    let flush = tokio::spawn({
        let task = task.clone();
        async move { task.flush().await }
    });
    // Nobody listens there meanwhile.
    assert!(TcpStream::connect(address).await.is_err());
    assert!(!task.should_stop() && !flush.is_finished());
    let _open = relay(TcpListener::bind(address).await.unwrap(), server.address().parse().unwrap());
    assert_eq!(flush.await.unwrap(), Ok(()));
    let log = server.get_json(&format!("/v1/instances/{}/logs?grep=afar", instance["number"])).await;
    assert_eq!(log["lines"].as_array().map(Vec::len), Some(1), "{log}");
    // What was kept arrives too, and later reports.
    hasty.set_output(json!({"late": true})).unwrap();
    server.wait_until(&instance["number"], "told", |shown| shown["output"] == json!({"late": true})).await;
}

//! The testing harness against the engine itself: a handler must look the same in both.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde_json::{Map, Value, json};
use taskwright::{
    Registry, TaskController, TaskError,
    domain::{InstanceError, InstanceKey, Json, LogQuery, LogWindow, Status},
    engine::{Catalog, Engine, Parts, Settings, StartOptions, StartRequest},
    get_task_controller,
    store::{
        Store,
        sqlite::{Settings as SqliteSettings, SqliteStore, Synchronous},
    },
    testing,
};

/// What a reader of an instance sees of its handler.
#[derive(Debug, PartialEq)]
struct Seen {
    status: Status,
    output: Value,
    error: Option<InstanceError>,
    progress: Option<f64>,
    message: Option<Arc<str>>,
    logs: Vec<String>,
}

async fn in_the_harness(inputs: &Value) -> Seen {
    let run = testing::run_fn(all_sorts).input(inputs).grace(Duration::from_millis(200)).await;
    Seen {
        status: run.status(),
        output: run.output(),
        error: run.error().cloned(),
        progress: run.progress().last().copied(),
        message: run.messages().last().cloned().flatten(),
        logs: run.logs().to_vec(),
    }
}

async fn in_the_engine(engine: &Engine, inputs: &Value) -> Seen {
    let inputs = Json::of(inputs).expect("valid JSON");
    let request = StartRequest { task: "test".into(), inputs, options: StartOptions::default() };
    let number = engine.start(request, None).await.expect("it starts").instance.number;
    let key = InstanceKey::Number(number);
    let instance = engine.wait_done(key, Duration::from_secs(20)).await.expect("it exists");
    let query = LogQuery { instance: number, window: LogWindow::From(1), limit: 100, stream: None, grep: None };
    let logs = engine.logs(key, query).await.expect("it has a log").lines;
    Seen {
        status: instance.status(),
        output: instance.output.as_ref().map_or(Value::Null, |output| output.read().expect("readable")),
        error: instance.error().cloned(),
        progress: Some(instance.progress.value()).filter(|progress| *progress > 0.0),
        message: instance.progress.message.clone(),
        logs: logs.into_iter().map(|line| line.text).collect(),
    }
}

/// Does what its inputs say, step by step.
async fn all_sorts(input: BTreeMap<String, Vec<Map<String, Value>>>, task: TaskController) -> Result<Value, TaskError> {
    for (what, value) in input.into_values().flatten().flatten() {
        let word = value.as_str().unwrap_or_default().to_owned();
        match what.as_str() {
            "progress" => task.set_progress_with(value.as_f64().unwrap_or(f64::NAN), "on the way")?,
            "output" => task.set_output(value)?,
            "log" => get_task_controller()?.log(word),
            "status" => task.set_status_with(word.parse()?, "stated")?,
            "stop" => {
                task.request_stop();
                task.stopped().await;
                task.log("it was seen");
            }
            "flush" => task.flush().await?,
            "thread" => task.blocking(move |task| task.log(word)).await,
            "thread_panics" => task.blocking(move |_| panic!("{word}")).await,
            "panics" => panic!("{word}"),
            "fails" => return Err(TaskError::retryable(word).context("it failed")),
            "gives_up" => return Err(TaskError::permanent(word)),
            "ends" => return Err(TaskError::stopped()),
            "hangs" => std::future::pending().await,
            "returns" => return Ok(value),
            other => return Err(TaskError::permanent(format!("what is {other}?"))),
        }
    }
    Ok(Value::Null)
}

async fn open(registry: Registry, folder: &Path) -> Engine {
    let settings = SqliteSettings { path: folder.join("taskwright.db"), synchronous: Synchronous::Full };
    Engine::open(Parts {
        settings: Settings { stop_grace: Duration::from_millis(200), ..Settings::default() },
        store: Arc::new(SqliteStore::open(settings).await.expect("a new store opens")) as Arc<dyn Store>,
        catalog: Catalog::new(registry.into_handlers().expect("a handler"), Vec::new()).expect("a catalog"),
        program: env!("CARGO_BIN_EXE_taskwright").into(),
        url: "http://127.0.0.1:9".to_owned(),
    })
    .await
    .expect("the engine opens")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_waits_for_lines_and_for_the_own_stop_too() {
    let (folder, opened) = (tempfile::tempdir().expect("a folder"), Arc::new(OnceLock::<Engine>::new()));
    let mut registry = Registry::new(BTreeMap::new());
    let inside = Arc::clone(&opened);
    registry.register_fn("test", move |_: (), task: TaskController| {
        let opened = Arc::clone(&inside);
        async move {
            let engine = opened.get().expect("it was opened before it was started");
            let key = InstanceKey::Id(task.id());
            let instance = engine.wait_done(key, Duration::ZERO).await?.number;
            let mut seen = Vec::new();
            for text in ["one", "two"] {
                task.log(text);
                task.flush().await?;
                let window = LogWindow::From(1);
                let query = LogQuery { instance, window, limit: 9, stream: None, grep: None };
                seen.push(engine.logs(key, query).await?.lines.len());
            }
            task.request_stop();
            task.flush().await?;
            let asked = engine.wait_done(key, Duration::ZERO).await?.stop.is_some();
            Ok(json!({"lines": seen, "asked": asked}))
        }
    });
    let engine = open(registry, folder.path()).await;
    assert!(opened.set(engine.clone()).is_ok());
    let seen = in_the_engine(&engine, &json!({})).await;
    assert_eq!((seen.status, seen.output), (Status::Cancelled, json!({"lines": [1, 2], "asked": true})));
    engine.drain().await;
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_harness_and_the_engine_say_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut registry = Registry::new(BTreeMap::new());
    registry.register_fn("test", all_sorts);
    let engine = open(registry, folder.path()).await;

    let cases = [
        (json!([]), Status::Completed),
        (json!([{"returns": 7}]), Status::Completed),
        (json!([{"returns": {"a": 1}}]), Status::Completed),
        (json!([{"output": {"set": 1}}, {"progress": 0.5}]), Status::Completed),
        (json!([{"output": {"set": 1}}, {"returns": null}]), Status::Completed),
        (json!([{"flush": 1}, {"log": "a\nb"}, {"thread": "c"}]), Status::Completed),
        (json!([{"output": [1]}]), Status::Failed),
        (json!([{"progress": 1.5}]), Status::Failed),
        (json!([{"log": "before"}, {"fails": "no luck"}]), Status::Failed),
        (json!([{"gives_up": "no such thing"}]), Status::Failed),
        (json!([{"panics": "ouch"}]), Status::Failed),
        (json!([{"thread_panics": "ouch"}]), Status::Failed),
        (json!([{"status": "failed"}]), Status::Failed),
        (json!([{"status": "cancelled"}, {"returns": 1}]), Status::Cancelled),
        (json!([{"stop": 1}, {"returns": 1}]), Status::Cancelled),
        (json!([{"output": {"half": 1}}, {"ends": 1}]), Status::Cancelled),
        (json!([{"stop": 1}, {"hangs": 1}]), Status::Cancelled),
        (json!([{"stop": 1}, {"panics": "late"}]), Status::Failed),
        (json!([{"returns": "x".repeat(1 << 20)}]), Status::Failed),
    ];
    for (steps, status) in cases {
        let inputs = json!({"steps": steps});
        let mut shown = inputs.to_string();
        shown.truncate(100);
        let (harness, engine) = (in_the_harness(&inputs).await, in_the_engine(&engine, &inputs).await);
        assert_eq!(engine.status, status, "{shown}: {engine:?}");
        assert_eq!(harness, engine, "{shown}");
    }
    engine.drain().await;
    engine.close().await;
}

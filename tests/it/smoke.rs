//! Engine and store together, without HTTP.
use std::{sync::Arc, time::Duration};
use futures_util::future::BoxFuture;
use taskwright::{
    domain::*,
    engine::*,
    store::{Store, sqlite::{Settings as SqliteSettings, SqliteStore}},
    task::{erased::*, reporter::Reporter},
};

struct Nap;
impl ErasedHandler for Nap {
    fn check(&self, _: &Json) -> Result<(), Vec<FieldError>> { Ok(()) }
    fn run(self: Arc<Self>, inputs: Json, reporter: Arc<dyn Reporter>) -> BoxFuture<'static, HandlerEnd> {
        Box::pin(async move {
            let v: serde_json::Value = inputs.read().unwrap();
            let ms = v["ms"].as_u64().unwrap_or(0);
            if ms > 0 {
                reporter.set_progress(Progress::new(0.5, Some("half")).unwrap()).unwrap();
                reporter.log(Stream::Task, "hello\nthere");
                reporter.flush().await.unwrap();
                tokio::select! { () = tokio::time::sleep(Duration::from_millis(ms)) => {}, _ = reporter.stopped() => return HandlerEnd::Stopped }
            }
            if v["fail"] == true { return HandlerEnd::Failed { message: "no".into(), causes: vec![], permanent: false } }
            HandlerEnd::Returned(Some(Json::parse("{\"ok\":true}").unwrap()))
        })
    }
}

async fn engine(path: &std::path::Path) -> Engine {
    let mut s = SqliteSettings::from_url("sqlite:///tmp/x").unwrap();
    s.path = path.join("t.db");
    let store = Arc::new(SqliteStore::open(&s).await.unwrap());
    let mut def = Definition::new("nap".parse().unwrap(), Workload::Local, Source::Compiled);
    def.retry_delay = Duration::from_millis(5);
    let mut cmd = Definition::new("cmd".parse().unwrap(), Workload::Remote, Source::Configured);
    cmd.command = Some(vec!["sh".into(), "-c".into(), "echo out; echo err >&2; echo '{\"a\":1}' > $TASKWRIGHT_OUTPUT_FILE; exit 0".into()]);
    let mut cmd2 = Definition::new("deaf".parse().unwrap(), Workload::Remote, Source::Configured);
    cmd2.command = Some(vec!["sh".into(), "-c".into(), "trap '' TERM; echo started; while :; do sleep 0.05; done".into()]);
    let c = |definition| CommandTask { definition, env: Default::default(), inputs: InputsBy::Environment, directory: "/tmp".into() };
    let catalog = Catalog::new(vec![(def, Arc::new(Nap))], vec![c(cmd), c(cmd2)]).unwrap();
    Engine::open(Parts { settings: Settings::default(), store, catalog, program: env!("CARGO_BIN_EXE_taskwright").into(), url: "http://127.0.0.1:1".into() }).await.unwrap()
}

fn req(task: &str, inputs: &str) -> StartRequest { StartRequest { task: task.into(), inputs: Json::parse(inputs).unwrap(), options: StartOptions::default() } }

#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    let dir = tempfile::tempdir().unwrap();
    let e = engine(dir.path()).await; { let e = e.clone(); tokio::spawn(async move { println!("FATAL {}", e.failed().await) }); }
    let s = e.start(req("nap", "{}"), None).await.unwrap();
    println!("{:?}", s.instance);
    let d = e.wait_done(InstanceKey::Number(1), Duration::from_secs(5)).await.unwrap();
    println!("{d:?} {:?} {:?}", e.figures(), e.instance(InstanceKey::Number(1)).await.unwrap().status());
    assert_eq!(d.status(), Status::Completed);
    let s = e.start(req("nap", "{\"ms\":200}"), None).await.unwrap();
    let d = e.wait_done(InstanceKey::Id(s.instance.id), Duration::from_secs(5)).await.unwrap();
    println!("{d:?}");
    println!("{:?}", e.logs(InstanceKey::Number(2), LogQuery { limit: 100, ..Default::default() }).await.unwrap());
    let mut r = req("nap", "{\"fail\":true}"); r.options.max_attempts = Some(3);
    let s = e.start(r, None).await.unwrap();
    let d = e.wait_done(InstanceKey::Id(s.instance.id), Duration::from_secs(5)).await.unwrap();
    println!("{d:?}"); assert_eq!(d.attempt, 3);
    println!("{:?}", e.attempts(InstanceKey::Number(3)).await.unwrap());
    let s = e.start(req("cmd", "{}"), None).await.unwrap();
    let d = e.wait_done(InstanceKey::Id(s.instance.id), Duration::from_secs(5)).await.unwrap();
    println!("{d:?}"); assert_eq!(d.status(), Status::Completed);
    println!("{:?}", e.logs(InstanceKey::Number(d.number), LogQuery { limit: 100, ..Default::default() }).await.unwrap());
    let s = e.start(req("deaf", "{}"), None).await.unwrap();
    let st = e.stop(InstanceKey::Id(s.instance.id), StopOptions { grace: Some(Duration::from_millis(300)), force: false, by_itself: false }).await.unwrap();
    println!("{st:?}");
    let t = std::time::Instant::now();
    let d = e.wait_done(InstanceKey::Id(s.instance.id), Duration::from_secs(5)).await.unwrap();
    println!("{d:?} {:?}", t.elapsed()); assert_eq!(d.status(), Status::Cancelled);
    let p = e.list(&InstanceQuery { limit: 3, ..Default::default() }).await.unwrap();
    assert_eq!(p.items.len(), 3); assert!(p.more);
    println!("{:?}", e.figures());
    // throughput
    let t = std::time::Instant::now();
    let mut js = tokio::task::JoinSet::new();
    for _ in 0..128 { let e = e.clone(); js.spawn(async move { for _ in 0..100 { e.start(req("nap", "{}"), None).await.unwrap(); } }); }
    while let Some(x) = js.join_next().await { x.unwrap(); }
    while e.figures().completed < 12800 + 3 { tokio::time::sleep(Duration::from_millis(2)).await; }
    println!("12800 in {:?} {:?}", t.elapsed(), e.figures());
    e.drain().await;
    e.close().await;
    let st = SqliteStore::open_for_check(&dir.path().join("t.db")).await.unwrap();
    println!("{:?}", st.check().await.unwrap());
}

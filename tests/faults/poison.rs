//! F30: a task that takes the daemon with it. It is tried as often as it may be, then the daemons live.

use std::{
    path::Path,
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use serde_json::json;
use taskwright::{
    Server, TaskController, TaskError,
    domain::{ErrorKind, InstanceKey, InstanceQuery, Interruption, Status},
    engine::StartOptions,
    store::{
        Store,
        sqlite::{Settings, SqliteStore},
    },
};

use crate::support::server::TestServer;

/// More boots than this are a boot loop.
const MOST_BOOTS: usize = 6;

#[tokio::test]
async fn a_command_that_kills_its_daemon_ends_failed_after_its_attempts() {
    // Its parent is the supervisor, whose parent is the spawner, whose parent is the daemon.
    let line = "parent() { cut -d' ' -f4 /proc/$1/stat; }; sleep 0.3; kill -9 $(parent $(parent $PPID)); sleep 600";
    let config = format!(
        "[[tasks]]\nname = \"poison\"\nmax_attempts = 3\ncommand = [\"sh\", \"-c\", \"{line}\"]\n\
         [[tasks]]\nname = \"harmless\"\nmax_attempts = 9\ncommand = [\"sleep\", \"1\"]\n"
    );
    let mut server = TestServer::with_config(&config).await;
    let poison = server.start_task("poison", json!({})).await;
    let harmless = server.start_task("harmless", json!({})).await;
    for attempt in 1..=3 {
        assert!(!server.ended().await.success(), "attempt {attempt} did not kill the daemon");
        server.restart().await;
    }
    let poison = server.wait_done(&poison["number"]).await;
    assert_eq!((&poison["status"], &poison["attempt"]), (&json!("failed"), &json!(3)));
    let error = &poison["error"];
    assert_eq!((&error["kind"], &error["reason"]), (&json!("interrupted"), &json!("crash")), "{error}");
    // The daemon lives, and what was beside the poison is done.
    let harmless = server.wait_done(&harmless["number"]).await;
    assert_eq!(harmless["status"], "completed", "{harmless}");
    assert!(server.stop().await.success());
    server.fsck();
}

/// A handler that takes its process with it.
async fn abort(_: (), _: TaskController) -> Result<(), TaskError> {
    std::process::abort()
}

/// One life of a daemon with such a handler: it starts one instance where there is none, and ends when all are done.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by a_handler_that_aborts_its_daemon_ends_failed_after_its_attempts and control_a_boot_loop_is_noticed"]
async fn host() {
    let Ok(store) = std::env::var("POISON_STORE") else { return };
    let server = Server::at(store).without_http().register_fn("poison", abort).start().await.expect("it starts");
    let all = server.engine().list(&InstanceQuery { limit: 10, ..InstanceQuery::default() }).await.expect("it reads");
    if all.items.is_empty() {
        let attempts = std::env::var("POISON_ATTEMPTS").expect("it is given").parse().expect("a number");
        let options = StartOptions { max_attempts: Some(attempts), ..StartOptions::default() };
        let _ = server.run_task("poison", ()).options(options).await;
    }
    let number = InstanceKey::Number(1);
    while !server.engine().wait_done(number, Duration::from_secs(20)).await.expect("it is there").is_done() {}
    server.shutdown().await.expect("it ends");
}

fn boot(store: &Path, attempts: u32) -> ExitStatus {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "poison::host", "--ignored"])
        .env("POISON_STORE", store)
        .env("POISON_ATTEMPTS", attempts.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("it runs")
}

/// Boots until one daemon lives. Answers how many there were.
fn boots(store: &Path, attempts: u32) -> Result<usize, String> {
    let living = (1..=MOST_BOOTS).find(|_| boot(store, attempts).success());
    living.ok_or_else(|| format!("no daemon lived in {MOST_BOOTS} boots"))
}

#[tokio::test]
async fn a_handler_that_aborts_its_daemon_ends_failed_after_its_attempts() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("taskwright.db");
    // Three die; the fourth settles the last attempt and lives.
    assert_eq!(boots(&path, 3), Ok(4));
    let store = SqliteStore::open(Settings::at(&path)).await.expect("it opens");
    let instance = store.get(&[InstanceKey::Number(1)]).await.expect("it reads").remove(0);
    assert_eq!((instance.status(), instance.attempt), (Status::Failed, 3));
    let error = instance.error().expect("it failed");
    assert_eq!(error.kind, ErrorKind::Interrupted { reason: Interruption::Crash });
    assert_eq!(store.check().await.expect("it reads").findings, []);
    store.close().await;
}

#[test]
fn control_a_boot_loop_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(boots(&folder.path().join("taskwright.db"), 100).is_err());
}

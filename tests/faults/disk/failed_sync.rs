//! A sync fails. Nobody knows what is on the disk then: the daemon acknowledges nothing more and ends.

use std::{process::ExitStatus, time::Duration};

use rustix::process::Signal;

use crate::{
    lane,
    load::Load,
    strace::Strace,
    support::{server::TestServer, wait_for, wait_within},
};

/// So few that SQLite syncs within COMMIT.
const FEW: u32 = 4;
/// So many that most syncs are made beside the next commit.
const MANY: u32 = 32;

#[tokio::test]
async fn a_failed_sync_ends_the_daemon_and_loses_nothing() {
    for nth in [1, 2, 3, 5, 8, 13, 21, 34].into_iter().chain(35..=lane::count(34, 100)) {
        let mut server = TestServer::start().await;
        let clients = if nth % 2 == 0 { FEW } else { MANY };
        let end = end_after_failed_sync(&mut server, nth, clients).await;
        let (status, said) = end.expect("it ends");
        assert_eq!(status.code(), Some(1), "sync {nth} failed: {status}\n{said}");
        assert!(said.contains("cannot go on"), "sync {nth} failed: {said}");
    }
}

/// The control: a daemon that takes a failed sync for one that can be tried again.
#[tokio::test]
async fn control_a_daemon_that_goes_on_after_a_failed_sync_is_noticed() {
    for clients in [FEW, MANY] {
        let mut server = TestServer::with("", &[("TASKWRIGHT_CONTROL", "retry-after-failed-sync")]).await;
        assert!(end_after_failed_sync(&mut server, 2, clients).await.is_none(), "{clients} clients");
    }
}

/// How the daemon ended after its `nth` sync failed under load, and what it said; None where it went on. What was
/// acknowledged is there afterwards.
async fn end_after_failed_sync(server: &mut TestServer, nth: u32, clients: u32) -> Option<(ExitStatus, String)> {
    let inject = format!("inject=fdatasync:error=EIO:when={nth}");
    let strace = Strace::attach(server.pid(), &["-e", "trace=fdatasync", "-e", &inject]).await;
    let load = Load::begin(server, clients);
    let mut before = None;
    let end = wait_for("the end of the daemon, or more starts", async || {
        if let Some(status) = server.has_ended() {
            return Some(Some((status, server.stderr())));
        }
        let acknowledged = load.so_far().acknowledged.len();
        if before.is_none() && strace.so_far().contains("(INJECTED)") {
            before = Some(acknowledged);
        }
        before.is_some_and(|before| acknowledged > before + 50).then_some(None)
    })
    .await;
    strace.detach();
    let told = load.end().await;
    if end.is_some() {
        // Whoever waited for that commit is told.
        assert!(told.refused.get(&503).is_some_and(|n| *n > 0), "{:?}", told.refused);
        assert_eq!(told.refused.len(), 1, "{:?}", told.refused);
        server.restart().await;
    }
    told.is_kept_by(server).await;
    assert!(server.stop().await.success());
    server.fsck();
    end
}

/// What a checkpoint cannot bring into the database file stays in the log, which was synced.
#[tokio::test]
async fn a_checkpoint_whose_sync_fails_is_made_again() {
    let mut server = TestServer::start().await;
    let database = server.database().to_str().unwrap().to_owned();
    let inject = ["-P", &database, "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"];
    let strace = Strace::attach(server.pid(), &inject).await;
    // One checkpoint comes with each 4 MiB of commits, which takes a slow disk ten seconds and more.
    let load = Load::begin(&server, 16);
    let failed = wait_within(Duration::from_secs(90), async || {
        (server.stderr().matches("a checkpoint of the store failed").count() >= 2).then_some(())
    });
    failed.await.expect("two checkpoints fail");
    let trace = strace.detach();
    assert!(trace.contains("(INJECTED)"), "{trace}");
    load.acknowledges(500).await;
    let told = load.end().await;
    assert!(told.refused.is_empty() && told.unanswered == 0, "{:?}", told.refused);
    server.signal(Signal::KILL);
    server.ended().await;
    server.restart().await;
    told.is_kept_by(&server).await;
    assert!(server.stop().await.success());
    server.fsck();
}

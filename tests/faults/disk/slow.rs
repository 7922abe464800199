//! A slow disk makes starts slower, and nothing else.

use std::time::Duration;

use crate::{
    load::{Load, Told},
    strace::Strace,
    support::server::TestServer,
};

/// How long a sync takes then.
const SYNC: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_slow_disk_makes_starts_slower_and_fails_none() {
    let mut server = TestServer::start().await;
    let told = starts_on_a_slow_disk(&server).await;
    assert!(told.slowest > SYNC, "{:?}: a start does not wait for its sync", told.slowest);
    told.is_kept_by(&server).await;
    assert!(server.stop().await.success());
    server.fsck();
}

/// The control: a daemon that does not wait for the disk is not slowed down by it.
#[tokio::test]
async fn control_starts_that_wait_for_no_sync_are_noticed() {
    let mut server = TestServer::with("[database]\nsynchronous = \"off\"\n", &[]).await;
    let told = starts_on_a_slow_disk(&server).await;
    assert!(told.slowest < SYNC, "{:?}: a start waits for a sync", told.slowest);
    assert!(server.stop().await.success());
    server.fsck();
}

async fn starts_on_a_slow_disk(server: &TestServer) -> Told {
    let inject = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_exit=500000"];
    let strace = Strace::attach(server.pid(), &inject).await;
    let load = Load::begin(server, 32);
    // They share syncs: one client at a time would take a minute.
    load.acknowledges(150).await;
    // Reads do not wait for the disk; the machine may have other work.
    let mut fastest = Duration::MAX;
    for _ in 0..10 {
        let began = std::time::Instant::now();
        let answer = server.client().get(server.url("/v1/instances?limit=5")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        fastest = fastest.min(began.elapsed());
    }
    assert!(fastest < Duration::from_millis(250), "{fastest:?}");
    let told = load.end().await;
    strace.detach();
    assert!(told.refused.is_empty() && told.unanswered == 0, "{:?}, {} unanswered", told.refused, told.unanswered);
    println!("{} starts, the slowest {:?}", told.acknowledged.len(), told.slowest);
    told
}

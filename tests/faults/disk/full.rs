//! The disk is full: starts are refused, what needs no room goes on, and all is well once there is room again.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    lane,
    load::Load,
    mounts::Memory,
    strace::Strace,
    support::{
        server::{Surroundings, TestServer},
        wait_for,
    },
};

/// Writes until there is no room for another byte.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
}

async fn has_a_refusal(load: &Load) {
    wait_for("a start to be refused", async || load.so_far().refused.contains_key(&503).then_some(())).await;
}

/// Asserts that what needs no room works, and fast.
async fn reads_and_health_work(server: &TestServer) {
    for path in ["/livez", "/v1/instances?limit=5", "/v1/instances/1", "/v1/stats", "/v1/definitions", "/metrics"] {
        let began = Instant::now();
        let answer = server.client().get(server.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert!(began.elapsed() < Duration::from_secs(1), "{path}: {:?}", began.elapsed());
    }
    assert_eq!(server.client().get(server.url("/readyz")).send().await.unwrap().status(), 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_starts_and_stops_nothing_else() {
    if !lane::is_privileged() {
        return;
    }
    let disk = Memory::holding("24m");
    let surroundings = Surroundings { database: Some(disk.path().join("store/taskwright.db")), ..Default::default() };
    let mut server = TestServer::within("", &[], surroundings).await;
    let long = server.start_task("sleep", json!({"seconds": 3600})).await;
    let ending = server.start_task("sleep", json!({"seconds": 2})).await;
    let load = Load::begin(&server, 4);
    load.acknowledges(50).await;
    let ballast = disk.path().join("ballast");
    tokio::task::block_in_place(|| fill(&ballast));
    has_a_refusal(&load).await;
    reads_and_health_work(&server).await;

    // Whoever filled it can be stopped.
    let began = Instant::now();
    assert_eq!(stop(&server, &long).await, 202);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    has_a_refusal(&load).await;

    let before = load.so_far().acknowledged.len();
    fs::remove_file(&ballast).unwrap();
    let freed = Instant::now();
    load.acknowledges(20).await;
    assert!(freed.elapsed() < Duration::from_secs(5), "{:?} until starts were taken again", freed.elapsed());
    let told = load.end().await;
    println!("{} starts before, {} in all, refused {:?}", before, told.acknowledged.len(), told.refused);
    assert_eq!(told.refused.keys().copied().collect::<Vec<_>>(), [503]);
    assert_eq!(server.wait_done(&long["number"]).await["status"], "cancelled");
    assert_eq!(server.wait_done(&ending["number"]).await["status"], "completed");
    told.is_kept_by(&server).await;
    server.kill9();
    server.restart().await;
    told.is_kept_by(&server).await;
    assert!(server.stop().await.success());
    server.fsck();
}

async fn stop(server: &TestServer, instance: &Value) -> u16 {
    let url = server.url(&format!("/v1/instances/{}", instance["number"]));
    server.client().delete(&url).send().await.unwrap().status().as_u16()
}

/// The control: where no room is kept for it, a stop that is refused is noticed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_a_stop_that_finds_no_room_is_noticed() {
    if !lane::is_privileged() {
        return;
    }
    let disk = Memory::holding("24m");
    let surroundings = Surroundings { database: Some(disk.path().join("store/taskwright.db")), ..Default::default() };
    let server = TestServer::within("", &[("TASKWRIGHT_CONTROL", "no-reserve")], surroundings).await;
    let long = server.start_task("sleep", json!({"seconds": 3600})).await;
    let load = Load::begin(&server, 4);
    let ballast = disk.path().join("ballast");
    tokio::task::block_in_place(|| fill(&ballast));
    has_a_refusal(&load).await;
    assert_eq!(stop(&server, &long).await, 503);
    fs::remove_file(&ballast).unwrap();
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_room_to_keep_is_no_reason_not_to_start() {
    if !lane::is_privileged() {
        return;
    }
    // The reserve alone is 4 MiB.
    let disk = Memory::holding("8m");
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![b'x'; 6 << 20]).unwrap();
    let surroundings = Surroundings { database: Some(disk.path().join("store/taskwright.db")), ..Default::default() };
    let mut server = TestServer::within("", &[], surroundings).await;
    assert!(server.stderr().contains("the disk has less than 4 MiB left"), "{}", server.stderr());
    let first = server.start_task("sleep", json!({"seconds": 0})).await;
    assert_eq!(server.wait_done(&first["number"]).await["status"], "completed");

    let reserve = server.database().with_file_name("taskwright.db.reserve");
    assert_eq!(fs::metadata(&reserve).unwrap().len(), 0);
    fs::remove_file(&ballast).unwrap();
    let load = Load::begin(&server, 1);
    wait_for("the room to be kept", async || (fs::metadata(&reserve).unwrap().len() >= 4 << 20).then_some(())).await;
    let told = load.end().await;
    assert!(told.refused.is_empty(), "{:?}", told.refused);
    told.is_kept_by(&server).await;
    assert!(server.stop().await.success());
    server.fsck();
}

#[tokio::test]
async fn writes_that_find_no_room_are_refused_until_there_is_some() {
    let mut server = TestServer::start().await;
    server.start_task("sleep", json!({"seconds": 0})).await;
    let inject = ["-e", "trace=pwrite64", "-e", "inject=pwrite64:error=ENOSPC"];
    let strace = Strace::attach(server.pid(), &inject).await;
    let load = Load::begin(&server, 4);
    has_a_refusal(&load).await;
    reads_and_health_work(&server).await;
    let told = load.end().await;
    assert_eq!(told.acknowledged.len(), 0);
    assert_eq!(told.refused.keys().copied().collect::<Vec<_>>(), [503]);
    assert!(told.slowest < Duration::from_secs(6), "{:?}", told.slowest);
    // While nobody writes: a call in which strace lets go fails in a way that no disk knows.
    strace.detach();
    let freed = Instant::now();
    let load = Load::begin(&server, 4);
    load.acknowledges(20).await;
    assert!(freed.elapsed() < Duration::from_secs(5), "{:?} until starts were taken again", freed.elapsed());
    let told = load.end().await;
    assert!(told.refused.is_empty(), "{:?}", told.refused);
    server.kill9();
    server.restart().await;
    told.is_kept_by(&server).await;
    assert!(server.stop().await.success());
    server.fsck();
}

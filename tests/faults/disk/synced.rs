//! No start is acknowledged before a sync that began after it arrived has ended: told by the system calls.

use std::collections::HashMap;

use crate::{
    lane,
    load::Load,
    strace::{self, Strace},
    support::server::TestServer,
};

/// Syncs that take 20 ms: others end while the answers are still being made.
const SLOW_SYNCS: [&str; 2] = ["-e", "inject=fdatasync:delay_enter=20000"];

#[tokio::test]
async fn each_start_is_synced_before_it_is_acknowledged() {
    for injected in [&[][..], &SLOW_SYNCS] {
        let (answered, unsynced) = answered_and_unsynced("full", &[], injected).await;
        assert_eq!(unsynced, 0, "of {answered}");
    }
}

#[tokio::test]
async fn control_a_reply_without_a_sync_is_noticed() {
    for level in ["off", "normal"] {
        let (answered, unsynced) = answered_and_unsynced(level, &[], &[]).await;
        assert!(unsynced > answered / 2, "synchronous = {level}: {unsynced} of {answered}");
    }
}

#[tokio::test]
async fn control_a_reply_before_the_commit_is_noticed() {
    let (answered, unsynced) =
        answered_and_unsynced("full", &[("TASKWRIGHT_CONTROL", "reply-before-commit")], &[]).await;
    assert!(unsynced > 0, "0 of {answered}");
}

#[tokio::test]
async fn control_a_reply_before_a_sync_beside_the_next_commit_is_noticed() {
    let control = [("TASKWRIGHT_CONTROL", "show-before-sync")];
    let (answered, unsynced) = answered_and_unsynced("full", &control, &SLOW_SYNCS).await;
    assert!(unsynced > 0, "0 of {answered}");
}

/// How many starts were acknowledged, and how many of them before they can have been on the disk.
async fn answered_and_unsynced(synchronous: &str, variables: &[(&str, &str)], injected: &[&str]) -> (usize, usize) {
    let config = format!("[database]\nsynchronous = \"{synchronous}\"\n");
    let mut server = TestServer::with(&config, variables).await;
    let watched = "trace=recvfrom,read,readv,sendto,write,writev,fdatasync,fsync";
    let arguments = [&["-y", "-s", "40", "-e", watched], injected].concat();
    let strace = Strace::attach(server.pid(), &arguments).await;
    // One client alone, some that share syncs, and so many that a commit is synced while the next one is written.
    for clients in [1, 8, 32] {
        let load = Load::begin(&server, clients);
        // Slow syncs take their time: they show the same with fewer.
        let starts = if injected.is_empty() { lane::count(100, 2000) } else { 100 };
        load.acknowledges(starts as usize).await;
        load.end().await;
    }
    let trace = strace.detach();
    assert!(server.stop().await.success());
    server.fsck();

    let mut arrived = HashMap::new();
    let mut syncs = Vec::new();
    let (mut answered, mut unsynced) = (0, 0);
    let mut events = Vec::new();
    for call in strace::calls(&trace) {
        let sends_or_syncs = matches!(&*call.name, "sendto" | "write" | "writev" | "fdatasync" | "fsync");
        events.push((if sends_or_syncs { call.began } else { call.ended.unwrap_or(usize::MAX) }, call));
    }
    events.sort_by_key(|(at, _)| *at);
    // A sync counts from where it ended, and for what had arrived where it began.
    for (_, call) in &events {
        if matches!(&*call.name, "fdatasync" | "fsync") && call.text.contains("-wal>") && call.result() == Some(0) {
            syncs.push((call.began, call.ended.unwrap_or(usize::MAX)));
        }
    }
    for (at, call) in &events {
        let says = |text: &str| call.text.contains(text);
        match &*call.name {
            "recvfrom" | "read" | "readv" if says("\"POST /v1/") => {
                arrived.insert(call.descriptor().to_owned(), *at);
            }
            "sendto" | "write" | "writev" if says("\"HTTP/1.1 201") => {
                let request = arrived.get(call.descriptor()).expect("an answer follows a request");
                answered += 1;
                unsynced += usize::from(!syncs.iter().any(|(began, ended)| began > request && ended < at));
            }
            _ => {}
        }
    }
    println!(
        "synchronous = {synchronous} {variables:?}: {answered} answers, {} syncs, {unsynced} unsynced",
        syncs.len()
    );
    assert!(answered >= 200, "only {answered} answers were seen");
    (answered, unsynced)
}

//! The power is cut under load, again and again on one disk: what was acknowledged is there.

use std::time::Duration;

use crate::{
    history::{Findings, Load, Mix, Violation, Workplace},
    lane, load as starts,
    mounts::Disk,
    random::Random,
    strace::Strace,
    support::server::{Surroundings, TestServer},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_a_power_cut() {
    if lane::is_privileged() {
        let cuts = lane::count(10, 40);
        let findings = cut_again_and_again("full", cuts).await;
        findings.hold(cuts as usize / 3);
    }
}

/// The control: without a sync before each reply, the same cuts lose what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_a_power_cut_loses_what_was_not_synced() {
    if lane::is_privileged() {
        let findings = cut_again_and_again("normal", 3).await;
        println!("{}", findings.summary());
        let lost = findings.violations.iter().filter(|violation| matches!(violation, Violation::Lost { .. })).count();
        assert!(lost > 0, "nothing was lost: the cut does not cut");
    }
}

/// Many clients that do nothing but start: their commits are synced beside the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_start_is_lost_that_was_synced_beside_the_next_commit() {
    if lane::is_privileged() {
        let lost = cut_under_starts(&[], lane::count(5, 40)).await;
        assert!(lost.is_empty(), "{lost:#?}");
    }
}

/// The control: where the answer does not wait for that sync, a cut loses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_a_start_is_lost_that_is_answered_before_such_a_sync() {
    if lane::is_privileged() {
        let lost = cut_under_starts(&[("TASKWRIGHT_CONTROL", "show-before-sync")], 20).await;
        assert!(!lost.is_empty(), "nothing was lost: no cut met an answer before its sync");
    }
}

/// Cuts the power so often, or until something that was acknowledged is lost. Answers what that is.
async fn cut_under_starts(variables: &[(&str, &str)], cuts: u32) -> Vec<String> {
    let mut random = Random::new(lane::seed("power cut under starts"));
    let disk = Disk::new();
    let surroundings =
        Surroundings { database: Some(disk.path().join("store/taskwright.db")), ..Surroundings::default() };
    let mut server = TestServer::within("", variables, surroundings).await;
    for cut in 0..cuts {
        // Syncs that take 20 ms: the cut comes in the middle of one.
        let slow = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=20000"];
        let strace = Strace::attach(server.pid(), &slow).await;
        let load = starts::Load::begin(&server, 32);
        load.acknowledges(random.within(200..400) as usize).await;
        tokio::task::block_in_place(|| disk.cut(server.pid()));
        server.kill9();
        strace.detach();
        tokio::task::block_in_place(|| {
            disk.unmount();
            disk.mount();
        });
        let told = load.end().await;
        server.restart().await;
        let lost = told.lost_by(&server).await;
        if !lost.is_empty() {
            println!("{} of {} starts lost at cut {cut}", lost.len(), told.acknowledged.len());
            return lost;
        }
    }
    assert!(server.stop().await.success());
    server.fsck();
    Vec::new()
}

async fn cut_again_and_again(synchronous: &str, cuts: u32) -> Findings {
    let mut random = Random::new(lane::seed("power cut"));
    let disk = Disk::new();
    let place = Workplace::new();
    let database = disk.path().join("store/taskwright.db");
    let surroundings = Surroundings { database: Some(database), ..Surroundings::default() };
    let config = place.config(&format!("[database]\nsynchronous = \"{synchronous}\"\n"));
    let mut server = TestServer::within(&config, &[], surroundings).await;
    let load = Load::begin(&server.url(""), &place, Mix { seed: random.next(), ..Mix::default() });
    for _ in 0..cuts {
        // The one wait that is no condition: the moment is what is random here.
        tokio::time::sleep(random.time(Duration::from_millis(300), Duration::from_millis(900))).await;
        load.fault("power cut");
        tokio::task::block_in_place(|| disk.cut(server.pid()));
        server.kill9();
        tokio::task::block_in_place(|| {
            disk.unmount();
            // The journal is replayed; then nothing may be wrong.
            disk.mount();
            if synchronous == "full" {
                server.fsck();
            }
            disk.unmount();
            disk.is_sound();
            disk.mount();
        });
        server.restart().await;
        load.follow(&server.url(""));
        load.hear(&place);
    }
    let findings = load.end(&place).await;
    assert!(server.stop().await.success());
    server.fsck();
    findings
}

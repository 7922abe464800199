//! The power is cut under load, again and again on one disk: what was acknowledged is there.

use std::time::Duration;

use crate::{
    history::{Findings, Load, Mix, Violation, Workplace},
    lane,
    mounts::Disk,
    random::Random,
    support::server::{Surroundings, TestServer},
};

/// So many that commits are synced beside the next one, and few enough that some are synced within COMMIT.
const CLIENTS: u32 = 16;

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

async fn cut_again_and_again(synchronous: &str, cuts: u32) -> Findings {
    let mut random = Random::new(lane::seed("power cut"));
    let disk = Disk::new();
    let place = Workplace::new();
    let database = disk.path().join("store/taskwright.db");
    let surroundings = Surroundings { database: Some(database), ..Surroundings::default() };
    let config = place.config(&format!("[database]\nsynchronous = \"{synchronous}\"\n"));
    let mut server = TestServer::within(&config, &[], surroundings).await;
    let load = Load::begin(&server.url(""), &place, Mix { seed: random.next(), clients: CLIENTS, ..Mix::default() });
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

//! The power is cut under load, again and again on one disk: what was acknowledged is there.

use std::time::Duration;

use crate::{
    lane,
    load::{Load, Told},
    mounts::Disk,
    support::server::{Surroundings, TestServer},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_a_power_cut() {
    if lane::is_privileged() {
        let lost = lost_by_cuts("full", lane::count(10, 40)).await;
        assert!(lost.is_empty(), "{lost:#?}");
    }
}

/// The control: without a sync before each reply, the same cuts lose what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_loses_what_was_not_synced() {
    if lane::is_privileged() {
        let lost = lost_by_cuts("normal", 2).await;
        assert!(!lost.is_empty(), "nothing was lost: the cut does not cut");
    }
}

async fn lost_by_cuts(synchronous: &str, cuts: u32) -> Vec<String> {
    let seed = lane::seed("power cut");
    let disk = Disk::new();
    let database = disk.path().join("store/taskwright.db");
    let surroundings = Surroundings { database: Some(database), ..Surroundings::default() };
    let config = format!("[database]\nsynchronous = \"{synchronous}\"\n");
    let mut server = TestServer::within(&config, &[], surroundings).await;
    let mut told = Told::default();
    let mut lost = Vec::new();
    let (mut made, mut acknowledged, mut in_flight) = (0, 0, 0);
    for cut in 0..cuts {
        made += 1;
        let load = Load::begin(&server, 8);
        load.acknowledges(20).await;
        tokio::time::sleep(Duration::from_millis((seed >> (cut % 32)) % 300)).await;
        tokio::task::block_in_place(|| disk.cut());
        server.kill9();
        let more = load.end().await;
        acknowledged += more.acknowledged.len();
        in_flight += more.unanswered;
        told.acknowledged.extend(more.acknowledged);
        tokio::task::block_in_place(|| {
            disk.unmount();
            disk.mount();
        });
        server.restart().await;
        lost.extend(told.lost_by(&server).await);
        if !lost.is_empty() {
            break;
        }
        let status = server.stop().await;
        assert!(status.success(), "{status}");
        server.fsck();
        tokio::task::block_in_place(|| {
            disk.unmount();
            disk.is_sound();
            disk.mount();
        });
        server.restart().await;
    }
    println!(
        "synchronous = {synchronous}: {made} cuts, {acknowledged} starts acknowledged, {in_flight} in flight, {} lost",
        lost.len()
    );
    assert!(in_flight > 0, "no cut met a request on its way");
    lost
}

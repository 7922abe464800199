//! Commits that overlap: what is written, synced, shown and answered while the next one is on its way.

use std::{num::NonZeroU32, pin::pin, sync::Arc, time::Duration};

use futures_util::{future::join_all, poll};
use taskwright::{
    domain::{InstanceKey, InstanceQuery, Json, Status},
    engine::{Settings, StartOptions, StartRequest, When},
};

use super::{Bench, stop};
use crate::support::wait_for;

/// A commit is shown while the next one is written, and what is read from the store for it may be the next one's already.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_next_commit_overtakes_is_told_once() {
    let bench = Bench::with(Settings { local_slots: NonZeroU32::MIN, ..Settings::default() }).await;
    let first = bench.start("waits").await.expect("it starts");
    wait_for("the only slot to be taken", async || (bench.status(first).await == Status::Running).then_some(())).await;
    let inputs = Json::parse(&format!("{{\"x\":\"{}\"}}", "x".repeat(1 << 20))).expect("JSON");
    let large = StartRequest { task: "waits".to_owned(), inputs, options: StartOptions::default() };
    let second = InstanceKey::Number(bench.start("waits").await.expect("it waits"));
    // Enough that the second one's image is forgotten.
    for _ in 0..12 {
        bench.engine.start(large.clone(), None).await.expect("it waits");
    }
    let mut watch = bench.engine.follow();

    bench.store.hold();
    let (before, gets) = (bench.store.commits(), bench.store.gets());
    let stopping = bench.engine.clone();
    let stopped = tokio::spawn(async move { stopping.stop(InstanceKey::Number(first), stop()).await });
    let asked = async |n: usize| {
        wait_for("a commit", async || (bench.store.commits() >= before + n).then_some(())).await;
    };
    asked(1).await;
    bench.store.release_one();
    // The first one's end, by which the second one gets its slot. Before that lands its stop stands in line.
    asked(2).await;
    let engine = bench.engine.clone();
    let mut second_stop = Box::pin(async move { engine.stop(second, stop()).await });
    wait_for("the second one to be found", async || {
        assert!(poll!(second_stop.as_mut()).is_pending());
        (bench.store.gets() > gets).then_some(())
    })
    .await;
    assert!(poll!(second_stop.as_mut()).is_pending());
    // What is read to show this commit is the next one's already.
    bench.store.read_after_commits(2);
    bench.store.release_one();
    asked(3).await;
    bench.store.release();
    second_stop.await.expect("it is stopped");
    stopped.await.expect("no panic").expect("it is stopped");

    let end = bench.engine.wait_done(second, Duration::from_secs(10)).await.expect("it exists");
    assert_eq!((end.status(), end.attempt), (Status::Cancelled, 1), "it ran before it was stopped");
    let mut versions = Vec::new();
    wait_for("its end in the feed", async || {
        let changes = watch.read(100).expect("nothing is lost");
        versions.extend(changes.iter().filter(|change| change.summary.number == end.number).map(|c| c.summary.version));
        versions.contains(&end.version).then_some(())
    })
    .await;
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    bench.engine.stop_matching(InstanceQuery::default(), stop()).await.expect("the others are stopped");
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_many_starts_are_synced_the_next_ones_are_written_and_nobody_is_told() {
    let bench = Bench::new().await;
    bench.settled().await;
    bench.store.hold_syncs();
    bench.store.hold();
    let commits = bench.store.commits();
    let mut first = Box::pin(bench.start_batch("quick", 20));
    wait_for("the first commit to begin", async || {
        assert!(poll!(first.as_mut()).is_pending());
        (bench.store.commits() > commits).then_some(())
    })
    .await;
    // It waits when the first one is written.
    let mut second = Box::pin(bench.start_batch("quick", 20));
    assert!(poll!(second.as_mut()).is_pending());
    bench.store.release();
    wait_for("both to be written", async || (bench.store.held_syncs() == 2).then_some(())).await;
    assert_eq!(bench.store.commits(), commits + 2);
    assert!(poll!(first.as_mut()).is_pending(), "it is told before it is synced");
    let gets = bench.store.gets();
    let mut read = Box::pin(bench.engine.instance(InstanceKey::Number(2)));
    wait_for("the store to be read", async || {
        assert!(poll!(read.as_mut()).is_pending(), "it is shown before it is synced");
        (bench.store.gets() > gets).then_some(())
    })
    .await;
    assert!(poll!(read.as_mut()).is_pending(), "it is shown before it is synced");

    bench.store.release_syncs();
    let (first, second, read) = tokio::join!(first, second, read);
    assert_eq!(read.expect("it exists").number, 2);
    for number in [first, second].into_iter().flat_map(|started| started.expect("it starts")) {
        assert_eq!(bench.done(number).await, Status::Completed);
    }
    bench.close().await;
}

/// As from so many clients at once: tokio runs the ledger right after the first request, before the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_first_of_many_starts_does_not_have_a_commit_to_itself() {
    let bench = Arc::new(Bench::new().await);
    bench.settled().await;
    let commits = bench.store.commits();
    bench.store.hold();
    let clients = Arc::clone(&bench);
    // Spawned by a task, so that all of them stand in line before the first one runs.
    let starts = tokio::spawn(async move {
        (0..20)
            .map(|_| {
                let client = Arc::clone(&clients);
                let later = StartOptions { when: When::After(Duration::from_secs(3600)), ..StartOptions::default() };
                tokio::spawn(async move { client.start_with("quick", later).await })
            })
            .collect::<Vec<_>>()
    });
    let starts = starts.await.expect("they are sent");
    wait_for("a commit", async || (bench.store.commits() > commits).then_some(())).await;
    bench.store.release();
    for start in join_all(starts).await {
        start.expect("no panic").expect("it starts");
    }
    let starts = bench.store.starts().split_off(commits);
    assert!(starts[0] > 1, "{starts:?}");
}

#[tokio::test]
async fn a_commit_is_answered_while_the_next_one_is_written() {
    let bench = Bench::new().await;
    bench.settled().await;
    let commits = bench.store.commits();
    bench.store.hold();
    let mut first = pin!(bench.start("quick"));
    assert!(poll!(&mut first).is_pending());
    wait_for("the first commit", async || (bench.store.commits() > commits).then_some(())).await;
    let mut second = pin!(bench.start("quick"));
    assert!(poll!(&mut second).is_pending());
    bench.store.release_one();
    let first = tokio::time::timeout(Duration::from_secs(10), first).await.expect("it does not wait for the next one");
    let first = first.expect("it starts");
    wait_for("the second commit", async || (bench.store.commits() > commits + 1).then_some(())).await;
    assert!(poll!(&mut second).is_pending(), "its commit has not begun");
    bench.store.release();
    let second = second.await.expect("it starts");
    assert_eq!((bench.done(first).await, bench.done(second).await), (Status::Completed, Status::Completed));
}

//! R5: the daemon dies on either side of a COMMIT. Nothing of it is acknowledged, and the next daemon finds all or nothing.

use std::{path::Path, time::Duration};

use taskwright::{
    domain::{InstanceKey, InstanceQuery, Micros, Progress, Status},
    engine::{EngineError, ReportPatch, StopOptions, Writer},
    store::Store,
};

use super::{
    bench::Bench,
    saboteur::{Fault, Sabotage},
};
use crate::lane;

/// What is committed when the daemon dies.
#[derive(Debug, Clone, Copy)]
enum Write {
    Start,
    Stop,
    Report,
    End,
}

fn unavailable<T: std::fmt::Debug>(write: Write, outcome: Result<T, EngineError>) -> Result<(), String> {
    match outcome {
        Err(EngineError::Unavailable(_)) => Ok(()),
        other => Err(format!("{write:?} was answered {other:?}")),
    }
}

async fn crash(folder: &Path, write: Write, fault: Fault, sabotage: Sabotage) -> Result<(), String> {
    let bench = Bench::open(folder, sabotage).await;
    let number = bench.start("returns").await?;
    let key = InstanceKey::Number(number);
    let name = format!("key-{number}");
    bench.store.fail_next(fault);
    match write {
        Write::Start => unavailable(write, bench.try_start("returns", "{}", Some(&name)).await)?,
        Write::Stop => {
            let options = StopOptions { grace: None, force: false, by_itself: false };
            unavailable(write, bench.engine.stop(key, options).await)?;
        }
        Write::Report => {
            let patch = ReportPatch { progress: Progress::new(0.5, None).ok(), ..ReportPatch::default() };
            unavailable(write, bench.engine.report(key, Writer::Current, None, patch).await)?;
        }
        Write::End => bench.stage.open(number),
    }
    let why = tokio::time::timeout(Duration::from_secs(20), bench.engine.failed()).await;
    why.map_err(|_| format!("{write:?}: the engine did not say that it failed"))?;
    bench.engine.abort().await;
    let shown = bench.engine.instance(key).await.map_err(|error| error.to_string())?;
    if shown.is_done() || shown.stop.is_some() || shown.progress.value() > 0.0 {
        return Err(format!("{write:?} was shown before it was committed: {shown:?}"));
    }
    bench.store.close().await;
    drop(bench);

    let bench = Bench::open(folder, Sabotage::Nothing).await;
    let written = fault == Fault::After;
    let now = bench.stored(number).await;
    let expected = match (write, written) {
        (Write::Stop, true) => Status::Cancelled,
        (Write::End, true) => Status::Completed,
        _ => Status::Failed,
    };
    let progress = if matches!(write, Write::Report) && written { 0.5 } else { 0.0 };
    if (now.status(), now.progress.value(), now.output.is_some()) != (expected, progress, expected == Status::Completed)
    {
        return Err(format!("{write:?}, {fault:?}: {now:?}"));
    }
    if matches!(write, Write::Start) {
        // Whoever got no answer asks again under the same key.
        let query = InstanceQuery { limit: 500, ..InstanceQuery::default() };
        let count =
            bench.store.list(&query).await.expect("it reads").items.iter().filter(|one| one.number > number).count();
        let again = bench.try_start("returns", "{}", Some(&name)).await.map_err(|error| error.to_string())?;
        bench.stage.open(again.instance.number);
        bench.done(again.instance.number).await?;
        if (count, again.replayed) != (usize::from(written), written) {
            return Err(format!("{fault:?}: {count} were there, then {again:?}"));
        }
    }
    // Recovery takes the time of a real boot.
    debug_assert!(Micros::now() >= now.updated_at);
    bench.close().await
}

/// So many stores at once: most of a round is the wait for an engine that begins or ends.
const STORES: u32 = 8;
/// So many rounds over one store, each of which checks all that is in it.
const ROUNDS: u32 = 40;

async fn crashes(times: u32, sabotage: Sabotage) -> Result<(), String> {
    let stores = (0..STORES).map(|first| async move {
        let mut folder = tempfile::tempdir().expect("a folder");
        for round in 0..times.div_ceil(STORES) {
            if round > 0 && round.is_multiple_of(ROUNDS) {
                folder = tempfile::tempdir().expect("a folder");
            }
            // Each store goes through all of it.
            let kind = (round + first) as usize;
            let write = [Write::Start, Write::Stop, Write::Report, Write::End][kind % 4];
            let fault = [Fault::Before, Fault::After][kind / 4 % 2];
            crash(folder.path(), write, fault, sabotage).await?;
        }
        Ok(())
    });
    futures_util::future::try_join_all(stores).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_a_crash_on_either_side_of_a_commit() {
    crashes(lane::count(80, 10_000), Sabotage::Nothing).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn control_r5_a_store_that_writes_what_it_says_it_did_not_is_found() {
    for write in [Write::Start, Write::Stop, Write::Report, Write::End] {
        let folder = tempfile::tempdir().expect("a folder");
        let found = crash(folder.path(), write, Fault::Before, Sabotage::FailuresWritten).await;
        assert!(found.is_err(), "{write:?}: {found:?}");
    }
}

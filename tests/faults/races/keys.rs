//! R8: one idempotency key used at the same time, and again after a start under it was refused.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use taskwright::engine::EngineError;

use super::{
    bench::Bench,
    saboteur::{Sabotage, Saboteur},
};
use crate::lane;

async fn same_key(times: u32, sabotage: Sabotage) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::open(folder.path(), sabotage).await;
    let turns = AtomicU64::new(0);
    let race = async |bench: &Bench, _: u64| {
        let turn = turns.fetch_add(1, Ordering::Relaxed);
        let key = format!("key-{turn}");
        // Two requests under one key, each several times.
        let bodies = ["{\"n\":1}", "{\"n\":2}"];
        let starts = join_all((0..6).map(|n| bench.try_start("returns", bodies[n % 2], Some(&key)))).await;
        let made: Vec<_> = starts.iter().flatten().collect();
        let Some(first) = made.iter().find(|one| !one.replayed) else {
            return Err(format!("nobody made the instance of {key}"));
        };
        bench.stage.open(first.instance.number);
        for (n, start) in starts.iter().enumerate() {
            let same = bodies[n % 2] == first.instance.inputs.as_str();
            let fits = match start {
                Ok(one) => same && one.instance.id == first.instance.id,
                Err(EngineError::KeyReused) => !same,
                Err(_) => false,
            };
            if !fits {
                return Err(format!("under {key}: {start:?} beside {first:?}"));
            }
        }
        if made.len() != 3 || made.iter().filter(|one| !one.replayed).count() != 1 {
            return Err(format!("under {key}: {starts:?}"));
        }
        bench.ended(first.instance.number).await?;

        // A start that was refused has used nothing, its key included.
        let key = format!("cursed-{turn}");
        let refused = bench.try_start(Saboteur::CURSED, "{}", Some(&key)).await;
        if !matches!(refused, Err(EngineError::Refused { .. })) {
            return Err(format!("it should be refused: {refused:?}"));
        }
        let made = bench.try_start("returns", "{}", Some(&key)).await.map_err(|error| format!("{key}: {error}"))?;
        bench.stage.open(made.instance.number);
        bench.ended(made.instance.number).await?;
        if made.replayed {
            return Err(format!("{key} stood for something: {made:?}"));
        }
        Ok(())
    };
    bench.run(times, race).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn r8_one_key_at_the_same_time_and_after_a_refusal() {
    same_key(lane::count(160, 10_000), Sabotage::Nothing).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn control_r8_a_store_that_forgets_keys_is_found() {
    let found = same_key(8, Sabotage::KeysForgotten).await;
    assert!(found.is_err(), "{found:?}");
}

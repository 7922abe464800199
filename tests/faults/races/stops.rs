//! R1, R6 and R7: a stop against an end, a claim and a retry.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use taskwright::domain::{Instance, InstanceKey, Status};
use tokio::join;

use super::{
    bench::{Bench, WORKERS},
    dither,
    saboteur::Sabotage,
};
use crate::{lane, random::Random};

async fn bench(sabotage: Sabotage) -> (Bench, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    (Bench::open(folder.path(), sabotage).await, folder)
}

/// A stream of random numbers for each worker.
fn streams(test: &str) -> Vec<Mutex<Random>> {
    let mut random = Random::new(lane::seed(test));
    (0..WORKERS).map(|_| Mutex::new(random.fork())).collect()
}

fn draw(streams: &[Mutex<Random>], worker: u64) -> [u64; 2] {
    let mut random = streams[worker as usize].lock().unwrap();
    [random.next(), random.next()]
}

/// Each way in which a race can go was seen: it was one.
fn seen<T: PartialEq + std::fmt::Debug>(outcomes: &[T], ways: &[T]) {
    for way in ways {
        let times = outcomes.iter().filter(|outcome| *outcome == way).count();
        println!("{way:?}: {times} of {}", outcomes.len());
        assert!(times > 0, "{way:?} was never seen in {} races", outcomes.len());
    }
}

/// Who came first.
#[derive(Debug, Clone, Copy, PartialEq)]
enum First {
    Stop,
    Other,
}

/// A handler returns while somebody stops it.
async fn stop_and_end(times: u32, sabotage: Sabotage) -> Result<Vec<First>, String> {
    let streams = streams("stop_and_end");
    let (bench, _folder) = bench(sabotage).await;
    let race = async |bench: &Bench, worker: u64| {
        let number = bench.start("returns").await?;
        let mut watch = bench.engine.watch(InstanceKey::Number(number)).await.expect("it exists");
        let [one, other] = draw(&streams, worker);
        let longest = Duration::from_millis(1);
        let end = async {
            dither(one, longest).await;
            bench.stage.open(number);
        };
        let stop = async {
            dither(other, longest).await;
            bench.stop(number).await
        };
        let ((), told) = join!(end, stop);
        let ended = bench.ended(number).await?;
        let mut images = vec![watch.current()];
        while let Some(image) = watch.changed().await {
            images.push(image);
        }
        never_goes_back(&images, &ended)?;
        let first = if told.stop.is_some() { First::Stop } else { First::Other };
        let expected = if first == First::Stop { Status::Cancelled } else { Status::Completed };
        if ended.status() != expected || ended.output.is_none() {
            return Err(format!("the stop was told {told:?}, and it ended {ended:?}"));
        }
        Ok(first)
    };
    bench.run(times, race).await
}

/// What a watcher saw: versions rise, only the last image is terminal, and it is the end.
fn never_goes_back(images: &[Arc<Instance>], ended: &Instance) -> Result<(), String> {
    let rises = images.windows(2).all(|pair| pair[0].version < pair[1].version && !pair[0].is_done());
    match rises && images.last().is_some_and(|last| **last == *ended) {
        true => Ok(()),
        false => Err(format!("a watcher saw {images:?}, and it ended {ended:?}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r1_a_stop_and_an_end() {
    let outcomes = stop_and_end(lane::count(800, 10_000), Sabotage::Nothing).await.unwrap();
    seen(&outcomes, &[First::Stop, First::Other]);
}

#[tokio::test(flavor = "multi_thread")]
async fn control_r1_a_store_that_forgets_stops_is_found() {
    let found = stop_and_end(100, Sabotage::StopsForgotten).await;
    assert!(found.as_ref().is_err_and(|what| what.contains("stored is")), "{found:?}");
}

/// A pending instance is stopped while the slot that it waits for becomes free.
async fn stop_and_claim(times: u32, sabotage: Sabotage) -> Result<Vec<First>, String> {
    let streams = streams("stop_and_claim");
    let (bench, _folder) = bench(sabotage).await;
    let race = async |bench: &Bench, worker: u64| {
        let task = format!("alone-{worker}");
        let holder = bench.start(&task).await?;
        let waits = bench.start(&task).await?;
        let [one, other] = draw(&streams, worker);
        let longest = Duration::from_millis(1);
        let free = async {
            dither(one, longest).await;
            bench.stage.open(holder);
        };
        let stop = async {
            dither(other, longest).await;
            bench.stop(waits).await
        };
        let ((), told) = join!(free, stop);
        bench.stage.open(waits);
        bench.ended(holder).await?;
        let ended = bench.ended(waits).await?;
        if told.stop.is_none() || ended.status() != Status::Cancelled {
            return Err(format!("the stop was told {told:?}, and it ended {ended:?}"));
        }
        // Whoever was told that it is cancelled was told the end.
        if told.is_done() && *told != *ended {
            return Err(format!("the stop was told {told:?}, and later {ended:?}"));
        }
        Ok(if ended.attempt == 0 { First::Stop } else { First::Other })
    };
    bench.run(times, race).await
}

#[tokio::test(flavor = "multi_thread")]
async fn r6_a_stop_and_a_claim() {
    let outcomes = stop_and_claim(lane::count(800, 10_000), Sabotage::Nothing).await.unwrap();
    seen(&outcomes, &[First::Stop, First::Other]);
}

#[tokio::test(flavor = "multi_thread")]
async fn control_r6_a_store_that_does_not_write_stops_is_found() {
    let found = stop_and_claim(100, Sabotage::StopsUnwritten).await;
    assert!(found.is_err(), "{found:?}");
}

/// When a stop met the retries of an instance.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Met {
    Running,
    Waiting,
    Ended,
}

/// An instance fails and is tried again and again while somebody stops it.
async fn stop_and_retry(times: u32, sabotage: Sabotage) -> Result<Vec<Met>, String> {
    let streams = streams("stop_and_retry");
    let (bench, _folder) = bench(sabotage).await;
    let race = async |bench: &Bench, worker: u64| {
        let number = bench.start("fails").await?;
        bench.stage.open(number);
        let [random, _] = draw(&streams, worker);
        dither(random, Duration::from_millis(60)).await;
        let told = bench.stop(number).await;
        let ended = bench.ended(number).await?;
        if ended.attempt != told.attempt || ended.attempt > 5 {
            return Err(format!("another attempt began after a stop: it was told {told:?}, and it ended {ended:?}"));
        }
        let (met, expected) = match (told.status(), told.stop) {
            (Status::Running, Some(_)) => (Met::Running, Status::Failed),
            (Status::Cancelled, Some(_)) => (Met::Waiting, Status::Cancelled),
            (Status::Failed, stop) => (if stop.is_some() { Met::Running } else { Met::Ended }, Status::Failed),
            _ => return Err(format!("the stop was told {told:?}")),
        };
        match ended.status() == expected {
            true => Ok(met),
            false => Err(format!("the stop was told {told:?}, and it ended {ended:?}")),
        }
    };
    bench.run(times, race).await
}

#[tokio::test(flavor = "multi_thread")]
async fn r7_a_stop_and_a_retry() {
    let outcomes = stop_and_retry(lane::count(400, 10_000), Sabotage::Nothing).await.unwrap();
    seen(&outcomes, &[Met::Running, Met::Waiting, Met::Ended]);
}

#[tokio::test(flavor = "multi_thread")]
async fn control_r7_a_store_that_forgets_stops_is_found() {
    let found = stop_and_retry(400, Sabotage::StopsForgotten).await;
    assert!(found.is_err(), "{found:?}");
}

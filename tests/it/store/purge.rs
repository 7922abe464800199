//! What is kept no longer.

use std::time::Duration;

use taskwright::{
    domain::{InstanceKey, Micros, StatsQuery, Status, Stream},
    store::{IdempotencyClaim, NewInstance, Purge, PurgeTask, Purged, Start, StartOutcome},
};

use super::scene::*;

const DAY: Duration = Duration::from_secs(86_400);

fn of(task: &str, finished_before: Option<Micros>, keep: Option<u64>) -> PurgeTask {
    PurgeTask { task_id: task.into(), finished_before, keep, after: 0 }
}

async fn purge(scene: &Scene, task: PurgeTask) -> Purged {
    scene.commit(|batch| batch.purge = Some(Purge { task: Some(task), sweep: false })).await.purged
}

/// Sweeps until there is nothing more to sweep now, and answers when there will be.
async fn sweep(scene: &Scene) -> Option<Micros> {
    for _ in 0..1000 {
        let purged = scene.commit(|batch| batch.purge = Some(Purge { task: None, sweep: true })).await.purged;
        if purged.sweep_due.is_none_or(|due| due > scene.now()) {
            return purged.sweep_due;
        }
    }
    panic!("there is always more to sweep");
}

/// An instance that ran and completed.
async fn done(scene: &Scene, new: NewInstance) -> u64 {
    let number = scene.running(new).await;
    scene.commit(|batch| batch.finishes.push(finish(number, 1))).await;
    number
}

async fn exist(scene: &Scene, numbers: &[u64]) -> Vec<u64> {
    let keys: Vec<_> = numbers.iter().map(|number| InstanceKey::Number(*number)).collect();
    let mut found: Vec<u64> =
        scene.store.get(&keys).await.expect("it reads").iter().map(|instance| instance.number).collect();
    found.sort_unstable();
    found
}

pub async fn what_is_old_goes_with_all_that_belongs_to_it(scene: &Scene) {
    let number = scene.running(NewInstance { limits: retried("a").limits, ..labelled("a", [("k", "v")]) }).await;
    let at = scene.now();
    let mut first = finish_as(number, 1, again(at, error("no", 1)));
    first.exit_code = Some(3);
    let mut lines = chunk(number, 1, Stream::Task, &["one", "two"]);
    lines.dropped = 3;
    scene
        .commit(|batch| {
            batch.logs.push(lines);
            batch.finishes.push(first);
        })
        .await;
    scene.claim("a", 1).await;
    let mut last = finish(number, 2);
    last.output = Some(Some(json(r#"{"result":1}"#)));
    scene.commit(|batch| batch.finishes.push(last)).await;
    let id = scene.get(number).await.id;

    let purged = purge(scene, of("a", Some(scene.now()), None)).await;
    assert_eq!(purged, Purged { instances: vec![number], ..Purged::default() });
    assert!(scene.store.get(&[InstanceKey::Id(id)]).await.expect("it reads").is_empty());
    assert_eq!(scene.store.log_extent(number).await.expect("it reads").last, 0);
    assert!(scene.store.attempts(number).await.expect("it reads").is_empty());
    assert_eq!(scene.store.done_by_task().await.expect("it reads"), []);
    assert_eq!(scene.pending(new("a")).await, number + 1, "no number is given twice");
}

pub async fn what_is_not_done_stays(scene: &Scene) {
    let (old, other) = (done(scene, new("a")).await, done(scene, new("b")).await);
    let running = scene.running(new("a")).await;
    let pending = scene.pending(new("a")).await;
    let late = scene.now().after(DAY);
    assert_eq!(purge(scene, of("a", Some(late), Some(1))).await.instances, [old]);
    assert_eq!(exist(scene, &[running, pending, old, other]).await, [other, running, pending]);
    assert_eq!(scene.store.done_by_task().await.expect("it reads"), [("b".into(), 1)]);
}

pub async fn a_long_run_neither_blocks_nor_goes_early(scene: &Scene) {
    let long = scene.running(new("a")).await;
    let short = done(scene, new("a")).await;
    scene.wait(DAY);
    let between = scene.now();
    scene.wait(DAY);
    scene.commit(|batch| batch.finishes.push(finish(long, 1))).await;
    let finished = scene.now();
    let young = done(scene, new("a")).await;
    let purged = purge(scene, of("a", Some(between), None)).await;
    assert_eq!((purged.instances, purged.next), (vec![short], None));
    // The next one that comes of age.
    assert_eq!(purged.oldest, Some(finished));
    let purged = purge(scene, of("a", Some(finished), None)).await;
    assert_eq!(purged.instances, [long]);
    assert!(purged.oldest.is_some_and(|oldest| oldest > finished && oldest <= scene.now()));
    assert_eq!(exist(scene, &[long, short, young]).await, [young]);
}

pub async fn the_newest_stay(scene: &Scene) {
    let mut numbers = Vec::new();
    for _ in 0..7 {
        numbers.push(done(scene, new("a")).await);
    }
    let running = scene.running(new("a")).await;
    done(scene, new("b")).await;
    assert_eq!(purge(scene, of("a", None, Some(7))).await.instances, [0; 0]);
    let purged = purge(scene, of("a", None, Some(3))).await;
    assert_eq!((purged.instances.as_slice(), purged.next), (&numbers[..4], None));
    assert_eq!(exist(scene, &numbers).await, numbers[4..]);
    assert_eq!(purge(scene, of("a", None, Some(3))).await.instances, [0; 0]);
    assert_eq!(scene.get(running).await.status(), Status::Running);
}

pub async fn both_rules_hold(scene: &Scene) {
    let first = done(scene, new("a")).await;
    let second = done(scene, new("a")).await;
    let at = scene.now();
    scene.wait(DAY);
    let third = done(scene, new("a")).await;
    // The first by number, the second by age.
    let purged = purge(scene, of("a", Some(at), Some(2))).await;
    assert_eq!(purged.instances, [first, second]);
    assert_eq!(exist(scene, &[first, second, third]).await, [third]);
}

pub async fn a_purge_goes_on_where_it_stopped(scene: &Scene) {
    let rooms = claims([room("a", 1000)]);
    let starts: Vec<Start> = (0..700).map(|_| one(new("a"))).collect();
    let committed = scene
        .commit(|batch| {
            batch.starts = starts;
            batch.claims = Some(rooms);
        })
        .await;
    // Every seventh runs on.
    let ends: Vec<_> =
        committed.claimed.iter().filter(|one| one.instance % 7 > 0).map(|one| finish(one.instance, 1)).collect();
    let all = ends.len();
    scene.commit(|batch| batch.finishes = ends).await;
    let mut task = of("a", Some(scene.now()), None);
    let (mut batches, mut deleted) = (0, Vec::new());
    loop {
        let purged = purge(scene, task.clone()).await;
        assert!(purged.instances.len() <= 256);
        deleted.extend(purged.instances);
        batches += 1;
        match purged.next {
            Some(next) => task.after = next,
            None => break,
        }
    }
    assert_eq!((deleted.len(), scene.store.running().await.expect("it reads").len()), (all, 100));
    assert!((3..6).contains(&batches), "{batches}");
    assert!(deleted.is_sorted());
}

pub async fn large_instances_go_in_small_batches(scene: &Scene) {
    let inputs = json(&format!("{{\"pad\":\"{}\"}}", "x".repeat(3 << 20)));
    let mut numbers = Vec::new();
    for _ in 0..3 {
        numbers.push(done(scene, NewInstance { inputs: inputs.clone(), ..new("a") }).await);
    }
    let task = of("a", Some(scene.now()), None);
    let first = purge(scene, task.clone()).await;
    assert_eq!((first.instances.as_slice(), first.next), (&numbers[..2], Some(numbers[1])));
    let second = purge(scene, PurgeTask { after: numbers[1], ..task }).await;
    assert_eq!((second.instances.as_slice(), second.next), (&numbers[2..], None));
}

pub async fn what_happened_stays_counted(scene: &Scene) {
    done(scene, new("a")).await;
    let query = StatsQuery::until(scene.now(), Duration::from_secs(3600), None, None).expect("a window");
    let before = scene.store.stats(&query).await.expect("it reads");
    purge(scene, of("a", Some(scene.now()), None)).await;
    let after = scene.store.stats(&query).await.expect("it reads");
    assert_eq!((before.by_status, after.by_status), ([0, 0, 1, 0, 0], [0; 5]));
    assert_eq!((before.buckets, before.durations), (after.buckets, after.durations));
}

pub async fn a_key_goes_with_its_instances(scene: &Scene) {
    let keyed = |key: &str, n: usize| Start {
        instances: (0..n).map(|_| new("a")).collect(),
        idempotency: Some(IdempotencyClaim { principal: "p".into(), key: key.into(), fingerprint: [1; 32] }),
    };
    let both = vec![keyed("one", 1), keyed("three", 3), keyed("stays", 1)];
    let rooms = claims([room("a", 3)]);
    let committed = scene
        .commit(|batch| {
            batch.starts = both;
            batch.claims = Some(rooms);
        })
        .await;
    let ends: Vec<_> = committed.claimed.iter().map(|claimed| finish(claimed.instance, 1)).collect();
    scene.commit(|batch| batch.finishes = ends).await;
    // The instance of the first key, and two of the three of the second.
    assert_eq!(purge(scene, of("a", Some(scene.now()), None)).await.instances, [1, 2, 3]);
    let again = vec![keyed("one", 1), keyed("three", 3), keyed("stays", 1)];
    let committed = scene.commit(|batch| batch.starts = again).await;
    assert_eq!(committed.starts[0], StartOutcome::Created { numbers: vec![6] });
    assert_eq!(committed.starts[1], StartOutcome::Created { numbers: vec![7, 8, 9] });
    assert_eq!(committed.starts[2], StartOutcome::Replayed { numbers: vec![5] });
}

pub async fn expired_keys_are_swept(scene: &Scene) {
    let keyed = |key: String| Start {
        instances: vec![new("a")],
        idempotency: Some(IdempotencyClaim { principal: "p".into(), key: key.into(), fingerprint: [1; 32] }),
    };
    let many: Vec<Start> = (0..600).map(|n| keyed(n.to_string())).collect();
    scene.commit(|batch| batch.starts = many).await;
    let expires = scene.now().after(DAY);
    assert_eq!(sweep(scene).await, Some(expires));
    scene.wait(DAY);
    let last = keyed("last".to_owned());
    scene.commit(|batch| batch.starts.push(last)).await;
    let expires = scene.now().after(DAY);
    assert_eq!(sweep(scene).await, Some(expires), "the others are gone");
}

pub async fn old_counters_are_put_together(scene: &Scene) {
    let start = scene.now();
    let mut numbers = Vec::new();
    for hour in 0..30 {
        for _ in 0..3 {
            numbers.push(done(scene, new(if hour % 2 == 0 { "a" } else { "b" })).await);
            scene.wait(Duration::from_secs(70));
        }
        scene.wait(Duration::from_secs(3300));
    }
    for days in [1, 8, 30, 40, 200] {
        scene.wait(DAY * days);
        sweep(scene).await;
        scene.is_sound().await;
        for task_id in [None, Some("a".to_owned())] {
            let all = if task_id.is_none() { 90 } else { 45 };
            let window = scene.now().since(start) + DAY;
            let query = StatsQuery::until(scene.now(), window, Some(DAY), task_id).expect("a window");
            let stats = scene.store.stats(&query).await.expect("it reads");
            let count = |n: fn(&taskwright::domain::Happened) -> u64| stats.buckets.iter().map(n).sum::<u64>();
            assert_eq!((count(|one| one.started), count(|one| one.completed)), (all, all), "after {days} days more");
            assert_eq!(stats.durations.count(), all);
        }
        // What goes then is counted where it stands.
        let go = numbers.split_off(numbers.len() - 5);
        let mut task = of("a", None, None);
        for task_id in ["a", "b"] {
            task.task_id = task_id.into();
            task.after = go[0] - 1;
            task.finished_before = Some(scene.now());
            purge(scene, task.clone()).await;
        }
        scene.is_sound().await;
    }
    // Four years on nothing of it is kept.
    scene.wait(DAY * 1442);
    sweep(scene).await;
    let query = StatsQuery::until(scene.now(), DAY * 1440, None, None).expect("a window");
    let stats = scene.store.stats(&query).await.expect("it reads");
    assert!(stats.buckets.iter().all(|one| one.started == 0) && stats.durations.is_empty());
    assert_eq!(sweep(scene).await, None);
}

pub async fn nothing_to_purge_is_no_error(scene: &Scene) {
    assert_eq!(purge(scene, of("a", Some(scene.now()), Some(1))).await, Purged::default());
    assert_eq!(sweep(scene).await, None);
}

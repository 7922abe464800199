//! Counters: what there is, and what happened when.

use std::time::Duration;

use taskwright::{
    domain::{Happened, InstanceQuery, Micros, Stats, StatsQuery, Status},
    store::{CommitError, IdempotencyClaim, NewInstance, Start},
};

use super::scene::*;

/// The last two hours of all tasks, or of one, in minutes.
async fn stats(scene: &Scene, task_id: Option<&str>) -> Stats {
    let hours = Duration::from_secs(7200);
    let query = StatsQuery::until(scene.now(), hours, None, task_id.map(str::to_owned)).expect("a window");
    scene.store.stats(&query).await.expect("it reads")
}

fn sum(stats: &Stats) -> Happened {
    stats.buckets.iter().fold(Happened::default(), |sum, happened| Happened {
        started: sum.started + happened.started,
        completed: sum.completed + happened.completed,
        failed: sum.failed + happened.failed,
        cancelled: sum.cancelled + happened.cancelled,
    })
}

/// The counts by status are those of the lists.
async fn agree(scene: &Scene, task_id: Option<&str>) {
    let told = stats(scene, task_id).await.by_status;
    for (status, told) in Status::ALL.into_iter().zip(told) {
        let query = InstanceQuery {
            task_id: task_id.map(str::to_owned),
            statuses: vec![status],
            limit: 500,
            ..InstanceQuery::default()
        };
        let there = scene.store.list(&query).await.expect("it reads").items.len() as u64;
        assert_eq!(told, there, "{status} of {task_id:?}");
    }
}

pub async fn an_empty_store_has_figures_too(scene: &Scene) {
    let stats = stats(scene, None).await;
    assert_eq!((stats.by_status, stats.buckets.len()), ([0; 5], 120));
    assert_eq!((sum(&stats), stats.durations.quantile(0.5)), (Happened::default(), None));
}

pub async fn every_change_is_counted_once(scene: &Scene) {
    // Completed, failed by its attempt, failed in the queue, cancelled before and while it ran, again after a failure.
    let completed = scene.running(new("a")).await;
    let failing = scene.running(new("a")).await;
    let again_later = scene.running(retried("b")).await;
    let stopped = scene.running(new("b")).await;
    let mut hasty = new("a");
    hasty.limits.queue_timeout = Some(Duration::from_secs(2));
    scene.pending(hasty).await;
    let cancelled = scene.pending(new("a")).await;
    agree(scene, None).await;
    let deadline = scene.now();
    scene
        .commit(|batch| {
            batch.stops.extend([stop(cancelled, deadline), stop(stopped, deadline), stop(cancelled, deadline)]);
            batch.finishes.push(finish(completed, 1));
            batch.promote = true;
        })
        .await;
    agree(scene, None).await;
    let at = scene.now();
    let ends = vec![
        finish_as(failing, 1, failed(error("no", 1))),
        finish_as(again_later, 1, again(at, error("no", 1))),
        finish(stopped, 1),
        finish(stopped, 1),
        finish(completed, 1),
    ];
    scene
        .commit(|batch| {
            batch.finishes = ends;
            batch.promote = true;
            batch.starts = vec![one(new("a")), one(new("b"))];
            batch.claims = Some(claims([room("a", 1), room("b", 1)]));
        })
        .await;
    for task_id in [None, Some("a"), Some("b"), Some("c")] {
        agree(scene, task_id).await;
    }
    let all = stats(scene, None).await;
    assert_eq!(sum(&all), Happened { started: 8, completed: 1, failed: 2, cancelled: 2 });
    assert_eq!(all.by_status, [1, 2, 1, 2, 2]);
    // The attempts that completed or failed; not what was cancelled, and not what never ran.
    assert_eq!(all.durations.count(), 2);
}

pub async fn what_happened_stands_in_its_minute(scene: &Scene) {
    let first = scene.running(new("a")).await;
    let started = scene.now();
    scene.wait(Duration::from_secs(600));
    scene.commit(|batch| batch.finishes.push(finish(first, 1))).await;
    let query = StatsQuery::until(scene.now(), Duration::from_secs(7200), None, None).expect("a window");
    let stats = scene.store.stats(&query).await.expect("it reads");
    let (began, ended) = (query.bucket_of(started).expect("within"), query.bucket_of(scene.now()).expect("within"));
    assert_eq!(ended, 119);
    assert_eq!(stats.buckets[began], Happened { started: 1, ..Happened::default() });
    assert_eq!(stats.buckets[ended], Happened { completed: 1, ..Happened::default() });
    let told = stats.durations.quantile(0.5).expect("one").as_secs_f64();
    assert!((told / 601.0 - 1.0).abs() < 0.05, "{told}");
    // Longer buckets hold the same; a window that begins later does not.
    let long = StatsQuery::until(scene.now(), Duration::from_secs(7200), Some(Duration::from_secs(3600)), None);
    let long = scene.store.stats(&long.expect("a window")).await.expect("it reads");
    assert_eq!((long.buckets.len(), sum(&long)), (2, Happened { started: 1, completed: 1, ..Happened::default() }));
    let late = StatsQuery::until(scene.now(), Duration::from_secs(60), None, None).expect("a window");
    let late = scene.store.stats(&late).await.expect("it reads");
    assert_eq!((late.buckets.len(), sum(&late).started, sum(&late).completed), (1, 0, 1));
}

pub async fn figures_of_one_task(scene: &Scene) {
    let odd = "a'; DROP TABLE totals; --";
    scene.start([new("a"), new(odd), new(odd)]).await;
    assert_eq!(stats(scene, Some(odd)).await.by_status, [2, 0, 0, 0, 0]);
    assert_eq!(sum(&stats(scene, Some("a")).await).started, 1);
    assert_eq!(stats(scene, Some("none")).await.by_status, [0; 5]);
    assert_eq!(stats(scene, None).await.by_status, [3, 0, 0, 0, 0]);
}

pub async fn durations_are_those_that_the_rows_tell(scene: &Scene) {
    // Over several commits and minutes, with a failed one between them.
    for seconds in [0, 3, 70, 5, 61, 2, 1] {
        let running = scene.running(new("a")).await;
        scene.wait(Duration::from_secs(seconds));
        scene.commit(|batch| batch.finishes.push(finish(running, 1))).await;
        let twin = new("a");
        let mut refused = scene.batch();
        refused.starts = vec![one(twin.clone()), one(twin)];
        assert!(matches!(scene.store.commit(&refused).await, Err(CommitError::Refused(_))));
    }
    let durations = stats(scene, Some("a")).await.durations;
    assert_eq!(durations.count(), 7);
    let told = durations.quantile(1.0).expect("some").as_secs_f64();
    assert!((told / 71.0 - 1.0).abs() < 0.05, "{told}");
}

pub async fn a_refused_batch_counts_nothing(scene: &Scene) {
    let running = scene.running(new("a")).await;
    let before = stats(scene, None).await;
    let twin = new("a");
    let mut batch = scene.batch();
    batch.finishes.push(finish(running, 1));
    batch.starts = vec![one(twin.clone()), one(twin)];
    assert!(scene.store.commit(&batch).await.is_err());
    assert_eq!(stats(scene, None).await.by_status, before.by_status);
    assert!(stats(scene, None).await.durations.is_empty());
    batch.starts.pop();
    scene.store.commit(&batch).await.expect("it commits");
    assert_eq!(stats(scene, None).await.by_status, [1, 0, 1, 0, 0]);
}

pub async fn a_replayed_start_counts_nothing(scene: &Scene) {
    let keyed = |new: NewInstance| Start {
        instances: vec![new],
        idempotency: Some(IdempotencyClaim { principal: "".into(), key: "k".into(), fingerprint: [7; 32] }),
    };
    let both = vec![keyed(new("a")), keyed(new("a"))];
    scene.commit(|batch| batch.starts = both).await;
    let third = keyed(new("a"));
    scene.commit(|batch| batch.starts.push(third)).await;
    assert_eq!(sum(&stats(scene, None).await).started, 1);
    agree(scene, None).await;
}

pub async fn many_tasks_in_one_batch(scene: &Scene) {
    let tasks: Vec<String> = (0..300).map(|n| format!("task-{n}")).collect();
    let rooms = claims(tasks.iter().map(|task| room(task, 1)));
    let starts: Vec<Start> = tasks.iter().map(|task| one(new(task))).collect();
    let committed = scene
        .commit(|batch| {
            batch.starts = starts;
            batch.claims = Some(rooms);
        })
        .await;
    let ends: Vec<_> = committed.claimed.iter().map(|claimed| finish(claimed.instance, 1)).collect();
    scene.commit(|batch| batch.finishes = ends).await;
    let all = stats(scene, None).await;
    assert_eq!((all.by_status, all.durations.count()), ([0, 0, 300, 0, 0], 300));
    assert_eq!(stats(scene, Some("task-299")).await.by_status, [0, 0, 1, 0, 0]);
}

pub async fn a_clock_set_back_counts_where_it_stands(scene: &Scene) {
    let running = [scene.running(new("a")).await, scene.running(new("a")).await];
    let begun = scene.now();
    let mut batch = scene.batch();
    batch.now = Micros(begun.0 - 600 * SECOND);
    batch.finishes.push(finish(running[0], 1));
    batch.starts.push(one(new("a")));
    scene.store.commit(&batch).await.expect("it commits");
    scene.commit(|batch| batch.finishes.push(finish(running[1], 1))).await;
    let all = stats(scene, None).await;
    assert_eq!(sum(&all), Happened { started: 3, completed: 2, ..Happened::default() });
    agree(scene, None).await;
}

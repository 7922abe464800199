//! What time does to waiting instances.

use std::time::Duration;

use taskwright::{
    domain::{ErrorKind, Micros, Phase, Status},
    store::NewInstance,
};

use super::scene::*;

fn at(task: &str, run_at: Micros) -> NewInstance {
    NewInstance { run_at: Some(run_at), ..new(task) }
}

fn patient(task: &str, queue_timeout: Duration) -> NewInstance {
    let mut new = new(task);
    new.limits.queue_timeout = Some(queue_timeout);
    new
}

pub async fn a_scheduled_instance_waits_for_its_time(scene: &Scene) {
    let run_at = Micros(scene.now().0 + 3 * SECOND);
    let number = scene.pending(at("a", run_at)).await;
    let committed = scene.commit(|batch| batch.promote = true).await;
    assert_eq!((committed.promoted, committed.next_due), (vec![], Some(run_at)));
    assert!(scene.claim("a", 1).await.is_empty());
    scene.wait(Duration::from_secs(1));
    // Promotions come before claims.
    let committed = scene
        .commit(|batch| {
            batch.promote = true;
            batch.claims = Some(claims([room("a", 1)]));
        })
        .await;
    assert_eq!((committed.promoted, committed.next_due), (vec!["a".into()], None));
    assert_eq!(committed.claimed[0].instance, number);
}

pub async fn becoming_ready_is_no_new_version(scene: &Scene) {
    let number = scene.pending(at("a", Micros(scene.now().0 + 2 * SECOND))).await;
    let before = scene.get(number).await;
    scene.wait(Duration::from_secs(5));
    let committed = scene.commit(|batch| batch.promote = true).await;
    assert_eq!(committed.promoted.len(), 1);
    assert_eq!(scene.get(number).await, before);
    let committed = scene.commit(|batch| batch.promote = true).await;
    assert!(committed.promoted.is_empty());
}

pub async fn what_waited_too_long_fails(scene: &Scene) {
    let number = scene.pending(patient("a", Duration::from_millis(1500))).await;
    let deadline = Micros(scene.now().0 + 1_500_000);
    let committed = scene.commit(|batch| batch.promote = true).await;
    assert_eq!((committed.expired, committed.next_due), (vec![], Some(deadline)));
    let committed = scene.commit(|batch| batch.promote = true).await;
    assert_eq!((committed.expired.len(), committed.next_due), (1, None));
    let expired = &committed.expired[0];
    assert_eq!((expired.instance, expired.version, expired.error.attempt), (number, 2, 0));
    assert_eq!(expired.error.kind, ErrorKind::QueueTimeout { after: 1.5 });
    assert_eq!(expired.error.message, "waited longer than its queue timeout of 1.5 s");
    let found = scene.get(number).await;
    assert_eq!((found.error(), found.finished_at()), (Some(&expired.error), Some(scene.now())));
    assert_eq!((found.attempt, scene.store.attempts(number).await.expect("it reads").len()), (0, 0));
}

pub async fn a_queue_timeout_ends_with_the_first_claim(scene: &Scene) {
    let mut waits = patient("a", Duration::from_secs(5));
    waits.limits.max_attempts = 2;
    let number = scene.running(waits).await;
    let far = Micros(scene.now().0 + 60 * SECOND);
    scene.commit(|batch| batch.finishes.push(finish_as(number, 1, again(far, error("no", 1))))).await;
    scene.wait(Duration::from_secs(30));
    let committed = scene.commit(|batch| batch.promote = true).await;
    assert_eq!((committed.expired, committed.next_due), (vec![], Some(far)));
    assert_eq!(scene.get(number).await.phase, Phase::Pending);
}

pub async fn what_waited_too_long_is_not_claimed(scene: &Scene) {
    let numbers = scene.start([patient("a", Duration::from_secs(1)), new("a")]).await;
    let committed = scene
        .commit(|batch| {
            batch.promote = true;
            batch.claims = Some(claims([room("a", 5)]));
        })
        .await;
    assert_eq!(committed.expired.len(), 1);
    assert_eq!(committed.claimed.iter().map(|claimed| claimed.instance).collect::<Vec<_>>(), [numbers[1]]);
    assert_eq!(scene.get(numbers[0]).await.status(), Status::Failed);
}

pub async fn the_next_due_is_the_earliest_of_both(scene: &Scene) {
    let base = scene.now().0;
    let none = scene.commit(|batch| batch.promote = true).await;
    assert_eq!(none.next_due, None);
    let committed = scene
        .commit(|batch| {
            batch.starts = vec![one(at("a", Micros(base + 100 * SECOND))), one(at("b", Micros(base + 50 * SECOND)))];
            batch.promote = true;
        })
        .await;
    assert_eq!(committed.next_due, Some(Micros(base + 50 * SECOND)));
    scene.start([patient("c", Duration::from_secs(10))]).await;
    let deadline = Micros(scene.now().0 + 10 * SECOND);
    let committed = scene.commit(|batch| batch.promote = true).await;
    assert_eq!(committed.next_due, Some(deadline));
    let committed = scene.commit(|batch| batch.claims = Some(claims([]))).await;
    assert_eq!(committed.next_due, None, "only where promotions were asked for");
}

pub async fn more_than_one_batch_can_promote(scene: &Scene) {
    let run_at = Micros(scene.now().0 + 10 * SECOND);
    scene.start((0..5000).map(|_| at("a", run_at))).await;
    scene.wait(Duration::from_secs(60));
    let mut batches = 0;
    while scene.commit(|batch| batch.promote = true).await.next_due.is_some_and(|due| due <= scene.now()) {
        batches += 1;
        assert!(batches < 10, "it comes to an end");
    }
    assert!(batches >= 1, "one batch does not do it all");
    assert_eq!(scene.claim("a", 900).await.len(), 900);
}

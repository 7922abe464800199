//! Stops.

use taskwright::{
    domain::{Micros, Outcome, Phase, Status, StopRequest},
    store::{FinishOutcome, Stop, StopOutcome},
};

use super::scene::*;

pub async fn a_pending_instance_is_cancelled_at_once(scene: &Scene) {
    let number = scene.pending(new("a")).await;
    let committed = scene
        .commit(|batch| {
            batch.stops.push(stop(number, batch.now));
            batch.claims = Some(claims([room("a", 1)]));
        })
        .await;
    assert_eq!(committed.stops, [StopOutcome::Cancelled { version: 2 }]);
    assert!(committed.claimed.is_empty());
    let found = scene.get(number).await;
    assert_eq!(found.phase, Phase::Done { outcome: Outcome::Cancelled, finished_at: scene.now() });
    assert_eq!(found.stop, Some(StopRequest { requested_at: scene.now(), deadline: scene.now() }));
    assert_eq!((found.attempt, scene.store.attempts(number).await.expect("it reads").len()), (0, 0));
    assert!(scene.claim("a", 1).await.is_empty());
}

pub async fn a_running_instance_keeps_the_earliest_deadline(scene: &Scene) {
    let number = scene.running(new("a")).await;
    let far = Micros(scene.now().0 + 60 * SECOND);
    let committed = scene.commit(|batch| batch.stops.push(stop(number, far))).await;
    assert_eq!(committed.stops, [StopOutcome::Stopping { version: 2 }]);
    let requested_at = scene.now();
    let later = Micros(far.0 + 1);
    let committed = scene.commit(|batch| batch.stops = vec![stop(number, later), stop(number, far)]).await;
    assert_eq!(committed.stops, [StopOutcome::Unchanged; 2]);
    let unchanged = scene.get(number).await;
    assert_eq!((unchanged.version, unchanged.updated_at), (2, requested_at));
    let nearer = Micros(far.0 - 1);
    let committed = scene.commit(|batch| batch.stops.push(stop(number, nearer))).await;
    assert_eq!(committed.stops, [StopOutcome::Stopping { version: 3 }]);
    let found = scene.get(number).await;
    assert_eq!(found.stop, Some(StopRequest { requested_at, deadline: nearer }));
    assert_eq!(found.status(), Status::Running);
}

pub async fn a_stop_is_sticky(scene: &Scene) {
    let number = scene.running(retried("a")).await;
    let deadline = scene.now();
    scene.commit(|batch| batch.stops.push(stop(number, deadline))).await;
    // Whatever the attempt would have led to: the row chooses the other ending.
    let committed =
        scene.commit(|batch| batch.finishes.push(finish_as(number, 1, again(batch.now, error("no", 1))))).await;
    assert_eq!(committed.finishes, [FinishOutcome::Applied { version: 3, stopped: true }]);
    assert_eq!(scene.get(number).await.status(), Status::Cancelled);
    assert!(scene.claim("a", 1).await.is_empty());
}

pub async fn a_stop_before_the_claim_of_its_batch(scene: &Scene) {
    let numbers = scene.start([new("a"), new("a")]).await;
    let committed = scene
        .commit(|batch| {
            batch.stops.push(stop(numbers[0], batch.now));
            batch.claims = Some(claims([room("a", 2)]));
        })
        .await;
    assert_eq!(committed.claimed.iter().map(|claimed| claimed.instance).collect::<Vec<_>>(), [numbers[1]]);
}

pub async fn a_stop_of_a_new_instance_in_the_next_batch(scene: &Scene) {
    let number = scene.running(new("a")).await;
    let deadline = Micros(scene.now().0 + 10 * SECOND);
    let committed = scene
        .commit(|batch| {
            batch.stops.push(stop(number, deadline));
            batch.reports.push(report(number, 1));
        })
        .await;
    assert_eq!(committed.stops, [StopOutcome::Stopping { version: 2 }]);
    let found = scene.get(number).await;
    assert_eq!((found.version, found.stop.map(|stop| stop.deadline)), (2, Some(deadline)));
}

pub async fn a_waiting_retry_is_cancelled(scene: &Scene) {
    let number = scene.running(retried("a")).await;
    let far = Micros(scene.now().0 + 60 * SECOND);
    scene.commit(|batch| batch.finishes.push(finish_as(number, 1, again(far, error("no", 1))))).await;
    let committed = scene.commit(|batch| batch.stops.push(stop(number, batch.now))).await;
    assert_eq!(committed.stops, [StopOutcome::Cancelled { version: 3 }]);
    let found = scene.get(number).await;
    assert_eq!((found.status(), found.attempt), (Status::Cancelled, 1));
    assert_eq!(scene.store.attempts(number).await.expect("it reads").len(), 1);
    scene.wait(std::time::Duration::from_secs(120));
    let committed = scene
        .commit(|batch| {
            batch.promote = true;
            batch.claims = Some(claims([room("a", 1)]));
        })
        .await;
    assert!(committed.claimed.is_empty() && committed.promoted.is_empty() && committed.next_due.is_none());
}

pub async fn a_stop_for_one_status_leaves_others(scene: &Scene) {
    let (running, pending) = (scene.running(new("a")).await, scene.pending(new("a")).await);
    let only = |number, status| Stop { only: Some(status), ..stop(number, scene.now()) };
    let before = (scene.get(running).await, scene.get(pending).await);
    let wrong = vec![only(running, Status::Pending), only(pending, Status::Running)];
    assert_eq!(scene.commit(|batch| batch.stops = wrong).await.stops, [StopOutcome::Mismatch; 2]);
    assert_eq!((scene.get(running).await, scene.get(pending).await), before);
    let right = vec![only(running, Status::Running), only(pending, Status::Pending)];
    let committed = scene.commit(|batch| batch.stops = right).await;
    assert_eq!(committed.stops, [StopOutcome::Stopping { version: 2 }, StopOutcome::Cancelled { version: 2 }]);
    let again = vec![only(running, Status::Running), only(pending, Status::Pending)];
    let committed = scene.commit(|batch| batch.stops = again).await;
    assert_eq!(committed.stops, [StopOutcome::Unchanged, StopOutcome::Done]);
}

pub async fn a_refused_stop_is_told_what_it_met(scene: &Scene) {
    let pending = scene.pending(new("a")).await;
    let only = Stop { only: Some(Status::Running), ..stop(pending, scene.now()) };
    let both = vec![only.clone(), stop(pending, scene.now()), only];
    let committed = scene.commit(|batch| batch.stops = both).await;
    assert_eq!(committed.stops, [StopOutcome::Mismatch, StopOutcome::Cancelled { version: 2 }, StopOutcome::Done]);
}

pub async fn stops_of_nothing_change_nothing(scene: &Scene) {
    let done = scene.running(new("a")).await;
    scene.commit(|batch| batch.finishes.push(finish(done, 1))).await;
    let before = scene.get(done).await;
    let committed = scene.commit(|batch| batch.stops = vec![stop(done, batch.now), stop(999, batch.now)]).await;
    assert_eq!(committed.stops, [StopOutcome::Done, StopOutcome::NotFound]);
    assert_eq!(scene.get(done).await, before);
}

pub async fn a_finish_before_a_stop_wins(scene: &Scene) {
    let number = scene.running(new("a")).await;
    let committed = scene
        .commit(|batch| {
            batch.finishes.push(finish(number, 1));
            batch.stops.push(stop(number, batch.now));
        })
        .await;
    assert_eq!(committed.stops, [StopOutcome::Done]);
    assert_eq!(scene.get(number).await.status(), Status::Completed);
}

//! What runs next.

use taskwright::{
    domain::{Progress, Verdict, Workload, instance::VerdictStatus},
    store::{Claims, NewInstance, Room},
};

use super::scene::*;

fn claimed(committed: &taskwright::store::Committed) -> Vec<u64> {
    committed.claimed.iter().map(|claimed| claimed.instance).collect()
}

pub async fn higher_priority_first_then_the_older(scene: &Scene) {
    scene.start([urgent("a", 0), urgent("a", 5), urgent("b", 5), urgent("b", -3), urgent("a", 7)]).await;
    let committed = scene.commit(|batch| batch.claims = Some(claims([room("b", 9), room("a", 9)]))).await;
    assert_eq!(claimed(&committed), [5, 2, 3, 1, 4]);
}

pub async fn a_narrow_room_takes_the_most_urgent(scene: &Scene) {
    scene.start([urgent("a", 0), urgent("a", -1), urgent("a", 3), urgent("a", 3)]).await;
    assert_eq!(scene.claim("a", 1).await, [3]);
    assert_eq!(scene.claim("a", 2).await, [4, 1]);
}

pub async fn a_room_bounds_its_task(scene: &Scene) {
    scene.start([new("a"), new("a"), new("b"), new("a")]).await;
    let committed = scene.commit(|batch| batch.claims = Some(claims([room("a", 2), room("b", 0)]))).await;
    assert_eq!(claimed(&committed), [1, 2]);
}

pub async fn slots_bound_each_workload(scene: &Scene) {
    let remote = |task: &str| NewInstance { workload: Workload::Remote, ..new(task) };
    scene.start([new("a"), remote("c"), new("a"), remote("c"), remote("c"), new("b")]).await;
    let rooms =
        vec![room("a", 9), Room { task_id: "c".into(), workload: Workload::Remote, n: 9, older: true }, room("b", 9)];
    let narrow = Claims { rooms, local_slots: 2, command_slots: 1 };
    let committed = scene.commit(|batch| batch.claims = Some(narrow.clone())).await;
    assert_eq!(claimed(&committed), [1, 2, 3]);
    let committed = scene.commit(|batch| batch.claims = Some(narrow)).await;
    assert_eq!(claimed(&committed), [4, 6]);
}

pub async fn a_task_without_room_costs_its_neighbours_nothing(scene: &Scene) {
    // A head of the queue that nobody can run: unknown, and more urgent than all else.
    scene.start((0..2000).map(|_| urgent("unknown", 100))).await;
    let known = scene.pending(new("a")).await;
    assert_eq!(scene.claim("a", 5).await, [known]);
}

pub async fn more_rooms_than_one_statement_takes(scene: &Scene) {
    let numbers = scene.start((0..150).map(|n| new(&format!("task-{n}")))).await;
    let rooms = (0..150).map(|n| room(&format!("task-{n}"), 1));
    let committed = scene.commit(|batch| batch.claims = Some(claims(rooms))).await;
    assert_eq!(claimed(&committed), numbers);
}

pub async fn a_room_without_older_ones_takes_the_new_ones(scene: &Scene) {
    let committed = scene
        .commit(|batch| {
            batch.starts = vec![one(new("a")), one(new("a"))];
            batch.claims = Some(claims([Room { older: false, ..room("a", 1) }]));
        })
        .await;
    assert_eq!(claimed(&committed), [1]);
    assert_eq!(scene.claim("a", 5).await, [2]);
}

pub async fn an_older_instance_goes_before_a_new_one(scene: &Scene) {
    scene.start([new("a"), new("b")]).await;
    let committed = scene
        .commit(|batch| {
            batch.starts.push(one(new("a")));
            batch.claims = Some(Claims { rooms: vec![room("a", 9), room("b", 9)], local_slots: 2, command_slots: 0 });
        })
        .await;
    assert_eq!(claimed(&committed), [1, 2]);
    assert_eq!(scene.claim("a", 9).await, [3]);
}

pub async fn a_new_instance_of_higher_priority_goes_first(scene: &Scene) {
    scene.start([urgent("a", 1)]).await;
    let committed = scene
        .commit(|batch| {
            batch.starts = vec![one(urgent("a", 1)), one(urgent("a", 2))];
            batch.claims = Some(claims([room("a", 2)]));
        })
        .await;
    assert_eq!(claimed(&committed), [3, 1]);
}

pub async fn nothing_is_claimed_without_slots(scene: &Scene) {
    let committed = scene
        .commit(|batch| {
            batch.starts.push(one(new("a")));
            batch.claims = Some(Claims { rooms: vec![room("a", 5)], local_slots: 0, command_slots: 5 });
        })
        .await;
    assert!(committed.claimed.is_empty());
    let committed = scene.commit(|batch| batch.claims = Some(claims([]))).await;
    assert!(committed.claimed.is_empty());
}

pub async fn a_claim_begins_the_attempt_afresh(scene: &Scene) {
    let number = scene.running(retried("a")).await;
    let mut told = report(number, 1);
    told.progress = Some(Progress::new(0.5, Some("half")).unwrap());
    told.output = Some(Some(json(r#"{"part":1}"#)));
    told.verdict = Some(Some(Verdict { status: VerdictStatus::Failed, message: None }));
    scene.commit(|batch| batch.reports.push(told)).await;
    let at = scene.now();
    scene.commit(|batch| batch.finishes.push(finish_as(number, 1, again(at, error("no", 1))))).await;

    // Until the next claim everything stays as the last attempt left it.
    let waiting = scene.get(number).await;
    assert_eq!((waiting.attempt, waiting.progress.value()), (1, 0.5));
    assert_eq!(waiting.output, Some(json(r#"{"part":1}"#)));
    assert_eq!((waiting.started_at.is_some(), waiting.node.is_some()), (true, true));

    assert_eq!(scene.claim("a", 1).await, [number]);
    let again = scene.get(number).await;
    assert_eq!((again.attempt, &again.progress, &again.output), (2, &Progress::NONE, &None));
    assert_eq!((again.verdict.as_ref(), again.started_at), (None, Some(scene.now())));
}

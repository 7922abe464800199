//! New instances.

use std::time::Duration;

use taskwright::{
    domain::{InstanceKey, Micros, Phase, Progress, Status, Workload},
    store::{Claimed, NewInstance, Start},
};
use uuid::Uuid;

use super::scene::*;

pub async fn numbers_rise_from_one(scene: &Scene) {
    assert_eq!(scene.start([new("a"), new("b")]).await, [1, 2]);
    assert_eq!(scene.start([new("a")]).await, [3]);
}

pub async fn everything_that_was_given_reads_back(scene: &Scene) {
    let given = NewInstance {
        workload: Workload::Remote,
        inputs: json(r#"{"n":1}"#),
        run_at: Some(Micros(1_800_000_000_000_001)),
        retry_of: Some(Uuid::now_v7()),
        ..labelled("a task", [("team", "blue"), ("empty", "")])
    };
    let mut given = given;
    given.limits.timeout = Some(Duration::from_millis(1500));
    given.limits.queue_timeout = Some(Duration::from_secs(60));
    given.limits.max_attempts = 1000;
    given.limits.retry_delay = Duration::from_micros(1);
    given.limits.priority = i16::MIN;
    let number = scene.pending(given.clone()).await;

    let found = scene.get(number).await;
    assert_eq!((found.number, found.id, &*found.task_id), (number, given.id, "a task"));
    assert_eq!((found.workload, &found.limits, &found.labels), (given.workload, &given.limits, &given.labels));
    assert_eq!((&found.inputs, &found.output), (&given.inputs, &None));
    assert_eq!((Some(found.run_at), found.retry_of), (given.run_at, given.retry_of));
    assert_eq!((&found.phase, found.attempt, &found.progress), (&Phase::Pending, 0, &Progress::NONE));
    assert_eq!((found.started_at, &found.node, &found.stop, &found.verdict), (None, &None, &None, &None));
    assert_eq!((found.created_at, found.updated_at), (scene.now(), scene.now()));
    assert_eq!((found.version, found.batch), (1, 1));
}

pub async fn a_start_in_the_past_runs_now(scene: &Scene) {
    let number = scene.pending(NewInstance { run_at: Some(Micros(5)), ..new("a") }).await;
    assert_eq!(scene.get(number).await.run_at, scene.now());
    assert_eq!(scene.claim("a", 1).await, [number]);
}

pub async fn a_start_and_its_claim_are_one_version(scene: &Scene) {
    let committed = scene
        .commit(|batch| {
            batch.starts = vec![one(new("a")), one(new("b"))];
            batch.claims = Some(claims([room("a", 1)]));
        })
        .await;
    assert_eq!(committed.claimed, [Claimed { instance: 1, attempt: 1, version: 1, task_id: "a".into() }]);
    let found = scene.get(1).await;
    assert_eq!((found.status(), found.attempt, found.version), (Status::Running, 1, 1));
    assert_eq!((found.started_at, found.node.as_deref()), (Some(scene.now()), Some("node-a")));
    assert_eq!(scene.get(2).await.status(), Status::Pending);
    // It is claimed once.
    assert!(scene.claim("a", 1).await.is_empty());
}

pub async fn a_start_of_many_is_all_or_nothing(scene: &Scene) {
    let first = new("a");
    let twin = NewInstance { id: first.id, ..new("a") };
    let mut batch = scene.batch();
    batch.starts = vec![Start { instances: vec![first, new("a"), twin], idempotency: None }];
    let refused = scene.store.commit(&batch).await;
    assert!(matches!(refused, Err(taskwright::store::CommitError::Refused(_))), "{refused:?}");
    let none = scene.store.get(&[InstanceKey::Number(1), InstanceKey::Number(2), InstanceKey::Number(3)]).await;
    assert_eq!(none.expect("it reads"), []);
    let many = Start { instances: vec![new("a"), new("b"), new("a")], idempotency: None };
    let committed = scene.commit(|batch| batch.starts.push(many)).await;
    assert_eq!(created(&committed.starts[0]), [1, 2, 3]);
}

pub async fn times_read_back_exactly(scene: &Scene) {
    for micros in [2_000_000_000_000_001, 4_102_444_799_999_999, i64::MAX] {
        let number = scene.pending(NewInstance { run_at: Some(Micros(micros)), ..new("a") }).await;
        assert_eq!(scene.get(number).await.run_at, Micros(micros));
    }
}

pub async fn inputs_keep_their_text(scene: &Scene) {
    let text = r#"{"big":18446744073709551616,"e":1e400,"z":1.0,"a":"\u00e9\n","é":[null]}"#;
    // Short ones and long ones may be kept in different places.
    let long = |length: usize| text.replace("null", &format!("\"{}\"", "é".repeat(length)));
    for text in [text.to_owned(), long(95), long(96), long(97), long(5000)] {
        inputs_keep(scene, &text).await;
    }
}

async fn inputs_keep(scene: &Scene, text: &str) {
    let number = scene.running(NewInstance { inputs: json(text), ..new("a") }).await;
    let mut done = finish(number, 1);
    done.output = Some(Some(json(text)));
    scene.commit(|batch| batch.finishes.push(done)).await;
    let found = scene.get(number).await;
    assert_eq!((found.inputs.as_str(), found.output.as_ref().map(|json| json.as_str())), (text, Some(text)));
}

pub async fn hundreds_of_starts_in_one_batch(scene: &Scene) {
    let given: Vec<NewInstance> =
        (0..700).map(|n| NewInstance { inputs: json(&format!("{{\"n\":{n}}}")), ..new("a") }).collect();
    let numbers = scene.start(given.clone()).await;
    assert_eq!(numbers, (1..=700).collect::<Vec<u64>>());
    let keys: Vec<InstanceKey> = given.iter().map(|new| InstanceKey::Id(new.id)).collect();
    let mut found = scene.store.get(&keys).await.expect("it reads");
    found.sort_by_key(|instance| instance.number);
    assert_eq!(found.len(), 700);
    for (instance, given) in found.iter().zip(&given) {
        assert_eq!((instance.id, &instance.inputs), (given.id, &given.inputs));
    }
}

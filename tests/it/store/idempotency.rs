//! Keys under which a start may be repeated.

use std::time::Duration;

use taskwright::store::{CommitError, IdempotencyClaim, NewInstance, Start, StartOutcome};

use super::scene::*;

fn keyed(principal: &str, key: &str, fingerprint: u8, instances: Vec<NewInstance>) -> Start {
    let claim = IdempotencyClaim { principal: principal.into(), key: key.into(), fingerprint: [fingerprint; 32] };
    Start { instances, idempotency: Some(claim) }
}

fn replayed(numbers: &[u64]) -> StartOutcome {
    StartOutcome::Replayed { numbers: numbers.to_vec() }
}

pub async fn a_repeat_is_answered_with_the_same_instances(scene: &Scene) {
    let many = keyed("me", "k", 1, vec![new("a"), new("a"), new("a")]);
    let committed = scene.commit(|batch| batch.starts = vec![one(new("a")), many]).await;
    assert_eq!(created(&committed.starts[1]), [2, 3, 4]);
    let repeat = keyed("me", "k", 1, vec![new("a"), new("a"), new("a")]);
    let committed = scene.commit(|batch| batch.starts = vec![repeat, one(new("a"))]).await;
    assert_eq!(committed.starts, [replayed(&[2, 3, 4]), StartOutcome::Created { numbers: vec![5] }]);
}

pub async fn the_same_key_for_something_else_is_refused(scene: &Scene) {
    scene.commit(|batch| batch.starts.push(keyed("me", "k", 1, vec![new("a")]))).await;
    let committed = scene.commit(|batch| batch.starts.push(keyed("me", "k", 2, vec![new("a")]))).await;
    assert_eq!(committed.starts, [StartOutcome::KeyConflict]);
    assert_eq!(scene.start([new("a")]).await, [2], "nothing was made");
}

pub async fn two_equal_keys_in_one_batch_make_one_instance(scene: &Scene) {
    let starts = vec![
        keyed("me", "k", 1, vec![new("a")]),
        keyed("me", "k", 1, vec![new("a")]),
        keyed("me", "k", 2, vec![new("a")]),
    ];
    let committed = scene
        .commit(|batch| {
            batch.starts = starts;
            batch.claims = Some(claims([room("a", 9)]));
        })
        .await;
    let first = StartOutcome::Created { numbers: vec![1] };
    assert_eq!(committed.starts, [first, replayed(&[1]), StartOutcome::KeyConflict]);
    assert_eq!(committed.claimed.len(), 1);
}

pub async fn keys_of_others_are_others(scene: &Scene) {
    let starts = vec![keyed("me", "k", 1, vec![new("a")]), keyed("you", "k", 2, vec![new("a")])];
    let committed = scene.commit(|batch| batch.starts = starts).await;
    assert_eq!(committed.starts.iter().flat_map(created).collect::<Vec<_>>(), [1, 2]);
}

pub async fn a_key_is_kept_a_day(scene: &Scene) {
    scene.commit(|batch| batch.starts.push(keyed("me", "k", 1, vec![new("a")]))).await;
    scene.wait(Duration::from_secs(24 * 3600 - 2));
    let committed = scene.commit(|batch| batch.starts.push(keyed("me", "k", 1, vec![new("a")]))).await;
    assert_eq!(committed.starts, [replayed(&[1])]);
    // Another body, for the key is free again.
    let committed = scene.commit(|batch| batch.starts.push(keyed("me", "k", 2, vec![new("a")]))).await;
    assert_eq!(committed.starts, [StartOutcome::Created { numbers: vec![2] }]);
    let committed = scene.commit(|batch| batch.starts.push(keyed("me", "k", 2, vec![new("a")]))).await;
    assert_eq!(committed.starts, [replayed(&[2])]);
}

pub async fn a_refused_batch_uses_no_key(scene: &Scene) {
    let mut batch = scene.batch();
    let twin = new("a");
    batch.starts = vec![keyed("me", "k", 1, vec![twin.clone(), twin])];
    assert!(matches!(scene.store.commit(&batch).await, Err(CommitError::Refused(_))));
    let committed = scene.commit(|batch| batch.starts.push(keyed("me", "k", 2, vec![new("a")]))).await;
    assert_eq!(committed.starts, [StartOutcome::Created { numbers: vec![1] }]);
}

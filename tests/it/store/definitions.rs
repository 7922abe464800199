//! Registered definitions.

use std::{sync::Arc, time::Duration};

use taskwright::{
    domain::{Definition, Source, Workload},
    store::{DefinitionChange, DefinitionOutcome},
};

use super::scene::*;

fn definition(id: &str) -> Definition {
    Definition {
        command: Some(vec!["true".into()]),
        ..Definition::new(id.parse().expect("an id"), Workload::Remote, Source::Registered)
    }
}

async fn change(scene: &Scene, change: DefinitionChange) -> Option<DefinitionOutcome> {
    scene.commit(|batch| batch.definition = Some(change)).await.definition
}

async fn register(scene: &Scene, definition: &Definition) {
    let outcome = change(scene, DefinitionChange::Register(Arc::new(definition.clone()))).await;
    assert_eq!(outcome, Some(DefinitionOutcome::Registered));
}

fn remove(id: &str) -> DefinitionChange {
    DefinitionChange::Remove { id: id.into() }
}

async fn known(scene: &Scene) -> Vec<Definition> {
    scene.store.definitions().await.expect("it reads")
}

pub async fn a_definition_reads_back_as_it_was_given(scene: &Scene) {
    let full = Definition {
        name: "another name".parse().expect("a name"),
        description: Some("says \"it\"".into()),
        command: Some(vec!["sh".into(), "-c".into(), "echo 'a b'".into()]),
        timeout: Some(Duration::from_millis(1500)),
        queue_timeout: Some(Duration::from_micros(1)),
        max_attempts: 3,
        retry_delay: Duration::from_secs(7),
        concurrency: Some(2),
        input_schema: Some(json(r#"{"maximum":1e400}"#)),
        output_schema: Some(json("true")),
        app_id: Some("app".into()),
        app_version_id: Some("1".into()),
        ..definition("full")
    };
    register(scene, &full).await;
    register(scene, &definition("bare")).await;
    assert_eq!(known(scene).await, [definition("bare"), full]);
    assert_eq!(scene.commit(|_| {}).await.definition, None);
}

pub async fn a_definition_stays_while_an_instance_is_live(scene: &Scene) {
    register(scene, &definition("a")).await;
    let (running, pending) = (scene.running(retried("a")).await, scene.pending(new("a")).await);
    scene.pending(new("b")).await;
    assert_eq!(change(scene, remove("a")).await, Some(DefinitionOutcome::InUse));
    scene.commit(|batch| batch.finishes.push(finish(running, 1))).await;
    assert_eq!(change(scene, remove("a")).await, Some(DefinitionOutcome::InUse));
    scene.commit(|batch| batch.stops.push(stop(pending, batch.now))).await;
    assert_eq!(change(scene, remove("a")).await, Some(DefinitionOutcome::Removed));
    assert_eq!(known(scene).await, []);
    assert_eq!(change(scene, remove("a")).await, Some(DefinitionOutcome::NotFound));
    register(scene, &definition("a")).await;
}

pub async fn a_start_in_the_batch_of_a_removal_keeps_the_definition(scene: &Scene) {
    register(scene, &definition("a")).await;
    let committed = scene
        .commit(|batch| {
            batch.starts.push(one(new("a")));
            batch.definition = Some(remove("a"));
        })
        .await;
    assert_eq!(committed.definition, Some(DefinitionOutcome::InUse));
    assert_eq!(known(scene).await.len(), 1);
}

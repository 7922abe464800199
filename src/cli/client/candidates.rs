//! What a shell offers: tasks and instances of the daemon that is meant, if it answers at once.

use std::time::Duration;

use clap_complete::CompletionCandidate;
use serde::Deserialize;

use crate::{
    cli::runtime,
    client::{
        Client, DefinitionImage, Filter, Image,
        discovery::{Wanted, discover},
    },
    domain::Status,
};

/// How long somebody who pressed Tab waits at most.
const PATIENCE: Duration = Duration::from_millis(300);

/// The most ids that are offered.
const MOST: u64 = 50;

pub(in crate::cli) fn tasks() -> Vec<CompletionCandidate> {
    #[derive(Deserialize)]
    struct Definitions {
        definitions: Vec<DefinitionImage>,
    }
    let found = ask(async |client| client.definitions().await.ok()?.read::<Definitions>().ok());
    let definitions = found.map(|found| found.definitions).unwrap_or_default();
    definitions
        .into_iter()
        .map(|definition| CompletionCandidate::new(definition.id).help(definition.description.map(Into::into)))
        .collect()
}

pub(in crate::cli) fn statuses() -> Vec<CompletionCandidate> {
    Status::ALL.map(|status| CompletionCandidate::new(status.as_str())).into()
}

pub(in crate::cli) fn any_instances() -> Vec<CompletionCandidate> {
    instances(|_| true)
}

pub(in crate::cli) fn live_instances() -> Vec<CompletionCandidate> {
    instances(|status| !status.is_done())
}

pub(in crate::cli) fn done_instances() -> Vec<CompletionCandidate> {
    instances(Status::is_done)
}

fn instances(is_meant: impl Fn(Status) -> bool) -> Vec<CompletionCandidate> {
    #[derive(Deserialize)]
    struct Page {
        instances: Vec<Image>,
    }
    let status = Status::ALL.iter().filter(|status| is_meant(**status)).map(Status::to_string).collect();
    let filter = Filter { status, ..Filter::default() };
    let found = ask(async |client| client.instances(&filter, MOST, None).await.ok()?.read::<Page>().ok());
    let images = found.map(|found| found.instances).unwrap_or_default();
    images
        .into_iter()
        .map(|image| {
            let help = format!("{} {}", image.task_id, image.status);
            CompletionCandidate::new(image.number.to_string()).help(Some(help.into()))
        })
        .collect()
}

fn ask<T>(question: impl AsyncFnOnce(&Client) -> Option<T>) -> Option<T> {
    let client = discover(&Wanted::default(), PATIENCE).ok()?.client;
    runtime().ok()?.block_on(async { tokio::time::timeout(PATIENCE, question(&client)).await.ok().flatten() })
}

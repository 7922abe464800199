//! The instances of a load as they are in the end.

use std::{collections::HashMap, time::Duration};

use serde_json::Value;

use super::event::Image;
use crate::support::wait_within;

/// The instances of a load as they are in the end.
#[derive(Debug, Default)]
pub struct LastState {
    /// By their ids.
    pub instances: HashMap<String, Image>,
}

impl LastState {
    /// Waits until every instance of the load `run` is done, but no longer than `patience`, and reads them all without
    /// their outputs.
    pub async fn read(client: &reqwest::Client, url: &str, run: &str, patience: Duration) -> Self {
        // What is not done by then is found by the check.
        let _ = wait_within(patience, async || {
            let live = get(client, &format!("{url}/v1/instances?label=run:{run}&status=pending,running&limit=1")).await;
            live["instances"].as_array().is_some_and(Vec::is_empty).then_some(())
        })
        .await;
        let mut instances = HashMap::new();
        let mut cursor = String::new();
        loop {
            let page = get(client, &format!("{url}/v1/instances?label=run:{run}&limit=500{cursor}")).await;
            for item in page["instances"].as_array().expect("a list").clone() {
                let image = Image::of(item).expect("an instance");
                instances.insert(image.id.clone(), image);
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        LastState { instances }
    }

    /// Reads these again, with their outputs.
    pub async fn read_whole(&mut self, client: &reqwest::Client, url: &str, ids: impl Iterator<Item = &String>) {
        for id in ids {
            let image = Image::of(get(client, &format!("{url}/v1/instances/{id}")).await).expect("an instance");
            self.instances.insert(id.clone(), image);
        }
    }
}

async fn get(client: &reqwest::Client, url: &str) -> Value {
    let answer = client.get(url).send().await.expect("an answer");
    let status = answer.status();
    let body = answer.text().await.expect("a body");
    assert!(status.is_success(), "{url}: {status} {body}");
    serde_json::from_str(&body).expect("JSON")
}

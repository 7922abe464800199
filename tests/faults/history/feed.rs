//! The client of a load that follows the feed.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use reqwest::Client;
use serde_json::Value;

use super::{
    event::{Image, What},
    load::{FEED, Shared},
};

/// Follows the feed of all instances of this load, from where it was whenever it breaks.
pub(super) async fn follow_feed(shared: Arc<Shared>) {
    let client = Client::builder().no_proxy().build().expect("a client");
    let mut address = shared.url.subscribe();
    let mut after = String::new();
    loop {
        let url = address.borrow_and_update().clone();
        let url = format!("{url}/v1/events?label=run:{}{after}", shared.run);
        if let Ok(answer) = client.get(url).header("Accept", "application/x-ndjson").send().await
            && answer.status().is_success()
        {
            let mut stream = answer.bytes_stream();
            let mut text = Vec::new();
            while let Some(Ok(bytes)) = stream.next().await {
                text.extend_from_slice(&bytes);
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    // A blank line is a heartbeat.
                    let Ok(mut event) = serde_json::from_slice::<Value>(&line) else { continue };
                    let id = event["id"].as_str().unwrap_or_default().to_owned();
                    after = format!("&after={id}");
                    match event["event"].as_str() {
                        Some("instance") => {
                            let image = Image::of(event["data"].take()).expect("an instance in the feed");
                            if image.is_done() {
                                shared.remember(&image);
                            }
                            shared.recorder.record(FEED, What::Fed { id, image: Box::new(image) });
                        }
                        Some("resync") => shared.recorder.record(FEED, What::Resync),
                        _ => {}
                    }
                }
            }
        }
        // The daemon has gone: until it is back.
        let _ = tokio::time::timeout(Duration::from_millis(500), address.changed()).await;
    }
}

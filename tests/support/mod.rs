//! What the two test binaries share.

pub mod server;

use std::time::{Duration, Instant};

/// Asks again and again until there is an answer; panics after 20 s.
pub async fn wait_for<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not come within 20 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

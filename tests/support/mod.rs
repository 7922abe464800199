//! What the two test binaries share.

pub mod decorated;
pub mod server;

use std::time::{Duration, Instant};

/// Asks again and again until there is an answer; panics after 20 s.
pub async fn wait_for<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    let answer = wait_within(Duration::from_secs(20), ask).await;
    answer.unwrap_or_else(|| panic!("{what} did not come within 20 s"))
}

/// Asks again and again until there is an answer, but no longer than so long.
pub async fn wait_within<T>(time: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + time;
    loop {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

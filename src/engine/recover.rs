//! What a dead daemon left in the store: the instances that were running.

use std::{sync::Arc, time::Duration};

use super::ending::endings;
use crate::{
    domain::{AttemptEnd, Interruption, Micros},
    store::{Batch, CommitError, Finish, FinishOutcome, Store},
};

/// How often a commit that fails for the moment is tried before the daemon gives up starting.
const TRIES: u32 = 20;

/// Why recovery failed.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Settles every running instance as an interrupted attempt, in one commit. Answers how many there were.
///
/// # Errors
/// Where the store cannot be read or written.
pub async fn settle(store: &dyn Store, number: u64, node: &Arc<str>) -> Result<usize, Failure> {
    let running = store.running().await?;
    if running.is_empty() {
        return Ok(0);
    }
    let end = AttemptEnd::Interrupted(Interruption::Crash);
    let mut batch = Batch::new(number, Micros::now(), Arc::clone(node));
    batch.finishes.extend(running.into_iter().filter_map(|summary| {
        let attempts_left = summary.attempt < summary.limits.max_attempts;
        let (unless_stopped, if_stopped) =
            endings(&end, summary.attempt, attempts_left, summary.verdict, summary.limits.retry_delay)?;
        Some(Finish {
            instance: summary.number,
            attempt: summary.attempt,
            expected: None,
            unless_stopped,
            if_stopped,
            progress: None,
            output: None,
            exit_code: None,
            signal: None,
        })
    }));
    let mut tries = 0;
    let committed = loop {
        match store.commit(&batch).await {
            Err(CommitError::NotCommitted(_)) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            outcome => break outcome?,
        }
    };
    Ok(committed.finishes.iter().filter(|outcome| matches!(outcome, FinishOutcome::Applied { .. })).count())
}

//! The orderly end: no new work, running attempts end in their own time, then not.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{attempt::Attempt, run::Runner, running::Running};
use crate::domain::duration;

/// How long the last ends may take to be committed.
const COMMIT_PATIENCE: Duration = Duration::from_millis(1500);

/// Ends every running attempt.
///
/// One that may have another attempt is told at once; an only attempt has `drain` to finish. Then commands get
/// SIGTERM, and `grace` later everything that is left is dropped or killed. Resolves when none is left, or soon after that.
pub async fn drain(running: &Running, runner: &Runner, drain: Duration, grace: Duration) {
    let began = Instant::now();
    let soft = duration::deadline(began, drain);
    let deadline = duration::deadline(soft, grace);
    let tell = |attempt: &Arc<Attempt>, terminate| {
        attempt.signal_shutdown(deadline, terminate);
        runner.enforce(attempt);
    };
    for attempt in running.all().iter().filter(|attempt| attempt.attempts_left()) {
        tell(attempt, false);
    }
    if tokio::time::timeout_at(soft.into(), running.none()).await.is_ok() {
        return;
    }
    for attempt in &running.all() {
        tell(attempt, true);
    }
    // A store that cannot be written keeps ends from being committed: the next daemon settles them.
    let last = duration::deadline(deadline, COMMIT_PATIENCE);
    if tokio::time::timeout_at(last.into(), running.none()).await.is_err() {
        tracing::error!("{} attempts could not be settled before the end", running.all().len());
    }
}

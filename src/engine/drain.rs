//! The orderly end: no new work, running attempts end in their own time, then not.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{attempt::Attempt, run::Runner, running::Running};

/// Ends every running attempt.
///
/// One that may have another attempt is told at once; an only attempt has `drain` to finish. Then commands get
/// SIGTERM, and `grace` later everything that is left is dropped or killed. Resolves when none is left.
pub async fn drain(running: &Running, runner: &Runner, drain: Duration, grace: Duration) {
    let began = Instant::now();
    let deadline = began + drain + grace;
    let tell = |attempt: &Arc<Attempt>, terminate| {
        attempt.signal_shutdown(deadline, terminate);
        runner.watch(attempt);
    };
    for attempt in running.all().iter().filter(|attempt| attempt.attempts_left()) {
        tell(attempt, false);
    }
    if tokio::time::timeout_at((began + drain).into(), running.none()).await.is_ok() {
        return;
    }
    for attempt in &running.all() {
        tell(attempt, true);
    }
    running.none().await;
}

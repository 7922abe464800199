//! Supervisors that have nothing to do: one that has just seen a program to its end takes the next one over, and a fork
//! is spared.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

/// How long one waits for a command before it is let go. Where commands come more rarely than this, a fork is nothing.
const PATIENCE: Duration = Duration::from_millis(200);
/// The most that wait at once: more than a machine can begin commands within [`PATIENCE`].
const MOST: usize = 64;

/// A supervisor. Dropping it ends the supervisor and all it has started.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// The daemon's end of its control socket.
    pub control: OwnedFd,
    /// Its process id, which is also the number of the session of what it starts.
    pub pid: i32,
}

/// Those that wait, oldest first. A handle: clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Idle(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    supervisors: Vec<(Instant, Supervisor)>,
    /// Whether a task lets them go when their time has come.
    is_watched: bool,
}

impl Idle {
    /// The one that has waited least: its memory is warm, and the others come of age.
    pub(super) fn take(&self) -> Option<Supervisor> {
        self.lock().supervisors.pop().map(|(_, supervisor)| supervisor)
    }

    /// Keeps a supervisor that has nothing to do, for a short while.
    pub(super) fn put(&self, supervisor: Supervisor) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut waiting = self.lock();
        if waiting.supervisors.len() == MOST {
            return;
        }
        waiting.supervisors.push((Instant::now(), supervisor));
        if !std::mem::replace(&mut waiting.is_watched, true) {
            runtime.spawn(Watch(self.clone()).run());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets supervisors go whose time has come, until none is left.
struct Watch(Idle);

impl Watch {
    async fn run(self) {
        while let Some(next) = self.let_go() {
            sleep_until(next).await;
        }
    }

    /// Says when the next one's time comes.
    fn let_go(&self) -> Option<Instant> {
        let mut waiting = self.0.lock();
        let now = Instant::now();
        let due = waiting.supervisors.iter().take_while(|(since, _)| *since + PATIENCE <= now).count();
        waiting.supervisors.drain(..due);
        let next = waiting.supervisors.first().map(|(since, _)| *since + PATIENCE);
        waiting.is_watched = next.is_some();
        next
    }
}

impl Drop for Watch {
    /// Also when the runtime ends first: whoever comes next starts another.
    fn drop(&mut self) {
        // Between its last look and here another watch may have begun; two are no harm.
        self.0.lock().is_watched = false;
    }
}

//! What callers may ask about the engine: whether it takes work, whether it can write, what it has done.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Serialize;
use tokio::sync::watch;

use crate::{
    domain::Micros,
    store::{Identity, Space},
};

/// Whether the engine can do its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Whether commits work: false while the store refuses them, and for good after a fatal error.
    pub store: bool,
    /// Whether the daemon drains.
    pub draining: bool,
    /// How commits are synced.
    pub synchronous: String,
    /// The backend and its version.
    pub backend: String,
}

/// What an engine is and has room for, for people.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The name of this daemon.
    pub node: &'a str,
    /// When it began.
    pub began: Micros,
    /// Its store.
    pub identity: &'a Identity,
    /// The slots of handlers.
    pub local: Slots,
    /// The slots of commands.
    pub command: Slots,
    /// The room of the store; None where it cannot be told now.
    pub space: Option<Space>,
}

/// How many may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Slots {
    /// How many are taken.
    pub used: u32,
    /// How many there are.
    pub total: u32,
}

/// Figures for `/metrics`, as of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Instances accepted since the daemon started.
    pub started: u64,
    /// Ended `completed`.
    pub completed: u64,
    /// Ended `failed`.
    pub failed: u64,
    /// Ended `cancelled`.
    pub cancelled: u64,
    /// Attempts that began.
    pub attempts: u64,
    /// Commits.
    pub commits: u64,
    /// Rows written by them.
    pub rows: u64,
    /// Commits that failed.
    pub commit_failures: u64,
    /// Done instances that were deleted because they are kept no longer.
    pub purged: u64,
    /// Instances that are pending now.
    pub pending: u64,
    /// Handlers that run now.
    pub local_running: u64,
    /// Commands that run now.
    pub command_running: u64,
    /// Blocking closures that outlived their attempt and still hold a slot.
    pub stuck_blocking: u64,
}

/// Flags and counters of a running engine.
#[derive(Default)]
pub struct State {
    draining: AtomicBool,
    closing: AtomicBool,
    unwritable: AtomicBool,
    /// How many instances are pending.
    pub pending: AtomicU64,
    /// What was done since the daemon started.
    pub counters: Counters,
    fatal: watch::Sender<Option<String>>,
    rounds: watch::Sender<u64>,
    ended: watch::Sender<bool>,
}

/// The counters behind [`Figures`].
#[derive(Default)]
#[allow(missing_docs, reason = "each is the figure of the same name")]
pub struct Counters {
    pub started: AtomicU64,
    pub completed: AtomicU64,
    pub failed: AtomicU64,
    pub cancelled: AtomicU64,
    pub attempts: AtomicU64,
    pub commits: AtomicU64,
    pub rows: AtomicU64,
    pub commit_failures: AtomicU64,
    pub purged: AtomicU64,
    pub stuck_blocking: AtomicU64,
}

impl State {
    /// Whether no new work is taken.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Takes no new work from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Whether the ledger is to end once nothing waits.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Lets the ledger end once nothing waits.
    pub fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// Notes that the ledger begins another round.
    pub fn begin_round(&self) {
        self.rounds.send_modify(|rounds| *rounds += 1);
    }

    /// Resolves once the ledger has begun a round after this call. One that has ended begins none.
    pub fn next_round(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut rounds = self.rounds.subscribe();
        async move {
            let _ = rounds.changed().await;
        }
    }

    /// Notes that the ledger has ended, in order or not.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Resolves once the ledger has ended: nothing is written or shown any more.
    pub async fn ended(&self) {
        // The sender lives in self, which this future borrows.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Whether the last commit worked.
    pub fn is_writable(&self) -> bool {
        !self.unwritable.load(Ordering::SeqCst)
    }

    /// Notes whether commits work.
    pub fn set_writable(&self, writable: bool) {
        self.unwritable.store(!writable, Ordering::SeqCst);
    }

    /// Whether the store has failed for good.
    pub fn has_failed(&self) -> bool {
        self.fatal.borrow().is_some()
    }

    /// Notes that the store has failed for good.
    pub fn fail(&self, why: String) {
        self.set_writable(false);
        self.fatal.send_replace(Some(why));
    }

    /// Resolves with the reason once the store has failed for good.
    pub async fn failed(&self) -> String {
        let mut fatal = self.fatal.subscribe();
        // The sender lives in self, which this future borrows.
        match fatal.wait_for(Option::is_some).await.map(|why| why.clone()) {
            Ok(Some(why)) => why,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// The counters as figures; the rest is the caller's.
    pub fn figures(&self) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        Figures {
            started: read(&counters.started),
            completed: read(&counters.completed),
            failed: read(&counters.failed),
            cancelled: read(&counters.cancelled),
            attempts: read(&counters.attempts),
            commits: read(&counters.commits),
            rows: read(&counters.rows),
            commit_failures: read(&counters.commit_failures),
            purged: read(&counters.purged),
            pending: read(&self.pending),
            stuck_blocking: read(&counters.stuck_blocking),
            ..Figures::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn an_end_is_seen_by_whoever_comes_later() {
        let state = State::default();
        let waits = state.ended();
        let mut waits = std::pin::pin!(waits);
        assert_eq!(waits.as_mut().now_or_never(), None);
        state.end();
        assert_eq!(waits.now_or_never(), Some(()));
        assert_eq!(state.ended().now_or_never(), Some(()));
    }
}

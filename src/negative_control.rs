//! Known-bad behaviour for the fault tests, which must catch it: a test that passes under its negative control proves
//! nothing.
//!
//! Without the feature `negative-controls` every question here is answered with a constant no, and nothing of it is left
//! in the binary. With it, `TASKWRIGHT_CONTROL` names one at run time; unset, the daemon behaves as a release does.

#[cfg(all(feature = "negative-controls", not(debug_assertions)))]
compile_error!("negative-controls breaks promises on demand: it is for tests, never for a release");

#[cfg(feature = "negative-controls")]
const VARIABLE: &str = "TASKWRIGHT_CONTROL";

/// A promise that can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NegativeControl {
    /// `drain-as-end`: what an attempt does because of a drain counts as its own end.
    DrainAsEnd,
    /// `fence-without-attempt`: reports and finishes land whatever the attempt.
    FenceWithoutAttempt,
    /// `kill-leader-only`: of an attempt's processes only the program itself is killed.
    KillLeaderOnly,
    /// `no-reserve`: no room on the disk is kept for stops.
    NoReserve,
    /// `reply-before-commit`: a start is acknowledged before it is on the disk.
    ReplyBeforeCommit,
    /// `retry-after-failed-sync`: a sync that failed is taken for one that can be tried again.
    RetryAfterFailedSync,
    /// `show-before-sync`: a commit that is synced beside the next one is shown and answered without waiting for that.
    ShowBeforeSync,
    /// `unwatched-clock`: nobody notices that the clock was set.
    UnwatchedClock,
}

impl NegativeControl {
    #[cfg(feature = "negative-controls")]
    const fn name(self) -> &'static str {
        match self {
            NegativeControl::DrainAsEnd => "drain-as-end",
            NegativeControl::FenceWithoutAttempt => "fence-without-attempt",
            NegativeControl::KillLeaderOnly => "kill-leader-only",
            NegativeControl::NoReserve => "no-reserve",
            NegativeControl::ReplyBeforeCommit => "reply-before-commit",
            NegativeControl::RetryAfterFailedSync => "retry-after-failed-sync",
            NegativeControl::ShowBeforeSync => "show-before-sync",
            NegativeControl::UnwatchedClock => "unwatched-clock",
        }
    }

    /// Whether this promise is to be broken.
    #[cfg(feature = "negative-controls")]
    pub(crate) fn is_on(self) -> bool {
        static CHOSEN: std::sync::LazyLock<Option<std::ffi::OsString>> =
            std::sync::LazyLock::new(|| std::env::var_os(VARIABLE));
        CHOSEN.as_deref().is_some_and(|chosen| chosen == self.name())
    }

    /// Whether this promise is to be broken: never.
    #[cfg(not(feature = "negative-controls"))]
    pub(crate) const fn is_on(self) -> bool {
        false
    }

    /// What a process with an otherwise empty environment needs to break the same promise: nothing, but for tests.
    pub(crate) fn hand_on(_command: &mut std::process::Command) {
        #[cfg(feature = "negative-controls")]
        if let Some(chosen) = std::env::var_os(VARIABLE) {
            _command.env(VARIABLE, chosen);
        }
    }
}

//! One running attempt, as everybody sees it who has to do with it: the handler that reports through
//! it, the ledger that takes its latest reports, whoever ends it from outside.

mod log;
mod log_buffer;
mod reporter;
mod reports;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::{self, BoxFuture};
use tokio::sync::{Notify, Semaphore, watch};
use uuid::Uuid;

pub use log::Intake;
pub use reporter::AttemptReporter;
pub use reports::{BadOutput, TakenReport, check_output};

use super::{catalog::Task, lanes::Lanes, pool::Slot};
use crate::{
    domain::{Instance, Json, Limits},
    negative_control::NegativeControl,
    store::LogExtent,
    task::reporter::{ReportError, StopReason},
};
use log::Log;
use reports::Reports;

/// What all attempts of a daemon share.
pub struct Shared {
    /// The way into the ledger.
    pub lanes: Arc<Lanes>,
    /// Threads for blocking work.
    pub blocking: Arc<Semaphore>,
    /// The time between a stop and its deadline, where nobody says otherwise.
    pub stop_grace: Duration,
    /// The largest output.
    pub output_limit: usize,
    /// The most log text of one instance.
    pub log_limit: u64,
}

/// One running attempt.
pub struct Attempt {
    /// The instance's number.
    pub number: u64,
    /// The instance's id.
    pub id: Uuid,
    /// Which attempt.
    pub attempt: u32,
    /// Its task.
    pub task: Arc<Task>,
    /// Its inputs.
    pub inputs: Json,
    /// Its limits.
    pub limits: Limits,
    /// When it began.
    pub began: Instant,
    shared: Arc<Shared>,
    /// Made when there is something to tell, or somebody listens: most attempts end before.
    signals: OnceLock<watch::Sender<Signals>>,
    observed_shutdown: AtomicBool,
    ended: AtomicBool,
    reports: Mutex<Reports>,
    log: Mutex<Log>,
    log_room: Notify,
    /// The commit of the stop that the attempt itself asked for last.
    own_stop: Mutex<Option<OwnStop>>,
    held: Mutex<Weak<Held>>,
    released: Arc<Notify>,
    enforced: AtomicBool,
    cut: Notify,
    dropped: Notify,
}

/// Resolves when a stop is committed, or cannot be. Any number may wait.
type OwnStop = future::Shared<BoxFuture<'static, Result<(), ReportError>>>;

/// What an attempt has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signals {
    /// A stop was requested.
    pub stop: Option<EndSignal>,
    /// The daemon drains, and this attempt is to end.
    pub shutdown: Option<EndSignal>,
    /// The attempt no longer speaks for its instance.
    pub over: bool,
}

/// A stop or a drain, as the running attempt sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndSignal {
    /// When what still runs is dropped or killed.
    pub deadline: Instant,
    /// Whether a command gets SIGTERM at once: not where its own attempt asked, nor before the last part of a drain.
    pub terminate: bool,
}

impl EndSignal {
    /// Brings what was told before nearer; answers whether that changed anything.
    fn tell(self, told: &mut Option<EndSignal>) -> bool {
        let next = told.map_or(self, |told| EndSignal {
            deadline: told.deadline.min(self.deadline),
            terminate: told.terminate || self.terminate,
        });
        told.replace(next) != Some(next)
    }
}

impl Signals {
    /// The reason to end, if there is one.
    pub fn reason(&self) -> Option<StopReason> {
        if self.over {
            Some(StopReason::Over)
        } else if self.stop.is_some() {
            Some(StopReason::Stop)
        } else {
            self.shutdown.map(|_| StopReason::Shutdown)
        }
    }
}

/// A slot, held by an attempt and by its blocking closures until the last of them has returned.
pub struct Held {
    _slot: Slot,
    released: Arc<Notify>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.released.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Attempt {
    /// The attempt that `image`, just claimed, is running.
    pub fn new(image: &Instance, task: Arc<Task>, shared: Arc<Shared>, extent: LogExtent) -> Self {
        let log_limit = shared.log_limit;
        Attempt {
            number: image.number,
            id: image.id,
            attempt: image.attempt,
            task,
            inputs: image.inputs.clone(),
            limits: image.limits.clone(),
            began: Instant::now(),
            shared,
            signals: OnceLock::new(),
            observed_shutdown: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            reports: Mutex::default(),
            log: Mutex::new(Log::new(image.attempt, log_limit, extent)),
            log_room: Notify::new(),
            own_stop: Mutex::default(),
            held: Mutex::new(Weak::new()),
            released: Arc::new(Notify::new()),
            enforced: AtomicBool::new(false),
            cut: Notify::new(),
            dropped: Notify::new(),
        }
    }

    /// Whether the instance may have another attempt after this one.
    pub fn attempts_left(&self) -> bool {
        self.attempt < self.limits.max_attempts
    }

    // --- the slot

    /// Holds `slot` for this attempt.
    pub fn hold(&self, slot: Slot) -> Arc<Held> {
        let held = Arc::new(Held { _slot: slot, released: Arc::clone(&self.released) });
        *lock(&self.held) = Arc::downgrade(&held);
        held
    }

    /// Whether anything of the attempt still holds its slot.
    pub fn holds_slot(&self) -> bool {
        lock(&self.held).strong_count() > 0
    }

    /// Resolves once nothing holds the slot any more. For one caller.
    pub async fn slot_released(&self) {
        while self.holds_slot() {
            self.released.notified().await;
        }
    }

    // --- its end

    /// True for the first caller: the one who says how the attempt ended.
    pub fn end(&self) -> bool {
        let first = !self.ended.swap(true, Ordering::SeqCst);
        if first && self.enforced.load(Ordering::SeqCst) {
            // Wakes whoever waits for its time, who then sees that there is nothing left to end.
            self.channel().send_modify(|_| {});
        }
        first
    }

    /// True for the first caller: the one who is to end the handler when its time has come.
    pub fn begin_to_enforce(&self) -> bool {
        !self.enforced.swap(true, Ordering::SeqCst)
    }

    /// Asks for the handler's future to be dropped.
    pub fn request_cut(&self) {
        self.cut.notify_one();
    }

    /// Resolves when the handler's future is to be dropped.
    pub async fn cut(&self) {
        self.cut.notified().await;
    }

    /// Says that the handler's future is gone.
    pub fn note_dropped(&self) {
        self.dropped.notify_one();
    }

    /// Resolves when the handler's future is gone.
    pub async fn dropped(&self) {
        self.dropped.notified().await;
    }

    /// Whether somebody has said how the attempt ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Whether the handler knows of the drain.
    pub fn observed_shutdown(&self) -> bool {
        self.observed_shutdown.load(Ordering::SeqCst) && !NegativeControl::DrainAsEnd.is_on()
    }

    /// Notes that the attempt knows of the drain: its command was signalled.
    pub fn note_shutdown_observed(&self) {
        self.observed_shutdown.store(true, Ordering::SeqCst);
    }

    // --- signals

    /// What the attempt is told, and every change of it.
    pub fn signals(&self) -> watch::Receiver<Signals> {
        self.channel().subscribe()
    }

    /// What the attempt has been told so far.
    pub fn told(&self) -> Signals {
        self.signals.get().map_or_else(Signals::default, |channel| *channel.borrow())
    }

    fn channel(&self) -> &watch::Sender<Signals> {
        self.signals.get_or_init(|| watch::Sender::new(Signals::default()))
    }

    /// Tells of a stop. A repeat only brings the deadline forward.
    pub fn signal_stop(&self, deadline: Instant, terminate: bool) {
        let signal = EndSignal { deadline, terminate };
        self.channel().send_if_modified(|signals| signal.tell(&mut signals.stop));
    }

    /// Tells of a drain. A repeat only brings it nearer.
    pub fn signal_shutdown(&self, deadline: Instant, terminate: bool) {
        let signal = EndSignal { deadline, terminate };
        self.channel().send_if_modified(|signals| signal.tell(&mut signals.shutdown));
    }

    /// Tells that the attempt no longer speaks for its instance.
    pub fn signal_over(&self) {
        self.channel().send_if_modified(|signals| !std::mem::replace(&mut signals.over, true));
    }

    fn noted(&self, reason: Option<StopReason>) -> Option<StopReason> {
        if reason == Some(StopReason::Shutdown) {
            self.note_shutdown_observed();
        }
        reason
    }

    /// Answers everybody who waits for a commit that will not come soon.
    pub fn refuse_waiters(&self) {
        lock(&self.reports).refuse();
        lock(&self.log).refuse();
    }
}

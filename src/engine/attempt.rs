//! One running attempt, as everybody sees it who has to do with it: the handler that reports through
//! it, the ledger that takes its latest reports, the watcher that ends it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use uuid::Uuid;

use super::{
    catalog::Task,
    error::EngineError,
    lanes::{Lanes, StopItem},
    log_buffer::LogBuffer,
    pool::Slot,
    request::{Receipt, ReceiptReason, ReportPatch},
};
use crate::{
    domain::{Instance, Json, Limits, LogChunk, Micros, Progress, Stream, Verdict},
    store::LogExtent,
    task::reporter::{BlockingPermit, ReportError, Reporter, StopReason},
};

/// What a handler sets is committed at most so often; the latest value wins.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);

/// Log lines wait so long for company, unless the buffer is full.
const LOG_INTERVAL: Duration = Duration::from_millis(25);

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
    signals: watch::Sender<Signals>,
    observed_shutdown: AtomicBool,
    ended: AtomicBool,
    reports: Mutex<Reports>,
    log: Mutex<Log>,
    log_room: Notify,
    held: Mutex<Weak<Held>>,
    released: Arc<Notify>,
    watched: AtomicBool,
    cut: Notify,
    dropped: Notify,
}

/// What an attempt has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signals {
    /// A stop was requested.
    pub stop: Option<StopSignal>,
    /// The daemon drains, and this attempt is to end.
    pub shutdown: Option<ShutdownSignal>,
    /// The attempt no longer speaks for its instance.
    pub over: bool,
}

/// A stop, as the running attempt sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopSignal {
    /// When what still runs is dropped or killed.
    pub deadline: Instant,
    /// Whether a command gets SIGTERM at once: somebody else than the attempt asked.
    pub terminate: bool,
}

/// A drain, as the running attempt sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownSignal {
    /// When what still runs is dropped or killed.
    pub deadline: Instant,
    /// Whether a command gets SIGTERM.
    pub terminate: bool,
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

#[derive(Default)]
struct Reports {
    patch: ReportPatch,
    if_version: Option<u64>,
    waiters: Vec<oneshot::Sender<Result<u64, EngineError>>>,
    queued: bool,
    urgent: bool,
    in_flight: bool,
    last: Option<Instant>,
    closed: bool,
    output: Option<Json>,
    verdict: Option<Verdict>,
}

struct Log {
    buffer: LogBuffer,
    queued: bool,
    last: Option<Instant>,
    /// Taken by the ledger, not yet committed.
    in_flight: Option<LogChunk>,
    waiters: Vec<(u64, oneshot::Sender<Result<(), EngineError>>)>,
    /// How many pushes there were, and how many of them the chunk in flight holds: which waiters it answers.
    pushed: u64,
    taken: u64,
}

/// Whether a log is over its limit, and can take lines all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    /// It is within its limit: every line is wanted.
    Over,
    /// It is over its limit, and what it had was stored: it can take the newest lines.
    Room,
    /// It is over its limit: only newer lines than those it has are worth keeping.
    Hold,
}

/// What the ledger takes from an attempt for one commit.
pub struct TakenReport {
    /// What changed; may be empty.
    pub patch: ReportPatch,
    /// The version that the caller pinned.
    pub if_version: Option<u64>,
    /// Who waits for the commit.
    pub waiters: Vec<oneshot::Sender<Result<u64, EngineError>>>,
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
            signals: watch::Sender::new(Signals::default()),
            observed_shutdown: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            reports: Mutex::default(),
            log: Mutex::new(Log {
                buffer: LogBuffer::new(image.attempt, log_limit, extent),
                queued: false,
                last: None,
                in_flight: None,
                waiters: Vec::new(),
                pushed: 0,
                taken: 0,
            }),
            log_room: Notify::new(),
            held: Mutex::new(Weak::new()),
            released: Arc::new(Notify::new()),
            watched: AtomicBool::new(false),
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
        if first && self.watched.load(Ordering::SeqCst) {
            // Wakes the watcher, who then sees that there is nothing left to end.
            self.signals.send_modify(|_| {});
        }
        first
    }

    /// True for the first caller: the one who is to end the handler when its time has come.
    pub fn begin_watch(&self) -> bool {
        !self.watched.swap(true, Ordering::SeqCst)
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
        self.observed_shutdown.load(Ordering::SeqCst)
    }

    /// Notes that the attempt knows of the drain: its command was signalled.
    pub fn note_shutdown_observed(&self) {
        self.observed_shutdown.store(true, Ordering::SeqCst);
    }

    // --- signals

    /// What the attempt is told, and every change of it.
    pub fn signals(&self) -> watch::Receiver<Signals> {
        self.signals.subscribe()
    }

    /// Whether a stop was requested.
    pub fn stop_requested(&self) -> bool {
        self.signals.borrow().stop.is_some()
    }

    /// Tells of a stop. A repeat only brings the deadline forward.
    pub fn signal_stop(&self, deadline: Instant, terminate: bool) {
        self.signals.send_if_modified(|signals| {
            let next = match signals.stop {
                None => StopSignal { deadline, terminate },
                Some(stop) => {
                    StopSignal { deadline: stop.deadline.min(deadline), terminate: stop.terminate || terminate }
                }
            };
            let changed = signals.stop != Some(next);
            signals.stop = Some(next);
            changed
        });
    }

    /// Tells of a drain. A repeat only brings it nearer.
    pub fn signal_shutdown(&self, deadline: Instant, terminate: bool) {
        self.signals.send_if_modified(|signals| {
            let next = match signals.shutdown {
                None => ShutdownSignal { deadline, terminate },
                Some(shutdown) => ShutdownSignal {
                    deadline: shutdown.deadline.min(deadline),
                    terminate: shutdown.terminate || terminate,
                },
            };
            let changed = signals.shutdown != Some(next);
            signals.shutdown = Some(next);
            changed
        });
    }

    /// Tells that the attempt no longer speaks for its instance.
    pub fn signal_over(&self) {
        self.signals.send_if_modified(|signals| !std::mem::replace(&mut signals.over, true));
    }

    fn noted(&self, reason: Option<StopReason>) -> Option<StopReason> {
        if reason == Some(StopReason::Shutdown) {
            self.note_shutdown_observed();
        }
        reason
    }

    // --- reports

    /// Keeps `patch` and waits for its commit.
    ///
    /// # Errors
    /// Where the attempt is over, the version is another, or the store fails.
    pub async fn report(
        self: &Arc<Self>,
        patch: ReportPatch,
        if_version: Option<u64>,
        current_version: impl Fn() -> u64,
    ) -> Result<Receipt, EngineError> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut reports = lock(&self.reports);
            if reports.closed {
                return Err(EngineError::AttemptOver);
            }
            if if_version.is_some() && (reports.in_flight || !reports.patch.is_empty()) {
                // What waits will make a new version before this report does.
                return Err(EngineError::VersionMismatch { version: current_version() });
            }
            reports.if_version = if_version;
            reports.keep(patch);
            reports.waiters.push(sender);
            self.enqueue(&mut reports);
        }
        let version = receiver.await.map_err(|_| EngineError::Unavailable(None))??;
        Ok(self.receipt(version))
    }

    /// The answer to something committed at `version`.
    pub fn receipt(&self, version: u64) -> Receipt {
        let reason = match self.noted(self.signals.borrow().reason()) {
            Some(StopReason::Stop) => Some(ReceiptReason::Stop),
            Some(StopReason::Shutdown) => Some(ReceiptReason::Shutdown),
            Some(StopReason::Over) | None => None,
        };
        Receipt { should_stop: reason.is_some(), reason, version }
    }

    fn set(self: &Arc<Self>, patch: ReportPatch) -> Result<(), ReportError> {
        let mut reports = lock(&self.reports);
        if reports.closed || self.signals.borrow().over {
            return Err(ReportError::Over);
        }
        reports.keep(patch);
        self.enqueue(&mut reports);
        Ok(())
    }

    fn enqueue(self: &Arc<Self>, reports: &mut Reports) {
        // Whoever waits for the commit cannot flood it, and is not kept waiting.
        let urgent = !reports.waiters.is_empty();
        if !reports.queued || (urgent && !reports.urgent) {
            reports.queued = true;
            reports.urgent = urgent;
            let now = Instant::now();
            let due = match reports.last {
                Some(last) if !urgent => now.max(last + REPORT_INTERVAL),
                _ => now,
            };
            if !self.shared.lanes.push_report(due, Arc::clone(self)) {
                reports.queued = false;
                for waiter in reports.waiters.drain(..) {
                    let _ = waiter.send(Err(EngineError::Unavailable(None)));
                }
            }
        }
    }

    /// Takes what is to be committed.
    pub fn take_report(&self, now: Instant) -> TakenReport {
        let mut reports = lock(&self.reports);
        reports.queued = false;
        reports.urgent = false;
        reports.in_flight = true;
        reports.last = Some(now);
        TakenReport {
            patch: std::mem::take(&mut reports.patch),
            if_version: reports.if_version.take(),
            waiters: std::mem::take(&mut reports.waiters),
        }
    }

    /// Says that what was taken is committed or refused.
    pub fn report_landed(&self) {
        lock(&self.reports).in_flight = false;
    }

    /// Puts back what was taken and not committed; newer values win.
    pub fn put_back_report(self: &Arc<Self>, patch: ReportPatch) {
        let mut reports = lock(&self.reports);
        reports.in_flight = false;
        let newer = std::mem::replace(&mut reports.patch, patch);
        reports.patch.merge(newer);
        if !reports.closed && !reports.patch.is_empty() {
            self.enqueue(&mut reports);
        }
    }

    /// The output last set, committed or not.
    pub fn last_output(&self) -> Option<Json> {
        lock(&self.reports).output.clone()
    }

    /// Takes no more reports; answers the verdict stated and the output last set.
    pub fn close_reports(&self) -> (Option<Verdict>, Option<Json>) {
        let mut reports = lock(&self.reports);
        reports.closed = true;
        (reports.verdict.clone(), reports.output.clone())
    }

    // --- the log

    /// Adds a text to the log without waiting: beyond the buffer the oldest lines give way.
    pub fn log_now(self: &Arc<Self>, stream: Stream, text: &str) {
        let mut log = lock(&self.log);
        log.buffer.push(Micros::now(), stream, text);
        log.pushed += 1;
        self.enqueue_log(&mut log);
    }

    /// Adds a line to the log, and waits for room while the log is within its limit.
    pub async fn log_line(self: &Arc<Self>, stream: Stream, text: &str) {
        loop {
            let room = self.log_room.notified();
            {
                let mut log = lock(&self.log);
                if !log.buffer.is_full() {
                    log.buffer.push(Micros::now(), stream, text);
                    self.enqueue_log(&mut log);
                    return;
                }
            }
            room.await;
        }
    }

    /// What to do with output that comes faster than it is stored.
    pub fn flood(&self) -> Flood {
        let log = lock(&self.log);
        match (log.buffer.is_over_limit(), log.buffer.is_empty()) {
            (false, _) => Flood::Over,
            (true, true) => Flood::Room,
            (true, false) => Flood::Hold,
        }
    }

    /// Passes over lines of the log.
    pub fn log_skip(&self, lines: u64) {
        lock(&self.log).buffer.skip(lines);
    }

    /// Adds texts to the log and waits for their commit.
    ///
    /// # Errors
    /// Where the attempt is over or the store fails.
    pub async fn log_committed(self: &Arc<Self>, lines: &[(Stream, String)]) -> Result<(), EngineError> {
        let (sender, receiver) = oneshot::channel();
        {
            let reports = lock(&self.reports);
            if reports.closed {
                return Err(EngineError::AttemptOver);
            }
            let mut log = lock(&self.log);
            drop(reports);
            let now = Micros::now();
            for (stream, text) in lines {
                log.buffer.push(now, *stream, text);
            }
            log.pushed += 1;
            let mark = log.pushed;
            log.waiters.push((mark, sender));
            self.enqueue_log(&mut log);
        }
        receiver.await.map_err(|_| EngineError::Unavailable(None))?
    }

    fn enqueue_log(self: &Arc<Self>, log: &mut Log) {
        let full = log.buffer.is_full();
        if log.queued && !full {
            return;
        }
        log.queued = true;
        let now = Instant::now();
        let due = match (log.buffer.due(), log.last) {
            (Some(due), _) => now.max(due),
            (None, Some(last)) if !full => now.max(last + LOG_INTERVAL),
            (None, _) => now,
        };
        if !self.shared.lanes.push_log(due, Arc::clone(self)) {
            log.queued = false;
            for (_, waiter) in log.waiters.drain(..) {
                let _ = waiter.send(Err(EngineError::Unavailable(None)));
            }
        }
    }

    /// The lines to be committed: those that an earlier commit did not take, or what there is now.
    pub fn take_log(&self, now: Instant) -> Option<LogChunk> {
        let mut log = lock(&self.log);
        log.queued = false;
        if log.in_flight.is_none() {
            log.in_flight = log.buffer.take(self.number, now);
            log.taken = log.pushed;
            log.last = Some(now);
        }
        log.in_flight.clone()
    }

    /// Says that the lines taken are committed, or refused for good. Answers whether more wait.
    pub fn log_landed(self: &Arc<Self>) -> bool {
        let mut log = lock(&self.log);
        log.in_flight = None;
        let taken = log.taken;
        for (_, waiter) in log.waiters.extract_if(.., |(mark, _)| *mark <= taken) {
            let _ = waiter.send(Ok(()));
        }
        if !log.buffer.is_empty() {
            self.enqueue_log(&mut log);
        }
        let more = !log.buffer.is_empty();
        drop(log);
        self.log_room.notify_waiters();
        more
    }
}

impl Attempt {
    /// Answers reports that came while the finish was on its way.
    pub fn refuse_reports(&self) {
        for waiter in lock(&self.reports).waiters.drain(..) {
            let _ = waiter.send(Err(EngineError::AttemptOver));
        }
    }

    /// Answers everybody who waits for a commit that will not come soon.
    pub fn refuse_waiters(&self) {
        for waiter in lock(&self.reports).waiters.drain(..) {
            let _ = waiter.send(Err(EngineError::Unavailable(None)));
        }
        for (_, waiter) in lock(&self.log).waiters.drain(..) {
            let _ = waiter.send(Err(EngineError::Unavailable(None)));
        }
    }
}

impl Reports {
    fn keep(&mut self, patch: ReportPatch) {
        if let Some(output) = &patch.output {
            self.output.clone_from(output);
        }
        if let Some(verdict) = &patch.verdict {
            self.verdict.clone_from(verdict);
        }
        self.patch.merge(patch);
    }
}

impl ReportPatch {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.progress.is_none() && self.output.is_none() && self.verdict.is_none()
    }

    /// Takes over what `newer` changes.
    pub fn merge(&mut self, newer: ReportPatch) {
        self.progress = newer.progress.or(self.progress.take());
        self.output = newer.output.or(self.output.take());
        self.verdict = newer.verdict.or(self.verdict.take());
    }
}

/// A running attempt as its handler's controller sees it.
pub struct AttemptReporter(pub Arc<Attempt>);

impl Reporter for AttemptReporter {
    fn instance_id(&self) -> Uuid {
        self.0.id
    }

    fn instance_number(&self) -> u64 {
        self.0.number
    }

    fn task_id(&self) -> &str {
        self.0.task.definition.id.as_str()
    }

    fn attempt(&self) -> u32 {
        self.0.attempt
    }

    fn inputs(&self) -> Json {
        self.0.inputs.clone()
    }

    fn stop_reason(&self) -> Option<StopReason> {
        self.0.noted(self.0.signals.borrow().reason())
    }

    fn stopped(&self) -> BoxFuture<'_, StopReason> {
        Box::pin(async move {
            let mut signals = self.0.signals();
            // The sender lives in the attempt, which this future borrows.
            match signals.wait_for(|signals| signals.reason().is_some()).await.map(|signals| signals.reason()) {
                Ok(Some(reason)) => self.0.noted(Some(reason)).unwrap_or(reason),
                Ok(None) | Err(_) => StopReason::Over,
            }
        })
    }

    fn request_stop(&self) {
        let (reply, _) = oneshot::channel();
        self.0.shared.lanes.push_stop(StopItem {
            instance: self.0.number,
            grace: self.0.shared.stop_grace,
            by_itself: true,
            reply,
        });
    }

    fn set_progress(&self, progress: Progress) -> Result<(), ReportError> {
        self.0.set(ReportPatch { progress: Some(progress), ..ReportPatch::default() })
    }

    fn set_output(&self, output: Option<Json>) -> Result<(), ReportError> {
        if let Some(output) = &output {
            if !output.is_object() {
                return Err(ReportError::NotAnObject);
            }
            let (size, limit) = (output.as_str().len(), self.0.shared.output_limit);
            if size > limit {
                return Err(ReportError::TooLarge { size, limit });
            }
        }
        self.0.set(ReportPatch { output: Some(output), ..ReportPatch::default() })
    }

    fn set_verdict(&self, verdict: Option<Verdict>) -> Result<(), ReportError> {
        self.0.set(ReportPatch { verdict: Some(verdict), ..ReportPatch::default() })
    }

    fn log(&self, stream: Stream, text: &str) {
        self.0.log_now(stream, text);
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), ReportError>> {
        Box::pin(async move {
            let receiver = {
                let mut reports = lock(&self.0.reports);
                if reports.closed {
                    return Err(ReportError::Over);
                }
                if reports.patch.is_empty() && !reports.in_flight {
                    None
                } else {
                    let (sender, receiver) = oneshot::channel();
                    reports.waiters.push(sender);
                    self.0.enqueue(&mut reports);
                    Some(receiver)
                }
            };
            match receiver {
                None => Ok(()),
                Some(receiver) => match receiver.await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(EngineError::AttemptOver)) => Err(ReportError::Over),
                    Ok(Err(_)) | Err(_) => Err(ReportError::Unavailable),
                },
            }
        })
    }

    fn enter_blocking(self: Arc<Self>) -> BoxFuture<'static, BlockingPermit> {
        Box::pin(async move {
            let held = lock(&self.0.held).upgrade();
            // The semaphore is never closed.
            let permit = Arc::clone(&self.0.shared.blocking).acquire_owned().await.ok();
            Box::new((held, permit)) as BlockingPermit
        })
    }
}

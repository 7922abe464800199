//! The log of an attempt: who writes it, who waits for it, and the chunk on its way to the store.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Attempt, lock, log_buffer::LogBuffer, reports::told};
use crate::{
    domain::{LogChunk, Micros, Stream},
    engine::error::EngineError,
    store::LogExtent,
    task::reporter::ReportError,
};

/// Log lines wait so long for company, unless the buffer is full.
const LOG_INTERVAL: Duration = Duration::from_millis(25);

pub(super) struct Log {
    buffer: LogBuffer,
    queued: bool,
    last: Option<Instant>,
    /// Taken by the ledger, not yet committed.
    in_flight: Option<LogChunk>,
    waiters: Vec<(u64, oneshot::Sender<Result<(), EngineError>>)>,
    /// How many texts were added that somebody may wait for, and how many of them the chunk in flight holds.
    pushed: u64,
    taken: u64,
}

impl Log {
    /// An empty log that goes on where the instance's stands.
    pub(super) fn new(attempt: u32, limit: u64, extent: LogExtent) -> Self {
        Log {
            buffer: LogBuffer::new(attempt, limit, extent),
            queued: false,
            last: None,
            in_flight: None,
            waiters: Vec::new(),
            pushed: 0,
            taken: 0,
        }
    }

    /// Tells everybody who waits that the commit will not come soon.
    pub(super) fn refuse(&mut self) {
        for (_, waiter) in self.waiters.drain(..) {
            let _ = waiter.send(Err(EngineError::Unavailable(None)));
        }
    }
}

/// What a log takes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    /// It is within its limit: every line.
    Every,
    /// It is over its limit, and what it had was stored: the newest lines.
    Newest,
    /// It is over its limit, and what it has is not stored yet: nothing, for only newer lines are worth keeping.
    Hold,
}

impl Attempt {
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

    /// What the log takes now of output that comes faster than it is stored.
    pub fn intake(&self) -> Intake {
        let log = lock(&self.log);
        match (log.buffer.is_over_limit(), log.buffer.is_empty()) {
            (false, _) => Intake::Every,
            (true, true) => Intake::Newest,
            (true, false) => Intake::Hold,
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
            if reports.is_closed() {
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

    /// Asks at once, and resolves when the texts added so far are committed.
    pub(super) fn flush_log(self: &Arc<Self>) -> impl Future<Output = Result<(), ReportError>> + use<> {
        let mut log = lock(&self.log);
        let receiver = (!log.buffer.is_empty() || log.in_flight.is_some()).then(|| {
            let (sender, receiver) = oneshot::channel();
            let mark = log.pushed;
            log.waiters.push((mark, sender));
            receiver
        });
        drop(log);
        async {
            match receiver {
                Some(receiver) => told(receiver.await),
                None => Ok(()),
            }
        }
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
            log.refuse();
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

    /// Says that the lines taken are committed, or refused for good.
    pub fn log_landed(self: &Arc<Self>) {
        let mut log = lock(&self.log);
        log.in_flight = None;
        let taken = log.taken;
        for (_, waiter) in log.waiters.extract_if(.., |(mark, _)| *mark <= taken) {
            let _ = waiter.send(Ok(()));
        }
        if !log.buffer.is_empty() {
            self.enqueue_log(&mut log);
        }
        drop(log);
        self.log_room.notify_waiters();
    }
}

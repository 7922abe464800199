//! What waits to be written: bounded queues into the ledger.
//!
//! Finishes and stops are never refused: there are at most as many finishes as slots, and at most as
//! many stops as requests. Starts are bounded by rows and bytes. Reports and logs are not queued here
//! at all: an attempt that has some stands in line once, and the ledger takes its latest.

mod items;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

pub use items::{DefinitionItem, FinishItem, StartItem, StartReply, StartWaiter, StopItem, StopReply};

use super::{attempt::Attempt, error::EngineError};

/// The most rows that wait to be started. At 10,000 starts a second this is more than a second of work; who
/// comes later is better told to come again than to wait.
const START_ROWS: usize = 16_384;
/// The most bytes of inputs that wait to be started: two of the largest batches by default.
const START_BYTES: usize = 32 << 20;

/// One commit takes at most so many rows, and so many bytes of inputs. A batch request is never split and may
/// exceed both.
pub const BATCH_ROWS: usize = 4_096;
/// See [`BATCH_ROWS`].
pub const BATCH_BYTES: usize = 4 << 20;

/// What one commit takes out of the lanes.
#[derive(Default)]
pub struct Taken {
    /// Ends of attempts.
    pub finishes: Vec<FinishItem>,
    /// Attempts with reports.
    pub reports: Vec<Arc<Attempt>>,
    /// Stops.
    pub stops: Vec<StopItem>,
    /// Starts.
    pub starts: Vec<StartItem>,
    /// Attempts with log lines.
    pub logs: Vec<Arc<Attempt>>,
    /// A change of definitions.
    pub definition: Option<DefinitionItem>,
}

/// The queues.
pub struct Lanes {
    inner: Mutex<Inner>,
    /// How many starts wait, and their bytes. Changed under the lock, read without it by every request.
    start_rows: AtomicUsize,
    start_bytes: AtomicUsize,
    wake: Arc<Notify>,
}

#[derive(Default)]
struct Inner {
    finishes: VecDeque<FinishItem>,
    /// How many of the finishes cannot wait.
    urgent: usize,
    /// When the ledger, which sleeps, looks by itself.
    next_look: Option<Instant>,
    stops: VecDeque<StopItem>,
    starts: VecDeque<StartItem>,
    reports: VecDeque<(Instant, Arc<Attempt>)>,
    logs: VecDeque<(Instant, Arc<Attempt>)>,
    /// There is one at a time.
    definition: Option<DefinitionItem>,
    closed: bool,
}

/// What stands in the lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Something to be written now.
    Now,
    /// Nothing before this time.
    At(Instant),
    /// Nothing.
    Nothing,
}

/// Why a start is not put in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// There is no room.
    Full,
    /// Nothing is written any more.
    Closed,
}

/// So many patient finishes are company enough.
const MOST_PATIENT: usize = 64;

/// How long a patient finish waits for company: long enough for a client's next request, too short to be seen.
pub const PATIENCE: Duration = Duration::from_millis(5);

impl Lanes {
    /// Empty lanes; `wake` wakes the ledger.
    pub fn new(wake: Arc<Notify>) -> Self {
        Lanes { inner: Mutex::default(), start_rows: AtomicUsize::new(0), start_bytes: AtomicUsize::new(0), wake }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the ledger.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// How many starts wait.
    pub fn start_rows(&self) -> usize {
        self.start_rows.load(Relaxed)
    }

    /// Whether another start would be taken.
    pub fn has_room(&self) -> bool {
        self.start_rows.load(Relaxed) < START_ROWS && self.start_bytes.load(Relaxed) < START_BYTES
    }

    /// Puts a start in line.
    ///
    /// # Errors
    /// Why it cannot stand there.
    pub fn push_start(&self, item: StartItem) -> Result<(), NotTaken> {
        let mut inner = self.lock();
        let rows = item.start.instances.len();
        // A request larger than the whole lane must still be able to pass an empty one.
        let room = inner.starts.is_empty()
            || (self.start_rows.load(Relaxed) + rows <= START_ROWS
                && self.start_bytes.load(Relaxed) + item.bytes <= START_BYTES);
        if inner.closed {
            return Err(NotTaken::Closed);
        }
        if !room {
            return Err(NotTaken::Full);
        }
        self.start_rows.fetch_add(rows, Relaxed);
        self.start_bytes.fetch_add(item.bytes, Relaxed);
        inner.starts.push_back(item);
        drop(inner);
        self.wake();
        Ok(())
    }

    /// Puts a stop in line.
    pub fn push_stop(&self, item: StopItem) {
        let mut inner = self.lock();
        if inner.closed {
            drop(inner);
            let _ = item.reply.send(Err(EngineError::Unavailable(None)));
            return;
        }
        inner.stops.push_back(item);
        drop(inner);
        self.wake();
    }

    /// Puts many stops in line, to be written by one commit. If nothing is written any more they are dropped, and
    /// with them what answers those who wait.
    pub fn push_stops(&self, items: Vec<StopItem>) {
        let mut inner = self.lock();
        if !inner.closed {
            inner.stops.extend(items);
            drop(inner);
            self.wake();
        }
    }

    /// Puts a change of definitions in line. If nothing is written any more it is dropped, and with it what answers.
    pub fn push_definition(&self, item: DefinitionItem) {
        let mut inner = self.lock();
        if !inner.closed {
            inner.definition = Some(item);
            drop(inner);
            self.wake();
        }
    }

    /// Puts the end of an attempt in line.
    pub fn push_finish(&self, item: FinishItem) {
        let mut inner = self.lock();
        // To wake the ledger from another runtime costs more than the end itself: one that may wait, waits until it looks.
        let looked_at = inner.next_look.is_some_and(|look| look <= item.since + PATIENCE);
        let may_sleep = item.patient && looked_at && inner.finishes.len() < MOST_PATIENT;
        inner.urgent += usize::from(!item.patient);
        inner.finishes.push_back(item);
        drop(inner);
        if !may_sleep {
            self.wake();
        }
    }

    /// Says that the ledger is going to sleep, at most until `next_look`.
    pub fn sleeps_until(&self, next_look: Option<Instant>) {
        self.lock().next_look = next_look;
    }

    /// Lets no finish wait for company: somebody waits for one.
    pub fn hurry(&self) {
        let mut inner = self.lock();
        if inner.urgent < inner.finishes.len() {
            for item in &mut inner.finishes {
                item.patient = false;
            }
            inner.urgent = inner.finishes.len();
            drop(inner);
            self.wake();
        }
    }

    /// Puts an attempt in line whose reports are to be written not before `due`. False if nothing is written any
    /// more.
    pub fn push_report(&self, due: Instant, attempt: Arc<Attempt>) -> bool {
        let mut inner = self.lock();
        if inner.closed {
            return false;
        }
        inner.reports.push_back((due, attempt));
        drop(inner);
        self.wake();
        true
    }

    /// Puts an attempt in line whose log lines are to be written not before `due`. False if nothing is written any
    /// more.
    pub fn push_log(&self, due: Instant, attempt: Arc<Attempt>) -> bool {
        let mut inner = self.lock();
        if inner.closed {
            return false;
        }
        inner.logs.push_back((due, attempt));
        drop(inner);
        self.wake();
        true
    }

    /// What waits. For the ledger alone: it is awake.
    pub fn waiting(&self, now: Instant) -> Waiting {
        let mut inner = self.lock();
        inner.next_look = None;
        if inner.urgent > 0 || !inner.stops.is_empty() || !inner.starts.is_empty() || inner.definition.is_some() {
            return Waiting::Now;
        }
        let reports = inner.reports.iter().map(|(due, _)| *due).min();
        let logs = inner.logs.iter().map(|(due, _)| *due).min();
        let finishes = inner.finishes.front().map(|item| item.since + PATIENCE);
        match reports.into_iter().chain(logs).chain(finishes).min() {
            None => Waiting::Nothing,
            Some(due) if due <= now => Waiting::Now,
            Some(due) => Waiting::At(due),
        }
    }

    /// Takes what one commit may hold.
    pub fn take(&self, now: Instant) -> Taken {
        let mut inner = self.lock();
        let mut taken = Taken { definition: inner.definition.take(), ..Taken::default() };
        // A patient end stays out of a commit that somebody waits for, which is shorter without it; once one cannot
        // wait any more, all go.
        let go = inner.urgent > 0
            || inner.finishes.len() >= MOST_PATIENT
            || inner.finishes.front().is_some_and(|item| item.since + PATIENCE <= now);
        let finishes = if go { inner.finishes.len().min(BATCH_ROWS) } else { 0 };
        taken.finishes.extend(inner.finishes.drain(..finishes));
        inner.urgent = inner.finishes.iter().filter(|item| !item.patient).count();
        let mut rows = taken.finishes.len();
        let stops = inner.stops.len().min(BATCH_ROWS);
        taken.stops.extend(inner.stops.drain(..stops));
        rows += stops;
        take_due(&mut inner.reports, now, &mut taken.reports);
        rows += taken.reports.len();
        // A quarter of a batch at most: an attempt's chunk is up to 256 KiB.
        take_some_due(&mut inner.logs, now, 4, &mut taken.logs);
        let mut bytes = 0;
        while let Some(item) = inner.starts.front() {
            let (more_rows, more_bytes) = (item.start.instances.len(), item.bytes);
            if !taken.starts.is_empty() && (rows + more_rows > BATCH_ROWS || bytes + more_bytes > BATCH_BYTES) {
                break;
            }
            let Some(item) = inner.starts.pop_front() else { break };
            (rows, bytes) = (rows + more_rows, bytes + more_bytes);
            self.start_rows.fetch_sub(more_rows, Relaxed);
            self.start_bytes.fetch_sub(more_bytes, Relaxed);
            taken.starts.push(item);
        }
        taken
    }

    /// Takes every start and stop: they are about to be refused.
    pub fn take_requests(&self) -> (Vec<StartItem>, Vec<StopItem>) {
        let mut inner = self.lock();
        self.start_rows.store(0, Relaxed);
        self.start_bytes.store(0, Relaxed);
        (inner.starts.drain(..).collect(), inner.stops.drain(..).collect())
    }

    /// Puts back what could not be written, first in line and not before `due`.
    pub fn restore(&self, due: Instant, finishes: Vec<FinishItem>, logs: Vec<Arc<Attempt>>) {
        let mut inner = self.lock();
        for mut item in finishes.into_iter().rev() {
            // Patient from now on: `due` decides when it is tried again.
            item.patient = true;
            item.since = due.checked_sub(PATIENCE).unwrap_or(due);
            inner.finishes.push_front(item);
        }
        inner.logs.extend(logs.into_iter().map(|attempt| (due, attempt)));
    }

    /// Takes nothing any more, and gives up everything that waits.
    pub fn close(&self) -> Taken {
        let inner = std::mem::replace(&mut *self.lock(), Inner { closed: true, ..Inner::default() });
        Taken {
            finishes: inner.finishes.into(),
            reports: inner.reports.into_iter().map(|(_, attempt)| attempt).collect(),
            stops: inner.stops.into(),
            starts: inner.starts.into(),
            logs: Vec::new(),
            definition: inner.definition,
        }
    }
}

fn take_due(queue: &mut VecDeque<(Instant, Arc<Attempt>)>, now: Instant, out: &mut Vec<Arc<Attempt>>) {
    take_some_due(queue, now, BATCH_ROWS, out);
}

fn take_some_due(
    queue: &mut VecDeque<(Instant, Arc<Attempt>)>,
    now: Instant,
    most: usize,
    out: &mut Vec<Arc<Attempt>>,
) {
    for _ in 0..queue.len() {
        if out.len() == most {
            return;
        }
        let Some((due, attempt)) = queue.pop_front() else { return };
        if due <= now {
            out.push(attempt);
        } else {
            queue.push_back((due, attempt));
        }
    }
}

//! What a connection is doing, and until when it may.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::framing::LineEnds;

/// How long a new connection may send nothing.
const FIRST_BYTE: Duration = Duration::from_secs(5);
/// How long a head may take from its first byte.
const HEAD: Duration = Duration::from_secs(10);
/// How long a connection may be kept open between two requests.
const IDLE: Duration = Duration::from_secs(60);
/// How long a reader may take nothing of an answer.
const BLOCKED: Duration = Duration::from_secs(30);

const NEW: u8 = 0;
const READING: u8 = 1;
const ANSWERING: u8 = 2;
const WAITING: u8 = 3;

/// One connection's state. Only its own task touches it, so that relaxed atomics do.
pub struct Deadlines {
    opened: Instant,
    phase: AtomicU8,
    /// When the phase began, in milliseconds since `opened`.
    since: AtomicU64,
    /// When a write first found no room, plus one; 0 while there is room.
    blocked: AtomicU64,
    /// How the lines of the head end that is being read. Nobody waits for it either.
    line_ends: Mutex<LineEnds>,
}

impl Deadlines {
    /// A connection that was just accepted.
    pub fn new() -> Self {
        Deadlines {
            opened: Instant::now(),
            phase: AtomicU8::new(NEW),
            since: AtomicU64::new(0),
            blocked: AtomicU64::new(0),
            line_ends: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn enter(&self, phase: u8) {
        self.since.store(self.now(), Relaxed);
        self.phase.store(phase, Relaxed);
    }

    /// Bytes came in.
    pub fn received(&self, bytes: &[u8]) {
        let phase = self.phase.load(Relaxed);
        // Those of a body, or of a request that is sent ahead, change nothing.
        if phase == ANSWERING {
            return;
        }
        if phase != READING {
            self.enter(READING);
        }
        let mut ends = self.line_ends.lock().unwrap_or_else(PoisonError::into_inner);
        *ends = ends.after(bytes);
    }

    /// A head is complete; answers how its lines ended, as far as it was not sent ahead.
    pub fn asked(&self) -> LineEnds {
        self.phase.store(ANSWERING, Relaxed);
        std::mem::take(&mut *self.line_ends.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An answer is made.
    pub fn answered(&self) {
        self.enter(WAITING);
    }

    /// A write found room, or none.
    pub fn wrote(&self, room: bool) {
        if room {
            if self.blocked.load(Relaxed) != 0 {
                self.blocked.store(0, Relaxed);
            }
        } else if self.blocked.load(Relaxed) == 0 {
            self.blocked.store(self.now().saturating_add(1), Relaxed);
        }
    }

    /// When the connection must be cut, unless something happens before.
    pub fn deadline(&self) -> Option<Instant> {
        let blocked = match self.blocked.load(Relaxed) {
            0 => None,
            since => Some(self.opened + Duration::from_millis(since - 1) + BLOCKED),
        };
        let allowed = match self.phase.load(Relaxed) {
            NEW => Some(FIRST_BYTE),
            READING => Some(HEAD),
            WAITING => Some(IDLE),
            _ => None,
        };
        let phase = allowed.map(|allowed| self.opened + Duration::from_millis(self.since.load(Relaxed)) + allowed);
        [blocked, phase].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that was accepted so many seconds ago.
    fn aged(seconds: u64) -> Deadlines {
        Deadlines { opened: Instant::now() - Duration::from_secs(seconds), ..Deadlines::new() }
    }

    /// The deadline in seconds since the connection was accepted.
    fn deadline(deadlines: &Deadlines) -> Option<u64> {
        deadlines.deadline().map(|deadline| (deadline - deadlines.opened).as_secs())
    }

    #[test]
    fn each_phase_has_its_own_deadline() {
        let deadlines = aged(3);
        assert_eq!(deadline(&deadlines), Some(5));
        deadlines.received(b"GET");
        assert_eq!(deadline(&deadlines), Some(13));
        deadlines.asked();
        assert_eq!(deadline(&deadlines), None);
        deadlines.answered();
        assert_eq!(deadline(&deadlines), Some(63));
    }

    #[test]
    fn more_bytes_give_a_head_no_more_time() {
        let deadlines = aged(7);
        deadlines.phase.store(READING, Relaxed);
        deadlines.since.store(1000, Relaxed);
        deadlines.received(b"GET");
        assert_eq!(deadline(&deadlines), Some(11));
    }

    #[test]
    fn a_reader_that_takes_nothing_is_cut() {
        let deadlines = aged(10);
        deadlines.asked();
        deadlines.wrote(false);
        assert_eq!(deadline(&deadlines), Some(40));
        deadlines.blocked.store(2001, Relaxed);
        deadlines.wrote(false);
        assert_eq!(deadline(&deadlines), Some(32), "a second attempt gives no more time");
        deadlines.wrote(true);
        assert_eq!(deadline(&deadlines), None);
    }
}

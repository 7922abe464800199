//! Notices when somebody sets the clock: what is to happen after some time must neither come early nor late for it.
//!
//! The wall clock is compared with the monotonic one. Each look begins the comparison anew, so that a clock that is
//! slewed is never taken for one that was set.

use std::time::{Duration, Instant};

use crate::{domain::Micros, negative_control::NegativeControl, store::ClockSet};

/// Two looks that differ by more than this have a clock between them that was set.
const SET: Duration = Duration::from_secs(1);

/// Both clocks are read within this time, or the look does not count.
const AT_ONCE: Duration = Duration::from_millis(100);

/// After so long a clock that was set is believed: what is kept for some time is then deleted by it.
const BELIEVED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The wall clock, watched.
#[derive(Debug)]
pub struct Clock {
    wall: Micros,
    at: Instant,
    /// How far it was set forward since it is believed, in microseconds.
    offset: i64,
    set_at: Instant,
}

impl Clock {
    /// A clock that is believed as it is.
    pub fn new() -> Clock {
        let now = Instant::now();
        Clock { wall: Micros::now(), at: now, offset: 0, set_at: now }
    }

    /// Whether the clock was set since the last look.
    pub fn look(&mut self) -> Option<ClockSet> {
        let (before, wall, now) = (Instant::now(), Micros::now(), Instant::now());
        // Between the two clocks we were not running: the next look tells.
        if now.saturating_duration_since(before) > AT_ONCE {
            return None;
        }
        self.look_at(wall, now)
    }

    fn look_at(&mut self, wall: Micros, now: Instant) -> Option<ClockSet> {
        let from = self.wall.after(now.saturating_duration_since(self.at));
        (self.wall, self.at) = (wall, now);
        if self.offset != 0 && now.saturating_duration_since(self.set_at) > BELIEVED_AFTER {
            self.offset = 0;
        }
        if wall.since(from).max(from.since(wall)) <= SET || NegativeControl::UnwatchedClock.is_on() {
            return None;
        }
        self.offset = self.offset.saturating_add(wall.0.saturating_sub(from.0));
        self.set_at = now;
        Some(ClockSet { from, to: wall })
    }

    /// What the clock would show now if nobody had set it.
    pub fn steady(&self) -> Micros {
        Micros(self.wall.after(self.at.elapsed()).0.saturating_sub(self.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn clock() -> (Clock, Micros, Instant) {
        let (wall, at) = (Micros(1_700_000_000_000_000), Instant::now());
        (Clock { wall, at, offset: 0, set_at: at }, wall, at)
    }

    #[test]
    fn a_clock_that_is_slewed_was_not_set() {
        let (mut clock, mut wall, mut at) = clock();
        for _ in 0..1000 {
            wall = wall.after(Duration::from_millis(1900));
            at += SECOND;
            assert_eq!(clock.look_at(wall, at), None);
        }
        assert_eq!(clock.offset, 0);
    }

    #[test]
    fn a_clock_that_was_set_is_noticed_once_and_believed_after_a_day() {
        let (mut clock, wall, at) = clock();
        let (to, later) = (wall.after(3600 * SECOND), at + 10 * SECOND);
        assert_eq!(clock.look_at(to, later), Some(ClockSet { from: wall.after(10 * SECOND), to }));
        assert_eq!(clock.offset, 3_590_000_000);
        assert_eq!(clock.look_at(to.after(SECOND), later + SECOND), None);
        // And back.
        let back = wall.after(12 * SECOND);
        assert_eq!(clock.look_at(back, at + 12 * SECOND), Some(ClockSet { from: to.after(2 * SECOND), to: back }));
        assert_eq!(clock.offset, 0);
        assert!(clock.look_at(back.before(3600 * SECOND), at + 12 * SECOND).is_some());
        assert_ne!(clock.offset, 0);
        let day = BELIEVED_AFTER + SECOND;
        assert_eq!(clock.look_at(back.before(3600 * SECOND).after(day), at + 12 * SECOND + day), None);
        assert_eq!(clock.offset, 0);
    }
}

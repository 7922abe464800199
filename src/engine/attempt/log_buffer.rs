//! The lines of one attempt on their way to the store.
//!
//! Up to `limits.log` nothing is lost: who writes waits for room. Beyond it at most 1 MiB/s is
//! stored, the newest lines win, and whole old chunks make room for new ones.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    domain::{LogChunk, LogLine, Micros, Stream, log::LONGEST_LINE},
    store::LogExtent,
};

/// What may wait in memory for one attempt. Also the largest chunk, so that one row stays small.
const BUFFER_BYTES: usize = 256 << 10;

/// What is stored a second once the log is over its limit.
const OVER_LIMIT_RATE: u64 = 1 << 20;

/// Chunks are dropped in units of about this size, so that the list of them stays short; in smaller ones where the
/// limit is small.
const UNIT_BYTES: u64 = 64 << 10;

/// What a line costs beside its text.
const LINE_OVERHEAD: usize = 32;

/// The lines of one attempt that are not yet committed, and what is kept of its instance's log.
pub struct LogBuffer {
    attempt: u32,
    limit: u64,
    next: u64,
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// What is stored: first line, number of lines and bytes of each unit, oldest first.
    kept: VecDeque<Unit>,
    kept_bytes: u64,
    dropped: u64,
    not_before: Option<Instant>,
}

struct Unit {
    first: u64,
    lines: u64,
    bytes: u64,
}

impl LogBuffer {
    /// A buffer that goes on where the log of the instance stands.
    pub fn new(attempt: u32, limit: u64, extent: LogExtent) -> Self {
        let mut kept = VecDeque::new();
        if extent.first > 0 {
            kept.push_back(Unit { first: extent.first, lines: extent.last - extent.first + 1, bytes: extent.bytes });
        }
        LogBuffer {
            attempt,
            limit,
            next: extent.last + 1,
            lines: VecDeque::new(),
            bytes: 0,
            kept,
            kept_bytes: extent.bytes,
            dropped: extent.dropped,
            not_before: None,
        }
    }

    /// Adds a text: each of its lines, long ones in pieces. NUL becomes U+FFFD.
    pub fn push(&mut self, now: Micros, stream: Stream, text: &str) {
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            let mut rest = line;
            loop {
                let (piece, after) = rest.split_at(rest.floor_char_boundary(LONGEST_LINE));
                self.push_line(now, stream, piece);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
        }
    }

    fn push_line(&mut self, now: Micros, stream: Stream, text: &str) {
        let text = text.replace('\0', "\u{fffd}");
        self.bytes += text.len() + LINE_OVERHEAD;
        self.lines.push_back(LogLine { seq: self.next, time: now, attempt: self.attempt, stream, text });
        self.next += 1;
        while self.bytes > BUFFER_BYTES {
            // Only a writer that cannot wait, or a log over its limit, comes here: the newest lines win.
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len() + LINE_OVERHEAD;
            self.dropped += 1;
        }
    }

    /// Whether a writer that can wait should: there is no room for another long line, and the log is within its
    /// limit.
    pub fn is_full(&self) -> bool {
        !self.is_over_limit() && self.bytes + LONGEST_LINE + LINE_OVERHEAD > BUFFER_BYTES
    }

    /// Passes over so many lines: they count as lost, and their numbers are not given out again.
    pub fn skip(&mut self, lines: u64) {
        self.next += lines;
        self.dropped += lines;
    }

    /// Whether the log is over its limit: nobody waits for room any more, and the newest lines win.
    pub fn is_over_limit(&self) -> bool {
        self.kept_bytes + self.bytes as u64 > self.limit
    }

    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// When the next chunk may be stored: now, unless the log is over its limit.
    pub fn due(&self) -> Option<Instant> {
        self.not_before
    }

    /// Takes everything as one chunk of the instance `number`; None if there is nothing.
    pub fn take(&mut self, number: u64, now: Instant) -> Option<LogChunk> {
        if self.lines.is_empty() {
            return None;
        }
        let over_limit = self.is_over_limit();
        let lines: Vec<LogLine> = std::mem::take(&mut self.lines).into();
        let bytes = lines.iter().map(|line| line.text.len() as u64).sum::<u64>();
        self.bytes = 0;
        match self.kept.back_mut() {
            Some(unit) if unit.bytes + bytes <= UNIT_BYTES.min(self.limit / 16) => {
                unit.lines += lines.len() as u64;
                unit.bytes += bytes;
            }
            _ => self.kept.push_back(Unit { first: lines[0].seq, lines: lines.len() as u64, bytes }),
        }
        self.kept_bytes += bytes;
        while self.kept_bytes > self.limit && self.kept.len() > 1 {
            let Some(unit) = self.kept.pop_front() else { break };
            self.kept_bytes -= unit.bytes;
            self.dropped += unit.lines;
        }
        self.not_before = over_limit.then(|| now + Duration::from_micros(bytes * 1_000_000 / OVER_LIMIT_RATE));
        let keep_from = if self.dropped > 0 { self.kept.front().map_or(1, |unit| unit.first) } else { 1 };
        Some(LogChunk { instance: number, lines, keep_from, dropped: self.dropped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = Micros(1);

    fn buffer(limit: u64) -> LogBuffer {
        LogBuffer::new(1, limit, LogExtent::default())
    }

    #[test]
    fn a_text_becomes_lines_that_are_not_too_long() {
        let mut buffer = buffer(1 << 20);
        buffer.push(NOW, Stream::Task, &format!("a\r\n\nb\0\n{}", "é".repeat(LONGEST_LINE)));
        let chunk = buffer.take(9, Instant::now()).expect("lines");
        let texts: Vec<_> = chunk.lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(&texts[..3], ["a", "", "b\u{fffd}"]);
        assert_eq!(texts[3..].concat(), "é".repeat(LONGEST_LINE));
        assert!(chunk.lines.iter().all(|line| line.text.len() <= LONGEST_LINE));
        assert_eq!(chunk.lines.iter().map(|line| line.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!((chunk.keep_from, chunk.dropped), (1, 0));
        assert!(buffer.take(9, Instant::now()).is_none());
    }

    #[test]
    fn within_the_limit_a_full_buffer_asks_to_wait() {
        let mut buffer = buffer(16 << 20);
        while !buffer.is_full() {
            buffer.push(NOW, Stream::Stdout, &"x".repeat(1000));
        }
        let chunk = buffer.take(1, Instant::now()).expect("lines");
        assert_eq!(chunk.dropped, 0);
        assert!(!buffer.is_full());
        assert_eq!(buffer.due(), None, "nothing is slowed down");
    }

    #[test]
    fn over_the_limit_the_newest_lines_win_and_the_rate_is_bounded() {
        let limit = 1 << 20;
        let mut buffer = buffer(limit);
        let (mut stored, mut last_keep, mut last_dropped) = (0_u64, 1, 0);
        for n in 0..200_000_u32 {
            buffer.push(NOW, Stream::Stdout, &format!("{n:0100}"));
            assert!(!(buffer.is_full() && buffer.is_over_limit()), "who writes does not wait any more");
            if n % 1000 == 999 {
                let now = Instant::now();
                let chunk = buffer.take(1, now).expect("lines");
                stored += chunk.lines.len() as u64;
                (last_keep, last_dropped) = (chunk.keep_from, chunk.dropped);
                assert_eq!(chunk.lines.last().expect("lines").text, format!("{n:0100}"));
                if stored * 100 > limit + (1 << 18) {
                    let wait = buffer.due().expect("slowed down") - now;
                    assert!(wait > Duration::from_millis(50), "{wait:?}");
                }
            }
        }
        assert!(buffer.kept_bytes <= limit);
        let kept: u64 = buffer.kept.iter().map(|unit| unit.lines).sum();
        assert_eq!(kept + last_dropped, 200_000, "every line is either kept or counted");
        assert!(last_keep > 100_000);
    }

    #[test]
    fn a_later_attempt_goes_on_with_the_numbers() {
        let extent = LogExtent { last: 7, first: 3, bytes: 50, dropped: 2 };
        let mut buffer = LogBuffer::new(2, 100, extent);
        buffer.push(NOW, Stream::Task, &"y".repeat(80));
        let chunk = buffer.take(1, Instant::now()).expect("a line");
        assert_eq!(chunk.lines[0].seq, 8);
        assert_eq!((chunk.keep_from, chunk.dropped), (8, 7), "what came before made room");
    }
}

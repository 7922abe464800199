//! What a program prints, cut into log lines.

use std::mem;

use crate::domain::log::LONGEST_LINE;

/// Cuts one stream into lines, however its bytes are chunked.
///
/// - `\n` and `\r\n` end a line.
/// - A progress line, redrawn after a lone `\r`, is collapsed to its last state.
/// - A line over [`LONGEST_LINE`] bytes is split, never inside a character.
/// - Bad UTF-8 and NUL become U+FFFD.
///
/// It holds one unfinished line, so never more than [`LONGEST_LINE`] bytes of text and 3 of an unfinished character.
#[derive(Debug, Default)]
pub struct LineSplitter {
    text: String,
    /// The beginning of a character whose end has not come yet.
    partial: Vec<u8>,
    /// A `\r` came last: what follows decides whether it ends the line or redraws it.
    returned: bool,
    /// The beginning of this line was given out by `flush` or by a split: its end alone makes no empty line.
    begun: bool,
}

impl LineSplitter {
    /// An empty one.
    pub fn new() -> LineSplitter {
        LineSplitter::default()
    }

    /// Takes the next bytes and returns the lines that they complete, without their ends.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        if self.partial.is_empty() {
            self.decode(bytes, &mut lines);
        } else {
            let mut joined = mem::take(&mut self.partial);
            joined.extend_from_slice(bytes);
            self.decode(&joined, &mut lines);
        }
        lines
    }

    /// The unfinished line as it stands: a prompt, the latest state of a progress line. `None` if there is nothing new.
    pub fn pending(&self) -> Option<&str> {
        (!self.text.is_empty()).then_some(self.text.as_str())
    }

    /// Takes what [`pending`](Self::pending) shows. What the program adds to that line comes as a line of its own.
    pub fn flush(&mut self) -> Option<String> {
        if self.text.is_empty() {
            return None;
        }
        self.begun = true;
        Some(mem::take(&mut self.text))
    }

    /// The stream has ended: returns the line that had no end, if there is one (two where an unfinished character no
    /// longer fits into it).
    pub fn finish(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        if !mem::take(&mut self.partial).is_empty() {
            self.append("\u{FFFD}", &mut lines);
        }
        lines.extend(self.flush());
        *self = LineSplitter::default();
        lines
    }

    fn decode(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        let mut rest = bytes.len();
        for chunk in bytes.utf8_chunks() {
            rest -= chunk.valid().len() + chunk.invalid().len();
            self.take(chunk.valid(), lines);
            let invalid = chunk.invalid();
            if invalid.is_empty() {
                continue;
            }
            let unfinished = std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if rest == 0 && unfinished {
                self.partial.extend_from_slice(invalid);
            } else {
                self.append("\u{FFFD}", lines);
            }
        }
    }

    fn take(&mut self, mut text: &str, lines: &mut Vec<String>) {
        while let Some(at) = text.find(['\n', '\r', '\0']) {
            self.append(&text[..at], lines);
            match text.as_bytes()[at] {
                b'\n' => self.end(lines),
                b'\r' => self.returned = true,
                _ => self.append("\u{FFFD}", lines),
            }
            text = &text[at + 1..];
        }
        self.append(text, lines);
    }

    fn end(&mut self, lines: &mut Vec<String>) {
        if !(self.text.is_empty() && self.begun) {
            lines.push(mem::take(&mut self.text));
        }
        self.returned = false;
        self.begun = false;
    }

    /// Adds text without ends of lines.
    fn append(&mut self, mut text: &str, lines: &mut Vec<String>) {
        if text.is_empty() {
            return;
        }
        if mem::take(&mut self.returned) {
            self.text.clear();
        }
        // A line is split only when more comes, so that one of exactly the limit stays one.
        while self.text.len() + text.len() > LONGEST_LINE {
            let room = text.floor_char_boundary(LONGEST_LINE - self.text.len());
            self.text.push_str(&text[..room]);
            lines.push(mem::take(&mut self.text));
            self.begun = true;
            text = &text[room..];
        }
        self.text.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All lines of a stream, given in one piece.
    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut splitter = LineSplitter::new();
        let mut lines = splitter.push(bytes);
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn newlines_end_lines() {
        assert_eq!(lines(b"a\nb\r\n\n\r\nc"), ["a", "b", "", "", "c"]);
        assert_eq!(lines(b""), [""; 0]);
        assert_eq!(lines(b"\n"), [""]);
    }

    #[test]
    fn a_progress_line_is_collapsed_to_its_last_state() {
        assert_eq!(lines(b"10%\r20%\r30%\ndone\n"), ["30%", "done"]);
        assert_eq!(lines(b"10%\r20%\r"), ["20%"]);
        assert_eq!(lines(b"10%\r\r\n"), ["10%"]);
        assert_eq!(lines(b"\r10%\r20%"), ["20%"]);
    }

    #[test]
    fn the_latest_state_of_a_line_without_end_can_be_taken() {
        let mut splitter = LineSplitter::new();
        assert!(splitter.push(b"10%\r20%\r").is_empty());
        assert_eq!(splitter.pending(), Some("20%"));
        assert_eq!(splitter.flush().as_deref(), Some("20%"));
        assert_eq!(splitter.flush(), None);
        assert!(splitter.push(b"30%").is_empty());
        assert_eq!(splitter.push(b"\n"), ["30%"]);
    }

    #[test]
    fn the_end_of_a_taken_line_makes_no_empty_line() {
        let mut splitter = LineSplitter::new();
        splitter.push(b"name: ");
        assert_eq!(splitter.flush().as_deref(), Some("name: "));
        assert!(splitter.push(b"\r\n").is_empty());
        assert_eq!(splitter.push(b"\n"), [""]);
    }

    #[test]
    fn bad_bytes_and_nul_are_replaced() {
        assert_eq!(lines(b"a\xffb\0c\n"), ["a\u{FFFD}b\u{FFFD}c"]);
        assert_eq!(lines(b"\xe2\x82"), ["\u{FFFD}"]);
        assert_eq!(lines(b"\xe2\x82\n"), ["\u{FFFD}"]);
    }

    #[test]
    fn a_character_may_come_in_pieces() {
        let mut splitter = LineSplitter::new();
        for byte in "€".as_bytes() {
            assert!(splitter.push(&[*byte]).is_empty());
        }
        assert_eq!(splitter.push(b"\n"), ["€"]);
    }

    #[test]
    fn a_line_of_the_limit_stays_whole_and_a_longer_one_is_split_between_characters() {
        let exact = "x".repeat(LONGEST_LINE);
        assert_eq!(lines(format!("{exact}\n").as_bytes()), std::slice::from_ref(&exact));
        assert_eq!(lines(format!("{exact}y\n").as_bytes()), [exact.clone(), "y".to_owned()]);
        let euros = "€".repeat(LONGEST_LINE);
        let split = lines(euros.as_bytes());
        let (_, full) = split.split_last().expect("it has lines");
        assert!(full.iter().all(|line| line.len() == LONGEST_LINE - LONGEST_LINE % 3));
        assert_eq!(split.concat(), euros);
        assert_eq!(lines(format!("{exact}\u{FFFD}").as_bytes()).len(), 2);
    }

    #[test]
    fn endless_input_without_newlines_takes_no_more_room_than_one_line() {
        let mut splitter = LineSplitter::new();
        let (long, progress, bad) = ([b'x'; 8192], b"50%\r".repeat(2048), [0xff; 8192]);
        for _ in 0..256 {
            for chunk in [&long[..], &progress, &bad] {
                assert!(splitter.push(chunk).iter().all(|line| line.len() <= LONGEST_LINE));
                assert!(splitter.text.capacity() <= 2 * LONGEST_LINE);
                assert!(splitter.partial.len() <= 3);
            }
        }
    }

    /// Bytes in which everything that matters is frequent.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\0".to_vec()),
            Just("€".as_bytes().to_vec()),
            Just("𝄞".as_bytes().to_vec()),
            Just(vec![b'x'; LONGEST_LINE - 1]),
            proptest::collection::vec(any::<u8>(), 0..4),
            "[a-c]{0,3}".prop_map(String::into_bytes),
        ];
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn chunking_changes_nothing(bytes in stream(), sizes in proptest::collection::vec(1_usize..5000, 1..20)) {
            let mut splitter = LineSplitter::new();
            let mut found = Vec::new();
            let (mut rest, mut sizes) = (bytes.as_slice(), sizes.iter().cycle());
            while !rest.is_empty() {
                let size = rest.len().min(*sizes.next().expect("a cycle never ends"));
                found.extend(splitter.push(&rest[..size]));
                rest = &rest[size..];
            }
            found.extend(splitter.finish());
            prop_assert_eq!(found, lines(&bytes));
        }

        #[test]
        fn text_without_returns_comes_out_whole(text in "[a-z€\n]{0,200}") {
            let found = lines(text.as_bytes());
            let expected: Vec<&str> = text.split_terminator('\n').collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn every_line_is_clean(bytes in stream()) {
            for line in lines(&bytes) {
                prop_assert!(line.len() <= LONGEST_LINE && !line.contains(['\n', '\r', '\0']));
            }
        }
    }
}

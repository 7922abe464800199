//! Text from outside on a terminal: colours may stay, whatever else steers a terminal goes.

use std::fmt::Write;

use anstyle_parse::{Params, Parser, Perform, Utf8Parser};

/// A line for a terminal: its colours (SGR) if `colour`, its text, and no other control character.
pub(super) fn for_terminal(line: &str, colour: bool) -> String {
    let mut kept = Kept { text: String::with_capacity(line.len()), colour, coloured: false };
    let mut parser = Parser::<Utf8Parser>::new();
    for byte in line.bytes() {
        parser.advance(&mut kept, byte);
    }
    if kept.coloured {
        kept.text.push_str("\x1b[0m");
    }
    kept.text
}

/// The same for a text of several lines.
pub(super) fn lines_for_terminal(text: &str, colour: bool) -> String {
    text.lines().map(|line| for_terminal(line, colour)).collect::<Vec<_>>().join("\n")
}

/// A short text for a terminal or a column: control characters are shown as escapes.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// Whether a character turns the direction of the text after it, and so makes a line look like another one.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

struct Kept {
    text: String,
    colour: bool,
    coloured: bool,
}

impl Perform for Kept {
    fn print(&mut self, c: char) {
        if !c.is_control() && !turns(c) {
            self.text.push(c);
        }
    }

    fn execute(&mut self, byte: u8) {
        if byte == b'\t' {
            self.text.push('\t');
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: u8) {
        if action != b'm' || !intermediates.is_empty() || ignore || !self.colour {
            return;
        }
        self.coloured = true;
        self.text.push_str("\x1b[");
        for (n, param) in params.iter().enumerate() {
            if n > 0 {
                self.text.push(';');
            }
            for (n, part) in param.iter().enumerate() {
                let _ = if n > 0 { write!(self.text, ":{part}") } else { write!(self.text, "{part}") };
            }
        }
        self.text.push('m');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_stay_and_everything_else_goes() {
        let cases = [
            ("plain ü text\twith a tab", "plain ü text\twith a tab"),
            ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m\x1b[0m"),
            ("\x1b[38:5:9mx", "\x1b[38:5:9mx\x1b[0m"),
            // The screen, the cursor, the title, a clipboard, a bell, a carriage return, a C1 control.
            ("a\x1b[2Jb\x1b[10;10Hc\x1b]0;title\x07d\x1b]52;c;eA==\x1b\\e\x07f\rg\u{9b}2Jh", "abcdefg2Jh"),
            ("\x1bPq\x1b\\x\x1bcy\x08z", "xyz"),
        ];
        for (given, expected) in cases {
            assert_eq!(for_terminal(given, true), expected, "{given:?}");
        }
        assert_eq!(for_terminal("\x1b[31mred\x1b[0m", false), "red");
        assert_eq!(plain("a\nb\x1b"), "a\\nb\\u{1b}");
    }
}

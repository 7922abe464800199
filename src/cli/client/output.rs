//! What is printed and how: for people on a terminal, for programs into a pipe, or the daemon's own JSON.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

use crate::cli::{
    args::client::{Colour, Common, Format},
    failure::{FAILURE, Failure},
};

/// How wide a terminal is taken to be that does not say.
const USUAL_WIDTH: u16 = 80;

/// How a verb prints.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub format: Format,
    /// Whether stdout is a terminal: tables for people, relative times.
    pub is_terminal: bool,
    /// Whether stdout may be coloured.
    pub colour: bool,
    /// Whether something may be drawn on stderr.
    pub draws: bool,
}

impl Output {
    pub fn new(common: &Common) -> Output {
        let format = match (common.json, common.quiet) {
            (true, _) => Format::Json,
            (_, true) => Format::Id,
            _ => common.output,
        };
        let is_terminal = io::stdout().is_terminal();
        let able = env::var_os("TERM").is_none_or(|term| term != "dumb");
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colour = match common.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => is_terminal && able && wanted,
        };
        Output { format, is_terminal, colour, draws: io::stderr().is_terminal() && able }
    }

    /// For what the daemon says, as it is.
    pub fn raw() -> Output {
        Output { format: Format::Json, is_terminal: io::stdout().is_terminal(), colour: false, draws: false }
    }

    pub fn is_table(self) -> bool {
        self.format == Format::Table
    }

    /// How wide the terminal on stdout is, in columns.
    pub fn width(self) -> u16 {
        terminal_size::terminal_size_of(io::stdout()).map_or(USUAL_WIDTH, |(width, _)| width.0)
    }
}

/// Whether whoever reads stdout is still there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    There,
    Gone,
}

/// Writes bytes as they are, and says whether anybody reads on.
pub(super) fn stream(bytes: &[u8]) -> Result<Reader, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::new(FAILURE, format!("cannot write to stdout: {error}"))),
    }
}

//! Rows: aligned for people, with tabs between for programs.

use anstyle::AnsiColor;
use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, presets};

use super::output::Output;
use crate::{
    cli::{ansi, failure::Failure, print},
    domain::Status,
};

/// A table for people. Rows that are too wide for the terminal are cut.
pub(super) struct People {
    table: Table,
    colour: bool,
}

impl People {
    pub fn new(output: Output, header: &[&str]) -> People {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(output.width())
            .set_truncation_indicator("…");
        if output.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let mut people = People { table, colour: output.colour };
        let header = header.iter().map(|word| {
            let cell = Cell::new(word);
            if people.colour { cell.add_attribute(Attribute::Dim) } else { cell }
        });
        let header: Vec<_> = header.collect();
        people.table.set_header(header);
        people
    }

    /// Adds a row; control characters are shown as escapes.
    pub fn row(&mut self, cells: impl IntoIterator<Item = (String, Option<Color>)>) {
        let cells = cells.into_iter().map(|(text, colour)| {
            let cell = Cell::new(ansi::plain(&text));
            match colour.filter(|_| self.colour) {
                Some(colour) => cell.fg(colour),
                None => cell,
            }
        });
        let mut row = comfy_table::Row::from(cells.collect::<Vec<_>>());
        row.max_height(1);
        self.table.add_row(row);
    }

    /// Keeps the first so many columns as wide as they want to be: what is too wide is cut behind them.
    pub fn keep(&mut self, columns: usize) {
        for index in 0..columns {
            if let Some(column) = self.table.column_mut(index) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    }

    pub fn print(&self) -> Result<(), Failure> {
        let text: String = self.table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        print::all(&text)
    }
}

/// A row for programs: tabs between, and no tab or line's end within.
pub(super) fn row(cells: &[String]) -> String {
    let mut line = cells.iter().map(|cell| ansi::plain(cell)).collect::<Vec<_>>().join("\t");
    line.push('\n');
    line
}

/// `text` in the colour of `status`, where there are colours.
pub(super) fn painted(output: Output, status: Status, text: &str) -> String {
    if !output.colour {
        return text.to_owned();
    }
    let colour = match status {
        Status::Pending => AnsiColor::BrightBlack,
        Status::Running => AnsiColor::Cyan,
        Status::Completed => AnsiColor::Green,
        Status::Failed => AnsiColor::Red,
        Status::Cancelled => AnsiColor::Yellow,
    };
    let style = colour.on_default();
    format!("{style}{text}{style:#}")
}

/// The colour of a status.
pub(super) fn colour_of(status: Status) -> Color {
    match status {
        Status::Pending => Color::DarkGrey,
        Status::Running => Color::Cyan,
        Status::Completed => Color::Green,
        Status::Failed => Color::Red,
        Status::Cancelled => Color::Yellow,
    }
}

//! `logs`: a log, its end, or all that comes.

use std::collections::VecDeque;

use serde_json::value::RawValue;

use super::{
    absence::Absence,
    ids,
    log_lines::{self, LogPage, PAGE, Style},
    output::{self, Reader},
    session::Session,
};
use crate::{
    cli::{
        args::client::{Format, Logs},
        failure::Failure,
    },
    client::LogSlice,
};

/// The most lines that a daemon gives at a time.
const LARGEST_TAIL: u64 = 10_000;

pub(super) fn run(logs: Logs) -> Result<(), Failure> {
    let session = Session::open(&logs.common)?;
    let id = ids::one(&session, &logs.id)?;
    let style = Style {
        timestamps: logs.timestamps,
        as_json: matches!(session.output.format, Format::Json | Format::Jsonl),
        to_stderr: false,
    };
    let slice =
        LogSlice { stream: logs.stderr.then(|| "stderr".to_owned()), grep: logs.grep.clone(), ..LogSlice::default() };
    session.run(async {
        let whole_pages = session.output.format == Format::Json && !logs.follow;
        let (next, reader) = match logs.number {
            None if logs.follow => (Some(1), Reader::There),
            None => print_all(&session, &id, &slice, style, whole_pages).await?,
            Some(most) => print_last(&session, &id, &slice, most, style, whole_pages).await?,
        };
        match next {
            Some(from) if logs.follow && reader == Reader::There => {
                let slice = LogSlice { from: Some(from), ..slice };
                let print = |raw: &str| show(&session, style, raw);
                log_lines::follow(&session, &id, slice, &mut Absence::new(&session), print).await
            }
            _ => Ok(()),
        }
    })
}

fn show(session: &Session, style: Style, raw: &str) -> Result<Reader, Failure> {
    match session.output.format {
        Format::None | Format::Id => Ok(Reader::There),
        _ => style.print(session, raw),
    }
}

fn show_page(session: &Session, style: Style, page: &LogPage) -> Result<Reader, Failure> {
    for line in &page.lines {
        if show(session, style, line.get())? == Reader::Gone {
            return Ok(Reader::Gone);
        }
    }
    Ok(Reader::There)
}

/// All that there is now, a page at a time.
async fn print_all(
    session: &Session,
    id: &str,
    slice: &LogSlice,
    style: Style,
    whole_pages: bool,
) -> Result<(Option<u64>, Reader), Failure> {
    let mut slice = LogSlice { from: Some(1), limit: Some(PAGE), ..slice.clone() };
    loop {
        let (answer, page) = log_lines::page(session, id, &slice).await?;
        let reader =
            if whole_pages { output::stream(answer.text().as_bytes())? } else { show_page(session, style, &page)? };
        if page.next.is_none() || page.lines.is_empty() || reader == Reader::Gone {
            return Ok((page.next, reader));
        }
        slice.from = page.next;
    }
}

/// The last `most` lines, and where to go on.
async fn print_last(
    session: &Session,
    id: &str,
    slice: &LogSlice,
    most: u64,
    style: Style,
    whole_pages: bool,
) -> Result<(Option<u64>, Reader), Failure> {
    if (1..=LARGEST_TAIL).contains(&most) {
        let slice = LogSlice { tail: Some(most), ..slice.clone() };
        let (answer, page) = log_lines::page(session, id, &slice).await?;
        let reader =
            if whole_pages { output::stream(answer.text().as_bytes())? } else { show_page(session, style, &page)? };
        return Ok((page.next, reader));
    }
    // More than a daemon gives at a time, or none: read it all and keep its end. A log is bounded.
    let mut slice = LogSlice { from: Some(1), limit: Some(PAGE), ..slice.clone() };
    let mut kept: VecDeque<Box<RawValue>> = VecDeque::new();
    let next = loop {
        let (_, page) = log_lines::page(session, id, &slice).await?;
        let is_end = page.next.is_none() || page.lines.is_empty();
        kept.extend(page.lines);
        while kept.len() as u64 > most {
            kept.pop_front();
        }
        if is_end {
            break page.next;
        }
        slice.from = page.next;
    };
    let reader = show_page(session, style, &LogPage { lines: kept.into(), next })?;
    Ok((next, reader))
}

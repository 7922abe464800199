//! Lines of a log: printed, and followed through restarts of the daemon without losing one.

use std::io::{self, Write};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    absence::Absence,
    output::{self, Reader},
    session::Session,
};
use crate::{
    cli::{ansi, failure::Failure},
    client::{Answer, ClientError, LineImage, LogSlice},
};

/// How many lines are asked for at a time: with the longest lines there are, still one answer.
pub(super) const PAGE: u64 = 500;

/// A page of a log, each line as it came.
#[derive(Deserialize)]
pub(super) struct LogPage {
    pub lines: Vec<Box<RawValue>>,
    /// Where to go on; None once a done instance is read out.
    pub next: Option<u64>,
}

/// How lines are printed.
#[derive(Clone, Copy)]
pub(super) struct Style {
    pub timestamps: bool,
    /// As JSON, a line each.
    pub as_json: bool,
    /// To stderr, where stdout holds something else.
    pub to_stderr: bool,
}

impl Style {
    /// Prints one line, above whatever is drawn.
    pub fn print(self, session: &Session, raw: &str) -> Result<Reader, Failure> {
        let bytes = if self.as_json { format!("{raw}\n") } else { self.text(session, raw)? };
        session.bar.suspend(|| {
            if self.to_stderr {
                // Where stderr is closed there is nobody to tell.
                let _ = io::stderr().write_all(bytes.as_bytes());
                Ok(Reader::There)
            } else {
                output::stream(bytes.as_bytes())
            }
        })
    }

    /// Prints one line after `lead`.
    pub fn print_led_by(self, session: &Session, lead: &str, raw: &str) -> Result<Reader, Failure> {
        output::stream(format!("{lead}{}", self.text(session, raw)?).as_bytes())
    }

    fn text(self, session: &Session, raw: &str) -> Result<String, Failure> {
        let line: LineImage = read(session, raw)?;
        let on_terminal = if self.to_stderr { session.output.draws } else { session.output.is_terminal };
        let text = if on_terminal { ansi::for_terminal(&line.text, session.output.colour) } else { line.text };
        Ok(if self.timestamps { format!("{} {text}\n", line.time) } else { format!("{text}\n") })
    }
}

/// Reads a part of an answer.
pub(super) fn read<T: for<'a> Deserialize<'a>>(session: &Session, raw: &str) -> Result<T, Failure> {
    serde_json::from_str(raw)
        .map_err(|source| session.failure(&ClientError::Answer { url: session.client.url().to_owned(), source }))
}

/// One page.
pub(super) async fn page(session: &Session, id: &str, slice: &LogSlice) -> Result<(Answer, LogPage), Failure> {
    let answer = session.client.log(id, slice).await.map_err(|error| session.failure(&error))?;
    let page = answer.read().map_err(|error| session.failure(&error))?;
    Ok((answer, page))
}

/// Follows the log from `slice.from` to the end of the instance. `absence` knows whether the daemon has been met.
pub(super) async fn follow(
    session: &Session,
    id: &str,
    mut slice: LogSlice,
    absence: &mut Absence<'_>,
    mut print: impl FnMut(&str) -> Result<Reader, Failure>,
) -> Result<(), Failure> {
    let mut take = |slice: &mut LogSlice, raw: &str| -> Result<Reader, Failure> {
        #[derive(Deserialize)]
        struct Seq {
            seq: u64,
        }
        let Seq { seq } = read(session, raw)?;
        slice.from = Some(seq + 1);
        print(raw)
    };
    loop {
        let lost = match session.client.follow_log(id, &slice).await {
            Err(error) => Some(error),
            Ok(mut lines) => loop {
                absence.met();
                match lines.next().await {
                    Ok(Some(line)) => {
                        if take(&mut slice, &String::from_utf8_lossy(&line))? == Reader::Gone {
                            return Ok(());
                        }
                    }
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            },
        };
        if let Some(error) = lost {
            absence.outlast(&error).await?;
            continue;
        }
        // A stream ends with the instance, and with the daemon. A page says which, and has what came in between.
        loop {
            match session.client.log(id, &LogSlice { limit: Some(PAGE), ..slice.clone() }).await {
                Err(error) => {
                    absence.outlast(&error).await?;
                    break;
                }
                Ok(answer) => {
                    let page: LogPage = answer.read().map_err(|error| session.failure(&error))?;
                    for line in &page.lines {
                        if take(&mut slice, line.get())? == Reader::Gone {
                            return Ok(());
                        }
                    }
                    match page.next {
                        None => return Ok(()),
                        Some(_) if page.lines.is_empty() => {
                            absence.too_soon().await;
                            break;
                        }
                        Some(next) => slice.from = Some(next),
                    }
                }
            }
        }
    }
}

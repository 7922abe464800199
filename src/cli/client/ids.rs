//! Ids as people give them: a number, a UUID, `@`, and `-` for those on stdin.

use std::io::{self, BufRead};

use super::{last_started, session::Session};
use crate::cli::failure::{FAILURE, Failure, USAGE};

/// The most that are taken at a time.
const MOST: usize = 100_000;

/// The id that is meant by one word.
pub(super) fn one(session: &Session, word: &str) -> Result<String, Failure> {
    match word {
        "@" => last_started::recall(session),
        "-" => {
            let mut ids = from_stdin()?;
            match (ids.pop(), ids.is_empty()) {
                (Some(id), true) => Ok(id),
                _ => Err(Failure::new(USAGE, "-: write one id to stdin")),
            }
        }
        // A variable of a shell that is not set.
        "" => Err(Failure::new(USAGE, "the ID is empty: give a number or a UUID")),
        word => Ok(word.to_owned()),
    }
}

/// The ids that are meant, each once, in the order given.
pub(super) fn all(session: &Session, words: &[String]) -> Result<Vec<String>, Failure> {
    let mut ids: Vec<String> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for word in words {
        let meant = if word == "-" { from_stdin()? } else { vec![one(session, word)?] };
        for id in meant {
            if seen.insert(id.clone()) {
                ids.push(id);
            }
        }
    }
    if ids.is_empty() {
        session.say("taskwright: there were no ids on stdin");
    }
    Ok(ids)
}

fn from_stdin() -> Result<Vec<String>, Failure> {
    let mut ids = Vec::new();
    for line in io::stdin().lock().lines() {
        let line = line.map_err(|error| Failure::new(FAILURE, format!("cannot read ids from stdin: {error}")))?;
        ids.extend(line.split_whitespace().map(str::to_owned));
        if ids.len() > MOST {
            return Err(Failure::new(USAGE, format!("-: at most {MOST} ids at a time")));
        }
    }
    Ok(ids)
}

//! Data on stdout. A reader that has seen enough is no error.

use std::io::{self, Write};

use super::failure::{FAILURE, Failure};

/// Writes `text` and a newline.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    all(&format!("{text}\n"))
}

/// Writes `text` as it is.
pub(super) fn all(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(FAILURE, format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

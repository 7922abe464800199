//! Asking before something is done to many.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::cli::failure::{FAILURE, Failure, USAGE};

/// Asks `question` on the terminal; without one it is refused, since nobody can say yes.
pub(super) async fn ask(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::new(USAGE, format!("{question} There is no terminal to ask on: give -y")));
    }
    // Where stderr is closed nobody sees the question, and nobody answers.
    let _ = write!(io::stderr(), "{question} [y/N] ").and_then(|()| io::stderr().flush());
    // Beside, so that Ctrl-C is heard.
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map(|_| answer)
    })
    .await
    .map_err(io::Error::other)
    .and_then(|answer| answer)
    .map_err(|error| Failure::new(FAILURE, format!("cannot read the answer: {error}")))?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(Failure::new(FAILURE, "nothing was done"))
    }
}

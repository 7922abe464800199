//! `completions`: what a shell evaluates. It asks this binary for candidates, so that tasks and ids are among them.

use clap_complete::env::{EnvCompleter, Shells};

use super::{
    args::Completions,
    failure::{FAILURE, Failure},
    print,
};

/// The variable by which a shell asks for candidates.
pub(super) const VARIABLE: &str = "COMPLETE";

const NAME: &str = "taskwright";

pub(super) fn run(completions: &Completions) -> Result<(), Failure> {
    let failed = |why: String| Failure::new(FAILURE, format!("cannot write completions: {why}"));
    let shell = completions.shell.to_string();
    let shells = Shells::builtins();
    let completer: &dyn EnvCompleter =
        shells.completer(&shell).ok_or_else(|| failed(format!("{shell} is not known")))?;
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, NAME, NAME, NAME, &mut script).map_err(|error| failed(error.to_string()))?;
    print::all(&String::from_utf8_lossy(&script))
}

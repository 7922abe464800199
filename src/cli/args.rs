//! The command line as it is written and as `--help` teaches it.

pub(super) mod client;
pub(super) mod operator;
pub(super) mod report;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use client::ClientVerb;
use operator::OperatorVerb;
use report::{REPORT_HELP, Report};

#[derive(Parser)]
#[command(
    name = "taskwright",
    version,
    about = "Start, watch and stop background tasks over HTTP",
    long_about = "Start, watch and stop background tasks over HTTP.\n\nOne daemon runs Rust handlers that are compiled in, \
                  and programs in any language, and keeps every start that it acknowledged.",
    after_help = "Try it:\n  taskwright serve --demo\n  taskwright run sleep seconds=3\n  curl --json '{\"seconds\":3}' \
                  'http://127.0.0.1:8080/v1/definitions/sleep/instances?wait=10'",
    subcommand_value_name = "VERB",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(super) struct CommandLine {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Subcommand)]
pub(super) enum Verb {
    #[command(flatten)]
    Client(Box<ClientVerb>),
    /// Print what a shell needs to complete verbs, flags, tasks and ids.
    Completions(Completions),
    /// Print the manual, or write its pages.
    Man(Man),
    #[command(flatten)]
    Operator(OperatorVerb),
    /// Report from inside a command that runs as a task.
    ///
    /// Speaks for the attempt in whose environment it runs. Exits 0; 5 if the attempt is over or the daemon refused; 69
    /// if no daemon answers.
    #[command(after_help = REPORT_HELP)]
    Report(Report),
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  taskwright completions bash > ~/.local/share/bash-completion/completions/taskwright
  taskwright completions zsh > ~/.zfunc/_taskwright
  taskwright completions fish > ~/.config/fish/completions/taskwright.fish")]
pub(super) struct Completions {
    /// For this shell
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  taskwright man | man -l -
  taskwright man run | man -l -
  taskwright man --dir /usr/local/share/man/man1")]
pub(super) struct Man {
    /// The page of this verb; without one, that of taskwright
    #[arg(value_name = "VERB")]
    pub verb: Vec<String>,
    /// Write every page into this folder
    #[arg(long, value_name = "FOLDER", conflicts_with = "verb", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
}

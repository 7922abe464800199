//! The command line. [`run`] gives any binary the whole of it, with its own handlers.
//!
//! `args` is what `--help` shows and `help` how; `client` and `operator` have a file for each verb or group of verbs;
//! `failure` is how each of them ends. stdout is data, stderr the log and the reason.

mod ansi;
mod args;
mod client;
mod completions;
mod failure;
mod help;
mod man;
mod operator;
mod print;
mod report;

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use clap::FromArgMatches;
use clap_complete::CompleteEnv;

use crate::{config::Config, domain::error::chain, engine::Catalog, handlers, process, task::Registry};
use args::{CommandLine, Verb};
use failure::{CONFIGURATION, FAILURE, Failure};

/// What registers a binary's handlers.
type Register<'a> = Box<dyn FnOnce(&mut Registry) -> Result<(), Box<dyn Error + Send + Sync>> + 'a>;

/// A binary with its handlers.
struct Program<'a> {
    register: Register<'a>,
    /// Whether `checksum` is among them: the demo shows it.
    ships_checksum: bool,
}

/// Makes `main` the whole command line of a task server: `serve`, the client's verbs such as `run` and `ps`, the
/// operator's such as `config` and `backup`, `report` and `--help`. Call it first in `main`, before anything starts a
/// thread.
///
/// `register` is called once, and only where a daemon starts or its configuration is checked: never for `--help` or a
/// client's verb. An error that it returns ends the daemon's start with exit code 78.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     taskwright::run(|registry| {
///         taskwright::handlers::register(registry)?;
///         Ok(())
///     })
/// }
/// ```
pub fn run(register: impl FnOnce(&mut Registry) -> Result<(), Box<dyn Error + Send + Sync>>) -> ExitCode {
    begin(Program { register: Box::new(register), ships_checksum: false })
}

/// The command line of the daemon with the handlers that it ships.
#[doc(hidden)]
pub fn run_shipped() -> ExitCode {
    begin(Program { register: Box::new(handlers::register), ships_checksum: true })
}

fn begin(program: Program<'_>) -> ExitCode {
    process::run_if_spawner();
    // A shell that asks for candidates is answered, and nothing else is done.
    CompleteEnv::with_factory(help::command).var(completions::VARIABLE).bin("taskwright").complete();
    let outcome = match parsed().verb {
        Verb::Client(verb) => client::run(*verb),
        Verb::Completions(completions) => completions::run(&completions),
        Verb::Man(man) => man::run(&man),
        Verb::Operator(verb) => operator::run(program, verb),
        Verb::Report(report) => report::run(report),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                // Where stderr is closed there is nobody to tell.
                let _ = writeln!(io::stderr(), "taskwright: {}", failure.line());
            }
            ExitCode::from(failure.code)
        }
    }
}

fn parsed() -> CommandLine {
    let matches = help::command().get_matches();
    CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// Every task of a daemon: the registered handlers and the configured commands.
fn catalog(program: Program<'_>, config: &Config) -> Result<Catalog, Failure> {
    let mut registry = Registry::new(config.handlers.clone());
    (program.register)(&mut registry)
        .map_err(|error| Failure::new(CONFIGURATION, format!("cannot register the tasks: {}", chain(&*error))))?;
    let handlers = registry.into_handlers().map_err(|error| {
        let place = config.file.as_ref().map_or(String::new(), |file| format!("{}: ", file.display()));
        Failure::new(CONFIGURATION, format!("{place}{}", chain(&error)))
    })?;
    Catalog::new(handlers, config.tasks.clone()).map_err(|error| Failure::of(CONFIGURATION, &error))
}

/// A runtime for one exchange.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(FAILURE, format!("cannot begin to wait: {error}")))
}

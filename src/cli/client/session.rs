//! What every client's verb has: the daemon that is meant, how to print, and what to say when it does not go as asked.

use std::{
    future::Future,
    io::{self, Write},
    time::Duration,
};

use indicatif::ProgressBar;

use super::{
    exit_code::{self, INTERRUPTED, UNKNOWN},
    output::Output,
};
use crate::{
    cli::{
        args::client::{Common, Daemon},
        failure::{self, FAILURE, Failure, UNAVAILABLE, USAGE},
        runtime,
    },
    client::{
        Client, ClientError,
        discovery::{DiscoveryError, Found, Source, Wanted, discover},
    },
    domain::{duration, error::chain},
};

/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A verb's daemon and its output.
pub(super) struct Session {
    pub client: Client,
    source: Source,
    pub output: Output,
    /// What is drawn on stderr, so that lines do not fall into it; hidden unless a verb draws.
    pub bar: ProgressBar,
}

impl Session {
    /// Finds the daemon. Nothing is sent yet.
    pub fn open(common: &Common) -> Result<Session, Failure> {
        let Common { url, token, server, .. } = common.clone();
        Session::of(Wanted { url, token, server }, Output::new(common))
    }

    /// The same for a verb that prints what the daemon says.
    pub fn raw(daemon: Daemon) -> Result<Session, Failure> {
        let Daemon { url, token, server } = daemon;
        Session::of(Wanted { url, token, server }, Output::raw())
    }

    fn of(wanted: Wanted, output: Output) -> Result<Session, Failure> {
        let Found { client, source } = discover(&wanted, PATIENCE).map_err(undiscovered)?;
        Ok(Session { client, source, output, bar: ProgressBar::hidden() })
    }

    /// What a failed exchange is to whoever asked.
    pub fn failure(&self, error: &ClientError) -> Failure {
        let url = self.client.url();
        let source = &self.source;
        match error {
            ClientError::Url { .. } | ClientError::Token => Failure::of(USAGE, error),
            ClientError::Refused(refusal) => {
                let remedy = match refusal.kind.as_str() {
                    "unauthorized" => ". Give --token or TASKWRIGHT_TOKEN, or put it into client.toml",
                    _ => "",
                };
                Failure::new(exit_code::of_refusal(refusal), format!("{}{remedy}", refusal.text()))
            }
            ClientError::Unreachable { source: why, .. } => {
                let why = match why.kind() {
                    io::ErrorKind::ConnectionRefused => String::new(),
                    _ => format!(": {why}"),
                };
                Failure::new(UNAVAILABLE, format!("no daemon at {url} ({source}){why}. Start one: taskwright serve"))
            }
            ClientError::Timeout { .. } | ClientError::Broken { .. } | ClientError::Answer { .. } => {
                Failure::new(UNAVAILABLE, format!("{} ({source})", chain(error)))
            }
        }
    }

    /// Says something on stderr, above whatever is drawn there.
    pub fn say(&self, text: &str) {
        let line = failure::one_line(text);
        // Where stderr is closed there is nobody to tell.
        self.bar.suspend(|| _ = writeln!(io::stderr(), "{line}"));
    }

    /// Runs `work` to its end. Ctrl-C ends it with exit code 130.
    pub fn run(&self, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
        let runtime = runtime()?;
        let ended = runtime.block_on(async {
            tokio::select! {
                ended = work => ended,
                interrupted = tokio::signal::ctrl_c() => {
                    self.bar.finish_and_clear();
                    interrupted.map_err(|error| Failure::new(FAILURE, format!("cannot wait for signals: {error}")))?;
                    Err(Failure::silent(INTERRUPTED))
                }
            }
        });
        // A question that nobody answers any more is not waited for.
        runtime.shutdown_background();
        ended
    }
}

fn undiscovered(error: DiscoveryError) -> Failure {
    Failure::of(USAGE, &error)
}

/// Reads a duration that a flag gives.
pub(super) fn duration(flag: &str, text: &str) -> Result<Duration, Failure> {
    duration::parse(text).map_err(|error| Failure::new(USAGE, format!("{flag}: {error}")))
}

/// The same where there may be none.
pub(super) fn optional_duration(flag: &str, text: Option<&str>) -> Result<Option<Duration>, Failure> {
    text.map(|text| duration(flag, text)).transpose()
}

/// The end of a verb that was given several ids: the first that went wrong decides, all are named.
#[derive(Default)]
pub(super) struct Several(Option<u8>);

impl Several {
    /// One of them went wrong: says so and goes on, unless no other can go better.
    pub fn went_wrong(&mut self, session: &Session, id: &str, failure: Failure) -> Result<(), Failure> {
        if failure.code == UNAVAILABLE {
            return Err(failure);
        }
        let told = if failure.code == UNKNOWN { failure.message } else { format!("{id}: {}", failure.message) };
        session.say(&format!("taskwright: {told}"));
        self.0.get_or_insert(failure.code);
        Ok(())
    }

    /// How it all ended.
    pub fn end(self) -> Result<(), Failure> {
        self.0.map_or(Ok(()), |code| Err(Failure::silent(code)))
    }
}

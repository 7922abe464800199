//! `backup`: a copy of the store in one file.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use tokio::time::interval;

use super::{
    args,
    failure::{FAILURE, Failure, UNAVAILABLE, USAGE},
    print, runtime,
};
use crate::{
    config::{Config, Sources},
    domain::error::chain,
    server::Signals,
    store::sqlite::{BackedUp, Backup, BackupError, SqliteStore},
};

/// How often a terminal is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(250);

pub(super) fn run(arguments: args::Backup) -> Result<(), Failure> {
    let mut sources = Sources::of_process(arguments.file.config);
    if let Some(url) = arguments.database.database {
        sources.flags.push(("database", "url", url, "--database"));
    }
    let store = Config::load(&sources)?.store.path;
    SqliteStore::recognise(&store).map_err(|error| Failure::of(UNAVAILABLE, &error))?;
    let backup = Backup::new(&store, &arguments.target, arguments.force).map_err(refused)?;
    let made = runtime()?.block_on(async {
        let mut signals =
            Signals::new().map_err(|error| Failure::new(FAILURE, format!("cannot wait for signals: {error}")))?;
        tokio::select! {
            made = backup.make() => made.map_err(refused),
            () = tell(&backup) => Err(Failure::silent(FAILURE)),
            signal = signals.next() => {
                backup.abandon();
                // The thread that copies is not worth waiting for.
                std::process::exit(signal.exit_code().into());
            }
        }
    });
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r\x1b[K");
    }
    let BackedUp { bytes, instances, newest, schema } = made?;
    let target = arguments.target.display();
    print::line(&format!("{target}: {bytes} bytes, {instances} instances up to number {newest}, schema {schema}"))
}

/// Tells a terminal how far it is. Never ends.
async fn tell(backup: &Backup) {
    if !io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let mut ticks = interval(TELL_EVERY);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let (written, about) = backup.progress();
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        // A terminal that is gone is no reason to stop.
        let _ = write!(io::stderr(), "\r\x1b[K{:.1} MiB of about {:.1} MiB", mib(written), mib(about));
    }
}

fn refused(error: BackupError) -> Failure {
    let code = match &error {
        BackupError::Open(_) => UNAVAILABLE,
        BackupError::Own(_) | BackupError::NoFile(_) => USAGE,
        BackupError::Exists(_) | BackupError::LeftOver(_) | BackupError::Write { .. } | BackupError::Copy(_) => FAILURE,
    };
    Failure::new(code, chain(&error))
}

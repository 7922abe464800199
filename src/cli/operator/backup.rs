//! `backup`: a copy of the store in one file.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use tokio::time::{interval, timeout};

use crate::{
    cli::{
        args::operator,
        failure::{FAILURE, Failure, UNAVAILABLE, USAGE},
        print, runtime,
    },
    config::{Config, Sources},
    domain::error::chain,
    server::Signals,
    store::sqlite::{BackedUp, Backup, BackupError, SqliteStore},
};

/// How often a terminal is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// How long after a signal the copying may take to end.
const GIVE_UP_PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn run(arguments: operator::Backup) -> Result<(), Failure> {
    if arguments.target.as_os_str() == "-" {
        let told = "a backup is made as a file, not on stdout: give its name, or ./- for a file named -";
        return Err(Failure::new(USAGE, told.to_owned()));
    }
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
        let mut making = std::pin::pin!(backup.make());
        tokio::select! {
            made = &mut making => made.map_err(refused),
            () = tell(&backup) => Err(Failure::silent(FAILURE)),
            signal = signals.next() => {
                backup.give_up();
                match timeout(GIVE_UP_PATIENCE, making).await {
                    // It was whole before the signal came.
                    Ok(Ok(made)) => return Ok(made),
                    Ok(Err(_)) => {}
                    // A disk that hangs is not worth waiting for.
                    Err(_) => backup.abandon(),
                }
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
        BackupError::Own(_) | BackupError::InUse(_) | BackupError::NoFile(_) => USAGE,
        BackupError::Exists(_) | BackupError::LeftOver(_) | BackupError::Write { .. } | BackupError::Copy(_) => FAILURE,
    };
    Failure::new(code, chain(&error))
}

//! `serve`: the daemon, from the command line to its exit code.

use std::{
    io::{self, IsTerminal, Write},
    process,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{demo::Demo, telemetry};
use crate::{
    cli::{
        Program,
        args::operator::{ConfigFile, Overrides, Serve},
        catalog,
        failure::{CONFIGURATION, FAILURE, Failure, UNAVAILABLE},
    },
    client::endpoint::EndpointFile,
    config::{self, Config, Sources},
    engine::OpenEngineError,
    server::{Daemon, DaemonEnd, Signals, StartError},
    store::OpenError,
};

pub(super) fn run(program: Program<'_>, serve: Serve) -> Result<(), Failure> {
    let mut sources = serve.overrides.sources(serve.file);
    let demo = if serve.demo { Some(Demo::prepare(program.ships_checksum, &mut sources)?) } else { None };
    let config = Config::load(&sources)?;
    let shown = config::lines(&config::show(&sources)?);
    config.check_exposure()?;
    let catalog = catalog(program, &config)?;
    telemetry::start(&config.log);
    raise_file_limit();

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("http")
        .worker_threads(http_threads())
        .enable_all()
        .build()
        .map_err(|error| Failure::new(FAILURE, format!("cannot start the threads of HTTP: {error}")))?;
    let (mut server, mut signals) = runtime.block_on(async {
        let signals =
            Signals::new().map_err(|error| Failure::new(FAILURE, format!("cannot wait for signals: {error}")))?;
        let server = Daemon::open(&config, catalog).await.map_err(refused)?;
        Ok::<_, Failure>((server.showing(shown), signals))
    })?;
    announce(&config, &server);
    let endpoint = EndpointFile::write(&format!("{}{}", server.url(), config.base_path))
        .inspect_err(|error| tracing::debug!(%error, "clients of this user must be told where this daemon is"))
        .ok();
    let ending = runtime.block_on(server.run(&mut signals));
    drop(endpoint);
    drop(demo);
    match ending {
        DaemonEnd::Drained => Ok(()),
        // What still runs in this process is not worth waiting for.
        DaemonEnd::Killed(signal) => process::exit(signal.exit_code().into()),
        DaemonEnd::Failed(_) => process::exit(FAILURE.into()),
    }
}

impl Overrides {
    /// Where the configuration comes from, these flags over the rest.
    pub(super) fn sources(self, file: ConfigFile) -> Sources {
        let mut sources = Sources::of_process(file.config);
        let flags = [
            ("server", "listen", self.listen, "--listen"),
            ("database", "url", self.database.database, "--database"),
            ("log", "format", self.log_format, "--log-format"),
            ("log", "level", self.log_level, "--log-level"),
        ];
        sources.flags =
            flags.into_iter().filter_map(|(section, key, value, flag)| Some((section, key, value?, flag))).collect();
        sources
    }
}

fn refused(error: StartError) -> Failure {
    let code = match &error {
        StartError::Store(OpenError::Url { .. })
        | StartError::Engine(OpenEngineError::Definitions(_))
        | StartError::Registry(_)
        | StartError::Catalog(_)
        | StartError::Setting(_)
        | StartError::Exposed { .. }
        | StartError::NobodyMayDefine
        | StartError::Mount(_) => CONFIGURATION,
        StartError::Store(_) | StartError::Listen { .. } => UNAVAILABLE,
        StartError::NotInitialised(_)
        | StartError::Temporary(_)
        | StartError::Engine(OpenEngineError::Workers(_) | OpenEngineError::Recovery(_)) => FAILURE,
    };
    Failure::of(code, &error)
}

/// Allows as many open files as the system lets us: every connection and every command needs some.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

/// Says where the daemon is: on a terminal with a line to paste, else as a line of the log.
fn announce(config: &Config, server: &Daemon) {
    let url = server.url();
    if !io::stderr().is_terminal() || telemetry::is_json(&config.log) {
        tracing::info!(
            url,
            address = %server.address(),
            store = server.location(),
            version = env!("CARGO_PKG_VERSION"),
            "listening on {url}"
        );
        return;
    }
    let tasks = server.tasks();
    let bearer = if config.tokens.is_empty() { "" } else { "-H \"Authorization: Bearer $TOKEN\" " };
    let file = config.file.as_ref().map_or("none, only defaults".to_owned(), |file| file.display().to_string());
    let mut text = format!(
        "taskwright {} listens on {url}\n  dashboard  {url}{}/\n  data       {}\n  config     {file}\n  tasks      {}\n",
        env!("CARGO_PKG_VERSION"),
        config.base_path,
        server.location(),
        if tasks.is_empty() { "none: add [[tasks]] to the configuration".to_owned() } else { tasks.join(", ") },
    );
    if let Some(task) = tasks.iter().find(|task| *task == "sleep").or(tasks.first()) {
        let inputs = if task == "sleep" { "{\"seconds\":3}" } else { "{}" };
        let task = percent_encoding::utf8_percent_encode(task, percent_encoding::NON_ALPHANUMERIC);
        text.push_str(&format!(
            "Try\n  curl {bearer}--json '{inputs}' '{url}{}/v1/definitions/{task}/instances?wait=10'\n",
            config.base_path
        ));
    }
    text.push_str("End it with Ctrl-C.\n");
    // A terminal that is gone is no reason not to serve.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// How many threads serve requests. One core is left to SQLite's thread and to handlers: another thread here would only
/// take turns with them, and its wake-ups cost more than it does.
fn http_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

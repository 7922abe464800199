//! The configuration: a TOML file, the environment over it, flags over both. Composes each layer's settings.
//!
//! In reading order: [`keys`] lists what there is; [`Sources`] finds and merges it; `section` reads one table with
//! messages that name place and remedy; `tasks` and [`tokens`] read the lists; [`show()`] tells where each value comes from.
//! Unknown keys are errors everywhere.

mod error;
pub mod keys;
mod paths;
mod section;
mod show;
mod sources;
mod tasks;
pub mod tokens;

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    sync::Arc,
};

pub use error::ConfigError;
pub use paths::host_name;
pub use show::{Group, Origin, Setting, lines, show};
pub use sources::Sources;
pub use tokens::Token;

use crate::{
    domain::{RetentionOptions, bounds, size::ByteSize},
    engine::{self, CommandTask},
    http,
    store::{
        OpenError,
        sqlite::{self, Synchronous},
    },
};
use section::Section;
use sources::Merged;

/// A whole configuration, checked.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// The file it was read from, where there was one.
    pub file: Option<PathBuf>,
    /// `server.listen`.
    pub listen: SocketAddr,
    /// `server.hosts`.
    pub hosts: Vec<String>,
    /// `server.base_path`: empty, or begins with `/` and does not end with one.
    pub base_path: String,
    /// `server.max_connections`.
    pub max_connections: u32,
    /// `[database]`.
    pub store: sqlite::Settings,
    /// `[worker]`, `[retention]`, `[definitions]`, `[numerous]`, `server.drain`, `server.drain_grace`, `server.node` and `limits.pending`, `output`,
    /// `log`.
    pub engine: engine::Settings,
    /// `limits.body`.
    pub body: ByteSize,
    /// `limits.batch_body`.
    pub batch_body: ByteSize,
    /// `limits.streams`.
    pub streams: u32,
    /// `[log]`.
    pub log: Log,
    /// `[[tokens]]`.
    pub tokens: Vec<Token>,
    /// `[[tasks]]`.
    pub tasks: Vec<CommandTask>,
    /// `[handlers.NAME]`, by name.
    pub handlers: BTreeMap<String, toml::Table>,
}

/// How the daemon writes its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `log.format`.
    pub format: LogFormat,
    /// `log.level`: a level, or directives such as `info,taskwright::http=debug`.
    pub level: String,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl fmt::Debug for Config {
    /// Names what may hold secrets, and leaves the rest of it out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks: Vec<_> = self.tasks.iter().map(|task| &task.definition.id).collect();
        let handlers: Vec<_> = self.handlers.keys().collect();
        f.debug_struct("Config")
            .field("file", &self.file)
            .field("listen", &self.listen)
            .field("hosts", &self.hosts)
            .field("base_path", &self.base_path)
            .field("max_connections", &self.max_connections)
            .field("store", &self.store)
            .field("engine", &self.engine)
            .field("body", &self.body)
            .field("batch_body", &self.batch_body)
            .field("streams", &self.streams)
            .field("log", &self.log)
            .field("tokens", &self.tokens)
            .field("tasks", &tasks)
            .field("handlers", &handlers)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// Reads, merges and checks.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place and the remedy. Nothing else has happened then.
    pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
        Config::read(&mut sources.merge()?, sources)
    }

    /// Reads what was merged, and takes it out of there.
    fn read(merged: &mut Merged, sources: &Sources) -> Result<Config, ConfigError> {
        let table = std::mem::take(&mut merged.table);
        let merged = &*merged;
        let mut top = Section::open(merged, String::new(), Some(table.into()), &keys::top())?;
        let mut open = |name: &str| {
            let known: Vec<&str> = keys::of_section(name).unwrap_or_default().iter().map(|(key, _)| *key).collect();
            Section::open(merged, name.to_owned(), top.value(name), &known)
        };
        let (mut server, mut database, mut worker) = (open("server")?, open("database")?, open("worker")?);
        let (mut limits, mut retention, mut log) = (open("limits")?, open("retention")?, open("log")?);
        let (mut definitions, mut numerous) = (open("definitions")?, open("numerous")?);

        let listen = listen(&mut server)?;
        let max_connections = server.small("max_connections", 1..=1_000_000)?.unwrap_or(1024);
        let mut engine = engine::Settings { node: Arc::from(paths::host_name()), ..engine::Settings::default() };
        read_engine(&mut engine, &mut server, &mut worker, &mut limits)?;
        let said = RetentionOptions { age: retention.read("age")?, count: retention.read("count")? };
        engine.retention = said.over(engine.retention);

        let folder = match &merged.file {
            Some(path) => std::path::absolute(path).ok().and_then(|path| path.parent().map(PathBuf::from)),
            None => std::env::current_dir().ok(),
        };
        let folder = folder.unwrap_or_else(|| PathBuf::from("/"));
        engine.remote_definitions = definitions.flag("remote")?.unwrap_or(false);
        engine.directory.clone_from(&folder);
        engine.numerous = engine::Numerous {
            organization: platform_name(&mut numerous, "organization")?,
            deployment: platform_name(&mut numerous, "deployment")?,
        };
        let config = Config {
            file: merged.file.clone(),
            listen,
            hosts: hosts(&mut server)?,
            base_path: base_path(&mut server)?,
            max_connections,
            store: read_store(&mut database, sources)?,
            engine,
            body: limits.size("body")?.unwrap_or(ByteSize::mib(1)),
            batch_body: limits.size("batch_body")?.unwrap_or(ByteSize::mib(16)),
            streams: limits.small("streams", 1..=1_000_000)?.unwrap_or(1024),
            log: read_log(&mut log)?,
            tokens: tokens::read(merged, top.value("tokens"))?,
            tasks: tasks::read(merged, top.value("tasks"), &folder)?,
            handlers: handlers(&mut top)?,
        };
        Ok(config)
    }

    /// Refuses to let other machines run tasks here without a token, and anybody define commands without one that is
    /// for administrators.
    ///
    /// # Errors
    /// [`ConfigError::Exposed`], [`ConfigError::NobodyMayDefine`].
    pub fn check_exposure(&self) -> Result<(), ConfigError> {
        let is_local = self.listen.ip().to_canonical().is_loopback();
        match self.http(self.listen).exposure(is_local, self.engine.remote_definitions) {
            None => Ok(()),
            Some(http::Exposure::Everything) => Err(ConfigError::Exposed { listen: self.listen }),
            Some(http::Exposure::Definitions) => Err(ConfigError::NobodyMayDefine),
        }
    }

    /// The part of the HTTP layer, which listens at `bound`.
    pub fn http(&self, bound: SocketAddr) -> http::Settings {
        http::Settings {
            hosts: self.hosts.clone(),
            base_path: self.base_path.clone(),
            max_connections: self.max_connections as usize,
            body: self.body,
            batch_body: self.batch_body,
            streams: self.streams as usize,
            tokens: self.tokens.iter().map(Into::into).collect(),
            bound,
            shown: Vec::new(),
        }
    }
}

/// Where a program on this machine reaches a server that listens at `bound`.
pub fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

fn listen(server: &mut Section<'_>) -> Result<SocketAddr, ConfigError> {
    let Some(text) = server.text("listen")? else {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
    };
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.clone(),
    };
    numeric.parse().map_err(|_| {
        server.error(
            "listen",
            format!("`{text}` is no address: write ADDRESS:PORT, such as 127.0.0.1:8080 or [::1]:8080"),
        )
    })
}

fn hosts(server: &mut Section<'_>) -> Result<Vec<String>, ConfigError> {
    let hosts = server.texts("hosts")?.unwrap_or_default();
    for host in &hosts {
        if !is_host(host) {
            let detail =
                format!("`{host}` is no host: write a name, with a port or without, such as tasks.example.com");
            return Err(server.error("hosts", detail));
        }
    }
    Ok(hosts)
}

/// `name`, `name:port`, `[v6]` or `[v6]:port`.
fn is_host(text: &str) -> bool {
    let end = if text.starts_with('[') { text.find(']').map(|at| at + 1) } else { text.find(':') };
    let (name, port) = text.split_at(end.unwrap_or(text.len()));
    let port_ok =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok_and(|n| n > 0));
    let name_ok = match name.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => {
            (1..=253).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        }
    };
    port_ok && name_ok
}

fn base_path(server: &mut Section<'_>) -> Result<String, ConfigError> {
    let path = server.text("base_path")?.unwrap_or_default();
    if path.is_empty() || path == "/" {
        return Ok(String::new());
    }
    let segments_ok = path.strip_prefix('/').is_some_and(|rest| {
        rest.split('/').all(|segment| {
            !matches!(segment, "" | "." | "..")
                && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        })
    });
    if !segments_ok {
        let detail = format!("`{path}` is no path: write /prefix, with letters, digits and -._~ and no / at its end");
        return Err(server.error("base_path", detail));
    }
    Ok(path)
}

fn read_engine(
    engine: &mut engine::Settings,
    server: &mut Section<'_>,
    worker: &mut Section<'_>,
    limits: &mut Section<'_>,
) -> Result<(), ConfigError> {
    if let Some(node) = server.text("node")? {
        if node.is_empty() || node.chars().count() > 253 || node.chars().any(char::is_control) {
            return Err(server.error("node", "must be 1 to 253 characters without control characters"));
        }
        engine.node = Arc::from(node);
    }
    if let Some(drain) = server.duration("drain", true, bounds::LONGEST)? {
        engine.drain = drain;
    }
    if let Some(grace) = server.duration("drain_grace", true, bounds::LONGEST)? {
        engine.drain_grace = grace;
    }
    if let Some(slots) = worker.small("local_slots", 1..=100_000)?.and_then(NonZeroU32::new) {
        engine.local_slots = slots;
    }
    if let Some(slots) = worker.small("command_slots", 1..=100_000)?.and_then(NonZeroU32::new) {
        engine.command_slots = slots;
    }
    if let Some(grace) = worker.duration("stop_grace", true, bounds::LONGEST_GRACE)? {
        engine.stop_grace = grace;
    }
    if let Some(pending) = limits.whole("pending", 1..=i64::MAX as u64)? {
        engine.pending = pending;
    }
    if let Some(output) = limits.size("output")? {
        engine.output = output;
    }
    if let Some(log) = limits.size("log")? {
        engine.log = log;
    }
    Ok(())
}

/// A name that `numerous` knows us by: part of an environment and of what its command line prints.
fn platform_name(numerous: &mut Section<'_>, key: &str) -> Result<Option<Arc<str>>, ConfigError> {
    let Some(name) = numerous.text(key)?.filter(|name| !name.is_empty()) else { return Ok(None) };
    if name.trim().is_empty() || name.chars().count() > 253 || name.chars().any(char::is_control) {
        return Err(numerous.error(key, "must be at most 253 characters, without control characters"));
    }
    Ok(Some(Arc::from(name)))
}

fn read_store(database: &mut Section<'_>, sources: &Sources) -> Result<sqlite::Settings, ConfigError> {
    let mut store = match database.text("url")? {
        Some(url) => sqlite::Settings::from_url(&url).map_err(|error| {
            let url = match error {
                OpenError::Url { url } => url,
                _ => String::new(),
            };
            database.error("url", format!("`{url}` is not understood: write sqlite:///absolute/path.db"))
        })?,
        None => sqlite::Settings { path: paths::database(sources), synchronous: Synchronous::Full },
    };
    store.synchronous = match database.word("synchronous", &["full", "extra", "normal", "off"])? {
        Some("extra") => Synchronous::Extra,
        Some("normal") => Synchronous::Normal,
        Some("off") => Synchronous::Off,
        _ => Synchronous::Full,
    };
    Ok(store)
}

fn read_log(log: &mut Section<'_>) -> Result<Log, ConfigError> {
    let format = match log.word("format", &["auto", "text", "json"])? {
        Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        _ => LogFormat::Auto,
    };
    let level = log.text("level")?.unwrap_or_else(|| "info".to_owned());
    // A bare word that is no level would be taken for a module, and silence everything else.
    let is_level = |word: &str| word.trim().parse::<tracing_subscriber::filter::LevelFilter>().is_ok();
    let words_ok = level.split(',').all(|word| word.contains(['=', '[']) || is_level(word));
    if !words_ok || tracing_subscriber::EnvFilter::try_new(&level).is_err() {
        let detail = format!(
            "`{level}` is no level: write error, warn, info, debug, trace, off, or directives such as info,taskwright::http=debug"
        );
        return Err(log.error("level", detail));
    }
    Ok(Log { format, level })
}

fn handlers(top: &mut Section<'_>) -> Result<BTreeMap<String, toml::Table>, ConfigError> {
    let table = match top.value("handlers") {
        None => return Ok(BTreeMap::new()),
        Some(toml::Value::Table(table)) => table,
        Some(_) => return Err(top.error("handlers", "must be a table: write [handlers.NAME]")),
    };
    let tables = table.into_iter().map(|(name, value)| match value {
        toml::Value::Table(table) => Ok((name, table)),
        _ => Err(top.error(&format!("handlers.{name}"), format!("must be a table: write [handlers.{name}]"))),
    });
    tables.collect()
}

//! Which daemon is meant: the first that is named by a flag, the environment, `client.toml`, a daemon of the same user
//! that runs here, and last the default address.

use std::{ffi::OsString, fmt, path::PathBuf, time::Duration};

use super::{
    Client, ClientError,
    endpoint::{self, Variable, absolute},
    environment::{TOKEN, URL},
    servers::{InvalidServers, Servers},
};

/// Where a daemon listens by default.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// What the command line says about the daemon.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// `--url`.
    pub url: Option<String>,
    /// `--token`.
    pub token: Option<String>,
    /// `--server`.
    pub server: Option<String>,
}

/// What named the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `--url`.
    Flag,
    /// `TASKWRIGHT_URL`.
    Variable,
    /// A server of `client.toml`.
    File {
        /// The server.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// The file of a daemon of the same user.
    Endpoint(PathBuf),
    /// Nothing.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag => f.write_str("--url"),
            Source::Variable => f.write_str(URL),
            Source::File { name, path } => write!(f, "server {name} of {}", path.display()),
            Source::Endpoint(path) => path.display().fmt(f),
            Source::Default => f.write_str("default"),
        }
    }
}

/// A client of the daemon that is meant.
#[derive(Clone)]
pub struct Found {
    /// Speaks with it.
    pub client: Client,
    /// What named it.
    pub source: Source,
}

/// Why no daemon is meant.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// `client.toml` is wrong.
    #[error(transparent)]
    Servers(#[from] InvalidServers),
    /// A server was asked for by name, and there is no file.
    #[error("--server needs {}: write [servers.NAME] with url, and token or token_file", path.display())]
    NoServers {
        /// Where it would be.
        path: PathBuf,
    },
    /// The URL or the token makes no sense.
    #[error("{source_name}")]
    Client {
        /// What named it.
        source_name: Source,
        /// What is wrong.
        #[source]
        source: ClientError,
    },
}

/// Finds the daemon that is meant, by this process's environment.
///
/// # Errors
/// [`DiscoveryError`].
pub fn discover(wanted: &Wanted, patience: Duration) -> Result<Found, DiscoveryError> {
    discover_by(wanted, patience, &|name| std::env::var_os(name))
}

fn discover_by(wanted: &Wanted, patience: Duration, variable: Variable<'_>) -> Result<Found, DiscoveryError> {
    let (source, url, token) = locate(wanted, variable)?;
    let text =
        |value: Option<OsString>| value.and_then(|value| value.into_string().ok()).filter(|text| !text.is_empty());
    let token = wanted.token.clone().or_else(|| match &source {
        // A server that was asked for by name has its own.
        Source::File { .. } if wanted.server.is_some() && token.is_some() => token.clone(),
        _ => text(variable(TOKEN)).or_else(|| token.clone()),
    });
    let client = Client::new(&url).and_then(|client| match &token {
        Some(token) => client.with_token(token),
        None => Ok(client),
    });
    match client {
        Ok(client) => Ok(Found { client: client.with_patience(patience), source }),
        Err(error) => Err(DiscoveryError::Client { source_name: source, source: error }),
    }
}

/// What names the daemon, its URL, and the token that belongs to it.
fn locate(wanted: &Wanted, variable: Variable<'_>) -> Result<(Source, String, Option<String>), DiscoveryError> {
    if let Some(url) = &wanted.url {
        return Ok((Source::Flag, url.clone(), None));
    }
    let given = variable(URL).and_then(|url| url.into_string().ok()).filter(|url| !url.is_empty());
    if let Some(url) = given.filter(|_| wanted.server.is_none()) {
        return Ok((Source::Variable, url, None));
    }
    let folder = absolute(variable("XDG_CONFIG_HOME"))
        .or_else(|| absolute(variable("HOME")).map(|home| home.join(".config")))
        .unwrap_or_else(|| PathBuf::from("/etc"));
    let path = folder.join("taskwright/client.toml");
    match Servers::read(&path)? {
        Some(servers) => {
            if let Some((name, server)) = servers.find(&path, wanted.server.as_deref())? {
                return Ok((Source::File { name, path }, server.url, server.token));
            }
        }
        None if wanted.server.is_some() => return Err(DiscoveryError::NoServers { path }),
        None => {}
    }
    if let Some((url, path)) = endpoint::newest(variable) {
        return Ok((Source::Endpoint(path), url, None));
    }
    Ok((Source::Default, DEFAULT_URL.to_owned(), None))
}

//! The part of the configuration that HTTP needs.

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::domain::size::ByteSize;

/// How the daemon is reached, by whom, and how much one request may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Further names that `Host` may have (`server.hosts`).
    pub hosts: Vec<String>,
    /// The prefix under which a proxy serves us, such as `/tasks`; empty for none (`server.base_path`).
    pub base_path: String,
    /// The most connections at once; beyond it none is accepted (`server.max_connections`).
    pub max_connections: usize,
    /// The largest body (`limits.body`).
    pub body: ByteSize,
    /// The largest body of a batch (`limits.batch_body`).
    pub batch_body: ByteSize,
    /// The most event and log streams at once (`limits.streams`).
    pub streams: usize,
    /// Who may call; empty means everybody on this machine (`[[tokens]]`).
    pub tokens: Vec<TokenSettings>,
    /// The address that is listened on.
    pub bound: SocketAddr,
    /// The whole configuration as it may be shown: secrets are hidden in it. Empty where there is none.
    pub shown: Vec<Shown>,
}

/// One key of the configuration, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its whole name, such as `server.listen`.
    pub key: String,
    /// Its value, as TOML writes it.
    pub value: String,
    /// Where it comes from: `default`, a file, a variable or a flag.
    pub origin: String,
}

impl Settings {
    /// The default limits, for a daemon that listens on `bound`.
    pub fn new(bound: SocketAddr) -> Self {
        Settings {
            hosts: Vec::new(),
            base_path: String::new(),
            max_connections: 1024,
            body: ByteSize::mib(1),
            batch_body: ByteSize::mib(16),
            streams: 1024,
            tokens: Vec::new(),
            bound,
            shown: Vec::new(),
        }
    }
}

/// What would be open to those who should be kept out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Everything, to other machines: there are no tokens.
    Everything,
    /// The definition of commands: no token is for administrators.
    Definitions,
}

impl Settings {
    /// What these settings leave open where only this machine reaches us (`is_local`) or others do too, and commands may
    /// be registered (`definitions`) or not.
    pub fn exposure(&self, is_local: bool, definitions: bool) -> Option<Exposure> {
        if self.tokens.is_empty() && !is_local {
            return Some(Exposure::Everything);
        }
        let has_admin = self.tokens.iter().any(|token| token.scopes.contains(&Scope::Admin));
        (definitions && !has_admin).then_some(Exposure::Definitions)
    }
}

/// A token, known by its hash only.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// Whose it is; also the scope of its idempotency keys.
    pub name: String,
    /// SHA-256 of the whole token.
    pub sha256: [u8; 32],
    /// What it may do.
    pub scopes: Vec<Scope>,
}

impl TokenSettings {
    /// The token `text`, which is not kept. `name` is new among the tokens.
    pub fn new(name: &str, text: &str, scopes: &[Scope]) -> Self {
        TokenSettings { name: name.to_owned(), sha256: Sha256::digest(text).into(), scopes: scopes.to_vec() }
    }
}

impl fmt::Debug for TokenSettings {
    /// Leaves the hash out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSettings").field("name", &self.name).field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// What a token may do. A later one holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Reads everything.
    Read,
    /// Starts, stops, retries and reports.
    Run,
    /// Changes definitions.
    Admin,
}

impl Scope {
    /// The word used in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Run => "run",
            Scope::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no scope: use read, run or admin")]
pub struct UnknownScope(pub String);

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Scope::Read, Scope::Run, Scope::Admin]
            .into_iter()
            .find(|scope| scope.as_str() == word)
            .ok_or_else(|| UnknownScope(word.to_owned()))
    }
}

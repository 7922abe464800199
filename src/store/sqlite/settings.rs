//! Where the database is, and how its commits are synced.

use std::{fmt, path::PathBuf, str::FromStr};

use crate::store::OpenError;

/// What a store is opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The database file. Its folder is created if it is missing.
    pub path: PathBuf,
    /// How commits are synced.
    pub synchronous: Synchronous,
}

impl Settings {
    /// The store at `path`, with every commit synced.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Settings { path: path.into(), synchronous: Synchronous::Full }
    }

    /// Reads `sqlite:///absolute/path.db` or `sqlite://relative.db`; everything after the slashes is the path.
    ///
    /// # Errors
    /// [`OpenError::Url`]: another scheme, no path, a query or a fragment.
    pub fn from_url(url: &str) -> Result<Self, OpenError> {
        let path = url
            .strip_prefix("sqlite://")
            .filter(|path| !path.is_empty() && !path.ends_with('/') && !path.contains(['?', '#', '\0']));
        match path {
            Some(path) => Ok(Settings::at(path)),
            None => Err(OpenError::Url { url: without_secrets(url) }),
        }
    }
}

/// A URL for messages: without who logs in, and with what. Those stand before the last `@`, or in the query.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = match url.find("://") {
        Some(at) => url.split_at(at + 3),
        None => ("", url),
    };
    let rest = rest.rsplit_once('@').map_or(rest.to_owned(), |(_, host)| format!("(hidden)@{host}"));
    match rest.split_once('?') {
        Some((place, _)) => format!("{scheme}{place}?(hidden)"),
        None => format!("{scheme}{rest}"),
    }
}

/// How hard SQLite tries to have a commit on the disk before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// Never syncs. A power cut may lose or damage everything.
    Off,
    /// Syncs at checkpoints only. A power cut may lose the last commits.
    Normal,
    /// Syncs every commit.
    #[default]
    Full,
    /// As `full`, and syncs the folder too.
    Extra,
}

impl Synchronous {
    /// The word used in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Synchronous::Off => "off",
            Synchronous::Normal => "normal",
            Synchronous::Full => "full",
            Synchronous::Extra => "extra",
        }
    }

    /// What SQLite answers to `PRAGMA synchronous`.
    pub(super) fn from_pragma(level: i64) -> Option<Self> {
        [Synchronous::Off, Synchronous::Normal, Synchronous::Full, Synchronous::Extra]
            .into_iter()
            .nth(usize::try_from(level).ok()?)
    }
}

impl fmt::Display for Synchronous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no level of syncing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no level of syncing: use full, extra, normal or off")]
pub struct UnknownSynchronous(pub String);

impl FromStr for Synchronous {
    type Err = UnknownSynchronous;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        [Synchronous::Off, Synchronous::Normal, Synchronous::Full, Synchronous::Extra]
            .into_iter()
            .find(|level| level.as_str() == word)
            .ok_or_else(|| UnknownSynchronous(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_path() {
        let path = |url| Settings::from_url(url).map(|settings| settings.path);
        assert_eq!(path("sqlite:///var/lib/t.db").expect("absolute"), PathBuf::from("/var/lib/t.db"));
        assert_eq!(path("sqlite://t.db").expect("relative"), PathBuf::from("t.db"));
        for url in ["", "t.db", "sqlite:t.db", "sqlite://", "sqlite:///", "sqlite://t.db?mode=ro", "postgres://h/d"] {
            assert!(matches!(path(url), Err(OpenError::Url { .. })), "{url}");
        }
    }
}

//! `client.toml`: daemons by name, for whoever speaks with more than one.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::domain::suggest;

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Servers {
    /// The server that is meant where none is named.
    default: Option<String>,
    #[serde(default)]
    servers: BTreeMap<String, Named>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    url: String,
    token: Option<String>,
    token_file: Option<PathBuf>,
}

/// One of its servers.
pub(super) struct Server {
    pub url: String,
    pub token: Option<String>,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum InvalidServers {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file, or one that it names.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no TOML, or not this.
    #[error("{}: {detail}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, on one line.
        detail: String,
    },
    /// There is no such server in it.
    #[error("{} has no server `{name}`{hint}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// As asked.
        name: String,
        /// What there is.
        hint: String,
    },
    /// A server has a token twice.
    #[error("{}: the server `{name}` has both token and token_file: keep one", path.display())]
    TwoTokens {
        /// The file.
        path: PathBuf,
        /// The server.
        name: String,
    },
}

impl Servers {
    /// Reads the file; None where there is none.
    pub fn read(path: &Path) -> Result<Option<Servers>, InvalidServers> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(source) => return Err(InvalidServers::Unreadable { path: path.to_owned(), source }),
        };
        let servers = toml::from_str(&text).map_err(|error| InvalidServers::Form {
            path: path.to_owned(),
            detail: error.message().lines().collect::<Vec<_>>().join("; "),
        })?;
        Ok(Some(servers))
    }

    /// The server `name`, or the default one; None where no name is given and none is the default.
    pub fn find(mut self, path: &Path, name: Option<&str>) -> Result<Option<(String, Server)>, InvalidServers> {
        let only = (self.servers.len() == 1).then(|| self.servers.keys().next().cloned()).flatten();
        let Some(name) = name.map(str::to_owned).or(self.default.take()).or(only) else { return Ok(None) };
        let Some(Named { url, token, token_file }) = self.servers.remove(&name) else {
            let known: Vec<_> = self.servers.keys().map(String::as_str).collect();
            let hint = suggest::hint(&name, &known);
            return Err(InvalidServers::Unknown { path: path.to_owned(), name, hint });
        };
        let token = match (token, token_file) {
            (Some(_), Some(_)) => return Err(InvalidServers::TwoTokens { path: path.to_owned(), name }),
            (Some(token), None) => Some(token),
            (None, Some(file)) => Some(token_in(&beside(path, file))?),
            (None, None) => None,
        };
        Ok(Some((name, Server { url, token })))
    }
}

/// A relative file is meant from the folder of `client.toml`.
fn beside(path: &Path, file: PathBuf) -> PathBuf {
    path.parent().map_or(file.clone(), |folder| folder.join(file))
}

fn token_in(path: &Path) -> Result<String, InvalidServers> {
    let text =
        fs::read_to_string(path).map_err(|source| InvalidServers::Unreadable { path: path.to_owned(), source })?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, name: Option<&str>) -> Result<Option<(String, Server)>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("client.toml");
        fs::write(&path, text).expect("written");
        fs::write(folder.path().join("ci.token"), "tw_ci\n").expect("written");
        let servers = Servers::read(&path).map_err(|error| error.to_string())?.expect("there is one");
        servers.find(&path, name).map_err(|error| error.to_string())
    }

    #[test]
    fn a_server_is_found_by_name_and_by_default() {
        let text = "default = 'home'\n[servers.home]\nurl = 'http://h'\n[servers.ci]\nurl = 'http://c'\ntoken_file = 'ci.token'";
        let (name, server) = find(text, None).expect("valid").expect("found");
        assert_eq!((name.as_str(), server.url.as_str(), server.token), ("home", "http://h", None));
        let (_, server) = find(text, Some("ci")).expect("valid").expect("found");
        assert_eq!(server.token.as_deref(), Some("tw_ci"));
        assert!(find(text, Some("cy")).is_err_and(|said| said.ends_with("no server `cy`; did you mean `ci`?")));
        assert!(find("[servers.a]\nurl='x'\n[servers.b]\nurl='y'", None).expect("valid").is_none());
        assert_eq!(find("[servers.a]\nurl='x'", None).expect("valid").expect("the only one").0, "a");
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(find("[servers.a]\nurl='x'\ntokn='y'", None).is_err_and(|said| said.contains("tokn")));
        assert!(find("[servers.a]\nurl='x'\ntoken='y'\ntoken_file='z'", None).is_err_and(|said| said.contains("both")));
        assert!(find("[servers.a]\nurl='x'\ntoken_file='z'", None).is_err_and(|said| said.contains("cannot read")));
    }
}

//! What can be wrong with a configuration. Each message names the place and the remedy.

use std::{io, net::SocketAddr, path::PathBuf};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Anybody may change the file, and so what runs here.
    #[error("{} can be written by everybody: run chmod o-w {}", path.display(), path.display())]
    WorldWritable {
        /// The file.
        path: PathBuf,
    },
    /// The file is too large to be meant.
    #[error("{} is larger than 4 MiB: it is no configuration", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The text is no TOML.
    #[error("{place}: {detail}")]
    Syntax {
        /// File, line and column, or the variable.
        place: String,
        /// What the parser says.
        detail: String,
    },
    /// A key or variable that means nothing.
    #[error("{place}: `{name}` is not known{hint}")]
    Unknown {
        /// The file and table, or the environment.
        place: String,
        /// The name.
        name: String,
        /// The nearest known one, or all of them.
        hint: String,
    },
    /// A value that cannot be taken.
    #[error("{place}: {detail}")]
    Value {
        /// The file and key, the variable or the flag.
        place: String,
        /// What is wrong, and what would be right.
        detail: String,
    },
    /// Everybody on the network could run tasks here.
    #[error(
        "server.listen is {listen}, which other machines reach, and there are no [[tokens]]: add a token to the configuration, or listen on 127.0.0.1:{}; `taskwright token create NAME --scopes run` makes a token", listen.port()
    )]
    Exposed {
        /// The address.
        listen: SocketAddr,
    },
    /// Commands could be defined by everybody, or by nobody.
    #[error(
        "definitions.remote is true, and no token has the scope admin: add one to [[tokens]] with scopes = [\"admin\"], or set definitions.remote to false"
    )]
    NobodyMayDefine,
}

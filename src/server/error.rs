//! Why a server does not start, how a wait can end otherwise than with a result, why an end was not orderly.

use std::{io, net::SocketAddr};

use uuid::Uuid;

use super::InvalidMount;
use crate::{
    domain::{Json, error::InstanceError},
    engine::{CatalogError, EngineError, InvalidSetting, OpenEngineError},
    process::NoOwnProgram,
    store::OpenError,
    task::RegistryError,
};

/// Why a server did not start. It has changed nothing that a later start would not settle.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The handlers do not fit together, or not to their settings.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The tasks cannot stand together.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A setting is too much or too little.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// There are commands, and this program is not ready to be started again as their spawner.
    #[error(transparent)]
    NotInitialised(#[from] NoOwnProgram),
    /// Everybody on the network could run tasks here.
    #[error(
        "{address} can be reached from other machines, and there are no tokens: give Server::token, or listen on a loopback address"
    )]
    Exposed {
        /// The address, or the host of the URL that the router is mounted at.
        address: String,
    },
    /// Everybody could define commands here, or nobody.
    #[error(
        "definitions.remote is true, and no token has the scope admin: give Server::token one that has, or leave definitions.remote out"
    )]
    NobodyMayDefine,
    /// The URL that the router is mounted at makes no sense.
    #[error(transparent)]
    Mount(#[from] InvalidMount),
    /// The folder of a temporary store cannot be made.
    #[error("cannot make a folder for the temporary store")]
    Temporary(#[source] io::Error),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The address cannot be had.
    #[error("cannot listen on {address}: stop what listens there, or give another server.listen (--listen)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The engine cannot begin.
    #[error(transparent)]
    Engine(#[from] OpenEngineError),
}

/// Why a task has no result.
#[derive(Debug, thiserror::Error)]
pub enum CompletionError {
    /// It failed.
    #[error("the task instance {instance_id} failed: {}", .error.message)]
    Failed {
        /// The instance.
        instance_id: Uuid,
        /// Why.
        error: Box<InstanceError>,
    },
    /// It was stopped.
    #[error("the task instance {instance_id} was cancelled")]
    Cancelled {
        /// The instance.
        instance_id: Uuid,
        /// What it had written by then.
        output: Option<Json>,
    },
    /// It could not be waited for: there is no such instance, the server ended first ([`EngineError::EndedFirst`]), or the
    /// store cannot be read.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// A server that could not be taken down in order. What was acknowledged is in the store; the next start settles the rest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server did not end in order: {0}")]
pub struct ShutdownError(pub String);

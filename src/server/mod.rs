//! The composition root: store, engine and HTTP put together in the order that keeps their promises, and taken down in
//! the reverse.
//!
//! `assembly` is the one place that puts them together. [`Daemon`] is what `taskwright serve` runs. [`Server`] is the same
//! inside another application: a builder, which starts to a [`ServerHandle`] with the calls of the Python package
//! `numerous.tasks` ([`ServerHandle::run_task`], [`TaskInstance`]).

mod assembly;
mod builder;
mod daemon;
mod error;
mod handle;
mod instance;
mod mount;
mod notify;
mod run_task;
mod signals;
mod temporary;

pub use builder::Server;
pub use daemon::{Daemon, DaemonEnd};
pub use error::{CompletionError, ShutdownError, StartError};
pub use handle::ServerHandle;
pub use instance::TaskInstance;
pub use mount::InvalidMount;
pub use run_task::RunTask;
pub use signals::{Signal, Signals};
pub use temporary::TemporaryFolder;

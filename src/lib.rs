//! Taskwright: a task server. One small daemon starts, watches and stops background tasks over HTTP,
//! durable on SQLite.
//!
//! A task is a Rust handler compiled in, or any program. There are three ways in:
//!
//! - Whoever writes a handler reads [`task`] (re-exported here) and calls [`run`], which makes the handler's binary a whole
//!   daemon.
//! - An application that wants tasks in its own process calls [`init`] first in `main` and starts a [`Server`]; the
//!   [`ServerHandle`] starts, watches and stops instances, each a [`TaskInstance`].
//! - A program that is run as a command reports through a [`RemoteTaskController`].
//!
//! # The crate, in reading order
//!
//! - [`domain`]: what a task, an instance and an attempt are, and how an attempt ends. Plain values.
//! - [`task`]: what a plugin author reads: handlers, their controller, their errors, the registry.
//! - [`store`]: where instances are kept; `store::sqlite` keeps them in SQLite.
//! - [`process`]: programs as children that leave nothing behind.
//! - [`engine`]: the ledger through which everything is written, the pool, one attempt, what clients see.
//! - [`http`]: the REST contract.
//! - [`server`]: puts store, engine and HTTP together and takes them down in order; [`Server`] embeds them in another
//!   application.
//! - [`client`]: our own HTTP client, and the controller of a task that is a program of its own.
//! - [`config`], [`cli`]: the command line and what it needs.
//! - [`handlers`]: the tasks that the daemon ships.
//! - `negative_control`: promises that are broken on purpose, for the tests that must notice; empty in a release.
//!
//! Imports point one way: `cli → server → config → http → engine → {process, store} → task → domain`. A test reads the
//! `use` lines and guards it.

pub mod cli;
pub mod client;
pub mod config;
pub mod domain;
pub mod engine;
pub mod handlers;
pub mod http;
mod negative_control;
pub mod process;
pub mod server;
pub mod store;
pub mod task;

pub use axum;
pub use cli::run;
pub use client::{ControllerError, RemoteError, RemoteTaskController, get_task_controller, get_task_inputs};
pub use engine::TaskInstanceNotFoundError;
pub use schemars;
pub use server::{CompletionError, RunTask, Server, ServerHandle, TaskInstance};
pub use task::{Registry, TaskController, TaskError, TaskHandler, TaskOptions, testing};

/// Makes this program ready to run commands: an application that embeds a [`Server`] with commands calls it first in
/// `main`, before it starts a thread or a runtime.
///
/// Commands are started by a second process of the same program, the spawner, so that none outlives its attempt. In that
/// process `init` never returns; elsewhere it returns at once. [`run`] calls it by itself.
///
/// ```no_run
/// use taskwright::{Server, engine::CommandTask};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     taskwright::init();
///     tokio::runtime::Runtime::new()?.block_on(async {
///         let count = CommandTask::new("count-words", ["python3", "count_words.py"])?;
///         let tasks = Server::at("tasks.db").command(count).start().await?;
///         tasks.run_task("count-words", serde_json::json!({"path": "/etc/services"})).block().await?;
///         tasks.shutdown().await?;
///         Ok(())
///     })
/// }
/// ```
pub fn init() {
    process::run_if_spawner();
}

/// The programs of the README and of `docs/` are compiled with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[doc = include_str!("../docs/how-to/embed.md")]
#[doc = include_str!("../docs/how-to/rust-handler.md")]
struct Readme;

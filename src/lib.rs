//! Taskwright: a task server. One small daemon starts, watches and stops background tasks over HTTP,
//! durable on SQLite.
//!
//! A task is a Rust handler compiled in, or any program. Whoever writes a handler reads [`task`] (re-exported
//! here) and calls [`run`], which makes the handler's binary a whole daemon.
//!
//! # The crate, in reading order
//!
//! - [`domain`]: what a task, an instance and an attempt are, and how an attempt ends. Plain values.
//! - [`task`]: what a plugin author reads: handlers, their controller, their errors, the registry.
//! - [`store`]: where instances are kept; `store::sqlite` keeps them in SQLite.
//! - [`process`]: programs as children that leave nothing behind.
//! - [`engine`]: the ledger through which everything is written, the pool, one attempt, what clients see.
//! - [`http`]: the REST contract.
//! - [`server`]: puts the three together and takes them down in order.
//! - [`client`], [`config`], [`cli`]: the command line and what it needs.
//! - [`handlers`]: the tasks that the daemon ships.
//!
//! Imports point one way: `cli → server → http → engine → {process, store} → task → domain`. A test reads the
//! `use` lines and guards it.

pub mod cli;
pub mod client;
pub mod config;
pub mod domain;
pub mod engine;
pub mod handlers;
pub mod http;
pub mod process;
pub mod server;
pub mod store;
pub mod task;

pub use cli::run;
pub use schemars;
pub use task::{
    Registry, TaskController, TaskError, TaskHandler, TaskOptions, get_task_controller, get_task_inputs, testing,
};

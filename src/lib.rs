//! A task server: starts, watches and stops background tasks over HTTP, durable on SQLite.

pub mod domain;
pub mod engine;
pub mod handlers;
pub mod store;
pub mod task;

pub use schemars;
pub use task::{
    Registry, TaskController, TaskError, TaskHandler, TaskOptions, get_task_controller, get_task_inputs, testing,
};

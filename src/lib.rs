//! A task server: starts, watches and stops background tasks over HTTP, durable on SQLite.

pub mod domain;
pub mod engine;
pub mod process;
pub mod store;
pub mod task;

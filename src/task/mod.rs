//! The plugin API: what the author of a task reads.
//!
//! A [`TaskHandler`] is a task with typed inputs and output; a plain async function is one too, through
//! [`Registry::register_fn`]. While it runs it reports through its [`TaskController`], and it ends with a value or a
//! [`TaskError`]. [`testing`] runs a handler in a test as the daemon would.
//!
//! The engine knows handlers as [`erased::ErasedHandler`] and is known to them as [`reporter::Reporter`].

mod adapter;
pub mod controller;
pub mod erased;
pub mod error;
pub mod handler;
mod inputs;
pub mod locals;
pub mod options;
pub mod outcome;
mod panics;
pub mod registry;
pub mod reporter;
mod schema;
mod settings;
pub mod testing;

pub use controller::TaskController;
pub use error::TaskError;
pub use handler::TaskHandler;
pub use locals::{NoTaskController, get_task_controller, get_task_inputs};
pub use options::TaskOptions;
pub use registry::{Registry, RegistryError};
pub use reporter::{ReportError, StopReason};

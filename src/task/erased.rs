//! A handler without its types: what the engine runs.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::reporter::Reporter;
use crate::domain::{FieldError, Json};

/// A registered handler, its input and output types erased.
pub trait ErasedHandler: Send + Sync + 'static {
    /// Whether `inputs` can be read into the handler's input type.
    ///
    /// # Errors
    /// What is wrong with them, field by field.
    fn check(&self, inputs: &Json) -> Result<(), Vec<FieldError>>;

    /// Runs one attempt. Panics are caught and answered as an end. The task-locals are set inside.
    fn run(self: Arc<Self>, inputs: Json, reporter: Arc<dyn Reporter>) -> BoxFuture<'static, HandlerEnd>;
}

/// How a handler's future ended.
#[derive(Debug, Clone, PartialEq)]
pub enum HandlerEnd {
    /// It returned a value; None for `null` and `()`.
    Returned(Option<Json>),
    /// It returned `TaskError::stopped()`.
    Stopped,
    /// It returned another error.
    Failed {
        /// The error's message.
        message: String,
        /// Its causes, outermost first.
        causes: Vec<String>,
        /// Whether another attempt could not help.
        permanent: bool,
    },
    /// It panicked.
    Panicked {
        /// What it said.
        message: String,
        /// `file:line:column`, where it is known.
        location: Option<String>,
    },
    /// The inputs could not be read into the handler's type: they were accepted by an earlier version.
    InvalidInputs(Vec<FieldError>),
    /// The value returned cannot be written as JSON.
    InvalidOutput(String),
}

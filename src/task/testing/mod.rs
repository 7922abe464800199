//! Runs a handler in a test as the daemon would, without a store and without a socket.
//!
//! The inputs are checked and read, panics are caught, the output is checked, and the end is judged by the same
//! table as in the daemon. What is not there is a retry: one run is one attempt.
//!
//! ```
//! use serde_json::json;
//! use taskwright::{TaskController, TaskError, testing};
//!
//! async fn halve(input: std::collections::BTreeMap<String, f64>, task: TaskController) -> Result<f64, TaskError> {
//!     task.set_progress(0.5)?;
//!     if task.should_stop() {
//!         return Err(TaskError::stopped());
//!     }
//!     Ok(input.values().sum::<f64>() / 2.0)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let run = testing::run_fn(halve).input(json!({"a": 3})).await;
//! assert_eq!(run.status(), taskwright::domain::Status::Completed);
//! assert_eq!(run.output(), json!({"result": 1.5}));
//!
//! let run = testing::run_fn(halve).input(json!({"a": 3})).stop_at_progress(0.5).await;
//! assert_eq!(run.status(), taskwright::domain::Status::Cancelled);
//! # }
//! ```

mod attempt;
mod memory;

use std::{
    future::{Future, IntoFuture},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use self::attempt::Trial;
use super::{
    adapter, controller::TaskController, error::TaskError, handler::TaskHandler, options::TaskOptions,
    reporter::StopReason,
};
use crate::domain::{AttemptEnd, InstanceError, Progress, Status};

/// Prepares a run of `handler`; awaiting it runs it.
pub fn run<H: TaskHandler>(handler: H) -> Run {
    Run { trial: Trial::new(H::ID, H::OPTIONS, adapter::of_handler(handler)) }
}

/// Prepares a run of an async function, as [`Registry::register_fn`](super::Registry::register_fn) takes it. Its id is
/// `test`.
pub fn run_fn<F, I, O, Fut>(function: F) -> Run
where
    F: Fn(I, TaskController) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, TaskError>> + Send + 'static,
    I: DeserializeOwned + JsonSchema + Send + 'static,
    O: Serialize + JsonSchema + Send + 'static,
{
    Run { trial: Trial::new("test", TaskOptions::new(), adapter::of_function(function)) }
}

/// A run of a handler that has not begun. Await it to run it, inside a tokio runtime with a timer.
#[must_use = "a run does nothing until it is awaited"]
pub struct Run {
    trial: Trial,
}

impl Run {
    /// The inputs; `{}` unless this is called. What is no object, or does not fit the type, is refused as at a start:
    /// see [`Finished::refused`].
    pub fn input(mut self, input: impl Serialize) -> Self {
        self.trial.input = serde_json::to_string(&input).map_err(|error| error.to_string());
        self
    }

    /// Which attempt this is; 1 unless this is called. Where the options allow fewer, as many are allowed.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.trial.attempt = attempt;
        self.trial.options.max_attempts = self.trial.options.max_attempts.max(attempt);
        self
    }

    /// How many attempts there are, in place of what the options say.
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.trial.options.max_attempts = max_attempts;
        self
    }

    /// The timeout, in place of what the options say.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.trial.options.timeout = Some(timeout);
        self
    }

    /// Requests a stop as soon as the handler has set this progress, or more.
    pub fn stop_at_progress(mut self, progress: f64) -> Self {
        self.trial.stop = Some((progress, StopReason::Stop));
        self
    }

    /// Begins to shut the daemon down as soon as the handler has set this progress, or more.
    pub fn shut_down_at_progress(mut self, progress: f64) -> Self {
        self.trial.stop = Some((progress, StopReason::Shutdown));
        self
    }

    /// Requests a stop that long after the start.
    pub fn stop_after(mut self, after: Duration) -> Self {
        self.trial.stop_after = Some(after);
        self
    }

    /// How long a handler may go on after it was asked to end; 10 s unless this is called. Then it is dropped.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.trial.grace = grace;
        self
    }

    /// The largest output in bytes; 1 MiB unless this is called.
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.trial.output_limit = bytes;
        self
    }
}

impl IntoFuture for Run {
    type Output = Finished;
    type IntoFuture = BoxFuture<'static, Finished>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.trial.run())
    }
}

/// What became of a run.
#[derive(Debug, Clone)]
pub struct Finished {
    status: Status,
    refused: bool,
    end: AttemptEnd,
    error: Option<InstanceError>,
    progress: Vec<Progress>,
    output: Option<Value>,
    logs: Vec<String>,
}

impl Finished {
    /// The status of the instance after this attempt; `pending` where another attempt follows.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Whether a start with these inputs would be refused; [`error`](Self::error) says why, and nothing was run.
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// How the attempt ended.
    pub fn end(&self) -> &AttemptEnd {
        &self.end
    }

    /// Why the attempt failed, also where another attempt follows.
    pub fn error(&self) -> Option<&InstanceError> {
        self.error.as_ref()
    }

    /// Every progress that was set, in order.
    pub fn progress(&self) -> Vec<f64> {
        self.progress.iter().map(Progress::value).collect()
    }

    /// The message beside each progress that was set, in order.
    pub fn messages(&self) -> Vec<Option<Arc<str>>> {
        self.progress.iter().map(|progress| progress.message.clone()).collect()
    }

    /// The output: an object, or null.
    pub fn output(&self) -> Value {
        self.output.clone().unwrap_or(Value::Null)
    }

    /// The member `result` of the output where it has one, else the whole output.
    pub fn result(&self) -> Value {
        let output = self.output();
        output.get("result").cloned().unwrap_or(output)
    }

    /// The lines of the log.
    pub fn logs(&self) -> &[String] {
        &self.logs
    }
}

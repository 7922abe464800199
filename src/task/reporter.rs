//! What a controller reports to. The engine implements it; so does the testing harness.

use std::{any::Any, sync::Arc};

use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::domain::{Json, Progress, Stream, Verdict, instance::InvalidProgress};

/// The other side of a `TaskController`: one attempt, as its handler sees it.
///
/// Setters keep the latest value and return at once; they cannot flood the store.
pub trait Reporter: Send + Sync + 'static {
    /// The instance.
    fn instance_id(&self) -> Uuid;
    /// Its short number.
    fn instance_number(&self) -> u64;
    /// The definition's id.
    fn task_id(&self) -> &str;
    /// This attempt, from 1.
    fn attempt(&self) -> u32;
    /// The inputs.
    fn inputs(&self) -> Json;

    /// Why the handler should end, if it should.
    fn stop_reason(&self) -> Option<StopReason>;
    /// Resolves once [`Reporter::stop_reason`] is set.
    fn stopped(&self) -> BoxFuture<'_, StopReason>;
    /// Asks for this instance to be stopped, as a client would.
    fn request_stop(&self);

    /// Keeps `progress` to be committed.
    ///
    /// # Errors
    /// [`ReportError::Over`] once another attempt has begun or the instance is done.
    fn set_progress(&self, progress: Progress) -> Result<(), ReportError>;
    /// Keeps `output`, an object or None, to be committed.
    ///
    /// # Errors
    /// [`ReportError`].
    fn set_output(&self, output: Option<Json>) -> Result<(), ReportError>;
    /// Keeps the verdict, or withdraws it.
    ///
    /// # Errors
    /// [`ReportError::Over`].
    fn set_verdict(&self, verdict: Option<Verdict>) -> Result<(), ReportError>;
    /// Appends lines to the log; a text with newlines is several lines.
    fn log(&self, stream: Stream, text: &str);
    /// Resolves when everything reported so far is committed.
    fn flush(&self) -> BoxFuture<'_, Result<(), ReportError>>;

    /// Waits for a thread for blocking work. While the permit lives, the attempt's slot stays taken.
    fn enter_blocking(self: Arc<Self>) -> BoxFuture<'static, BlockingPermit>;
}

/// Held by a closure that blocks a thread; dropped when the closure has returned.
pub type BlockingPermit = Box<dyn Any + Send>;

/// Why a handler should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Somebody asked for a stop.
    Stop,
    /// The daemon shuts down; another attempt may follow.
    Shutdown,
    /// This attempt no longer speaks for its instance.
    Over,
}

/// Why a report was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReportError {
    /// The attempt no longer speaks for its instance.
    #[error("the attempt is over: another one has begun, or the instance is done")]
    Over,
    /// The progress is no number from 0.0 to 1.0, or the message is too long.
    #[error(transparent)]
    Invalid(#[from] InvalidProgress),
    /// The status `pending` cannot be stated.
    #[error("a task cannot set its status to pending: use completed, failed or cancelled, or running to take it back")]
    PendingStatus,
    /// The output cannot be written as JSON.
    #[error("the output cannot be written as JSON: {0}")]
    Unserialisable(String),
    /// The output is no object.
    #[error("the output must be a JSON object")]
    NotAnObject,
    /// The output is too large.
    #[error("the output is {size} bytes long; limits.output allows {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The daemon refused it when it came there.
    #[error("the daemon refused the report: {0}")]
    Refused(String),
    /// The store cannot take it now.
    #[error("the report could not be committed")]
    Unavailable,
}

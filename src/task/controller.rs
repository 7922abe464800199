//! What a handler reports through, and learns from whether to end.

use std::{fmt, sync::Arc};

use serde::Serialize;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::{
    locals::CURRENT,
    panics,
    reporter::{ReportError, Reporter, StopReason},
};
use crate::domain::{
    Json, Progress, Status, Stream, Verdict, VerdictStatus,
    instance::{InvalidProgress, LONGEST_MESSAGE},
};

/// The running attempt, as its handler sees it. Cheap to clone.
///
/// Setters keep the latest value and return at once; it is committed soon, and always with the end of the attempt.
/// They can be called in any loop without harm to the store.
///
/// ```
/// use taskwright::{TaskController, TaskError};
///
/// async fn count(task: TaskController, words: Vec<String>) -> Result<usize, TaskError> {
///     let mut letters = 0;
///     for (done, word) in (1..).zip(&words) {
///         if task.should_stop() {
///             return Err(TaskError::stopped());
///         }
///         letters += word.chars().count();
///         task.set_progress_with(done as f64 / words.len() as f64, word)?;
///         task.set_output(serde_json::json!({"letters": letters}))?;
///     }
///     Ok(letters)
/// }
/// ```
#[derive(Clone)]
pub struct TaskController {
    reporter: Arc<dyn Reporter>,
}

impl TaskController {
    /// A controller that reports to `reporter`.
    pub fn new(reporter: Arc<dyn Reporter>) -> Self {
        TaskController { reporter }
    }

    /// The id of the instance.
    pub fn id(&self) -> Uuid {
        self.reporter.instance_id()
    }

    /// The short number of the instance.
    pub fn number(&self) -> u64 {
        self.reporter.instance_number()
    }

    /// The id of the task.
    pub fn task_id(&self) -> &str {
        self.reporter.task_id()
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.reporter.attempt()
    }

    /// The inputs, as the text that came.
    pub fn inputs(&self) -> Json {
        self.reporter.inputs()
    }

    /// Whether the handler should end: a stop was requested, the daemon shuts down, or another attempt has begun.
    /// Clean up and return `Err(TaskError::stopped())`.
    pub fn should_stop(&self) -> bool {
        self.stop_reason().is_some()
    }

    /// Why the handler should end, if it should.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.reporter.stop_reason()
    }

    /// Resolves once the handler should end. Stands in a `select!` beside the work.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn stopped(&self) -> StopReason {
        self.reporter.stopped().await
    }

    /// Asks for a stop of this instance, as a client would: it will be `cancelled` when the handler returns.
    pub fn request_stop(&self) {
        self.reporter.request_stop();
    }

    /// Says how far the task is: a finite number from 0.0 to 1.0. Clears the message.
    ///
    /// # Errors
    /// [`ReportError::Invalid`] for another number, which changes nothing; [`ReportError::Over`].
    pub fn set_progress(&self, progress: f64) -> Result<(), ReportError> {
        self.reporter.set_progress(Progress::new(progress, None)?)
    }

    /// [`set_progress`](Self::set_progress) with a message of at most 4,096 bytes beside the number.
    ///
    /// # Errors
    /// [`ReportError::Invalid`] for another number or a longer message, which changes nothing; [`ReportError::Over`].
    pub fn set_progress_with(&self, progress: f64, message: &str) -> Result<(), ReportError> {
        self.reporter.set_progress(Progress::new(progress, Some(message))?)
    }

    /// Replaces the output, so far: a value that serialises to an object, or to `null`, which clears it.
    ///
    /// # Errors
    /// [`ReportError::NotAnObject`], [`ReportError::Unserialisable`], [`ReportError::TooLarge`], which change nothing;
    /// [`ReportError::Over`].
    pub fn set_output(&self, output: impl Serialize) -> Result<(), ReportError> {
        let output = Json::of(&output).map_err(|error| ReportError::Unserialisable(error.to_string()))?;
        if output.is_null() {
            self.reporter.set_output(None)
        } else if output.is_object() {
            self.reporter.set_output(Some(output))
        } else {
            Err(ReportError::NotAnObject)
        }
    }

    /// States how the instance ends, whatever the handler returns as `Ok`: `completed`, `failed` or `cancelled`. It
    /// takes effect when the handler has returned. `running` takes the statement back.
    ///
    /// # Errors
    /// [`ReportError::PendingStatus`] for `pending`, which changes nothing; [`ReportError::Over`].
    pub fn set_status(&self, status: Status) -> Result<(), ReportError> {
        self.state(status, None)
    }

    /// [`set_status`](Self::set_status) with a message of at most 4,096 bytes: that of the error, if it states `failed`.
    ///
    /// # Errors
    /// As [`set_status`](Self::set_status); [`ReportError::Invalid`] for a longer message.
    pub fn set_status_with(&self, status: Status, message: &str) -> Result<(), ReportError> {
        self.state(status, Some(message))
    }

    /// Writes to the log of the instance; a text with newlines is several lines.
    pub fn log(&self, text: impl fmt::Display) {
        self.reporter.log(Stream::Task, &text.to_string());
    }

    /// Waits until everything reported so far is committed.
    ///
    /// # Errors
    /// [`ReportError`] where it could not be.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing; the reports are committed all the same.
    pub async fn flush(&self) -> Result<(), ReportError> {
        self.reporter.flush().await
    }

    /// Runs work that blocks its thread (files, heavy computing) on a thread of its own and answers what it returns.
    /// It waits for its turn, for the number of such threads is bounded. A panic goes on in the handler.
    ///
    /// ```
    /// # use taskwright::{TaskController, TaskError};
    /// async fn hash(task: TaskController, blocks: Vec<Vec<u8>>) -> Result<u64, TaskError> {
    ///     task.blocking(move |task| {
    ///         let mut sum = 0u64;
    ///         for block in &blocks {
    ///             if task.should_stop() {
    ///                 return Err(TaskError::stopped());
    ///             }
    ///             sum = block.iter().fold(sum, |sum, byte| sum.rotate_left(5) ^ u64::from(*byte));
    ///         }
    ///         Ok(sum)
    ///     })
    ///     .await
    /// }
    /// ```
    ///
    /// # Cancel safety
    /// A thread cannot be stopped from outside. When the future is dropped, work that has begun goes on, and the slot
    /// of the attempt stays taken until it returns; so the work must ask `should_stop()` now and then.
    ///
    /// # Panics
    /// With the panic of `work`; and outside a tokio runtime.
    pub async fn blocking<T, F>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce(TaskController) -> T + Send + 'static,
    {
        /// Takes back work that has not begun when nobody waits for it any more.
        struct AbortOnDrop(AbortHandle);
        impl Drop for AbortOnDrop {
            fn drop(&mut self) {
                self.0.abort();
            }
        }

        let permit = Arc::clone(&self.reporter).enter_blocking().await;
        let task = self.clone();
        let handler_waits = Arc::new(());
        let waited_for = Arc::downgrade(&handler_waits);
        let thread = tokio::task::spawn_blocking(move || {
            let result = panics::guarded(|| CURRENT.sync_scope(task.clone(), || work(task.clone())));
            if let Err(caught) = &result
                && waited_for.strong_count() == 0
            {
                // The handler is gone, so nobody else tells of it.
                tracing::warn!(
                    instance = %task.id(),
                    task = %task.task_id(),
                    location = caught.location.as_deref().unwrap_or("unknown"),
                    "blocking work panicked after the end of its attempt: {}",
                    caught.message,
                );
            }
            drop(permit);
            result
        });
        let _taken_back = AbortOnDrop(thread.abort_handle());
        match thread.await {
            Ok(Ok(value)) => value,
            Ok(Err(caught)) => caught.resume(),
            // The panic was caught above, so the runtime is shutting down and will drop this future.
            Err(_) => std::future::pending().await,
        }
    }

    fn state(&self, status: Status, message: Option<&str>) -> Result<(), ReportError> {
        let status = match status {
            Status::Pending => return Err(ReportError::PendingStatus),
            Status::Running => return self.reporter.set_verdict(None),
            Status::Completed => VerdictStatus::Completed,
            Status::Failed => VerdictStatus::Failed,
            Status::Cancelled => VerdictStatus::Cancelled,
        };
        if let Some(text) = message.filter(|text| text.len() > LONGEST_MESSAGE) {
            return Err(InvalidProgress::MessageTooLong(text.len()).into());
        }
        self.reporter.set_verdict(Some(Verdict { status, message: message.map(str::to_owned) }))
    }
}

impl fmt::Debug for TaskController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskController")
            .field("id", &self.id())
            .field("task_id", &self.task_id())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}

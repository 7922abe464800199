//! A start that is being put together.

use std::{future::IntoFuture, sync::Arc};

use futures_util::future::BoxFuture;
use serde::Serialize;

use super::{ServerHandle, TaskInstance};
use crate::{
    domain::{FieldError, Json, Workload},
    engine::{EngineError, IdempotencyKey, StartOptions, StartRequest},
};

/// Whose keys an application's are: those of HTTP clients never meet them.
const PRINCIPAL: &str = "in-process";

/// A start (`numerous.tasks.run_task`), to be awaited: then it answers the [`TaskInstance`].
///
/// ```
/// # use taskwright::{ServerHandle, engine::StartOptions};
/// # async fn f(tasks: ServerHandle) -> Result<(), Box<dyn std::error::Error>> {
/// let done = tasks
///     .run_task("sleep", serde_json::json!({"seconds": 1}))
///     .options(StartOptions { max_attempts: Some(3), ..StartOptions::default() })
///     .block()
///     .await?;
/// assert!(done.is_done().await?);
/// # Ok(()) }
/// ```
#[must_use = "nothing is started before it is awaited"]
pub struct RunTask {
    server: ServerHandle,
    task: String,
    inputs: Result<Json, String>,
    options: StartOptions,
    key: Option<String>,
    block: bool,
}

impl RunTask {
    pub(super) fn new(server: ServerHandle, task: &str, inputs: impl Serialize) -> RunTask {
        let inputs = Json::of(&inputs).map_err(|error| format!("the inputs cannot be written as JSON: {error}"));
        let inputs = inputs.map(|inputs| if inputs.is_null() { Json::empty_object() } else { inputs });
        RunTask { server, task: task.to_owned(), inputs, options: StartOptions::default(), key: None, block: false }
    }

    /// Answers only when the instance is done, however it ended (`block=True`). Where the server ends before it does, the
    /// error is [`EngineError::EndedFirst`].
    ///
    /// # Cancel safety
    /// Dropping the future stops nothing.
    pub fn block(mut self) -> RunTask {
        self.block = true;
        self
    }

    /// Says whether the task is to be a handler (`local`) or a command (`remote`); the start is refused where it is the
    /// other.
    pub fn workload(mut self, workload: Workload) -> RunTask {
        self.options.workload = Some(workload);
        self
    }

    /// What replaces the definition's limits, labels, priority and time.
    pub fn options(mut self, options: StartOptions) -> RunTask {
        let workload = options.workload.or(self.options.workload);
        self.options = StartOptions { workload, ..options };
        self
    }

    /// Starts at most one instance for this key: a repeat within a day answers the one that there is.
    pub fn idempotency_key(mut self, key: &str) -> RunTask {
        self.key = Some(key.to_owned());
        self
    }

    async fn run(self) -> Result<TaskInstance, EngineError> {
        let inputs = self.inputs.map_err(|detail| EngineError::InvalidInputs {
            task_id: self.task.clone(),
            errors: vec![FieldError::new("", detail)],
        })?;
        let key = self.key.map(|key| IdempotencyKey { principal: Arc::from(PRINCIPAL), key: Arc::from(key) });
        let request = StartRequest { task: self.task, inputs, options: self.options };
        let engine = self.server.engine();
        if !self.block {
            let started = engine.start(request, key).await?;
            return Ok(TaskInstance::of(&self.server, &started.instance));
        }
        let started = engine.start_and_wait(request, key, self.server.over()).await?;
        let instance = TaskInstance::of(&self.server, &started.instance);
        // What was started before under the same key is answered as it is.
        let is_done = started.instance.is_done() || (started.replayed && instance.done().await?.is_done());
        if is_done { Ok(instance) } else { Err(EngineError::EndedFirst { instance_id: instance.id() }) }
    }
}

impl IntoFuture for RunTask {
    type Output = Result<TaskInstance, EngineError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    /// # Errors
    /// Why it was refused; nothing was made then. [`EngineError::EndedFirst`] tells of an instance that was started and is
    /// not done; after [`EngineError::Unavailable`] it may have been started: a repeat with the same
    /// [`idempotency_key`](RunTask::idempotency_key) makes no second one.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

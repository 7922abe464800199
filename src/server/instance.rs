//! One instance, as an application that embeds us holds it.

use std::{fmt, sync::Arc};

use uuid::Uuid;

use super::{CompletionError, ServerHandle};
use crate::{
    domain::{
        Instance, InstanceKey, Json, Progress, Status, Summary,
        error::InstanceError,
        instance::{Outcome, Phase},
    },
    engine::{EngineError, InstanceWatch, StopOptions},
};

/// One run of a task (`numerous.tasks.TaskInstance`). Cheap to clone. It holds only the id: every call asks how the
/// instance is now, as last committed.
#[derive(Clone)]
pub struct TaskInstance {
    server: ServerHandle,
    id: Uuid,
    number: u64,
    task_id: Arc<str>,
}

impl TaskInstance {
    pub(super) fn of(server: &ServerHandle, summary: &Summary) -> TaskInstance {
        TaskInstance {
            server: server.clone(),
            id: summary.id,
            number: summary.number,
            task_id: Arc::clone(&summary.task_id),
        }
    }

    /// Its UUID.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Its short number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The id of its task.
    pub fn task_id(&self) -> &str {
        &self.task_id
    }

    /// All of it, as one image.
    ///
    /// # Errors
    /// [`EngineError::UnknownInstance`] once it was purged; [`EngineError::Unavailable`]. So for all calls here.
    pub async fn get(&self) -> Result<Arc<Instance>, EngineError> {
        self.server.engine().instance(self.key()).await
    }

    /// Whether it has ended for good (`TaskInstance.is_done`).
    ///
    /// # Errors
    /// As for [`get`](TaskInstance::get).
    pub async fn is_done(&self) -> Result<bool, EngineError> {
        Ok(self.get().await?.is_done())
    }

    /// Its status (`TaskInstance.get_status`).
    ///
    /// # Errors
    /// As for [`get`](TaskInstance::get).
    pub async fn get_status(&self) -> Result<Status, EngineError> {
        Ok(self.get().await?.status())
    }

    /// How far it is, and what it says to that (`TaskInstance.get_progress`): [`Progress::value`] from 0.0 to 1.0.
    ///
    /// # Errors
    /// As for [`get`](TaskInstance::get).
    pub async fn get_progress(&self) -> Result<Progress, EngineError> {
        Ok(self.get().await?.progress.clone())
    }

    /// The output so far: an object, None before there is one (`TaskInstance.get_output`).
    ///
    /// # Errors
    /// As for [`get`](TaskInstance::get).
    pub async fn get_output(&self) -> Result<Option<Json>, EngineError> {
        Ok(self.get().await?.output.clone())
    }

    /// The result so far: the output's member `result` where it has one, else the output.
    ///
    /// # Errors
    /// As for [`get`](TaskInstance::get).
    pub async fn get_result(&self) -> Result<Option<Json>, EngineError> {
        Ok(self.get().await?.output.as_ref().map(result))
    }

    /// Why it failed, if it did.
    ///
    /// # Errors
    /// As for [`get`](TaskInstance::get).
    pub async fn get_error(&self) -> Result<Option<InstanceError>, EngineError> {
        Ok(self.get().await?.error().cloned())
    }

    /// Asks it to stop (`TaskInstance.stop`); answers when the stop is committed.
    ///
    /// # Errors
    /// As for [`get`](TaskInstance::get).
    pub async fn stop(&self) -> Result<(), EngineError> {
        self.stop_with(StopOptions { grace: None, force: false, by_itself: false }).await
    }

    /// [`stop`](TaskInstance::stop) with another grace, or none.
    ///
    /// # Errors
    /// As for [`get`](TaskInstance::get).
    pub async fn stop_with(&self, options: StopOptions) -> Result<(), EngineError> {
        self.server.engine().stop(self.key(), options).await.map(drop)
    }

    /// Follows it: the present image first, then each committed change.
    ///
    /// # Errors
    /// As for [`get`](TaskInstance::get).
    pub async fn watch(&self) -> Result<InstanceWatch, EngineError> {
        self.server.engine().watch(self.key()).await
    }

    /// Its result, once it has completed (`TaskInstance.wait_for_completion`). [`Json::read`] reads it into a type.
    ///
    /// # Errors
    /// [`CompletionError`]: it failed or was cancelled, or the server ends before it does.
    ///
    /// # Cancel safety
    /// Dropping the future stops nothing.
    pub async fn wait_for_completion(&self) -> Result<Json, CompletionError> {
        let image = self.done().await?;
        match &image.phase {
            Phase::Done { outcome: Outcome::Completed, .. } => {
                Ok(image.output.as_ref().map_or_else(Json::null, result))
            }
            Phase::Done { outcome: Outcome::Failed(error), .. } => {
                Err(CompletionError::Failed { instance_id: self.id, error: error.clone() })
            }
            Phase::Done { outcome: Outcome::Cancelled, .. } => {
                Err(CompletionError::Cancelled { instance_id: self.id, output: image.output.clone() })
            }
            Phase::Pending | Phase::Running => Err(EngineError::EndedFirst { instance_id: self.id }.into()),
        }
    }

    /// The image once it is done, or as it is when the server ends.
    pub(super) async fn done(&self) -> Result<Arc<Instance>, EngineError> {
        let mut watch = self.watch().await?;
        self.server.engine().hurry();
        let image = tokio::select! {
            biased;
            image = watch.done() => image,
            () = self.server.over() => return Ok(watch.current()),
        };
        // A watch also ends when its instance was purged.
        if image.is_done() { Ok(image) } else { self.get().await }
    }

    fn key(&self) -> InstanceKey {
        InstanceKey::Id(self.id)
    }
}

fn result(output: &Json) -> Json {
    Json::from(output.result().to_owned())
}

impl fmt::Debug for TaskInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskInstance")
            .field("id", &self.id)
            .field("number", &self.number)
            .field("task_id", &self.task_id)
            .finish_non_exhaustive()
    }
}

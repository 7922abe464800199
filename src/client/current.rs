//! The running task, found without passing its controller along: inside a handler, and in a program that is a task.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{RemoteError, RemoteTaskController, environment, remote::Link};
use crate::{
    domain::{Json, error::chain},
    task::{self, NoTaskController, TaskController},
};

/// The link of the task that this process is, as long as somebody holds it: a process has one environment.
static CURRENT: Mutex<Weak<Link>> = Mutex::new(Weak::new());

/// There is no controller where [`get_task_controller`] was called.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// No handler runs here, and this process is no task.
    #[error(transparent)]
    NotInATask(NoTaskController),
    /// This process is a task, and its daemon cannot be asked.
    #[error("this program runs as a task and cannot reach its controller")]
    Remote(#[from] RemoteError),
}

/// The controller of the attempt that the calling code belongs to (`numerous.tasks.get_task_controller`).
///
/// Inside a handler, and the closures it gives to [`TaskController::blocking`], it is the handler's own; not in threads and
/// tasks that a handler spawns itself. In a program that runs as a command it is the program's, as from
/// [`RemoteTaskController::from_env_blocking`]; the same one as long as a clone is held, so hold one. The first call there
/// blocks for an answer of the daemon.
///
/// # Errors
/// [`ControllerError`], which says what to do.
pub fn get_task_controller() -> Result<TaskController, ControllerError> {
    match task::get_task_controller() {
        Ok(controller) => Ok(controller),
        Err(none) if environment::given(std::env::var(environment::INSTANCE).ok()).is_none() => {
            Err(ControllerError::NotInATask(none))
        }
        Err(_) => Ok(RemoteTaskController::from_env_blocking()?.controller()),
    }
}

/// The link that somebody holds.
pub(super) fn link() -> Option<Arc<Link>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
}

/// Lets others find `link` as long as somebody holds it. Answers the link that is to be used: another one where two were
/// opened at once, for of two outboxes neither would know which value is the latest.
pub(super) fn keep(link: Arc<Link>) -> Arc<Link> {
    let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(first) = current.upgrade() {
        return first;
    }
    *current = Arc::downgrade(&link);
    link
}

/// The inputs of the attempt that the calling code belongs to (`numerous.tasks.get_task_inputs`): inside a handler its own,
/// in a program that runs as a command what the daemon handed over; `{}` elsewhere.
///
/// Inputs that cannot be read are `{}` too, with a warning; [`environment::inputs`] tells them apart.
pub fn get_task_inputs() -> Json {
    if task::get_task_controller().is_ok() {
        return task::get_task_inputs();
    }
    match environment::inputs() {
        Ok(inputs) => inputs.unwrap_or_else(Json::empty_object),
        Err(error) => {
            tracing::warn!(error = chain(&error), "the inputs of this task cannot be read");
            Json::empty_object()
        }
    }
}

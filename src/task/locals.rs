//! The running task, found without passing its controller along.

use super::controller::TaskController;
use crate::domain::Json;

tokio::task_local! {
    pub(super) static CURRENT: TaskController;
}

/// There is no running task where [`get_task_controller`] was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no task is running here: call get_task_controller() inside a handler or its `task.blocking` closure, pass the controller on to threads and tasks that the handler spawns, or start this program as a command of a daemon"
)]
pub struct NoTaskController;

/// The controller of the attempt that the calling code belongs to.
///
/// Known inside a handler and the closures it gives to [`TaskController::blocking`]; not in threads and tasks that it
/// spawns itself.
///
/// # Errors
/// [`NoTaskController`] outside.
pub fn get_task_controller() -> Result<TaskController, NoTaskController> {
    CURRENT.try_with(Clone::clone).map_err(|_| NoTaskController)
}

/// The inputs of the attempt that the calling code belongs to; `{}` outside a handler.
pub fn get_task_inputs() -> Json {
    CURRENT.try_with(TaskController::inputs).unwrap_or_else(|_| Json::empty_object())
}

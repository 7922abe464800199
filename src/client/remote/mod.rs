//! The controller of a task that is a program of its own.
//!
//! [`RemoteTaskController`] is what the program holds; `link` is what it reports to; `outbox` keeps what is to be sent, the
//! latest of each kind; `sender` sends it, on a thread of its own.

mod link;
mod outbox;
mod sender;

use std::{fmt, io, ops::Deref, sync::Arc, sync::mpsc, time::Duration};

use tokio::sync::oneshot;

use super::{
    Client, ClientError,
    attempt::AttemptClient,
    current,
    environment::{Environment, MissingVariable},
};
use crate::task::{ReportError, TaskController};
pub(super) use link::Link;

/// How long the daemon may be away before a [`flush`](TaskController::flush) fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a program has no controller.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The program was not started as a task.
    #[error(transparent)]
    Environment(#[from] MissingVariable),
    /// The daemon cannot be asked, or refuses.
    #[error(transparent)]
    Daemon(#[from] ClientError),
    /// The thread that reports cannot be started.
    #[error("cannot start the thread that reports to the daemon")]
    Thread(#[source] io::Error),
}

/// The [`TaskController`] of a task that is a program of its own, written in Rust and run as a command.
///
/// It has every method of a handler's controller, and they mean the same: setters return at once and keep the latest value,
/// which is sent soon; [`flush`](TaskController::flush) waits until it is committed;
/// [`should_stop`](TaskController::should_stop) costs nothing and is at most a second old. It works on a thread of its own, so
/// in a tokio program as well as in one that blocks. A short absence of the daemon is survived; once another attempt has
/// begun, or the instance is done, `should_stop` is true and reports are refused.
///
/// ```no_run
/// use taskwright::RemoteTaskController;
///
/// #[tokio::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let task = RemoteTaskController::from_env().await?;
///     task.catch_sigterm()?;
///     let files: Vec<String> = task.inputs().read()?;
///     for (done, file) in (1..).zip(&files) {
///         if task.should_stop() {
///             break;
///         }
///         task.log(file);
///         task.set_progress(done as f64 / files.len() as f64)?;
///     }
///     task.set_output(serde_json::json!({"files": files.len()}))?;
///     task.flush().await?;
///     Ok(())
/// }
/// ```
///
/// When the last clone is dropped, what was reported and not yet sent has 5 s to leave; `std::process::exit` drops nothing,
/// so flush before it.
#[derive(Clone)]
pub struct RemoteTaskController {
    controller: TaskController,
    link: Arc<Link>,
}

impl RemoteTaskController {
    /// The controller of the task that this process is, from `TASKWRIGHT_URL`, `TASKWRIGHT_TOKEN` and
    /// `NUMEROUS_TASK_INSTANCE_ID`, which the daemon sets. The same one as long as somebody holds it.
    ///
    /// # Errors
    /// [`RemoteError`]: a variable is missing, or the daemon cannot be asked.
    pub async fn from_env() -> Result<RemoteTaskController, RemoteError> {
        if let Some(link) = current::link() {
            return Ok(RemoteTaskController::of(link));
        }
        let remote = RemoteTaskController::connect(Environment::read()?, PATIENCE).await?;
        Ok(RemoteTaskController::of(current::keep(remote.link)))
    }

    /// [`from_env`](RemoteTaskController::from_env) for a program without a runtime: it blocks for the answer.
    ///
    /// # Errors
    /// As for [`from_env`](RemoteTaskController::from_env).
    pub fn from_env_blocking() -> Result<RemoteTaskController, RemoteError> {
        if let Some(link) = current::link() {
            return Ok(RemoteTaskController::of(link));
        }
        let (reply, answer) = mpsc::sync_channel(1);
        Link::open(attempt_client(&Environment::read()?)?, PATIENCE, move |link| _ = reply.send(link))?;
        let link = answer.recv().map_err(gone)??;
        Ok(RemoteTaskController::of(current::keep(link)))
    }

    /// The controller for `environment`. `patience` is how long the daemon may be away before a flush fails.
    ///
    /// # Errors
    /// As for [`from_env`](RemoteTaskController::from_env).
    pub async fn connect(environment: Environment, patience: Duration) -> Result<RemoteTaskController, RemoteError> {
        let (reply, answer) = oneshot::channel();
        Link::open(attempt_client(&environment)?, patience, move |link| _ = reply.send(link))?;
        Ok(RemoteTaskController::of(answer.await.map_err(gone)??))
    }

    fn of(link: Arc<Link>) -> RemoteTaskController {
        RemoteTaskController { controller: TaskController::new(Arc::clone(&link) as _), link }
    }

    /// The same as a handler's controller, for code that takes one.
    pub fn controller(&self) -> TaskController {
        self.controller.clone()
    }

    /// From now on SIGTERM no longer ends this process: it makes [`should_stop`](TaskController::should_stop) true at once.
    ///
    /// The daemon sends it to a command that is to stop, and kills it at the deadline. Call this where the program asks
    /// `should_stop` often enough to clean up in time.
    ///
    /// # Errors
    /// What the system says.
    pub fn catch_sigterm(&self) -> io::Result<()> {
        self.link.catch_sigterm()
    }

    /// [`flush`](TaskController::flush) for code without a runtime.
    ///
    /// # Errors
    /// As for [`flush`](TaskController::flush).
    pub fn flush_blocking(&self) -> Result<(), ReportError> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.link.when_sent(move |outcome| _ = reply.send(outcome));
        answer.recv().unwrap_or(Err(ReportError::Over))
    }
}

impl Deref for RemoteTaskController {
    type Target = TaskController;

    fn deref(&self) -> &TaskController {
        &self.controller
    }
}

impl fmt::Debug for RemoteTaskController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.controller.fmt(f)
    }
}

fn attempt_client(environment: &Environment) -> Result<AttemptClient, RemoteError> {
    let client = Client::new(&environment.url)?.with_token(&environment.token)?;
    Ok(AttemptClient::new(client.with_patience(sender::EXCHANGE), &environment.instance))
}

fn gone<E>(_: E) -> RemoteError {
    RemoteError::Thread(io::Error::other("it ended before it began"))
}

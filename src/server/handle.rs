//! A server that runs inside an application: the calls of `numerous.tasks`, in process.

use std::{fmt, net::SocketAddr, sync::Arc};

use serde::Serialize;
use tokio::sync::{Mutex, watch};

use super::{
    CompletionError, RunTask, ShutdownError, TaskInstance, TemporaryFolder,
    assembly::{Serving, take_down},
};
use crate::{
    config::reachable,
    domain::{Definition, InstanceKey, InstanceQuery, Json},
    engine::{Engine, EngineError, StopOptions, TaskInstanceNotFoundError},
    http::{self, App},
};

/// The most instances that a list answers.
const LONGEST_LIST: usize = 1000;

/// A running [`Server`](super::Server). Cheap to clone: hand it to whatever starts and watches tasks.
///
/// The methods bear the names that they have in the Python package `numerous.tasks`. Everything that they answer is
/// committed. End it with [`shutdown`](ServerHandle::shutdown); where the last clone is dropped without, running handlers
/// are cut short and settled by the next start on the same store.
#[derive(Clone)]
pub struct ServerHandle(Arc<Shared>);

struct Shared {
    engine: Engine,
    app: App,
    life: Mutex<Life>,
    closed: watch::Sender<bool>,
    address: Option<SocketAddr>,
    url: Option<String>,
    location: Arc<str>,
    // Dropped last: the store is in it.
    _folder: Option<TemporaryFolder>,
}

struct Life {
    serving: Option<Serving>,
    is_over: bool,
}

pub(super) struct Parts {
    pub engine: Engine,
    pub app: App,
    pub serving: Option<Serving>,
    pub address: Option<SocketAddr>,
    pub url: Option<String>,
    pub location: Arc<str>,
    pub folder: Option<TemporaryFolder>,
}

impl ServerHandle {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { engine, app, serving, address, url, location, folder } = parts;
        ServerHandle(Arc::new(Shared {
            engine,
            app,
            life: Mutex::new(Life { serving, is_over: false }),
            closed: watch::Sender::new(false),
            address,
            url,
            location,
            _folder: folder,
        }))
    }

    // --- definitions

    /// The definition with this id or name (`numerous.tasks.get_task_definition`).
    ///
    /// # Errors
    /// [`EngineError::UnknownTask`], which names the nearest.
    pub fn get_task_definition(&self, task: &str) -> Result<Arc<Definition>, EngineError> {
        self.0.engine.definition(task)
    }

    /// Every definition, by id (`numerous.tasks.list_task_definitions`).
    pub fn list_task_definitions(&self) -> Vec<Arc<Definition>> {
        self.0.engine.definitions()
    }

    // --- instances

    /// Starts an instance of the task with this id or name (`numerous.tasks.run_task`); awaited, it answers once the start
    /// is synced to disk. [`RunTask::block`] waits for its end too.
    ///
    /// `inputs` is anything that serialises to a JSON object; `()` stands for no inputs.
    ///
    /// ```
    /// # async fn f(tasks: taskwright::ServerHandle) -> Result<(), Box<dyn std::error::Error>> {
    /// let instance = tasks.run_task("sleep", serde_json::json!({"seconds": 3})).await?;
    /// println!("{} is {}", instance.number(), instance.get_status().await?);
    /// # Ok(()) }
    /// ```
    pub fn run_task(&self, task: &str, inputs: impl Serialize) -> RunTask {
        RunTask::new(self.clone(), task, inputs)
    }

    /// The instance with this UUID or number (`numerous.tasks.get_task_instance`).
    ///
    /// # Errors
    /// [`EngineError::UnknownInstance`] with a [`TaskInstanceNotFoundError`]; [`EngineError::Unavailable`].
    pub async fn get_task_instance(&self, id: impl fmt::Display) -> Result<TaskInstance, EngineError> {
        let image = self.0.engine.instance(key(id)?).await?;
        Ok(TaskInstance::of(self, &image))
    }

    /// The newest 1,000 instances of a task, newest first (`numerous.tasks.list_task_instances`). A task that is not
    /// defined may still have instances. [`engine`](ServerHandle::engine) lists by page, status and label.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn list_task_instances(&self, task: &str) -> Result<Vec<TaskInstance>, EngineError> {
        let task_id = Some(self.0.engine.task_id(task));
        let query = InstanceQuery { task_id, limit: LONGEST_LIST, ..InstanceQuery::default() };
        let page = self.0.engine.list(&query).await?;
        Ok(page.items.iter().map(|summary| TaskInstance::of(self, summary)).collect())
    }

    /// Asks an instance to stop (`numerous.tasks.stop_task_instance`): one that waits is cancelled at once, one that runs
    /// has the grace of [`Server::stop_grace`](super::Server::stop_grace), a done one stays as it is.
    ///
    /// # Errors
    /// As for [`get_task_instance`](ServerHandle::get_task_instance).
    pub async fn stop_task_instance(&self, id: impl fmt::Display) -> Result<TaskInstance, EngineError> {
        let image = self.0.engine.stop(key(id)?, StopOptions { grace: None, force: false, by_itself: false }).await?;
        Ok(TaskInstance::of(self, &image))
    }

    /// The result of an instance, once it has completed (`numerous.tasks.wait_for_completion`).
    ///
    /// # Errors
    /// [`CompletionError`]: it failed or was cancelled, or there is no such instance.
    ///
    /// # Cancel safety
    /// Dropping the future stops nothing.
    pub async fn wait_for_completion(&self, id: impl fmt::Display) -> Result<Json, CompletionError> {
        self.get_task_instance(id).await?.wait_for_completion().await
    }

    // --- around them

    /// The HTTP interface, for the application's own server:
    ///
    /// ```
    /// # fn f(tasks: taskwright::ServerHandle) -> axum::Router {
    /// axum::Router::new().nest("/tasks", tasks.router())
    /// # }
    /// ```
    ///
    /// Tell the builder where that will be: [`Server::mounted_at`](super::Server::mounted_at). The deadlines on connections
    /// are those of your server.
    ///
    /// **Without a [`token`](super::Server::token) it serves everybody who can reach your server's address**: they start and
    /// stop tasks, and read all inputs, outputs and logs. We do not see where you listen, so nothing refuses that. The checks
    /// of Host and Origin keep the pages of other sites out (DNS rebinding, cross-site requests); whoever connects by
    /// himself writes what he likes into these headers. Give tokens, or put the router behind a check of your own.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> axum::Router<S> {
        http::mounted(self.0.app.clone())
    }

    /// Where its own socket listens, if it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.address
    }

    /// Where it is reached from this machine, if it is.
    pub fn url(&self) -> Option<String> {
        self.0.address.map(|address| format!("http://{}", reachable(address))).or_else(|| self.0.url.clone())
    }

    /// Where its store is.
    pub fn location(&self) -> &str {
        &self.0.location
    }

    /// The engine itself: batches, idempotent starts, logs, attempts, streams of changes, health.
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Resolves with the whole chain of causes if the store fails for good. The application is to end then; what was
    /// acknowledged is in the store.
    pub async fn failed(&self) -> String {
        self.0.engine.failed().await
    }

    /// Ends in order: takes no new work, lets running tasks end as [`Server::drain`](super::Server::drain) says, ends
    /// HTTP, closes the store. A second call waits for the first.
    ///
    /// In a server of your own call it where you would stop to accept, so that clients can read while tasks end.
    ///
    /// # Errors
    /// [`ShutdownError`]: the store failed or did not close in time.
    ///
    /// # Cancel safety
    /// When the future is dropped the end is half done; call it again.
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        let mut life = self.0.life.lock().await;
        if life.is_over {
            return Ok(());
        }
        let ended = tokio::select! {
            // First: after it nothing is drained, and all the rest ends soon.
            biased;
            why = self.0.engine.failed() => {
                self.0.engine.abort().await;
                Err(why)
            }
            ended = take_down(&self.0.engine, Some(&self.0.app), life.serving.as_mut()) => ended,
        };
        life.is_over = true;
        life.serving = None;
        self.0.closed.send_replace(true);
        ended.map_err(ShutdownError)
    }

    /// Resolves when the server is down, or its store has failed: nothing changes any more.
    pub(super) async fn over(&self) {
        let mut closed = self.0.closed.subscribe();
        tokio::select! {
            // The sender is a field of what we hold.
            _ = closed.wait_for(|closed| *closed) => {}
            _ = self.0.engine.failed() => {}
        }
    }
}

/// What names an instance; a text that can name none names one that is not there.
fn key(id: impl fmt::Display) -> Result<InstanceKey, TaskInstanceNotFoundError> {
    let text = id.to_string();
    text.parse().map_err(|_| TaskInstanceNotFoundError { instance_id: text })
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle")
            .field("url", &self.url())
            .field("location", &self.0.location)
            .finish_non_exhaustive()
    }
}

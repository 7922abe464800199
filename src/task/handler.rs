//! The trait that a task is written as.

use std::future::Future;

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use super::{controller::TaskController, error::TaskError, options::TaskOptions};

/// A task that runs inside the daemon, with typed inputs and output.
///
/// One value of it serves all instances, so what they share (a client, a pool, a cache) is a field. The JSON Schemas
/// of the task come from the types. Inputs that [`Input`](Self::Input) cannot be read from are refused when the
/// instance is started.
///
/// ```
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
/// use taskwright::{TaskController, TaskError, TaskHandler, testing};
///
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Greeting {
///     name: String,
/// }
///
/// #[derive(Serialize, JsonSchema)]
/// struct Greeted {
///     text: String,
/// }
///
/// struct Greet {
///     word: &'static str,
/// }
///
/// impl TaskHandler for Greet {
///     const ID: &'static str = "greet";
///     type Input = Greeting;
///     type Output = Greeted;
///
///     async fn run(&self, input: Greeting, task: TaskController) -> Result<Greeted, TaskError> {
///         if task.should_stop() {
///             return Err(TaskError::stopped());
///         }
///         task.set_progress(0.5)?;
///         Ok(Greeted { text: format!("{}, {}!", self.word, input.name) })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let run = testing::run(Greet { word: "Hello" }).input(serde_json::json!({"name": "Ada"})).await;
/// assert_eq!(run.output(), serde_json::json!({"text": "Hello, Ada!"}));
/// # }
/// ```
///
/// # Cancel safety
/// The future may be dropped at any await: at its timeout, at the deadline of a stop, or when the daemon ends. Watch
/// [`TaskController::stopped`] to end in order.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task handler",
    label = "this type does not implement `TaskHandler`",
    note = "implement `taskwright::TaskHandler` for it: `const ID`, `type Input`, `type Output` and `async fn run`",
    note = "for an async function or closure use `register_fn(\"id\", f)`; it takes the input and a `TaskController`"
)]
pub trait TaskHandler: Send + Sync + 'static {
    /// The id that instances are started by: 1 to 128 characters, no control character, no `/`.
    const ID: &'static str;

    /// Its name, description and limits.
    const OPTIONS: TaskOptions = TaskOptions::new();

    /// What it takes: a type that reads from a JSON object; `()` for a task without inputs. Unknown fields are refused
    /// where the type says `#[serde(deny_unknown_fields)]`.
    type Input: DeserializeOwned + JsonSchema + Send + 'static;

    /// What it returns. An object becomes the output, another value `{"result": value}`, and `null` or `()` leaves
    /// what [`TaskController::set_output`] wrote.
    type Output: Serialize + JsonSchema + Send + 'static;

    /// Runs one attempt.
    ///
    /// # Errors
    /// [`TaskError`] says how it ended: stopped, or failed, and whether another attempt may follow.
    fn run(
        &self,
        input: Self::Input,
        task: TaskController,
    ) -> impl Future<Output = Result<Self::Output, TaskError>> + Send;
}

//! Where the handlers of a daemon are named, before it starts.

use std::{collections::BTreeMap, error::Error, future::Future, sync::Arc};

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use toml::Table;

use super::{
    adapter, controller::TaskController, erased::ErasedHandler, error::TaskError, handler::TaskHandler,
    options::TaskOptions, schema, settings,
};
use crate::domain::{Definition, Source, Workload, definition::InvalidDefinitionId, suggest};

/// Takes the handlers of a daemon, and gives each its `[handlers.ID]` table of the configuration.
///
/// What is wrong with a handler or its table is told when the daemon starts, so that registering reads as a list.
///
/// ```
/// use taskwright::{Registry, TaskController, TaskError};
///
/// async fn ping(_: (), _: TaskController) -> Result<&'static str, TaskError> {
///     Ok("pong")
/// }
///
/// let mut registry = Registry::default();
/// registry.register_fn("ping", ping);
/// assert!(registry.into_handlers().is_ok());
/// ```
#[derive(Default)]
pub struct Registry {
    tables: BTreeMap<String, Table>,
    /// The ids registered, for messages and for a second handler of one id.
    taken: Vec<String>,
    handlers: Handlers,
    first_error: Option<RegistryError>,
}

/// Handlers, each with its definition.
pub type Handlers = Vec<(Definition, Arc<dyn ErasedHandler>)>;

/// Why handlers and configuration do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The id of a handler, or its name, can be none.
    #[error("a handler cannot be registered")]
    Id(#[source] InvalidDefinitionId),
    /// A table of the configuration, or one of its keys, is wrong.
    #[error("handlers.{key}: {detail}")]
    Settings {
        /// The handler's id and the key.
        key: String,
        /// What is wrong.
        detail: String,
    },
    /// A table of the configuration belongs to no handler.
    #[error("handlers.{id}: this daemon has no handler `{id}`{hint}")]
    NoHandler {
        /// The table's name.
        id: String,
        /// "; did you mean …", or the list of handlers.
        hint: String,
    },
    /// A handler could not be made from its settings.
    #[error("cannot set up the handler `{id}` with handlers.{id}")]
    SetUp {
        /// The handler.
        id: String,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl Registry {
    /// A registry that gives the handler `ID` the table `tables["ID"]`.
    pub fn new(tables: BTreeMap<String, Table>) -> Self {
        Registry { tables, ..Registry::default() }
    }

    /// Registers a handler that has no settings of its own. `[handlers.ID]` may override its limits.
    pub fn register<H: TaskHandler>(&mut self, handler: H) -> &mut Self {
        self.handler::<H, NoSettings, _>(|_| Ok(handler))
    }

    /// Registers what `make` makes of the table `[handlers.ID]`, read into `S`; without a table, of an empty one.
    /// The keys `timeout`, `queue_timeout`, `max_attempts`, `retry_delay`, `concurrency` and `retention` override
    /// the limits and do not reach `S`.
    ///
    /// ```
    /// # use taskwright::{Registry, TaskController, TaskError, TaskHandler};
    /// #[derive(serde::Deserialize)]
    /// struct Settings {
    ///     #[serde(default)]
    ///     greeting: String,
    /// }
    ///
    /// struct Greet(String);
    /// # impl TaskHandler for Greet {
    /// #     const ID: &'static str = "greet";
    /// #     type Input = ();
    /// #     type Output = String;
    /// #     async fn run(&self, _: (), _: TaskController) -> Result<String, TaskError> { Ok(self.0.clone()) }
    /// # }
    /// # let mut registry = Registry::default();
    /// registry.register_with(|settings: Settings| Greet(settings.greeting));
    /// # assert!(registry.into_handlers().is_ok());
    /// ```
    pub fn register_with<H, S>(&mut self, make: impl FnOnce(S) -> H) -> &mut Self
    where
        H: TaskHandler,
        S: DeserializeOwned,
    {
        self.handler(|settings: S| Ok(make(settings)))
    }

    /// [`register_with`](Self::register_with) for a handler that may fail to be made: the daemon does not start then.
    pub fn try_register_with<H, S, E>(&mut self, make: impl FnOnce(S) -> Result<H, E>) -> &mut Self
    where
        H: TaskHandler,
        S: DeserializeOwned,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.handler(|settings: S| make(settings).map_err(Into::into))
    }

    /// Registers an async function of its input and a [`TaskController`] under `id`.
    pub fn register_fn<F, I, O, Fut>(&mut self, id: &str, function: F) -> &mut Self
    where
        F: Fn(I, TaskController) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, TaskError>> + Send + 'static,
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + Send + 'static,
    {
        self.register_fn_with(id, TaskOptions::new(), function)
    }

    /// [`register_fn`](Self::register_fn) with a name, a description and limits.
    pub fn register_fn_with<F, I, O, Fut>(&mut self, id: &str, options: TaskOptions, function: F) -> &mut Self
    where
        F: Fn(I, TaskController) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, TaskError>> + Send + 'static,
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + Send + 'static,
    {
        let added = self.settings::<NoSettings>(id, options).and_then(|(options, _)| {
            let definition = definition::<I, O>(id, options)?;
            Ok((definition, adapter::of_function(function)))
        });
        self.add(added)
    }

    /// The handlers in the order they came. Two with one id are both there.
    ///
    /// # Errors
    /// [`RegistryError`]: the first fault of a handler or of the configuration's `[handlers]`.
    pub fn into_handlers(self) -> Result<Handlers, RegistryError> {
        if let Some(error) = self.first_error {
            return Err(error);
        }
        if let Some(id) = self.tables.into_keys().find(|id| !self.taken.contains(id)) {
            let known: Vec<&str> = self.taken.iter().map(String::as_str).collect();
            let hint = suggest::hint(&id, &known);
            return Err(RegistryError::NoHandler { id, hint });
        }
        Ok(self.handlers)
    }

    fn handler<H, S, F>(&mut self, make: F) -> &mut Self
    where
        H: TaskHandler,
        S: DeserializeOwned,
        F: FnOnce(S) -> Result<H, Box<dyn Error + Send + Sync>>,
    {
        let added = self.settings::<S>(H::ID, H::OPTIONS).and_then(|(options, settings)| {
            let definition = definition::<H::Input, H::Output>(H::ID, options)?;
            let handler = make(settings).map_err(|source| RegistryError::SetUp { id: H::ID.to_owned(), source })?;
            Ok((definition, adapter::of_handler(handler)))
        });
        self.add(added)
    }

    fn add(&mut self, added: Result<(Definition, Arc<dyn ErasedHandler>), RegistryError>) -> &mut Self {
        match added {
            Ok(handler) => self.handlers.push(handler),
            Err(error) => {
                self.first_error.get_or_insert(error);
            }
        }
        self
    }

    /// The limits and settings of the handler `id`, from its table.
    fn settings<S: DeserializeOwned>(
        &mut self,
        id: &str,
        mut options: TaskOptions,
    ) -> Result<(TaskOptions, S), RegistryError> {
        self.taken.push(id.to_owned());
        let mut table = self.tables.get(id).cloned().unwrap_or_default();
        let fault = |(key, detail): (String, String)| RegistryError::Settings {
            key: if key.is_empty() { id.to_owned() } else { format!("{id}.{key}") },
            detail,
        };
        settings::take_limits(&mut table, &mut options).map_err(fault)?;
        Ok((options, settings::read(table).map_err(fault)?))
    }
}

/// The settings of a handler that has none.
#[derive(serde::Deserialize)]
struct NoSettings {}

fn definition<I: JsonSchema, O: JsonSchema>(id: &str, options: TaskOptions) -> Result<Definition, RegistryError> {
    let parse = |text: &str| text.parse().map_err(RegistryError::Id);
    let mut definition = Definition::new(parse(id)?, Workload::Local, Source::Compiled);
    if let Some(name) = options.name {
        definition.name = parse(name)?;
    }
    Ok(Definition {
        description: options.description.map(str::to_owned),
        timeout: options.timeout,
        queue_timeout: options.queue_timeout,
        max_attempts: options.max_attempts,
        retry_delay: options.retry_delay,
        concurrency: options.concurrency,
        retention: options.retention,
        input_schema: schema::of_input::<I>(),
        output_schema: schema::of_output::<O>(),
        ..definition
    })
}

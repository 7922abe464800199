//! Every task of this daemon: its definition, and how it is run and checked.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use super::{
    command_task::{CommandTask, InputsBy},
    error::EngineError,
    schema::Schema,
};
use crate::{
    domain::{Definition, FieldError, Json, Source, bounds, suggest},
    task::erased::ErasedHandler,
};

/// The largest inputs that fit one environment variable of a command, as JSON, in bytes. Linux allows 128 KiB
/// a variable; base64 makes four of three.
pub const LARGEST_ENVIRONMENT_INPUTS: usize = 96_000;

/// One task: what it is, how it is checked, how it is run.
pub struct Task {
    /// What it is.
    pub definition: Arc<Definition>,
    /// How it is run.
    pub executable: Executable,
    input_schema: Option<Schema>,
    output_schema: Option<Schema>,
}

/// How a task is run.
pub enum Executable {
    /// By a handler in this binary.
    Handler(Arc<dyn ErasedHandler>),
    /// As a process.
    Command(CommandRunner),
}

/// What is needed to start a command.
pub struct CommandRunner {
    /// Program and arguments; not empty.
    pub argv: Vec<String>,
    /// What is added to its environment.
    pub env: BTreeMap<String, String>,
    /// How it gets its inputs.
    pub inputs: InputsBy,
    /// Its working directory.
    pub directory: PathBuf,
}

impl Task {
    /// A command, with its schemas compiled.
    ///
    /// # Errors
    /// [`CatalogError::OutOfBounds`], [`CatalogError::Schema`].
    pub fn command(command: CommandTask) -> Result<Self, CatalogError> {
        let definition = command.definition;
        if let Some((member, detail)) = bounds::definition_fault(&definition) {
            return Err(CatalogError::OutOfBounds { task: definition.id.to_string(), member, detail });
        }
        let schema = |which, text: &Option<Json>| match text {
            None => Ok(None),
            Some(text) => Schema::compile(text).map(Some).map_err(|detail| CatalogError::Schema {
                task: definition.id.to_string(),
                which,
                detail,
            }),
        };
        let input_schema = schema("input_schema", &definition.input_schema)?;
        let output_schema = schema("output_schema", &definition.output_schema)?;
        let executable = Executable::Command(CommandRunner {
            argv: definition.command.clone().unwrap_or_default(),
            env: command.env,
            inputs: command.inputs,
            directory: command.directory,
        });
        Ok(Task { definition: Arc::new(definition), executable, input_schema, output_schema })
    }

    /// Whether `inputs` are valid for this task as it is now.
    ///
    /// # Errors
    /// What is wrong with them, field by field.
    pub fn check_inputs(&self, inputs: &Json) -> Result<(), Vec<FieldError>> {
        match &self.executable {
            Executable::Handler(handler) => handler.check(inputs),
            Executable::Command(command) => {
                let size = inputs.as_str().len();
                if command.inputs == InputsBy::Environment && size > LARGEST_ENVIRONMENT_INPUTS {
                    let remedy = match self.definition.source {
                        Source::Registered => "only a task of the configuration takes more, with inputs = \"file\"",
                        Source::Compiled | Source::Configured => "set inputs = \"file\" for this task",
                    };
                    let detail = format!(
                        "the inputs are {size} bytes of JSON; at most {LARGEST_ENVIRONMENT_INPUTS} fit the \
                         environment: {remedy}"
                    );
                    return Err(vec![FieldError::new("", detail)]);
                }
                self.input_schema.as_ref().map_or(Ok(()), |schema| schema.check(inputs))
            }
        }
    }

    /// Whether `output` satisfies the output schema of a command.
    ///
    /// # Errors
    /// What is wrong with it, field by field.
    pub fn check_output(&self, output: &Json) -> Result<(), Vec<FieldError>> {
        self.output_schema.as_ref().map_or(Ok(()), |schema| schema.check(output))
    }
}

/// Every task of a daemon at one time, in one namespace of ids and names.
#[derive(Clone)]
pub struct Catalog {
    tasks: BTreeMap<Arc<str>, Arc<Task>>,
    names: HashMap<Arc<str>, Arc<Task>>,
}

impl Catalog {
    /// Puts handlers and commands into one namespace of ids and names, and compiles their schemas.
    ///
    /// # Errors
    /// Two with one id or name, a limit out of bounds, or a schema that is none.
    pub fn new(
        handlers: Vec<(Definition, Arc<dyn ErasedHandler>)>,
        commands: Vec<CommandTask>,
    ) -> Result<Self, CatalogError> {
        let mut catalog = Catalog { tasks: BTreeMap::new(), names: HashMap::new() };
        for (definition, handler) in handlers {
            // A handler's schemas describe its types, and the types themselves are the check.
            catalog.add(Task {
                definition: Arc::new(definition),
                executable: Executable::Handler(handler),
                input_schema: None,
                output_schema: None,
            })?;
        }
        for command in commands {
            catalog.add(Task::command(command)?)?;
        }
        Ok(catalog)
    }

    /// The same with `task`.
    ///
    /// # Errors
    /// [`CatalogError::Duplicate`].
    pub fn with(&self, task: Task) -> Result<Self, CatalogError> {
        let mut catalog = self.clone();
        catalog.add(task)?;
        Ok(catalog)
    }

    /// The same without `definition`.
    #[must_use]
    pub fn without(&self, definition: &Definition) -> Self {
        let mut catalog = self.clone();
        catalog.tasks.remove(definition.id.as_str());
        catalog.names.remove(definition.id.as_str());
        catalog.names.remove(definition.name.as_str());
        catalog
    }

    /// Adds the commands that were registered, to be started in `directory`.
    ///
    /// # Errors
    /// [`CatalogError::Registered`] where one has an id or name in use, or [`CatalogError::Schema`].
    pub fn add_registered(&mut self, definitions: Vec<Definition>, directory: &Path) -> Result<(), CatalogError> {
        for definition in definitions {
            let id = definition.id.to_string();
            let (env, inputs, directory) = (BTreeMap::new(), InputsBy::Environment, directory.to_owned());
            let task = Task::command(CommandTask { definition, env, inputs, directory })?;
            self.add(task).map_err(|error| match error {
                CatalogError::Duplicate { name, first, .. } => CatalogError::Registered { name, first, id },
                other => other,
            })?;
        }
        Ok(())
    }

    fn add(&mut self, task: Task) -> Result<(), CatalogError> {
        let task = Arc::new(task);
        let id = task.definition.id.shared();
        let mut names = vec![id.clone()];
        if task.definition.name != task.definition.id {
            names.push(task.definition.name.shared());
        }
        for name in names {
            if let Some(first) = self.names.insert(name.clone(), Arc::clone(&task)) {
                return Err(CatalogError::Duplicate {
                    name: name.to_string(),
                    first: described(&first.definition),
                    second: described(&task.definition),
                });
            }
        }
        self.tasks.insert(id, task);
        Ok(())
    }

    /// The task with this id or name.
    ///
    /// # Errors
    /// [`EngineError::UnknownTask`], naming the nearest.
    pub fn find(&self, name: &str) -> Result<&Arc<Task>, EngineError> {
        self.names.get(name).ok_or_else(|| {
            let mut known: Vec<&str> = self.names.keys().map(AsRef::as_ref).collect();
            known.sort_unstable();
            // A long catalogue would drown the message; the nearest name is searched in all of it.
            let hint = match suggest::nearest(name, known.iter().copied()) {
                None if known.len() > 20 => {
                    format!("; known are {} and {} more", known[..20].join(", "), known.len() - 20)
                }
                _ => suggest::hint(name, &known),
            };
            EngineError::UnknownTask { task: name.chars().take(200).collect(), hint }
        })
    }

    /// The task with this id or name.
    pub fn named(&self, name: &str) -> Option<&Arc<Task>> {
        self.names.get(name)
    }

    /// The task with this id.
    pub fn get(&self, id: &str) -> Option<&Arc<Task>> {
        self.tasks.get(id)
    }

    /// Every task, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.values()
    }

    /// Whether any task is a command.
    pub fn has_commands(&self) -> bool {
        self.iter().any(|task| matches!(task.executable, Executable::Command(_)))
    }
}

/// The catalog as it is now: a snapshot that the ledger replaces as a whole, after the commit that changed it.
pub struct CurrentCatalog(RwLock<Arc<Catalog>>);

impl CurrentCatalog {
    /// Begins with `catalog`.
    pub fn new(catalog: Catalog) -> Self {
        CurrentCatalog(RwLock::new(Arc::new(catalog)))
    }

    /// What there is now.
    pub fn load(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `catalog` in its place.
    pub(super) fn replace(&self, catalog: Arc<Catalog>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = catalog;
    }
}

/// A definition for messages: its id, and where it comes from.
pub fn described(definition: &Definition) -> String {
    let source = match definition.source {
        Source::Compiled => "compiled in",
        Source::Configured => "from [[tasks]]",
        Source::Registered => "registered",
    };
    format!("{} ({source})", definition.id)
}

/// Why tasks cannot stand together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Two with one id or name.
    #[error("the tasks `{first}` and `{second}` have the same id or name `{name}`: rename one")]
    Duplicate {
        /// The id or name.
        name: String,
        /// The one that came first, and where it comes from.
        first: String,
        /// The other, and where it comes from.
        second: String,
    },
    /// A registered one has the id or name of another task.
    #[error(
        "the task `{first}` and the definition `{id}` (registered over HTTP) have the same id or name `{name}`: \
         rename the first, or start without it and remove the other with DELETE /v1/definitions/{id}"
    )]
    Registered {
        /// The id or name.
        name: String,
        /// The other task, and where it comes from.
        first: String,
        /// The id of the registered one.
        id: String,
    },
    /// A limit that is too much or too little.
    #[error("{member} of task `{task}` {detail}")]
    OutOfBounds {
        /// The task.
        task: String,
        /// The member of its definition.
        member: &'static str,
        /// What is wrong.
        detail: &'static str,
    },
    /// A schema that is none.
    #[error("the {which} of task `{task}` is not a valid JSON Schema: {detail}")]
    Schema {
        /// The task.
        task: String,
        /// `input_schema` or `output_schema`.
        which: &'static str,
        /// What is wrong.
        detail: String,
    },
}

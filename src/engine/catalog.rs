//! Every task of this daemon: its definition, and how it is run and checked.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use crate::{domain::Definition, task::erased::ErasedHandler};

/// A command as a task.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandTask {
    /// Its definition; `command` is set and `workload` is remote.
    pub definition: Definition,
    /// What is added to its environment.
    pub env: BTreeMap<String, String>,
    /// How it gets its inputs.
    pub inputs: InputsBy,
    /// Its working directory.
    pub directory: PathBuf,
}

/// How a command gets its inputs, beside the input file that every one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InputsBy {
    /// In `TASK_DATA_INPUT` too: inputs too large for one variable are refused.
    #[default]
    Environment,
    /// Only in the file.
    File,
}

/// Every task of a daemon.
pub struct Catalog {}

#[allow(unused_variables, clippy::todo)]
impl Catalog {
    /// Puts handlers and commands into one namespace of ids and names, and compiles their schemas.
    ///
    /// # Errors
    /// Two with one id or name, or a schema that is none.
    pub fn new(
        handlers: Vec<(Definition, Arc<dyn ErasedHandler>)>,
        commands: Vec<CommandTask>,
    ) -> Result<Self, CatalogError> {
        todo!()
    }
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

//! A command as a task, configured or made in code.

use std::{collections::BTreeMap, path::PathBuf};

use crate::domain::{Definition, Source, Workload, definition::InvalidDefinitionId};

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

/// A command that can be no task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCommand {
    /// The id can be none.
    #[error(transparent)]
    Id(#[from] InvalidDefinitionId),
    /// There is no program.
    #[error("the command of task `{0}` names no program: give the program and its arguments")]
    NoProgram(String),
    /// A word cannot be given to a program.
    #[error("the command of task `{0}` holds a NUL character")]
    Nul(String),
}

impl CommandTask {
    /// The program `argv[0]` with its arguments as the task `id`. It is started without a shell, in the working directory
    /// that this process has by then, with the default limits; the fields change that.
    ///
    /// ```
    /// # use taskwright::engine::CommandTask;
    /// let mut thumbnails = CommandTask::new("thumbnails", ["python3", "thumbnails.py"])?;
    /// thumbnails.definition.timeout = Some(std::time::Duration::from_secs(600));
    /// # Ok::<_, taskwright::engine::InvalidCommand>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidCommand`].
    pub fn new<W: Into<String>>(id: &str, argv: impl IntoIterator<Item = W>) -> Result<CommandTask, InvalidCommand> {
        let mut definition = Definition::new(id.parse()?, Workload::Remote, Source::Configured);
        let argv: Vec<String> = argv.into_iter().map(Into::into).collect();
        if argv.first().is_none_or(String::is_empty) {
            return Err(InvalidCommand::NoProgram(id.to_owned()));
        }
        if argv.iter().any(|word| word.contains('\0')) {
            return Err(InvalidCommand::Nul(id.to_owned()));
        }
        definition.command = Some(argv);
        let directory = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        Ok(CommandTask { definition, env: BTreeMap::new(), inputs: InputsBy::default(), directory })
    }
}

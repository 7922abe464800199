//! A command to start, and why it may not start.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// A program with its arguments, its whole environment and its working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program, then its arguments. A program without `/` is looked up on the `PATH` of `env`; one with `/` is a
    /// path, relative to `directory`.
    pub argv: Vec<OsString>,
    /// The whole environment: nothing is inherited.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory.
    pub directory: PathBuf,
}

/// Why a command did not start. Nothing of it runs then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// There is no such program.
    #[error("program {program:?} not found: install it, or correct the command or its PATH")]
    NotFound {
        /// The program as the command names it.
        program: OsString,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is there and cannot be executed.
    #[error(
        "program {program:?} cannot be executed: make it executable (chmod +x) and give a script a first line like #!/bin/sh"
    )]
    NotExecutable {
        /// The program as the command names it.
        program: OsString,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is there; the interpreter that its first line names is not.
    #[error(
        "program {program:?} names an interpreter that is not there: install it, or correct the script's first line"
    )]
    NoInterpreter {
        /// The program as the command names it.
        program: OsString,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The working directory is missing or closed to us.
    #[error("working directory {directory:?} cannot be entered: create it, or correct the configuration")]
    Directory {
        /// The directory as the command names it.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Arguments and environment are more than the kernel (128 KiB a string) or the spawner (8 MiB in all) takes.
    #[error("the arguments and environment of {program:?} are too large: pass large inputs in a file")]
    TooLarge {
        /// The program as the command names it.
        program: OsString,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No process can be started with this: no program, a NUL byte, a malformed variable name.
    #[error("the command cannot be started: {reason}")]
    Malformed {
        /// Which part is wrong.
        reason: &'static str,
    },
    /// The program could not be started for a reason that does not lie in the command: no memory, no process left.
    #[error("program {program:?} could not be started")]
    Refused {
        /// The program as the command names it.
        program: OsString,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The spawner did not answer, also after a restart.
    #[error("the spawner of commands does not answer")]
    Spawner {
        /// What happened to it.
        #[source]
        source: io::Error,
    },
}

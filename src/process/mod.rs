//! Commands as processes, none of which outlives its attempt.
//!
//! The daemon starts one *spawner*: this binary again, under a hidden name, single-threaded and small. The spawner forks a
//! *supervisor* for each command that runs, and the supervisor starts the program. One that has seen its program to the
//! end may take another, but never two at once. Three facts of the kernel carry the promise:
//!
//! - The supervisor is a child subreaper, so whatever a program leaves behind (`setsid`, double fork) becomes the
//!   supervisor's own child. When `waitpid` says that it has no child, nothing of the attempt is left.
//! - It holds a socket from the daemon and a pipe from the spawner. Both close when their other end dies, however it
//!   dies, and then the supervisor kills everything below it.
//! - The spawner is a subreaper too: what a murdered supervisor leaves behind falls to the spawner, which kills it.
//!
//! Read in this order: [`Command`], [`Spawner`], [`Process`], `idle`; then `spawner_process` (the spawner's own loop),
//! `supervisor`, `program` (lookup and exec), `tree` (whom to kill), `wire` and `sys`. [`LineSplitter`] stands alone: it
//! cuts what a program prints into log lines. Nothing here knows tasks, stores or HTTP.
//!
//! All `unsafe` code of the crate is in `sys` and `program`.

mod command;
mod idle;
mod leftovers;
mod lines;
mod own_program;
mod program;
mod running;
mod spawner;
mod spawner_process;
mod supervisor;
mod sys;
mod tree;
mod wire;

pub use command::{Command, SpawnError};
pub use leftovers::{kill_leftovers, kill_marked};
pub use lines::LineSplitter;
pub use own_program::{NoOwnProgram, own_program};
pub use running::{Exit, Process};
pub use spawner::{Spawner, SpawnerError};
pub use spawner_process::run_if_spawner;

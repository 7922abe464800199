//! Whether this very program can be started again as the spawner of its commands.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU8, Ordering},
};

/// What `run_if_spawner` found. A fact about the process, and so the one thing here that is global.
static STATE: AtomicU8 = AtomicU8::new(NOT_CALLED);

const NOT_CALLED: u8 = 0;
const TOO_LATE: u8 = 1;
const READY: u8 = 2;

/// This program must not be started again as a spawner: it would run as itself once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoOwnProgram {
    /// Its `main` does not begin as it must.
    #[error(
        "there are commands to run, and taskwright::init() was not called: make it the first line of main, before the tokio runtime starts (in a plain fn main, not under #[tokio::main])"
    )]
    NotCalled,
    /// Other threads ran by then.
    #[error(
        "there are commands to run, and taskwright::init() (or run()) came when other threads ran already: make it the first line of a plain fn main and build the tokio runtime after it (#[tokio::main] starts threads before the first line)"
    )]
    TooLate,
}

/// Notes that `main` came by [`run_if_spawner`](super::run_if_spawner).
pub(super) fn note() {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    let found = if threads > 1 { TOO_LATE } else { READY };
    // The first call counts.
    let _ = STATE.compare_exchange(NOT_CALLED, found, Ordering::Relaxed, Ordering::Relaxed);
}

/// The path of this program, for [`Spawner::start`](super::Spawner::start): also after an upgrade has replaced its file.
///
/// # Errors
/// [`NoOwnProgram`].
pub fn own_program() -> Result<PathBuf, NoOwnProgram> {
    match STATE.load(Ordering::Relaxed) {
        NOT_CALLED => Err(NoOwnProgram::NotCalled),
        TOO_LATE => Err(NoOwnProgram::TooLate),
        _ => Ok(PathBuf::from("/proc/self/exe")),
    }
}

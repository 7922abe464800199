//! Room on the disk that is kept for stops: what fills the disk can be stopped all the same.
//!
//! A file beside the database takes the room. Once a stop finds the disk full the file is emptied, and nothing but stops
//! is written until the disk has that room again. A daemon that begins on a disk without that room does without, as long
//! as there is none: it must be possible to look at what fills the disk.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::fs::{FallocateFlags, fallocate};

use super::header::with_suffix;
use crate::negative_control::NegativeControl;

/// Enough for a stop of a thousand instances, or a hundred stops of one.
const ROOM: u64 = 4 << 20;

/// The file that takes the room.
pub(super) struct Reserve {
    /// None where the file system cannot keep room.
    file: Option<File>,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The room is kept, or cannot be kept on this file system.
    Held,
    /// There was none when the store was opened, nor since.
    Missing,
    /// It was given away for a stop.
    Given,
}

impl Reserve {
    /// Takes the room for the database at `path`, if there is any.
    pub(super) fn take(path: &Path) -> io::Result<Reserve> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(with_suffix(path, ".reserve"))?;
        let (file, state) = match allocate(&file) {
            Ok(()) => (Some(file), State::Held),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => (None, State::Held),
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                // What was had of it helps more elsewhere.
                file.set_len(0)?;
                tracing::warn!(
                    "the disk has less than 4 MiB left: starts will soon be refused, and stops too if it fills up: make room"
                );
                (Some(file), State::Missing)
            }
            Err(error) => return Err(error),
        };
        Ok(Reserve { file, state: Mutex::new(state) })
    }

    /// Gives the room away. Answers false where there was none left to give.
    pub(super) fn give(&self) -> bool {
        let (Some(file), mut state) = (&self.file, self.state()) else { return false };
        if *state != State::Held || NegativeControl::NoReserve.is_on() {
            return false;
        }
        *state = State::Given;
        // Not on another thread: the disk is full, and whoever waits does so for this.
        file.set_len(0).is_ok()
    }

    /// Whether other things than stops may be written. Takes the room again if it is there.
    pub(super) fn admits_all(&self) -> bool {
        let mut state = self.state();
        if *state != State::Held && self.file.as_ref().is_some_and(|file| allocate(file).is_ok()) {
            *state = State::Held;
        }
        *state != State::Given
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn allocate(file: &File) -> io::Result<()> {
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, ROOM) {
            Err(rustix::io::Errno::INTR) => {}
            outcome => return outcome.map_err(io::Error::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn room_is_given_once_and_taken_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.db");
        let room = || std::fs::metadata(with_suffix(&path, ".reserve")).map_or(0, |found| found.blocks() * 512);
        let reserve = Reserve::take(&path).expect("there is room");
        assert!(room() >= ROOM && reserve.admits_all());
        assert!(reserve.give());
        assert_eq!(room(), 0);
        assert!(!reserve.give());
        assert!(reserve.admits_all());
        assert!(room() >= ROOM);
    }
}

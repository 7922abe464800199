//! Room on the disk that is kept for stops: what fills the disk can be stopped all the same.
//!
//! A file beside the database takes the room. Once a stop finds the disk full the file is emptied, and nothing but stops
//! is written until the disk has that room again.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::fs::{FallocateFlags, fallocate};

use super::header::with_suffix;

/// Enough for a stop of a thousand instances, or a hundred stops of one.
const ROOM: u64 = 4 << 20;

/// The file that takes the room.
pub(super) struct Reserve {
    /// None where the file system cannot keep room.
    file: Option<File>,
    is_held: AtomicBool,
}

impl Reserve {
    /// Takes the room for the database at `path`.
    pub(super) fn take(path: &Path) -> io::Result<Reserve> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(with_suffix(path, ".reserve"))?;
        let file = match allocate(&file) {
            Ok(()) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => None,
            Err(error) => return Err(error),
        };
        Ok(Reserve { file, is_held: AtomicBool::new(true) })
    }

    /// Gives the room away. Answers false where there was none left to give.
    pub(super) fn give(&self) -> bool {
        let Some(file) = &self.file else { return false };
        // Not on another thread: the disk is full, and whoever waits does so for this.
        self.is_held.swap(false, Ordering::Relaxed) && file.set_len(0).is_ok()
    }

    /// Whether the room is there, or could be taken again just now.
    pub(super) fn is_held(&self) -> bool {
        if self.is_held.load(Ordering::Relaxed) {
            return true;
        }
        let is_held = self.file.as_ref().is_none_or(|file| allocate(file).is_ok());
        self.is_held.store(is_held, Ordering::Relaxed);
        is_held
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
        assert!(room() >= ROOM && reserve.is_held());
        assert!(reserve.give());
        assert_eq!(room(), 0);
        assert!(!reserve.give());
        assert!(reserve.is_held());
        assert!(room() >= ROOM);
    }
}

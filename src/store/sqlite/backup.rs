//! A copy of the store in one file, made beside a running daemon.
//!
//! `VACUUM INTO` reads one snapshot, so that commits go on meanwhile and the copy is of one moment. It is written under
//! another name, synced, and only then renamed: a file of the wanted name is always whole.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sqlx::SqliteConnection;

use super::{
    connection::{self, number},
    fault,
    header::{self, with_suffix},
    statement::{Arguments, fetch},
};
use crate::store::{OpenError, error::Cause};

/// After how many steps of its virtual machine SQLite asks whether to go on: some microseconds.
const LOOK_UP_EVERY: i32 = 1000;

/// A backup that is about to be made.
#[derive(Debug)]
pub struct Backup {
    store: PathBuf,
    target: PathBuf,
    partial: PathBuf,
    force: bool,
    given_up: Arc<AtomicBool>,
}

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackedUp {
    /// Its size.
    pub bytes: u64,
    /// How many instances.
    pub instances: u64,
    /// The number of the newest one; 0 where there is none.
    pub newest: u64,
    /// The schema that it is in.
    pub schema: u64,
}

/// Why there is no backup. No file of the wanted name was made or changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is a file of that name.
    #[error("{0} exists: give another name, or --force to replace it")]
    Exists(String),
    /// The name is that of the store, or of a file that belongs to it.
    #[error("{0} belongs to the store itself: give another name")]
    Own(String),
    /// The name is that of the store of a daemon that runs.
    #[error("{0} is the store of a running daemon: give another name")]
    InUse(String),
    /// The name is that of something that is no file.
    #[error("{0} is no regular file: give another name")]
    NoFile(String),
    /// What another database has left there would be taken for a part of the backup.
    #[error("{0} is left from another database and would spoil the backup: remove it, or give another name")]
    LeftOver(String),
    /// The file cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The store could not be copied.
    #[error("cannot copy the store")]
    Copy(#[source] Cause),
}

impl Backup {
    /// A backup of the store at `store` to the file `target`, which is replaced only by force. Nothing is written yet.
    ///
    /// # Errors
    /// [`BackupError`] where `target` cannot be that file.
    pub fn new(store: &Path, target: &Path, force: bool) -> Result<Backup, BackupError> {
        let shown = |path: &Path| path.display().to_string();
        let Some(name) = target.file_name() else { return Err(BackupError::NoFile(shown(target))) };
        let mut partial = std::ffi::OsString::from(".");
        partial.push(name);
        partial.push(format!(".{}.partial", std::process::id()));
        let partial = target.with_file_name(partial);
        for suffix in ["", "-wal", "-shm", "-journal", ".lock", ".reserve"] {
            if is_same(&with_suffix(store, suffix), target) {
                return Err(BackupError::Own(shown(target)));
            }
        }
        if is_in_use(target) {
            return Err(BackupError::InUse(shown(target)));
        }
        match fs::metadata(target) {
            Ok(found) if !found.is_file() => return Err(BackupError::NoFile(shown(target))),
            Ok(_) if !force => return Err(BackupError::Exists(shown(target))),
            _ => {}
        }
        for suffix in ["-wal", "-shm", "-journal"] {
            let beside = with_suffix(target, suffix);
            if fs::symlink_metadata(&beside).is_ok() {
                return Err(BackupError::LeftOver(shown(&beside)));
            }
        }
        Ok(Backup { store: store.to_owned(), target: target.to_owned(), partial, force, given_up: Arc::default() })
    }

    /// How many bytes are written so far, and about how many there will be.
    pub fn progress(&self) -> (u64, u64) {
        let length = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
        (length(&self.partial), length(&self.store))
    }

    /// Ends [`Backup::make`] with an error as soon as SQLite looks up from its work.
    pub fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Removes what was written so far. SQLite would make the file anew if it opened it after this: whoever cannot wait
    /// for the end gives up first.
    pub fn abandon(&self) {
        for suffix in ["", "-journal"] {
            // It may never have been made.
            let _ = fs::remove_file(with_suffix(&self.partial, suffix));
        }
    }

    /// Makes it, and answers once it is on the disk.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn make(&self) -> Result<BackedUp, BackupError> {
        let made = async {
            self.copy().await?;
            let backed_up = self.look().await?;
            self.put_in_place()?;
            Ok(backed_up)
        };
        let made = made.await;
        if made.is_err() {
            self.abandon();
        }
        made
    }

    async fn copy(&self) -> Result<(), BackupError> {
        let location = self.store.display().to_string();
        let unavailable = |error: Cause| OpenError::Unavailable { location: location.clone(), source: error };
        self.store.metadata().map_err(|error| unavailable(error.into()))?;
        let of_read = |error: sqlx::Error| -> BackupError {
            if fault::is_corruption(&error) {
                OpenError::Corrupt { location: location.clone(), source: error.into() }.into()
            } else {
                unavailable(error.into()).into()
            }
        };
        let mut reader = connection::reader(&self.store).await.map_err(of_read)?;
        let copied = async {
            let application_id = number(&mut reader, "PRAGMA application_id").await.map_err(of_read)?;
            let schema = number(&mut reader, "PRAGMA user_version").await.map_err(of_read)?;
            header::owner(application_id, schema, &location)?;
            // Made here for its mode; an empty file is one that may be written to.
            let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.partial);
            created.map_err(|source| write(&self.target, source))?;
            let given_up = Arc::clone(&self.given_up);
            let mut handle = reader.lock_handle().await.map_err(of_read)?;
            handle.set_progress_handler(LOOK_UP_EVERY, move || !given_up.load(Ordering::Relaxed));
            drop(handle);
            vacuum(&mut reader, &self.partial).await.map_err(|error| BackupError::Copy(error.into()))
        };
        let copied = copied.await;
        connection::close(reader).await;
        copied
    }

    /// Reads back what was written.
    async fn look(&self) -> Result<BackedUp, BackupError> {
        let failed = |error: sqlx::Error| BackupError::Copy(error.into());
        let mut reader = connection::reader(&self.partial).await.map_err(failed)?;
        let read = async {
            Ok::<_, sqlx::Error>(BackedUp {
                bytes: 0,
                instances: number(&mut reader, "SELECT count(*) FROM instances").await?.unsigned_abs(),
                newest: number(&mut reader, "SELECT coalesce(max(number), 0) FROM instances").await?.unsigned_abs(),
                schema: number(&mut reader, "PRAGMA user_version").await?.unsigned_abs(),
            })
        };
        let read = read.await.map_err(failed);
        connection::close(reader).await;
        let bytes = fs::metadata(&self.partial).map_err(|source| write(&self.partial, source))?.len();
        Ok(BackedUp { bytes, ..read? })
    }

    fn put_in_place(&self) -> Result<(), BackupError> {
        let failed = |source| write(&self.target, source);
        File::open(&self.partial).and_then(|file| file.sync_all()).map_err(failed)?;
        let flags = if self.force { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        match renameat_with(CWD, &self.partial, CWD, &self.target, flags) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => return Err(BackupError::Exists(self.target.display().to_string())),
            // A file system that cannot do both at once; it was looked for before.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                fs::rename(&self.partial, &self.target).map_err(failed)?;
            }
            Err(error) => return Err(failed(error.into())),
        }
        File::open(self.folder().unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    fn folder(&self) -> Option<&Path> {
        self.target.parent().filter(|folder| !folder.as_os_str().is_empty())
    }
}

fn write(path: &Path, source: io::Error) -> BackupError {
    BackupError::Write { path: path.display().to_string(), source }
}

/// Whether a daemon has the store at `path` open. A lock that cannot be looked at tells nothing.
fn is_in_use(path: &Path) -> bool {
    // The lock lies beside the file itself, where `path` is a link to one.
    let Ok(path) = path.canonicalize() else { return false };
    let lock = File::open(with_suffix(&path, ".lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        // What is not there may still be made there.
        _ => std::path::absolute(one).ok().is_some_and(|one| Some(one) == std::path::absolute(other).ok()),
    }
}

async fn vacuum(connection: &mut SqliteConnection, to: &Path) -> Result<(), sqlx::Error> {
    let Some(path) = to.to_str() else {
        return Err(sqlx::Error::Encode("the name of the file is not UTF-8".into()));
    };
    let mut arguments = Arguments::default();
    arguments.add(path)?;
    fetch(connection, "VACUUM INTO ?", arguments).await.map(drop)
}

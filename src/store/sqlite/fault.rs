//! What an error of SQLite means for a commit or a read.

use sqlx::Error;

use crate::{
    negative_control::NegativeControl,
    store::{CommitError, StoreError},
};

// Result codes: https://www.sqlite.org/rescode.html
const ERROR: i32 = 1;
const ABORT: i32 = 4;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const READONLY: i32 = 8;
const INTERRUPT: i32 = 9;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const RANGE: i32 = 25;
const NOTADB: i32 = 26;
const IOERR_NOMEM: i32 = IOERR | (12 << 8);
const IOERR_SHMOPEN: i32 = IOERR | (18 << 8);
const IOERR_SHMSIZE: i32 = IOERR | (19 << 8);
const IOERR_SHMMAP: i32 = IOERR | (21 << 8);
const READONLY_DBMOVED: i32 = READONLY | (4 << 8);

/// Where in a transaction an error came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before COMMIT.
    Statement,
    /// In COMMIT itself.
    Commit,
}

/// The extended result code, where SQLite gave one.
pub(super) fn code(error: &Error) -> Option<i32> {
    error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse().ok())
}

/// Whether nothing was committed because the disk is full.
pub(super) fn is_want_of_room(error: &CommitError) -> bool {
    let CommitError::NotCommitted(cause) = error else { return false };
    let code = cause.downcast_ref::<Error>().and_then(code);
    code.is_some_and(|code| code & 0xff == FULL || matches!(code, IOERR_SHMOPEN | IOERR_SHMSIZE | IOERR_SHMMAP))
}

/// Whether the file is damaged, or no database at all.
pub(super) fn is_corruption(error: &Error) -> bool {
    code(error).is_some_and(|code| matches!(code & 0xff, CORRUPT | NOTADB))
}

/// Whether the file is no database at all.
pub(super) fn is_no_database(error: &Error) -> bool {
    code(error).is_some_and(|code| code & 0xff == NOTADB)
}

/// Whether ROLLBACK found that SQLite had rolled back by itself.
pub(super) fn is_already_rolled_back(error: &Error) -> bool {
    code(error) == Some(ERROR)
}

/// What is known about a transaction in which `error` came up.
pub(super) fn of_commit(error: Error, stage: Stage) -> CommitError {
    let Some(code) = code(&error) else {
        return match error {
            // A value that could not be bound or read back: the batch itself is at fault, and is rolled back.
            Error::Encode(_) | Error::Decode(_) | Error::ColumnDecode { .. } | Error::RowNotFound => {
                CommitError::Refused(Box::new(error))
            }
            // The connection's thread is gone, and with it the knowledge of what it did.
            _ => CommitError::Fatal(Box::new(error)),
        };
    };
    match (code & 0xff, stage) {
        // Another process holds a lock, or the disk is full. SQLite writes no commit mark then; a write that
        // meets ENOSPC is FULL, whatever the statement. Another try overwrites what was left in the log.
        (BUSY | LOCKED | FULL, _) => CommitError::NotCommitted(error.into()),
        // The index of the log could not grow: memory shared between connections, which nobody reads after a
        // crash. On a full disk this comes before FULL.
        (IOERR, _) if matches!(code, IOERR_NOMEM | IOERR_SHMOPEN | IOERR_SHMSIZE | IOERR_SHMMAP) => {
            CommitError::NotCommitted(error.into())
        }
        // Somebody moved the file away: what is written goes nowhere.
        (READONLY, _) if code == READONLY_DBMOVED => CommitError::Fatal(error.into()),
        // No memory, no descriptors, a file system remounted read-only: nothing was written, reads go on.
        (NOMEM | READONLY | CANTOPEN | ABORT | INTERRUPT, Stage::Statement) => CommitError::NotCommitted(error.into()),
        // One of the items breaks a constraint or a trigger.
        (CONSTRAINT | TOOBIG | MISMATCH | RANGE | ERROR, Stage::Statement) => CommitError::Refused(error.into()),
        (IOERR, _) if NegativeControl::RetryAfterFailedSync.is_on() => CommitError::NotCommitted(error.into()),
        // After a failed sync, or any other failure of COMMIT, nobody knows what is on the disk; after damage or
        // a failed read or write nobody knows what is in the file.
        _ => CommitError::Fatal(error.into()),
    }
}

/// What an error means for a read.
pub(super) fn of_read(error: Error) -> StoreError {
    match error {
        Error::Decode(_)
        | Error::ColumnDecode { .. }
        | Error::ColumnNotFound(_)
        | Error::ColumnIndexOutOfBounds { .. } => {
            StoreError::Corrupt { what: "a row cannot be read".to_owned(), source: Some(error.into()) }
        }
        error if is_corruption(&error) => {
            StoreError::Corrupt { what: "the database file is damaged".to_owned(), source: Some(error.into()) }
        }
        error => StoreError::Unavailable(error.into()),
    }
}

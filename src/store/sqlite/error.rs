//! What SQLite's result codes mean for a commit and for a read.

use crate::store::error::{CommitError, StoreError};

/// The extended result code of an error, where SQLite gave one.
pub fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const READONLY: i32 = 8;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const NOTADB: i32 = 26;
const IOERR_WRITE: i32 = IOERR | (3 << 8);
const IOERR_FSYNC: i32 = IOERR | (4 << 8);
const IOERR_DIR_FSYNC: i32 = IOERR | (5 << 8);

/// What is known about a transaction after `error`, which came up in a statement or, with `committing`, in COMMIT.
pub fn commit_error(error: sqlx::Error, committing: bool) -> CommitError {
    let Some(code) = code(&error) else {
        // No answer from SQLite at all: its thread is gone, and with it what we know.
        return CommitError::Fatal(error.into());
    };
    match code {
        // After a failed sync nobody knows what is on the disk, and a second one may lie.
        IOERR_FSYNC | IOERR_DIR_FSYNC => CommitError::Fatal(error.into()),
        // A write that the file system refuses (quota, a full thin volume) leaves the WAL's old end in force.
        IOERR_WRITE if !committing => CommitError::NotCommitted(error.into()),
        code => match code & 0xff {
            BUSY | LOCKED | NOMEM | READONLY | FULL | CANTOPEN => CommitError::NotCommitted(error.into()),
            CONSTRAINT | TOOBIG | MISMATCH => CommitError::Refused(error.into()),
            CORRUPT | NOTADB => CommitError::Fatal(error.into()),
            IOERR if committing => CommitError::Fatal(error.into()),
            IOERR => CommitError::NotCommitted(error.into()),
            _ => CommitError::Fatal(error.into()),
        },
    }
}

/// What a failed read means.
pub fn store_error(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            StoreError::Corrupt { what: "a column".to_owned(), source: Some(error.into()) }
        }
        _ => match code(&error).map(|code| code & 0xff) {
            Some(CORRUPT | NOTADB) => {
                StoreError::Corrupt { what: "the database file".to_owned(), source: Some(error.into()) }
            }
            _ => StoreError::Unavailable(error.into()),
        },
    }
}

/// Whether the file is damaged or no database.
pub fn is_corrupt(error: &sqlx::Error) -> bool {
    matches!(code(error).map(|code| code & 0xff), Some(CORRUPT | NOTADB))
}

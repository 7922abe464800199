//! What can go wrong with a store, without naming its backend.

/// The source of a store's error, whatever the backend.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A read that failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database did not answer; a later try may succeed.
    #[error("the store cannot be read now")]
    Unavailable(#[source] Cause),
    /// What was read makes no sense.
    #[error("the store holds something unreadable: {what}")]
    Corrupt {
        /// What, and where.
        what: String,
        /// Why, where there is more to say.
        #[source]
        source: Option<Cause>,
    },
}

/// A commit that failed, by what is known about it.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Nothing was written; the same batch may be tried again. Busy, locked, disk full.
    #[error("the store cannot be written now")]
    NotCommitted(#[source] Cause),
    /// The connection died during COMMIT; whether it was written must be read back.
    #[error("the store did not say whether it committed")]
    Unknown(#[source] Cause),
    /// Nothing was written, because the database refused one of the items.
    #[error("the store refused a row")]
    Refused(#[source] Cause),
    /// Nobody knows what is on the disk. Never tried again.
    #[error("the store failed for good")]
    Fatal(#[source] Cause),
}

/// A store that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another daemon has it.
    #[error("the store {location} is in use by another taskwright: stop it, or give this one another database.url")]
    InUse {
        /// Where it is.
        location: String,
    },
    /// It was written by a later version.
    #[error(
        "the store {location} has schema {found}, this version knows {known}: run the taskwright that wrote it, or a later one"
    )]
    Newer {
        /// Where it is.
        location: String,
        /// Its schema.
        found: i64,
        /// The newest that this binary knows.
        known: i64,
    },
    /// It was written by an earlier version, and is only to be read.
    #[error(
        "the store {location} cannot be read yet: its schema is older than this version's, {found} and not {known}: start `taskwright serve` once to bring it up to date"
    )]
    Older {
        /// Where it is.
        location: String,
        /// Its schema.
        found: i64,
        /// The one that this binary reads.
        known: i64,
    },
    /// It is something else.
    #[error("{location} is not a taskwright store: {why}; give another database.url")]
    Foreign {
        /// Where it is.
        location: String,
        /// What it is instead.
        why: String,
    },
    /// It is damaged.
    #[error("the store {location} is damaged: restore it from a backup; the file was not changed")]
    Corrupt {
        /// Where it is.
        location: String,
        /// What was found.
        #[source]
        source: Cause,
    },
    /// The URL makes no sense.
    #[error("database.url `{url}` is not understood: write sqlite:///absolute/path.db")]
    Url {
        /// As configured.
        url: String,
    },
    /// It cannot be opened or created.
    #[error("cannot open the store {location}")]
    Unavailable {
        /// Where it is.
        location: String,
        /// Why.
        #[source]
        source: Cause,
    },
}

//! Where instances are kept: one deep trait, each backend with its own best SQL.
//!
//! All writes of a daemon reach a store as one [`Batch`] at a time, from one loop. There is no
//! `update(row)` and no transaction outside a backend. Reads answer only what is committed. An instance tells
//! by its `batch` of which commit it is, which may not be synced yet; what clients read else is.

pub mod batch;
pub mod error;
pub mod sqlite;
mod synced;

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;

pub use batch::{
    Batch, Claimed, Claims, ClockSet, Committed, DefinitionChange, DefinitionOutcome, Ending, Expected, Expired,
    Finish, FinishOutcome, IdempotencyClaim, NewInstance, Purge, PurgeTask, Purged, Report, Room, Start, StartOutcome,
    Stop, StopOutcome, Then, Written,
};
pub use error::{CommitError, OpenError, StoreError};
pub use synced::{Answer, Synced};

use crate::domain::{
    Attempt, Definition, Instance, InstanceKey, InstanceQuery, LogLine, LogQuery, Page, Stats, StatsQuery, Summary,
};

/// The ledger's database. Every method may be called from any thread and any runtime.
pub trait Store: Send + Sync + 'static {
    /// Writes `batch` as one transaction and answers when it is synced to disk, or as soon as [`Batch::answer`] says.
    ///
    /// The batch is taken by reference so that it can be tried again after [`CommitError::NotCommitted`].
    fn commit<'a>(&'a self, batch: &'a Batch) -> BoxFuture<'a, Result<Committed, CommitError>>;

    /// Those of the instances that exist, in any order.
    fn get<'a>(&'a self, keys: &'a [InstanceKey]) -> BoxFuture<'a, Result<Vec<Instance>, StoreError>>;

    /// Those of the instances that exist, without their payloads, in any order.
    fn summaries<'a>(&'a self, numbers: &'a [u64]) -> BoxFuture<'a, Result<Vec<Summary>, StoreError>>;

    /// A page of summaries, newest first by number.
    fn list<'a>(&'a self, query: &'a InstanceQuery) -> BoxFuture<'a, Result<Page<Summary>, StoreError>>;

    /// The numbers of the pending and running instances that match, newest first, at most `query.limit`.
    /// `query.statuses` names one of the two or both.
    fn live<'a>(&'a self, query: &'a InstanceQuery) -> BoxFuture<'a, Result<Vec<u64>, StoreError>>;

    /// Lines of one instance's log, in order of `seq`. Where lines were dropped to keep within the limit, one
    /// line of the `system` stream stands in their place and says how many.
    fn logs<'a>(&'a self, query: &'a LogQuery) -> BoxFuture<'a, Result<Vec<LogLine>, StoreError>>;

    /// What is kept of one instance's log. For whoever has waited for the commit that he asks about.
    fn log_extent(&self, instance: u64) -> BoxFuture<'_, Result<LogExtent, StoreError>>;

    /// The attempts of one instance, oldest first, the running one included.
    fn attempts(&self, instance: u64) -> BoxFuture<'_, Result<Vec<Attempt>, StoreError>>;

    /// Every instance that is `running`: after a crash, what the dead daemon left.
    fn running(&self) -> BoxFuture<'_, Result<Vec<Summary>, StoreError>>;

    /// What waits to run.
    fn backlog(&self) -> BoxFuture<'_, Result<Backlog, StoreError>>;

    /// The registered definitions, by id.
    fn definitions(&self) -> BoxFuture<'_, Result<Vec<Definition>, StoreError>>;

    /// What happened in a stretch of time, and how many instances there are. Answered from counters, never by counting
    /// instances. Past 8 days what happened is known by the hour, past 62 days by the day.
    fn stats<'a>(&'a self, query: &'a StatsQuery) -> BoxFuture<'a, Result<Stats, StoreError>>;

    /// How many done instances there are of each task that has any: what a purge may look at.
    fn done_by_task(&self) -> BoxFuture<'_, Result<DoneByTask, StoreError>>;

    /// What this database is, as read back from it.
    fn identity(&self) -> &Identity;

    /// How much room it takes on its disk, and how much is left there.
    fn space(&self) -> BoxFuture<'_, Result<Space, StoreError>>;

    /// Whether a read works now.
    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Everything wrong that the stored state can show.
    fn check(&self) -> BoxFuture<'_, Result<Checked, StoreError>>;

    /// Closes every connection; the files are left whole.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Tasks with the number of their done instances.
pub type DoneByTask = Vec<(Arc<str>, u64)>;

/// What is kept of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogExtent {
    /// The last `seq` given out; 0 when there is none.
    pub last: u64,
    /// The first `seq` still kept; 0 when there is none.
    pub first: u64,
    /// Bytes of text that are kept.
    pub bytes: u64,
    /// Lines lost to the limit.
    pub dropped: u64,
}

/// The room of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that it takes, what is not yet in the database file included.
    pub used: u64,
    /// Bytes that are free where it is.
    pub free: u64,
}

/// What waits to run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backlog {
    /// How many instances are `pending`.
    pub pending: u64,
    /// The tasks that have instances ready to run.
    pub ready: Vec<Arc<str>>,
}

/// What a database is.
#[derive(Clone)]
pub struct Identity {
    /// How often it has been opened by a daemon, this time included: fences batch numbers between boots.
    pub boot: u64,
    /// Marks the processes of this store's attempts: the value of `TASKWRIGHT_STORE`.
    pub tag: String,
    /// The secret that the tokens of attempts are made with.
    pub key: [u8; 32],
    /// The backend and its version, such as `SQLite 3.51.3`.
    pub backend: String,
    /// How commits are synced: `full`, or what the operator chose instead.
    pub synchronous: String,
    /// Where it is, for people.
    pub location: String,
    /// The version of its schema.
    pub schema: u64,
}

impl fmt::Debug for Identity {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("boot", &self.boot)
            .field("tag", &self.tag)
            .field("backend", &self.backend)
            .field("synchronous", &self.synchronous)
            .field("location", &self.location)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// What a check of a stored state came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// What is wrong; empty when it is sound.
    pub findings: Vec<Finding>,
    /// How many instances were read. None are where the file itself is damaged.
    pub instances: u64,
}

/// One thing wrong with a stored state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The instance it concerns, where it concerns one.
    pub instance: Option<u64>,
    /// What is wrong.
    pub detail: String,
}

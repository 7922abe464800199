//! One batch as one transaction.
//!
//! Sections run in the order that the batch documents, with one liberty: candidates for claims are looked up before
//! the new instances are inserted, and new instances that run at once are inserted as running. That is what
//! inserting, promoting and then claiming would give, for half the work: a new instance can neither be due for a
//! promotion in its own batch nor stand before an older one of its priority.

use sqlx::SqliteConnection;

use super::{
    Writing, claims, connection, counters,
    counters::{Present, Tally},
    created, fault,
    fault::Stage,
    finishes, log_writes, promotions, purge, reports, starts,
    statement::execute,
    stops,
};
use crate::{
    domain::{Micros, Status},
    store::{Batch, CommitError, Committed, Purged},
};

/// The connection that writes, and what it knows.
pub(super) struct Writer {
    connection: Option<SqliteConnection>,
    /// A transaction may be open: it was begun, and not yet seen to end.
    in_transaction: bool,
    /// The sequence of instances, as committed.
    sequence: Sequence,
    /// The counters of the present minute, as committed; None where they are to be read again.
    present: Option<Present>,
    /// A commit failed for good; nothing is written any more.
    failed: bool,
}

/// Where the sequence of instances stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence {
    /// The last number given to an instance.
    pub(super) last_number: u64,
    /// The latest time at which an instance was created since the clock was last set back.
    pub(super) latest: Micros,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection, sequence: Sequence) -> Self {
        Writer { connection: Some(connection), in_transaction: false, sequence, present: None, failed: false }
    }

    /// Ends a transaction that a caller left by going away.
    pub(super) async fn abandon(&mut self) {
        if let Some(connection) = &mut self.connection
            && self.in_transaction
            && !self.failed
            && let Ok(sequence) = settle(connection).await
        {
            self.sequence = sequence;
            self.in_transaction = false;
        }
    }

    /// Closes the connection.
    pub(super) async fn close(&mut self) {
        self.abandon().await;
        if let Some(connection) = self.connection.take() {
            connection::close(connection).await;
        }
    }
}

/// Writes `batch`.
pub(super) async fn commit(writing: &Writing, batch: &Batch) -> Result<Committed, CommitError> {
    let mut writer = Caller { writer: writing.writer.lock().await, writing };
    let outcome = transact(&mut writer.writer, batch).await;
    if matches!(outcome, Err(CommitError::Fatal(_))) {
        writer.writer.failed = true;
    }
    if outcome.is_ok() {
        writing.checkpointer.committed(batch);
    }
    outcome
}

/// The caller of a commit. Should it go away in the middle, the transaction is rolled back in its stead.
struct Caller<'a> {
    writer: tokio::sync::MutexGuard<'a, Writer>,
    writing: &'a Writing,
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if self.writer.in_transaction {
            self.writing.checkpointer.abandoned();
        }
    }
}

async fn transact(writer: &mut Writer, batch: &Batch) -> Result<Committed, CommitError> {
    if writer.failed {
        return Err(CommitError::Fatal("an earlier commit failed for good".into()));
    }
    let Some(connection) = &mut writer.connection else {
        return Err(CommitError::NotCommitted("the store is closed".into()));
    };
    if writer.in_transaction {
        writer.sequence = settle(connection).await?;
    }
    writer.in_transaction = true;
    let mut sequence = writer.sequence;
    // Not there again unless this commit succeeds.
    let mut present = writer.present.take();
    let (error, stage) = match sections(connection, batch, &mut sequence, &mut present).await {
        Ok(committed) => match execute(connection, "COMMIT").await {
            Ok(()) => {
                writer.in_transaction = false;
                writer.sequence = sequence;
                writer.present = present;
                return Ok(committed);
            }
            Err(error) => (error, Stage::Commit),
        },
        Err(error) => (error, Stage::Statement),
    };
    let error = fault::of_commit(error, stage);
    if matches!(error, CommitError::Fatal(_)) {
        // Whatever a rollback did now, nobody could trust it.
        return Err(error);
    }
    roll_back(connection).await?;
    writer.in_transaction = false;
    Err(error)
}

/// Ends a transaction whose caller left. It may have left while COMMIT was under way, so that there may be nothing to
/// roll back, and the sequence is read anew.
async fn settle(connection: &mut SqliteConnection) -> Result<Sequence, CommitError> {
    roll_back(connection).await?;
    created::sequence(connection).await.map_err(|error| fault::of_commit(error, Stage::Statement))
}

async fn roll_back(connection: &mut SqliteConnection) -> Result<(), CommitError> {
    match execute(connection, "ROLLBACK").await {
        Err(error) if !fault::is_already_rolled_back(&error) => Err(CommitError::Fatal(error.into())),
        _ => Ok(()),
    }
}

async fn sections(
    connection: &mut SqliteConnection,
    batch: &Batch,
    sequence: &mut Sequence,
    present: &mut Option<Present>,
) -> Result<Committed, sqlx::Error> {
    // A write lock from the start: one that is taken later is refused at once where another process holds it.
    execute(connection, "BEGIN IMMEDIATE").await?;
    let mut tally = Tally::default();
    log_writes::write(connection, batch).await?;
    let finishes = finishes::write(connection, batch, &mut tally).await?;
    let reports = reports::write(connection, batch).await?;
    let stops = stops::write(connection, batch, &mut tally).await?;
    let (expired, promoted) =
        if batch.promote { promotions::write(connection, batch, &mut tally).await? } else { Default::default() };
    let planned = starts::plan(connection, batch, sequence).await?;
    let claimed = claims::choose(connection, batch, planned.new).await?;
    starts::write(connection, batch, &claimed.new).await?;
    claims::write(connection, batch, &claimed).await?;
    for new in &claimed.new {
        tally.created(&new.instance.task_id, batch.now);
    }
    for claim in &claimed.claimed {
        tally.moved(&claim.task_id, Status::Pending, Status::Running);
    }
    counters::write(connection, tally, present).await?;
    let purged = match &batch.purge {
        Some(purge) => purge::write(connection, batch, purge).await?,
        None => Purged::default(),
    };
    let next_due = if batch.promote { promotions::next_due(connection).await? } else { None };
    Ok(Committed {
        finishes,
        reports,
        stops,
        starts: planned.outcomes,
        expired,
        promoted,
        claimed: claimed.claimed,
        next_due,
        purged,
    })
}

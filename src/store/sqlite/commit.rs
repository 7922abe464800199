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
    definitions, fault,
    fault::Stage,
    finishes, log_writes, promotions, purge, reports, sequence,
    sequence::Sequence,
    settings::Synchronous,
    starts,
    statement::execute,
    stops,
    transaction::{Texts, Transaction},
};
use crate::{
    domain::Status,
    store::{Answer, Batch, CommitError, Committed, Purged, Synced},
};

/// The connection that writes, and what it knows.
pub(super) struct Writer {
    connection: Option<SqliteConnection>,
    /// What it was asked before.
    texts: Texts,
    /// A transaction may be open: it was begun, and not yet seen to end.
    in_transaction: bool,
    /// The sequence of instances, as committed.
    sequence: Sequence,
    /// The counters of the present minute, as committed; None where they are to be read again.
    present: Option<Present>,
    /// How commits are synced that are answered once they are.
    synchronous: Synchronous,
    /// How the connection syncs; None where that is not known.
    in_force: Option<Synchronous>,
    /// A commit failed for good; nothing is written any more.
    failed: bool,
}

impl Writer {
    /// A writer over `connection`, which syncs as `synchronous` says.
    pub(super) fn new(connection: SqliteConnection, sequence: Sequence, synchronous: Synchronous) -> Self {
        Writer {
            connection: Some(connection),
            texts: Texts::default(),
            in_transaction: false,
            sequence,
            present: None,
            synchronous,
            in_force: Some(synchronous),
            failed: false,
        }
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
    let is_stop = batch.stops_only();
    if !is_stop && !writing.reserve.admits_all() {
        return Err(CommitError::NotCommitted("the disk is full: what room is left is kept for stops".into()));
    }
    let announced = match &writing.syncer {
        Some(syncer) if batch.answer == Answer::Written && syncer.pays() => Some(syncer.announce().await?),
        _ => None,
    };
    let level = if announced.is_some() { Synchronous::Normal } else { writer.writer.synchronous };
    let mut outcome = transact(&mut writer.writer, batch, level).await;
    if is_stop && outcome.as_ref().is_err_and(fault::is_want_of_room) && writing.reserve.give() {
        outcome = transact(&mut writer.writer, batch, level).await;
    }
    if matches!(outcome, Err(CommitError::Fatal(_))) {
        writer.writer.failed = true;
    }
    if let Ok(committed) = &mut outcome {
        if let Some(announced) = announced {
            committed.synced = announced.written();
        }
        writing.checkpointer.committed(batch, committed);
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

async fn transact(writer: &mut Writer, batch: &Batch, level: Synchronous) -> Result<Committed, CommitError> {
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
    let mut finishes = if finishes::may_expect(batch) { Finishes::AsExpected } else { Finishes::AsFound };
    let error = loop {
        let mut sequence = writer.sequence;
        // Not there again unless this commit succeeds.
        let mut present = writer.present.take();
        let change = (writer.in_force.take() != Some(level)).then_some(level);
        let mut transaction = Transaction::begin(connection, &mut writer.texts, change);
        match sections(&mut transaction, batch, finishes, &mut sequence, &mut present).await {
            Ok(committed) => {
                writer.in_transaction = false;
                writer.sequence = sequence;
                writer.present = present;
                writer.in_force = Some(level);
                return Ok(committed);
            }
            // Somebody stopped it meanwhile, or the attempt is over: the same again, reading what became of each.
            Err(_) if transaction.missed_expectation() => {
                finishes = Finishes::AsFound;
                roll_back(connection).await?;
            }
            Err(error) => break fault::of_commit(error, transaction.stage()),
        }
    };
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
    sequence::read(connection).await.map_err(|error| fault::of_commit(error, Stage::Statement))
}

async fn roll_back(connection: &mut SqliteConnection) -> Result<(), CommitError> {
    match execute(connection, "ROLLBACK").await {
        Err(error) if !fault::is_already_rolled_back(&error) => Err(CommitError::Fatal(error.into())),
        _ => Ok(()),
    }
}

/// How finishes are written.
#[derive(Clone, Copy)]
enum Finishes {
    /// Each finds its instance as it is believed to be, or the transaction fails.
    AsExpected,
    /// Each row tells what became of it.
    AsFound,
}

async fn sections(
    transaction: &mut Transaction<'_>,
    batch: &Batch,
    finishes: Finishes,
    sequence: &mut Sequence,
    present: &mut Option<Present>,
) -> Result<Committed, sqlx::Error> {
    let mut tally = Tally::default();
    log_writes::write(transaction, batch).await?;
    let finishes = match finishes {
        Finishes::AsExpected => finishes::write_expected(transaction, batch, &mut tally).await?,
        Finishes::AsFound => finishes::write(transaction, batch, &mut tally).await?,
    };
    let reports = reports::write(transaction, batch).await?;
    let stops = stops::write(transaction, batch, &mut tally).await?;
    let (expired, promoted) =
        if batch.promote { promotions::write(transaction, batch, &mut tally).await? } else { Default::default() };
    let planned = starts::plan(transaction, batch, sequence).await?;
    let claimed = claims::choose(transaction, batch, planned.new).await?;
    starts::write(transaction, batch, &claimed.new).await?;
    claims::write(transaction, batch, &claimed).await?;
    for new in &claimed.new {
        tally.created(&new.instance.task_id, batch.now);
    }
    for claim in &claimed.claimed {
        tally.moved(&claim.task_id, Status::Pending, Status::Running);
    }
    counters::write(transaction, tally, present).await?;
    let definition = definitions::write(transaction, batch).await?;
    let purged = match &batch.purge {
        Some(purge) => purge::write(transaction, batch, purge).await?,
        None => Purged::default(),
    };
    let next_due = if batch.promote { promotions::next_due(transaction).await? } else { None };
    transaction.commit().await?;
    Ok(Committed {
        finishes,
        reports,
        stops,
        starts: planned.outcomes,
        expired,
        promoted,
        claimed: claimed.claimed,
        next_due,
        definition,
        purged,
        synced: Synced::default(),
    })
}

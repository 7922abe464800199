//! Attempts that ended: output, record of the attempt, then the instance itself.

use std::{collections::HashMap, sync::Arc};

use sqlx::{Row, sqlite::SqliteRow};

use super::{
    codec::{json_column, shared, status_code},
    counters::Tally,
    payload::{self, bind_output},
    statement::{Arguments, Part, Statement, count, rounds},
    transaction::Transaction,
};
use crate::{
    domain::{Micros, Status},
    store::{Batch, Ending, Expected, Finish, FinishOutcome, Then},
};

static ATTEMPTS: Statement = Statement::new(&[
    Part::Text(
        "WITH v(number, attempt, exit_code, signal, row, ended, error, stopped_row, stopped_ended, stopped_error) \
         AS (VALUES ",
    ),
    Part::Rows(10),
    Part::Text(
        ") INSERT INTO attempts (number, attempt, node, started_at, finished_at, ended, error, exit_code, signal) \
         SELECT v.number, v.attempt, i.node, i.started_at, max(?, i.started_at), \
         iif(i.stop_requested_at IS NULL, v.ended, v.stopped_ended), \
         iif(i.stop_requested_at IS NULL, v.error, v.stopped_error), v.exit_code, v.signal \
         FROM v CROSS JOIN instances i ON i.number = v.number WHERE ",
    ),
    Part::Fence("i"),
    Part::Text(" AND iif(i.stop_requested_at IS NULL, v.row, v.stopped_row)"),
]);

static FINISHES: Statement = Statement::new(&[
    Part::Text(
        "WITH v(number, attempt, progress, message, sets_output, output, status, error, run_at, stopped_status, \
         stopped_error, stopped_run_at) AS (VALUES ",
    ),
    Part::Rows(12),
    Part::Text(
        ") UPDATE instances SET \
         status = iif(stop_requested_at IS NULL, v.status, v.stopped_status), \
         error = iif(stop_requested_at IS NULL, v.error, v.stopped_error), \
         finished_at = iif(iif(stop_requested_at IS NULL, v.status, v.stopped_status) >= 2, max(?, started_at), NULL), \
         run_at = coalesce(iif(stop_requested_at IS NULL, v.run_at, v.stopped_run_at), instances.run_at), \
         ready = coalesce(iif(stop_requested_at IS NULL, v.run_at, v.stopped_run_at) <= ?, 0), \
         progress = coalesce(v.progress, instances.progress), \
         message = iif(v.progress IS NULL, instances.message, v.message), \
         output = iif(v.sets_output, v.output, instances.output), \
         version = version + (batch <> ?), batch = ?, updated_at = ? \
         FROM v WHERE instances.number = v.number AND ",
    ),
    Part::Fence("instances"),
    Part::Text(" RETURNING number, version, stop_requested_at IS NOT NULL, task_id, started_at"),
]);

/// The common case of [`FINISHES`]: nothing is read back.
static EXPECTED: Statement = Statement::new(&[
    Part::Text(
        "WITH v(number, attempt, progress, message, sets_output, output, status, error, run_at, version) AS (VALUES ",
    ),
    Part::Rows(10),
    Part::Text(
        ") UPDATE instances SET status = v.status, error = v.error, \
         finished_at = iif(v.status >= 2, max(?, started_at), NULL), \
         run_at = coalesce(v.run_at, instances.run_at), ready = coalesce(v.run_at <= ?, 0), \
         progress = coalesce(v.progress, instances.progress), \
         message = iif(v.progress IS NULL, instances.message, v.message), \
         output = iif(v.sets_output, v.output, instances.output), \
         version = v.version + 1, batch = ?, updated_at = ? \
         FROM v WHERE instances.number = v.number AND ",
    ),
    Part::Fence("instances"),
    Part::Text(" AND instances.version = v.version AND stop_requested_at IS NULL"),
]);

/// Whether everything in `batch` may be written as if each finish found its instance as expected.
pub(super) fn may_expect(batch: &Batch) -> bool {
    !batch.finishes.is_empty()
        && batch.finishes.iter().all(|finish| finish.expected.is_some())
        && rounds(&batch.finishes, |finish| finish.instance).len() == 1
}

/// Writes the finishes of `batch` as expected. Where one is not, the transaction fails with
/// [`Transaction::missed_expectation`] and is to be begun anew.
pub(super) async fn write_expected(
    transaction: &mut Transaction<'_>,
    batch: &Batch,
    tally: &mut Tally,
) -> Result<Vec<FinishOutcome>, sqlx::Error> {
    let items: Vec<&Finish> = batch.finishes.iter().collect();
    payload::write_outputs(transaction, items.iter().map(|item| (item.instance, item.attempt, &item.output))).await?;
    write_attempts(transaction, batch.now, &items).await?;
    let bind = |arguments: &mut Arguments, items: &[&Finish], size: usize| {
        for finish in items {
            bind_finish(arguments, finish)?;
            bind_ending(arguments, &finish.unless_stopped)?;
            arguments.add_count(finish.expected.as_ref().map_or(0, |expected| expected.version))?;
        }
        arguments.pad((size - items.len()) * 10)?;
        arguments.add(batch.now.0)?;
        arguments.add(batch.now.0)?;
        arguments.add_count(batch.number)?;
        arguments.add(batch.now.0)
    };
    for items in EXPECTED.chunks(&items) {
        transaction.queue(&EXPECTED, items, bind).await?;
        transaction.expect_changes(items.len()).await?;
    }
    let mut outcomes = Vec::with_capacity(batch.finishes.len());
    for finish in &batch.finishes {
        let Some(Expected { version, task_id, started_at }) = &finish.expected else { continue };
        let applied =
            Applied { version: version + 1, stopped: false, task_id: Arc::clone(task_id), started_at: *started_at };
        applied.count(finish, batch.now, tally);
        outcomes.push(FinishOutcome::Applied { version: applied.version, stopped: false });
    }
    Ok(outcomes)
}

/// Writes the finishes of `batch`, whatever became of their instances.
pub(super) async fn write(
    transaction: &mut Transaction<'_>,
    batch: &Batch,
    tally: &mut Tally,
) -> Result<Vec<FinishOutcome>, sqlx::Error> {
    let mut outcomes = vec![FinishOutcome::Fenced; batch.finishes.len()];
    for round in rounds(&batch.finishes, |finish| finish.instance) {
        let items: Vec<&Finish> = round.iter().map(|index| &batch.finishes[*index]).collect();
        // Before the rows turn done: from then on outputs are final.
        payload::write_outputs(transaction, items.iter().map(|item| (item.instance, item.attempt, &item.output)))
            .await?;
        write_attempts(transaction, batch.now, &items).await?;
        let applied = write_instances(transaction, batch, &items).await?;
        for index in round {
            let finish = &batch.finishes[index];
            if let Some(applied) = applied.get(&finish.instance) {
                applied.count(finish, batch.now, tally);
                outcomes[index] = FinishOutcome::Applied { version: applied.version, stopped: applied.stopped };
            }
        }
    }
    Ok(outcomes)
}

/// What the row says of a finish that was written.
struct Applied {
    version: u64,
    stopped: bool,
    task_id: Arc<str>,
    started_at: Micros,
}

impl Applied {
    fn count(&self, finish: &Finish, now: Micros, tally: &mut Tally) {
        let ending = if self.stopped { &finish.if_stopped } else { &finish.unless_stopped };
        match &ending.then {
            Then::Again { .. } => tally.moved(&self.task_id, Status::Running, Status::Pending),
            Then::Done(outcome) => {
                let finished_at = now.max(self.started_at);
                tally.done(&self.task_id, Status::Running, outcome.status(), Some(self.started_at), finished_at);
            }
        }
    }
}

async fn write_attempts(
    transaction: &mut Transaction<'_>,
    now: Micros,
    finishes: &[&Finish],
) -> Result<(), sqlx::Error> {
    let told: Vec<&Finish> = finishes
        .iter()
        .filter(|finish| needs_record(finish, &finish.unless_stopped) || needs_record(finish, &finish.if_stopped))
        .copied()
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    let bind = |arguments: &mut Arguments, items: &[&Finish], size: usize| {
        for finish in items {
            arguments.add_count(finish.instance)?;
            arguments.add(finish.attempt)?;
            arguments.add(finish.exit_code)?;
            arguments.add(finish.signal)?;
            for ending in [&finish.unless_stopped, &finish.if_stopped] {
                arguments.add(needs_record(finish, ending))?;
                arguments.add(ending.ended.as_str())?;
                arguments.add(ending.error.as_ref().map(json_column).transpose()?)?;
            }
        }
        arguments.pad((size - items.len()) * 10)?;
        arguments.add(now.0)
    };
    transaction.queue(&ATTEMPTS, &told, bind).await
}

/// Whether the instance's own row would not tell the same of this attempt later.
fn needs_record(finish: &Finish, ending: &Ending) -> bool {
    let Then::Done(outcome) = &ending.then else { return true };
    finish.exit_code.is_some()
        || finish.signal.is_some()
        || ending.ended.as_str() != outcome.status().as_str()
        || ending.error.as_ref().is_some_and(|error| Some(error) != outcome.error())
}

async fn write_instances(
    transaction: &mut Transaction<'_>,
    batch: &Batch,
    finishes: &[&Finish],
) -> Result<HashMap<u64, Applied>, sqlx::Error> {
    let bind = |arguments: &mut Arguments, items: &[&Finish], size: usize| {
        for finish in items {
            bind_finish(arguments, finish)?;
            bind_ending(arguments, &finish.unless_stopped)?;
            bind_ending(arguments, &finish.if_stopped)?;
        }
        arguments.pad((size - items.len()) * 12)?;
        arguments.add(batch.now.0)?;
        arguments.add(batch.now.0)?;
        arguments.add_count(batch.number)?;
        arguments.add_count(batch.number)?;
        arguments.add(batch.now.0)
    };
    let rows = transaction.fetch(&FINISHES, finishes, bind).await?;
    let applied = |row: &SqliteRow| {
        Ok::<_, sqlx::Error>(Applied {
            version: count(row, 1)?,
            stopped: row.try_get(2)?,
            task_id: shared(row, 3)?,
            started_at: Micros(row.try_get(4)?),
        })
    };
    rows.iter().map(|row| Ok((count(row, 0)?, applied(row)?))).collect()
}

fn bind_finish(arguments: &mut Arguments, finish: &Finish) -> Result<(), sqlx::Error> {
    arguments.add_count(finish.instance)?;
    arguments.add(finish.attempt)?;
    arguments.add(finish.progress.as_ref().map(|progress| progress.value()))?;
    arguments.add(finish.progress.as_ref().and_then(|progress| progress.message.clone()))?;
    bind_output(arguments, &finish.output)
}

fn bind_ending(arguments: &mut Arguments, ending: &Ending) -> Result<(), sqlx::Error> {
    match &ending.then {
        Then::Done(outcome) => {
            arguments.add(status_code(outcome.status()))?;
            arguments.add(outcome.error().map(json_column).transpose()?)?;
            arguments.pad(1)
        }
        Then::Again { run_at } => {
            arguments.add(status_code(Status::Pending))?;
            arguments.pad(1)?;
            arguments.add(run_at.0)
        }
    }
}

//! Instances whose time has come, and those that waited too long for it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sqlx::Row;

use super::{
    codec::{json_column, shared},
    counters::Tally,
    statement::{Arguments, Part, Statement, count},
    transaction::Transaction,
};
use crate::{
    domain::{ErrorKind, InstanceError, Micros, Status, duration::Seconds},
    store::{Batch, Expired},
};

/// The most rows of each kind that one batch writes. The rest is due at once again.
const MOST: i64 = 4096;

static EXPIRE: Statement = Statement::new(&[
    Part::Text("WITH v(number, error) AS (VALUES "),
    Part::Rows(2),
    Part::Text(
        ") UPDATE instances SET status = 3, ready = 0, error = v.error, finished_at = max(?, created_at), \
         version = version + (batch <> ?), batch = ?, updated_at = ? \
         FROM v WHERE instances.number = v.number RETURNING number, version",
    ),
]);

/// Fails what waited too long, then makes ready what is due. Answers the failed and the tasks of the others.
pub(super) async fn write(
    transaction: &mut Transaction<'_>,
    batch: &Batch,
    tally: &mut Tally,
) -> Result<(Vec<Expired>, Vec<Arc<str>>), sqlx::Error> {
    let mut promoted = follow_clock(transaction, batch).await?;
    let expired = expire(transaction, batch, tally).await?;
    promoted.extend(promote(transaction, batch.now).await?);
    Ok((expired, promoted))
}

/// Where the clock was set: moves the deadlines of what waits, and makes retries ready at once, for their delays are
/// short and the clock no longer tells when they are over. Nobody can see these changes, so that they are no new
/// versions. Answers the tasks of the retries.
async fn follow_clock(transaction: &mut Transaction<'_>, batch: &Batch) -> Result<Vec<Arc<str>>, sqlx::Error> {
    for set in &batch.clock_sets {
        // What was scheduled begins to wait when the clock says so, as ever.
        let sql = "UPDATE instances INDEXED BY instances_expiring SET queue_deadline = \
            CASE WHEN run_at <= ? THEN queue_deadline + ? ELSE max(run_at, ?) + queue_timeout END \
            WHERE status = 0 AND attempt = 0 AND queue_deadline IS NOT NULL";
        let arguments = transaction.queue_fixed(sql).await?;
        arguments.add(set.from.0)?;
        arguments.add(set.to.0.saturating_sub(set.from.0))?;
        arguments.add(set.to.0)?;
        transaction.run().await?;
    }
    if batch.clock_sets.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "UPDATE instances SET ready = 1 WHERE number IN (SELECT number FROM instances \
        INDEXED BY instances_scheduled WHERE status = 0 AND ready = 0 AND attempt > 0) RETURNING task_id";
    transaction.queue_fixed(sql).await?;
    let rows = transaction.run().await?;
    Ok(rows.iter().map(|row| shared(row, 0)).collect::<Result<BTreeSet<_>, _>>()?.into_iter().collect())
}

async fn expire(
    transaction: &mut Transaction<'_>,
    batch: &Batch,
    tally: &mut Tally,
) -> Result<Vec<Expired>, sqlx::Error> {
    let sql = "SELECT number, queue_timeout, task_id, created_at FROM instances INDEXED BY instances_expiring WHERE status = 0 \
        AND attempt = 0 AND queue_deadline IS NOT NULL AND queue_deadline <= ? ORDER BY queue_deadline LIMIT ?";
    let arguments = transaction.queue_fixed(sql).await?;
    arguments.add(batch.now.0)?;
    arguments.add(MOST)?;
    let rows = transaction.run().await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut expired = Vec::with_capacity(rows.len());
    for row in &rows {
        let timeout = Duration::from_micros(row.try_get::<Option<i64>, _>(1)?.unwrap_or(0).unsigned_abs());
        let finished_at = batch.now.max(Micros(row.try_get(3)?));
        tally.done(&shared(row, 2)?, Status::Pending, Status::Failed, None, finished_at);
        expired.push(Expired { instance: count(row, 0)?, version: 0, error: error(timeout)? });
    }
    let bind = |arguments: &mut Arguments, items: &[Expired], size: usize| {
        for item in items {
            arguments.add_count(item.instance)?;
            arguments.add(json_column(&item.error)?)?;
        }
        arguments.pad((size - items.len()) * 2)?;
        arguments.add(batch.now.0)?;
        arguments.add_count(batch.number)?;
        arguments.add_count(batch.number)?;
        arguments.add(batch.now.0)
    };
    let rows = transaction.fetch(&EXPIRE, &expired, bind).await?;
    let versions = rows
        .iter()
        .map(|row| Ok((count(row, 0)?, count(row, 1)?)))
        .collect::<Result<std::collections::HashMap<u64, u64>, sqlx::Error>>()?;
    for item in &mut expired {
        item.version = versions.get(&item.instance).copied().ok_or(sqlx::Error::RowNotFound)?;
    }
    Ok(expired)
}

fn error(timeout: Duration) -> Result<InstanceError, sqlx::Error> {
    let seconds = json_column(&Seconds(timeout))?;
    Ok(InstanceError {
        kind: ErrorKind::QueueTimeout { after: timeout.as_micros() as f64 / 1e6 },
        message: format!("waited longer than its queue timeout of {seconds} s"),
        attempt: 0,
    })
}

async fn promote(transaction: &mut Transaction<'_>, now: Micros) -> Result<Vec<Arc<str>>, sqlx::Error> {
    // Nobody can see this change, so that it is no new version.
    let sql = "UPDATE instances SET ready = 1 WHERE number IN (SELECT number FROM instances \
        INDEXED BY instances_scheduled WHERE status = 0 AND ready = 0 AND run_at <= ? ORDER BY run_at LIMIT ?) \
        RETURNING task_id";
    let arguments = transaction.queue_fixed(sql).await?;
    arguments.add(now.0)?;
    arguments.add(MOST)?;
    let rows = transaction.run().await?;
    let tasks = rows.iter().map(|row| shared(row, 0)).collect::<Result<BTreeSet<_>, _>>()?;
    Ok(tasks.into_iter().collect())
}

/// When the next instance becomes due or has waited too long.
pub(super) async fn next_due(transaction: &mut Transaction<'_>) -> Result<Option<Micros>, sqlx::Error> {
    let sql = "SELECT min(due) FROM (\
        SELECT min(run_at) AS due FROM instances INDEXED BY instances_scheduled WHERE status = 0 AND ready = 0 \
        UNION ALL SELECT min(queue_deadline) FROM instances INDEXED BY instances_expiring \
        WHERE status = 0 AND attempt = 0 AND queue_deadline IS NOT NULL)";
    transaction.queue_fixed(sql).await?;
    let rows = transaction.run().await?;
    match rows.first() {
        Some(row) => Ok(row.try_get::<Option<i64>, _>(0)?.map(Micros)),
        None => Ok(None),
    }
}

//! Deletes what is kept no longer, a little at a time.
//!
//! The instances of a task are looked at by number, oldest first, which is nearly the order in which they end: so no
//! index by finished_at is needed, whose upkeep would cost every end. One that ran for long is passed by, and found
//! again by a later look.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row;

use super::{
    idempotency, rollup,
    statement::{Arguments, count, json_array},
    transaction::Transaction,
};
use crate::{
    domain::Micros,
    store::{Batch, Purge, PurgeTask, Purged},
};

/// How many instances one batch looks at.
const EXAMINED: usize = 512;
/// The most instances that one batch deletes.
const MOST: usize = 256;
/// From so many bytes on a batch deletes no further instance.
const BYTES: u64 = 4 << 20;
/// The most expired keys that one batch deletes.
const KEYS: i64 = 512;

/// Deletes what `purge` names.
pub(super) async fn write(
    transaction: &mut Transaction<'_>,
    batch: &Batch,
    purge: &Purge,
) -> Result<Purged, sqlx::Error> {
    let mut purged = Purged::default();
    if let Some(task) = &purge.task {
        instances(transaction, task, &mut purged).await?;
    }
    if purge.sweep {
        let keys = expired_keys(transaction, batch.now).await?;
        let counters = rollup::write(transaction, batch.now).await?;
        purged.sweep_due = keys.into_iter().chain(counters).min();
    }
    Ok(purged)
}

async fn instances(
    transaction: &mut Transaction<'_>,
    task: &PurgeTask,
    purged: &mut Purged,
) -> Result<(), sqlx::Error> {
    let mut excess = excess(transaction, task).await?;
    // One walk along the index for each status of a done instance, merged.
    let sql = "SELECT * FROM (\
        SELECT * FROM (SELECT number, status, created_at, finished_at FROM instances INDEXED BY instances_status \
        WHERE status = 2 AND task_id = ? AND number > ? ORDER BY number LIMIT ?) \
        UNION ALL SELECT * FROM (SELECT number, status, created_at, finished_at FROM instances INDEXED BY instances_status \
        WHERE status = 3 AND task_id = ? AND number > ? ORDER BY number LIMIT ?) \
        UNION ALL SELECT * FROM (SELECT number, status, created_at, finished_at FROM instances INDEXED BY instances_status \
        WHERE status = 4 AND task_id = ? AND number > ? ORDER BY number LIMIT ?)) \
        ORDER BY number LIMIT ?";
    let arguments = transaction.queue_fixed(sql).await?;
    for _ in 2..=4 {
        arguments.add(task.task_id.clone())?;
        arguments.add_count(task.after)?;
        arguments.add(EXAMINED as i64)?;
    }
    arguments.add(EXAMINED as i64)?;
    let rows = transaction.run().await?;
    // With when each was made.
    let mut victims: BTreeMap<u64, i64> = BTreeMap::new();
    let mut oldest: Option<i64> = None;
    let mut next = None;
    let mut whole = rows.len() < EXAMINED;
    for row in &rows {
        let (number, created_at) = (count(row, 0)?, row.try_get::<i64, _>(2)?);
        // Nothing ends before it is made, and numbers rise with time.
        let too_new = task.finished_before.is_none_or(|before| created_at > before.0);
        if excess == 0 && too_new {
            oldest = oldest.into_iter().chain([created_at]).min();
            whole = true;
            break;
        }
        if victims.len() == MOST {
            whole = false;
            break;
        }
        next = Some(number);
        if row.try_get::<i64, _>(1)? < 2 {
            continue;
        }
        let finished_at: i64 = row.try_get(3)?;
        if excess > 0 || task.finished_before.is_some_and(|before| finished_at <= before.0) {
            excess = excess.saturating_sub(1);
            victims.insert(number, created_at);
        } else {
            oldest = oldest.into_iter().chain([finished_at]).min();
        }
    }
    if let Some(last) = within_bytes(transaction, &victims).await?
        && victims.split_off(&(last + 1)).first_key_value().is_some()
    {
        (next, whole) = (Some(last), false);
    }
    delete(transaction, &victims).await?;
    purged.instances = victims.into_keys().collect();
    purged.oldest = oldest.map(Micros);
    purged.next = if whole { None } else { next };
    Ok(())
}

/// By how many the done instances of `task` exceed what is kept.
async fn excess(transaction: &mut Transaction<'_>, task: &PurgeTask) -> Result<u64, sqlx::Error> {
    let Some(keep) = task.keep else { return Ok(0) };
    let sql = "SELECT max(coalesce(sum(n), 0), 0) FROM totals WHERE task_id = ? AND status >= 2";
    let arguments = transaction.queue_fixed(sql).await?;
    arguments.add(task.task_id.clone())?;
    let rows = transaction.run().await?;
    let done = rows.first().map_or(Ok(0), |row| count(row, 0))?;
    Ok(done.saturating_sub(keep))
}

/// The last of `victims` that one batch can delete: each page of a large text is a page to be freed. What is short, in the
/// instances' own rows, is not counted.
async fn within_bytes(
    transaction: &mut Transaction<'_>,
    victims: &BTreeMap<u64, i64>,
) -> Result<Option<u64>, sqlx::Error> {
    if victims.is_empty() {
        return Ok(None);
    }
    let mut arguments = Arguments::default();
    arguments.add(json_array(victims.keys().copied()))?;
    let sql = "SELECT k.value, coalesce((SELECT octet_length(body) FROM inputs WHERE number = k.value), 0) \
        + coalesce((SELECT octet_length(body) FROM outputs WHERE number = k.value), 0) \
        + coalesce((SELECT sum(bytes) FROM logs INDEXED BY logs_window WHERE number = k.value), 0) \
        FROM json_each(?) k ORDER BY k.value";
    let mut bytes = 0;
    let mut last = None;
    for row in transaction.fetch_fixed(sql, arguments).await? {
        last = Some(count(&row, 0)?);
        bytes += count(&row, 1)?;
        if bytes >= BYTES {
            break;
        }
    }
    Ok(last)
}

/// Deletes instances with all that belongs to them. The instance goes before its output, which is final until then.
async fn delete(transaction: &mut Transaction<'_>, victims: &BTreeMap<u64, i64>) -> Result<(), sqlx::Error> {
    if victims.is_empty() {
        return Ok(());
    }
    let created: BTreeSet<i64> = victims.values().copied().collect();
    idempotency::forget(transaction, victims, &created).await?;
    let numbers = json_array(victims.keys().copied());
    let sql = "DELETE FROM labels WHERE (key, value, number) IN (SELECT e.key, e.value, i.number \
            FROM json_each(?) k CROSS JOIN instances i ON i.number = k.value CROSS JOIN json_each(i.labels) e); \
        DELETE FROM instances WHERE number IN (SELECT value FROM json_each(?)); \
        DELETE FROM inputs WHERE number IN (SELECT value FROM json_each(?)); \
        DELETE FROM outputs WHERE number IN (SELECT value FROM json_each(?)); \
        DELETE FROM attempts WHERE number IN (SELECT value FROM json_each(?)); \
        DELETE FROM logs WHERE number IN (SELECT value FROM json_each(?)); \
        DELETE FROM log_losses WHERE number IN (SELECT value FROM json_each(?))";
    let arguments = transaction.queue_fixed(sql).await?;
    for _ in 0..7 {
        arguments.add(numbers.as_str())?;
    }
    transaction.run().await.map(drop)
}

/// Deletes keys that have expired. Answers when the next one does.
async fn expired_keys(transaction: &mut Transaction<'_>, now: Micros) -> Result<Option<Micros>, sqlx::Error> {
    let sql = "DELETE FROM idempotency WHERE (principal, key) IN (SELECT principal, key FROM idempotency \
        INDEXED BY idempotency_expires WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)";
    let arguments = transaction.queue_fixed(sql).await?;
    arguments.add(now.0)?;
    arguments.add(KEYS)?;
    transaction.run().await?;
    let sql = "SELECT min(expires_at) FROM idempotency INDEXED BY idempotency_expires";
    let rows = transaction.fetch_fixed(sql, Arguments::default()).await?;
    Ok(rows.first().map_or(Ok(None), |row| row.try_get::<Option<i64>, _>(0))?.map(Micros))
}

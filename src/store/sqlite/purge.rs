//! Deletes what is kept no longer, a little at a time.
//!
//! The instances of a task are looked at by number, oldest first, which is nearly the order in which they end: so no
//! index by finished_at is needed, whose upkeep would cost every end. One that ran for long is passed by, and found
//! again by a later look.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Row, SqliteConnection};

use super::{
    idempotency, rollup,
    statement::{Arguments, count, fetch, json_array},
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
    connection: &mut SqliteConnection,
    batch: &Batch,
    purge: &Purge,
) -> Result<Purged, sqlx::Error> {
    let mut purged = Purged::default();
    if let Some(task) = &purge.task {
        instances(connection, task, &mut purged).await?;
    }
    if purge.sweep {
        let keys = expired_keys(connection, batch.now).await?;
        let counters = rollup::write(connection, batch.now).await?;
        purged.sweep_due = keys.into_iter().chain(counters).min();
    }
    Ok(purged)
}

async fn instances(
    connection: &mut SqliteConnection,
    task: &PurgeTask,
    purged: &mut Purged,
) -> Result<(), sqlx::Error> {
    let mut excess = excess(connection, task).await?;
    let mut arguments = Arguments::default();
    arguments.add(task.task_id.clone())?;
    arguments.add_count(task.after)?;
    arguments.add(EXAMINED as i64)?;
    let sql = "SELECT number, status, created_at, finished_at FROM instances INDEXED BY instances_task \
        WHERE task_id = ? AND number > ? ORDER BY number LIMIT ?";
    let rows = fetch(connection, sql, arguments).await?;
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
    if let Some(last) = within_bytes(connection, &victims).await?
        && victims.split_off(&(last + 1)).first_key_value().is_some()
    {
        (next, whole) = (Some(last), false);
    }
    delete(connection, &victims).await?;
    purged.instances = victims.into_keys().collect();
    purged.oldest = oldest.map(Micros);
    purged.next = if whole { None } else { next };
    Ok(())
}

/// By how many the done instances of `task` exceed what is kept.
async fn excess(connection: &mut SqliteConnection, task: &PurgeTask) -> Result<u64, sqlx::Error> {
    let Some(keep) = task.keep else { return Ok(0) };
    let mut arguments = Arguments::default();
    arguments.add(task.task_id.clone())?;
    let sql = "SELECT max(coalesce(sum(n), 0), 0) FROM totals WHERE task_id = ? AND status >= 2";
    let rows = fetch(connection, sql, arguments).await?;
    let done = rows.first().map_or(Ok(0), |row| count(row, 0))?;
    Ok(done.saturating_sub(keep))
}

/// The last of `victims` that one batch can delete: each page of a large text is a page to be freed.
async fn within_bytes(
    connection: &mut SqliteConnection,
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
    for row in fetch(connection, sql, arguments).await? {
        last = Some(count(&row, 0)?);
        bytes += count(&row, 1)?;
        if bytes >= BYTES {
            break;
        }
    }
    Ok(last)
}

/// Deletes instances with all that belongs to them. The instance goes before its output, which is final until then.
async fn delete(connection: &mut SqliteConnection, victims: &BTreeMap<u64, i64>) -> Result<(), sqlx::Error> {
    if victims.is_empty() {
        return Ok(());
    }
    let created: BTreeSet<i64> = victims.values().copied().collect();
    idempotency::forget(connection, victims, &created).await?;
    let numbers = json_array(victims.keys().copied());
    let mut arguments = Arguments::default();
    for _ in 0..7 {
        arguments.add(numbers.as_str())?;
    }
    let sql = "DELETE FROM labels WHERE (key, value, number) IN (SELECT e.key, e.value, i.number \
            FROM json_each(?) k CROSS JOIN instances i ON i.number = k.value CROSS JOIN json_each(i.labels) e); \
        DELETE FROM instances WHERE number IN (SELECT value FROM json_each(?)); \
        DELETE FROM inputs WHERE number IN (SELECT value FROM json_each(?)); \
        DELETE FROM outputs WHERE number IN (SELECT value FROM json_each(?)); \
        DELETE FROM attempts WHERE number IN (SELECT value FROM json_each(?)); \
        DELETE FROM logs WHERE number IN (SELECT value FROM json_each(?)); \
        DELETE FROM log_losses WHERE number IN (SELECT value FROM json_each(?))";
    fetch(connection, sql, arguments).await.map(drop)
}

/// Deletes keys that have expired. Answers when the next one does.
async fn expired_keys(connection: &mut SqliteConnection, now: Micros) -> Result<Option<Micros>, sqlx::Error> {
    let mut arguments = Arguments::default();
    arguments.add(now.0)?;
    arguments.add(KEYS)?;
    let sql = "DELETE FROM idempotency WHERE (principal, key) IN (SELECT principal, key FROM idempotency \
        INDEXED BY idempotency_expires WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)";
    fetch(connection, sql, arguments).await?;
    let sql = "SELECT min(expires_at) FROM idempotency INDEXED BY idempotency_expires";
    let rows = fetch(connection, sql, Arguments::default()).await?;
    Ok(rows.first().map_or(Ok(None), |row| row.try_get::<Option<i64>, _>(0))?.map(Micros))
}

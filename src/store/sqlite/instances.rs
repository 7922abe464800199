//! Reads of instances by name, of their attempts, and of what waits.

use std::{collections::HashSet, sync::LazyLock};

use sqlx::{Row, sqlite::SqliteRow};

use super::{
    codec::{self, SUMMARY_COLUMNS, ended_of, from_json, shared, small, status_of, unreadable},
    fault::of_read,
    readers::Readers,
    statement::{Arguments, count, fetch, json_array, to_column},
};
use crate::{
    domain::{Attempt, Ended, Instance, InstanceError, InstanceKey, Micros, Status, Summary, instance::AttemptRecord},
    store::{Backlog, StoreError},
};

/// Inputs and output, the columns after [`SUMMARY_COLUMNS`]. What does not stand in the row is looked for beside it.
const PAYLOADS: &str = "coalesce(i.inputs, (SELECT body FROM inputs WHERE number = i.number)), \
    coalesce(i.output, (SELECT body FROM outputs WHERE number = i.number))";

static BY_NUMBER: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {SUMMARY_COLUMNS}, {PAYLOADS} FROM instances i WHERE i.number = ?"));

static BY_ID: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {SUMMARY_COLUMNS}, {PAYLOADS} FROM instances i WHERE i.id = ?"));

static BY_NUMBERS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {SUMMARY_COLUMNS}, {PAYLOADS} FROM (SELECT DISTINCT value FROM json_each(?)) k \
         CROSS JOIN instances i ON i.number = k.value"
    )
});

static SUMMARIES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {SUMMARY_COLUMNS} FROM (SELECT DISTINCT value FROM json_each(?)) k \
         CROSS JOIN instances i ON i.number = k.value"
    )
});

static BY_IDS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {SUMMARY_COLUMNS}, {PAYLOADS} FROM (SELECT DISTINCT unhex(value) AS id FROM json_each(?)) k \
         CROSS JOIN instances i ON i.id = k.id"
    )
});

static RUNNING: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {SUMMARY_COLUMNS} FROM instances i INDEXED BY instances_status WHERE i.status = 1 ORDER BY i.number"
    )
});

/// Those of the instances that exist. Each with its payloads is of one commit.
pub(super) async fn get(readers: &Readers, keys: &[InstanceKey]) -> Result<Vec<Instance>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = readers.take().await?;
    let read = async {
        let mut arguments = Arguments::default();
        if let [key] = keys {
            let sql = match key {
                InstanceKey::Id(id) => {
                    arguments.add(id.as_bytes().as_slice())?;
                    BY_ID.as_str()
                }
                InstanceKey::Number(number) => {
                    // A number beyond the column names nothing.
                    arguments.add(i64::try_from(*number).unwrap_or(0))?;
                    BY_NUMBER.as_str()
                }
            };
            return decode(&fetch(&mut reader, sql, arguments).await?, codec::instance);
        }
        let mut numbers: Vec<u64> = Vec::new();
        let mut ids: Vec<String> = Vec::new();
        for key in keys {
            match key {
                InstanceKey::Number(number) => numbers.extend(i64::try_from(*number).is_ok().then_some(*number)),
                InstanceKey::Id(id) => ids.push(id.simple().to_string()),
            }
        }
        let mut instances = Vec::new();
        if !numbers.is_empty() {
            arguments.add(json_array(numbers))?;
            instances = decode(&fetch(&mut reader, BY_NUMBERS.as_str(), arguments).await?, codec::instance)?;
        }
        if !ids.is_empty() {
            let known: HashSet<u64> = instances.iter().map(|instance| instance.number).collect();
            let mut arguments = Arguments::default();
            arguments.add(codec::json_column(&ids)?)?;
            let more = decode(&fetch(&mut reader, BY_IDS.as_str(), arguments).await?, codec::instance)?;
            instances.extend(more.into_iter().filter(|instance| !known.contains(&instance.number)));
        }
        Ok(instances)
    };
    read.await.map_err(of_read)
}

/// Those of the instances that exist, without their payloads.
pub(super) async fn summaries(readers: &Readers, numbers: &[u64]) -> Result<Vec<Summary>, StoreError> {
    let mut reader = readers.take().await?;
    let read = async {
        let mut arguments = Arguments::default();
        // A number beyond the column names nothing.
        arguments.add(json_array(numbers.iter().copied().filter(|number| i64::try_from(*number).is_ok())))?;
        decode(&fetch(&mut reader, SUMMARIES.as_str(), arguments).await?, codec::summary)
    };
    read.await.map_err(of_read)
}

/// Every instance that is running, by number.
pub(super) async fn running(readers: &Readers) -> Result<Vec<Summary>, StoreError> {
    let mut reader = readers.take().await?;
    let rows = fetch(&mut reader, RUNNING.as_str(), Arguments::default()).await.map_err(of_read)?;
    decode(&rows, codec::summary).map_err(of_read)
}

/// What waits to run.
pub(super) async fn backlog(readers: &Readers) -> Result<Backlog, StoreError> {
    let mut reader = readers.take().await?;
    let read = async {
        let pending = "SELECT max(coalesce(sum(n), 0), 0) FROM totals WHERE status = 0";
        let rows = fetch(&mut reader, pending, Arguments::default()).await?;
        let pending = rows.first().map_or(Ok(0), |row| count(row, 0))?;
        // From task to task along the index, whatever waits between.
        let ready = "WITH RECURSIVE t(task_id) AS (\
            SELECT min(task_id) FROM instances INDEXED BY instances_ready WHERE ready = 1 \
            UNION ALL SELECT (SELECT min(i.task_id) FROM instances i INDEXED BY instances_ready WHERE i.ready = 1 \
            AND i.task_id > t.task_id) FROM t WHERE t.task_id IS NOT NULL) \
            SELECT task_id FROM t WHERE task_id IS NOT NULL";
        let rows = fetch(&mut reader, ready, Arguments::default()).await?;
        Ok(Backlog { pending, ready: rows.iter().map(|row| shared(row, 0)).collect::<Result<_, sqlx::Error>>()? })
    };
    read.await.map_err(of_read)
}

/// Whether a read works.
pub(super) async fn ping(readers: &Readers) -> Result<(), StoreError> {
    let mut reader = readers.take().await?;
    let sql = "SELECT boot FROM meta";
    fetch(&mut reader, sql, Arguments::default()).await.map(drop).map_err(of_read)
}

/// The attempts of one instance, oldest first.
pub(super) async fn attempts(readers: &Readers, instance: u64) -> Result<Vec<Attempt>, StoreError> {
    let mut reader = readers.take().await?;
    let read = async {
        let mut arguments = Arguments::default();
        arguments.add(to_column(instance)?)?;
        let sql = "SELECT i.status, i.attempt, i.node, i.started_at, i.finished_at, i.error, \
            a.attempt, a.node, a.started_at, a.finished_at, a.ended, a.error, a.exit_code, a.signal \
            FROM instances i LEFT JOIN attempts a ON a.number = i.number WHERE i.number = ? ORDER BY a.attempt";
        let rows = fetch(&mut reader, sql, arguments).await?;
        let Some(first) = rows.first() else { return Ok(Vec::new()) };
        let recorded = rows.iter().filter(|row| matches!(row.try_get::<Option<i64>, _>(6), Ok(Some(_))));
        let mut attempts = recorded.map(|row| recorded_attempt(row, 6)).collect::<Result<Vec<_>, _>>()?;
        let latest = small(first, 1)?;
        if latest > 0 && attempts.last().is_none_or(|attempt| attempt.attempt < latest) {
            attempts.push(latest_attempt(first, latest)?);
        }
        Ok(attempts)
    };
    read.await.map_err(of_read)
}

/// The attempt whose columns stand from the column `at` on.
pub(super) fn recorded_attempt(row: &SqliteRow, at: usize) -> Result<Attempt, sqlx::Error> {
    Ok(Attempt {
        attempt: small(row, at)?,
        node: shared(row, at + 1)?,
        started_at: Micros(row.try_get(at + 2)?),
        end: Some(AttemptRecord {
            finished_at: Micros(row.try_get(at + 3)?),
            ended: ended_of(row.try_get(at + 4)?)?,
            error: error_of(row, at + 5)?,
            exit_code: row.try_get(at + 6)?,
            signal: row.try_get(at + 7)?,
        }),
    })
}

/// The latest attempt as the instance's own row tells it.
fn latest_attempt(row: &SqliteRow, attempt: u32) -> Result<Attempt, sqlx::Error> {
    let ended = match status_of(row.try_get(0)?)? {
        Status::Running => None,
        Status::Completed => Some(Ended::Completed),
        Status::Failed => Some(Ended::Failed),
        Status::Cancelled => Some(Ended::Cancelled),
        Status::Pending => return Err(unreadable("missing record of attempt", attempt)),
    };
    let end = match ended {
        None => None,
        Some(ended) => Some(AttemptRecord {
            finished_at: Micros(row.try_get(4)?),
            ended,
            error: error_of(row, 5)?,
            exit_code: None,
            signal: None,
        }),
    };
    Ok(Attempt { attempt, node: shared(row, 2)?, started_at: Micros(row.try_get(3)?), end })
}

fn error_of(row: &SqliteRow, column: usize) -> Result<Option<InstanceError>, sqlx::Error> {
    row.try_get::<Option<&str>, _>(column)?.map(from_json).transpose()
}

pub(super) fn decode<T>(
    rows: &[SqliteRow],
    one: impl Fn(&SqliteRow) -> Result<T, sqlx::Error>,
) -> Result<Vec<T>, sqlx::Error> {
    rows.iter().map(one).collect()
}

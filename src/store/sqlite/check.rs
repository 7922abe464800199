//! Everything wrong that a stored state can show.

use sqlx::{Row as _, SqlitePool};

use super::error::store_error;
use crate::store::{Finding, StoreError};

/// The most findings of one kind that are told.
const MOST: i64 = 100;

/// What must not be there: a query for the numbers of instances, and what is wrong with them.
const RULES: &[(&str, &str)] = &[
    ("SELECT number FROM instances WHERE status NOT BETWEEN 0 AND 4", "has a status that does not exist"),
    ("SELECT number FROM instances WHERE status >= 2 AND finished_at IS NULL", "is done without finished_at"),
    ("SELECT number FROM instances WHERE status < 2 AND finished_at IS NOT NULL", "has finished_at and is not done"),
    ("SELECT number FROM instances WHERE finished_at < started_at", "ended before it began"),
    (
        "SELECT number FROM instances WHERE status = 1 AND (attempt < 1 OR started_at IS NULL OR node IS NULL)",
        "runs without attempt, started_at or node",
    ),
    ("SELECT number FROM instances WHERE (status = 3) <> (error IS NOT NULL)", "has an error and did not fail, or the reverse"),
    ("SELECT number FROM instances WHERE error IS NOT NULL AND NOT json_valid(error)", "has an unreadable error"),
    ("SELECT number FROM instances WHERE attempt > max_attempts", "has had more attempts than allowed"),
    ("SELECT number FROM instances WHERE attempt > 0 AND (started_at IS NULL OR node IS NULL)", "has an attempt that never began"),
    ("SELECT number FROM instances WHERE progress NOT BETWEEN 0 AND 1", "has progress outside 0 to 1"),
    ("SELECT number FROM instances WHERE status = 0 AND stop_requested_at IS NOT NULL", "is pending although a stop was requested"),
    ("SELECT number FROM instances WHERE (stop_requested_at IS NULL) <> (stop_deadline IS NULL)", "has half a stop"),
    ("SELECT number FROM instances WHERE status <> 0 AND ready", "is ready to run and not pending"),
    ("SELECT number FROM instances WHERE version < 1", "has no version"),
    ("SELECT number FROM instances WHERE verdict NOT BETWEEN 2 AND 4", "has a verdict that does not exist"),
    (
        "SELECT number FROM instances WHERE labels IS NOT NULL AND NOT json_valid(labels)",
        "has unreadable labels",
    ),
    (
        "SELECT i.number FROM instances AS i LEFT JOIN inputs AS p ON p.number = i.number WHERE p.number IS NULL",
        "has no inputs",
    ),
    (
        "SELECT number FROM inputs WHERE NOT json_valid(body) OR substr(body, 1, 1) <> '{'",
        "has inputs that are no JSON object",
    ),
    (
        "SELECT number FROM outputs WHERE NOT json_valid(body) OR substr(body, 1, 1) <> '{'",
        "has an output that is no JSON object",
    ),
    ("SELECT number FROM inputs WHERE number NOT IN (SELECT number FROM instances)", "is gone and has left inputs"),
    ("SELECT number FROM outputs WHERE number NOT IN (SELECT number FROM instances)", "is gone and has left an output"),
    ("SELECT DISTINCT number FROM logs WHERE number NOT IN (SELECT number FROM instances)", "is gone and has left a log"),
    ("SELECT number FROM log_losses WHERE number NOT IN (SELECT number FROM instances)", "is gone and has left a count of lost lines"),
    ("SELECT DISTINCT number FROM attempts WHERE number NOT IN (SELECT number FROM instances)", "is gone and has left attempts"),
    ("SELECT DISTINCT number FROM labels WHERE number NOT IN (SELECT number FROM instances)", "is gone and has left labels"),
    ("SELECT DISTINCT number FROM logs WHERE NOT json_valid(lines) OR last < first", "has an unreadable log"),
    (
        "SELECT DISTINCT a.number FROM logs AS a JOIN logs AS b ON b.number = a.number AND b.first > a.first AND b.first <= a.last",
        "has log chunks that overlap",
    ),
    (
        "SELECT DISTINCT a.number FROM attempts AS a JOIN instances AS i ON i.number = a.number WHERE a.attempt > i.attempt",
        "has a record of an attempt that it did not have",
    ),
    ("SELECT DISTINCT number FROM attempts WHERE finished_at < started_at", "has an attempt that ended before it began"),
    (
        "SELECT i.number FROM instances AS i WHERE (SELECT count(*) FROM labels AS l WHERE l.number = i.number)
           <> (SELECT count(*) FROM json_each(iif(json_valid(i.labels), i.labels, '{}')))",
        "has labels that the index does not have, or the reverse",
    ),
    (
        "SELECT DISTINCT i.number FROM instances AS i, json_each(iif(json_valid(i.labels), i.labels, '{}')) AS j
         WHERE i.labels IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM labels AS l WHERE l.key = j.key AND l.value = j.value AND l.number = i.number)",
        "has a label that the index does not have",
    ),
    (
        "SELECT DISTINCT n.value FROM idempotency AS k, json_each(iif(json_valid(k.numbers), k.numbers, '[0]')) AS n
         WHERE n.value NOT IN (SELECT number FROM instances)",
        "is gone and has left an idempotency key",
    ),
];

/// Reads everything, in one transaction, so that a running daemon's writes are seen whole or not at all.
pub async fn check(readers: &SqlitePool) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    let mut transaction = readers.begin().await.map_err(store_error)?;
    let integrity: Vec<String> =
        sqlx::query_scalar("PRAGMA integrity_check(100)").fetch_all(&mut *transaction).await.map_err(store_error)?;
    let damaged = integrity != ["ok"];
    if damaged {
        findings.extend(integrity.into_iter().map(|detail| Finding { instance: None, detail }));
    }
    for (query, detail) in RULES {
        let text = format!("SELECT * FROM ({query}) LIMIT {MOST}");
        let rows = match sqlx::query(sqlx::AssertSqlSafe(text)).fetch_all(&mut *transaction).await {
            Ok(rows) => rows,
            // Said already, and why the rest cannot be read.
            Err(_) if damaged => continue,
            Err(error) => return Err(store_error(error)),
        };
        for row in rows {
            let number: i64 = row.try_get(0).map_err(store_error)?;
            findings.push(Finding { instance: Some(number.unsigned_abs()), detail: (*detail).to_owned() });
        }
    }
    Ok(findings)
}

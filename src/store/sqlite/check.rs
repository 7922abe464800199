//! What fsck looks for: everything wrong that the stored state can show.

mod counters;

use sqlx::{Connection, Row, SqliteConnection};

use super::{
    codec::{from_json, labels_of},
    definitions,
    fault::of_read,
    readers::Readers,
    statement::{Arguments, count, fetch},
};
use crate::{
    domain::{InstanceError, Verdict},
    store::{Finding, StoreError},
};

/// The most findings of one kind.
const MOST: usize = 100;

/// Each selects the numbers of the instances of which its text is true.
const RULES: &[(&str, &str)] = &[
    ("is done without finished_at", "FROM instances WHERE status >= 2 AND finished_at IS NULL"),
    ("has finished_at and is not done", "FROM instances WHERE status < 2 AND finished_at IS NOT NULL"),
    ("finished before it started", "FROM instances WHERE finished_at < started_at"),
    (
        "runs without attempt, started_at or node",
        "FROM instances INDEXED BY instances_status WHERE status = 1 AND (attempt < 1 OR started_at IS NULL OR node IS NULL)",
    ),
    (
        "has an attempt without started_at or node",
        "FROM instances WHERE attempt > 0 AND (started_at IS NULL OR node IS NULL)",
    ),
    (
        "has started_at or node without an attempt",
        "FROM instances WHERE attempt = 0 AND (started_at IS NOT NULL OR node IS NOT NULL)",
    ),
    ("failed without an error", "FROM instances INDEXED BY instances_status WHERE status = 3 AND error IS NULL"),
    ("has an error and did not fail", "FROM instances WHERE status <> 3 AND error IS NOT NULL"),
    ("completed without an attempt", "FROM instances INDEXED BY instances_status WHERE status = 2 AND attempt < 1"),
    (
        "has more attempts than max_attempts",
        "FROM instances WHERE attempt > max_attempts OR attempt < 0 OR max_attempts < 1",
    ),
    ("is marked ready and is not pending", "FROM instances INDEXED BY instances_ready WHERE ready = 1 AND status <> 0"),
    ("has a progress outside 0 to 1", "FROM instances WHERE NOT (progress BETWEEN 0.0 AND 1.0)"),
    (
        "is pending although a stop was requested",
        "FROM instances INDEXED BY instances_status WHERE status = 0 AND stop_requested_at IS NOT NULL",
    ),
    ("has half a stop", "FROM instances WHERE (stop_requested_at IS NULL) <> (stop_deadline IS NULL)"),
    (
        "has a queue_timeout without a deadline, or the reverse",
        "FROM instances WHERE (queue_timeout IS NULL) <> (queue_deadline IS NULL)",
    ),
    ("has a version below 1", "FROM instances WHERE version < 1"),
    (
        "waits for another attempt without a record of the last",
        "FROM instances i INDEXED BY instances_status WHERE \
        i.status = 0 AND i.attempt > 0 AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.number = i.number AND a.attempt = i.attempt)",
    ),
    ("has a number that no instance can have", "FROM instances WHERE number < 1"),
    ("was changed by a daemon that never was", "FROM instances WHERE (batch >> 40) > (SELECT boot FROM meta)"),
    (
        "has a timeout or delay that is not above 0",
        "FROM instances WHERE timeout <= 0 OR queue_timeout <= 0 OR retry_delay <= 0",
    ),
    ("has a task id that no task can have", "FROM instances WHERE length(task_id) NOT BETWEEN 1 AND 128"),
    (
        "has an output before its first attempt",
        "FROM instances i WHERE i.attempt = 0 AND EXISTS (SELECT 1 FROM outputs o WHERE o.number = i.number)",
    ),
    ("has no inputs", "FROM instances i WHERE NOT EXISTS (SELECT 1 FROM inputs p WHERE p.number = i.number)"),
    ("has inputs that are no JSON object", "FROM inputs WHERE NOT json_valid(body) OR substr(body, 1, 1) <> '{'"),
    ("has an output that is no JSON object", "FROM outputs WHERE NOT json_valid(body) OR substr(body, 1, 1) <> '{'"),
    (
        "has records of attempts that it never had, or of one that runs",
        "FROM attempts a JOIN instances i ON i.number = a.number WHERE a.attempt > i.attempt OR a.attempt < 1 \
         OR (i.status = 1 AND a.attempt = i.attempt)",
    ),
    (
        "has a record of an attempt that makes no sense",
        "FROM attempts a WHERE a.finished_at < a.started_at \
         OR a.ended NOT IN ('completed', 'failed', 'cancelled', 'interrupted')",
    ),
    (
        "has lines of its log twice",
        "FROM (SELECT number, first, lag(last) OVER (PARTITION BY number ORDER BY first) AS before FROM logs) \
         WHERE before >= first",
    ),
    (
        "has a log that is no JSON",
        "FROM logs WHERE NOT json_valid(body) OR last < first OR json_array_length(body) <> last - first + 1",
    ),
];

/// The indexes, triggers and tables there must be.
const SCHEMA: [&str; 25] = [
    "meta",
    "instances",
    "inputs",
    "outputs",
    "labels",
    "attempts",
    "idempotency",
    "logs",
    "log_losses",
    "totals",
    "minutes",
    "rollups",
    "instances_ready",
    "instances_scheduled",
    "instances_expiring",
    "instances_status",
    "idempotency_expires",
    "logs_window",
    "instances_done_is_final",
    "instances_number_is_spent",
    "instances_gone_are_counted",
    "outputs_insert_before_done",
    "outputs_update_before_done",
    "outputs_delete_before_done",
    "inputs_are_written_once",
];

/// Tables whose rows belong to an instance.
const PARTS: [(&str, &str); 6] = [
    ("inputs", "SELECT number FROM inputs"),
    ("an output", "SELECT number FROM outputs"),
    ("labels", "SELECT DISTINCT number FROM labels"),
    ("attempts", "SELECT DISTINCT number FROM attempts"),
    ("logs", "SELECT DISTINCT number FROM logs"),
    ("lost lines", "SELECT number FROM log_losses"),
];

/// Everything wrong with the stored state.
pub(super) async fn check(readers: &Readers) -> Result<Vec<Finding>, StoreError> {
    let mut reader = readers.take().await?;
    // One snapshot, so that what a daemon writes meanwhile is seen whole or not at all. Rolled back when it goes away.
    let mut snapshot = reader.begin().await.map_err(of_read)?;
    let reader = &mut *snapshot;
    let mut findings = integrity(reader).await.map_err(of_read)?;
    if findings.is_empty() {
        findings = schema(reader).await.map_err(of_read)?;
    }
    if !findings.is_empty() {
        // Rows of a damaged file would tell the same damage many times over, or nothing; without an index the rules
        // cannot be looked at.
        return Ok(findings);
    }
    let read = async {
        for (what, rest) in RULES {
            let column = if rest.starts_with("FROM attempts a ") { "a.number" } else { "number" };
            let sql = format!("SELECT {column} {rest} LIMIT {MOST}");
            findings.extend(numbers(reader, sql).await?.into_iter().map(|number| finding(number, what)));
        }
        for (what, all) in PARTS {
            let sql =
                format!("SELECT number FROM ({all}) WHERE number NOT IN (SELECT number FROM instances) LIMIT {MOST}");
            let what = format!("does not exist, and has {what}");
            findings.extend(numbers(reader, sql).await?.into_iter().map(|number| finding(number, &what)));
        }
        keys(reader, &mut findings).await?;
        labels(reader, &mut findings).await?;
        values(reader, &mut findings).await?;
        definitions::check(reader, &mut findings).await?;
        counters::check(reader, &mut findings).await
    };
    read.await.map_err(of_read)?;
    Ok(findings)
}

fn finding(instance: u64, detail: &str) -> Finding {
    Finding { instance: Some(instance), detail: detail.to_owned() }
}

fn finding_of_store(detail: String) -> Finding {
    Finding { instance: None, detail }
}

/// What the migrations make beside tables, and what rows must be there.
async fn schema(connection: &mut SqliteConnection) -> Result<Vec<Finding>, sqlx::Error> {
    let rows = fetch(connection, "SELECT name FROM sqlite_schema", Arguments::default()).await?;
    let there = rows.iter().map(|row| row.try_get::<String, _>(0)).collect::<Result<Vec<_>, _>>()?;
    let missing = SCHEMA.iter().filter(|name| !there.iter().any(|there| there == *name));
    let mut findings: Vec<Finding> =
        missing.map(|name| finding_of_store(format!("schema: `{name}` is missing"))).collect();
    if findings.is_empty() {
        let rows = fetch(connection, "SELECT boot < 1 OR last_number < 0 FROM meta", Arguments::default()).await?;
        if rows.len() != 1 || rows[0].try_get(0)? {
            findings.push(finding_of_store("the row that says what this store is, is missing or wrong".to_owned()));
        }
    }
    Ok(findings)
}

/// The file itself: pages, indexes, constraints.
async fn integrity(connection: &mut SqliteConnection) -> Result<Vec<Finding>, sqlx::Error> {
    let rows = fetch(connection, "PRAGMA integrity_check(100)", Arguments::default()).await?;
    let mut findings = Vec::new();
    for row in rows {
        let detail: String = row.try_get(0)?;
        if detail != "ok" {
            findings.push(finding_of_store(format!("database file: {detail}")));
        }
    }
    Ok(findings)
}

async fn numbers(connection: &mut SqliteConnection, sql: String) -> Result<Vec<u64>, sqlx::Error> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(false).fetch_all(connection).await?;
    rows.iter().map(|row| count(row, 0)).collect()
}

/// Idempotency keys of which an instance is gone.
async fn keys(connection: &mut SqliteConnection, findings: &mut Vec<Finding>) -> Result<(), sqlx::Error> {
    let sql = "SELECT key, first_number FROM idempotency k WHERE k.instances < 1 OR k.instances <> \
        (SELECT count(*) FROM instances i WHERE i.number BETWEEN k.first_number AND k.first_number + k.instances - 1) \
        LIMIT 100";
    for row in fetch(connection, sql, Arguments::default()).await? {
        let key: String = row.try_get(0)?;
        findings.push(finding(
            count(&row, 1)?,
            &format!("is the first of the idempotency key `{key}`, of which not all exist"),
        ));
    }
    Ok(())
}

/// Labels as rows against labels as the instance tells them.
async fn labels(connection: &mut SqliteConnection, findings: &mut Vec<Finding>) -> Result<(), sqlx::Error> {
    let sql = "SELECT number FROM (\
        SELECT i.number, e.key AS key, e.value AS value FROM instances i, json_each(i.labels) e WHERE i.labels IS NOT NULL \
        AND json_valid(i.labels) EXCEPT SELECT number, key, value FROM labels) \
        UNION SELECT number FROM (SELECT l.number, l.key, l.value FROM labels l JOIN instances n ON n.number = l.number \
        EXCEPT SELECT i.number, e.key, e.value FROM instances i, json_each(i.labels) e WHERE i.labels IS NOT NULL \
        AND json_valid(i.labels)) LIMIT 100";
    for row in fetch(connection, sql, Arguments::default()).await? {
        findings.push(finding(count(&row, 0)?, "has other labels than it can be found by"));
    }
    Ok(())
}

/// Columns of JSON that must read as what they stand for.
async fn values(connection: &mut SqliteConnection, findings: &mut Vec<Finding>) -> Result<(), sqlx::Error> {
    let sql = "SELECT number, error, verdict, labels FROM instances WHERE number > ? \
        AND (error IS NOT NULL OR verdict IS NOT NULL OR labels IS NOT NULL) ORDER BY number LIMIT 1000";
    let mut after = 0;
    let first = findings.len();
    loop {
        let mut arguments = Arguments::default();
        arguments.add_count(after)?;
        let rows = fetch(connection, sql, arguments).await?;
        for row in &rows {
            after = count(row, 0)?;
            let error: Option<&str> = row.try_get(1)?;
            let verdict: Option<&str> = row.try_get(2)?;
            if error.is_some_and(|text| from_json::<InstanceError>(text).is_err()) {
                findings.push(finding(after, "has an error that cannot be read"));
            }
            if verdict.is_some_and(|text| from_json::<Verdict>(text).is_err()) {
                findings.push(finding(after, "has a verdict that cannot be read"));
            }
            if labels_of(row.try_get(3)?).is_err() {
                findings.push(finding(after, "has labels that cannot be read"));
            }
        }
        if rows.is_empty() || findings.len() - first >= MOST {
            return Ok(());
        }
    }
}

//! What fsck looks for: everything wrong that the stored state can show.

mod counters;
mod rules;

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
use rules::{PARTS, RULES, SCHEMA};

/// The most findings of one kind.
const MOST: usize = 100;

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

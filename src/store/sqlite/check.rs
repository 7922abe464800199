//! What fsck looks for: everything wrong that the stored state can show.

mod counters;
mod kind;
mod rows;
mod rules;
mod schema;

use std::collections::HashSet;

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, Row, SqlSafeStr, SqliteConnection, sqlite::SqliteRow};

use super::{
    definitions,
    fault::of_read,
    readers::Readers,
    statement::{Arguments, fetch},
};
use crate::store::{Checked, Finding, StoreError};
pub(super) use kind::Kind;
use kind::MOST;
use rules::{PARTS, RULES};

/// Everything wrong with the stored state.
pub(super) async fn check(readers: &Readers) -> Result<Checked, StoreError> {
    let mut reader = readers.take().await?;
    // One snapshot, so that what a daemon writes meanwhile is seen whole or not at all. Rolled back when it goes away.
    let mut snapshot = reader.begin().await.map_err(of_read)?;
    let reader = &mut *snapshot;
    let mut findings = integrity(reader).await.map_err(of_read)?;
    if findings.is_empty() {
        findings = schema::check(reader).await.map_err(of_read)?;
    }
    if !findings.is_empty() {
        // Rows of a damaged file would tell the same damage many times over, or nothing; without an index the rules
        // cannot be looked at.
        return Ok(Checked { findings, instances: 0 });
    }
    let read = async {
        for (what, rest) in RULES {
            let column = if rest.starts_with("FROM attempts a ") { "a.number" } else { "number" };
            numbers(reader, format!("SELECT {column} {rest}"), what, &mut findings).await?;
        }
        for (what, all) in PARTS {
            let sql = format!("SELECT number FROM ({all}) WHERE number NOT IN (SELECT number FROM instances)");
            numbers(reader, sql, &format!("does not exist, and has {what}"), &mut findings).await?;
        }
        keys(reader, &mut findings).await?;
        labels(reader, &mut findings).await?;
        let told: HashSet<u64> = findings.iter().filter_map(|finding| finding.instance).collect();
        let instances = rows::check(reader, &told, &mut findings).await?;
        definitions::check(reader, &mut findings).await?;
        counters::check(reader, &mut findings).await?;
        Ok(instances)
    };
    let instances = read.await.map_err(of_read)?;
    Ok(Checked { findings, instances })
}

fn finding(instance: i64, detail: &str) -> Finding {
    match u64::try_from(instance) {
        Ok(instance) => Finding { instance: Some(instance), detail: detail.to_owned() },
        Err(_) => finding_of_store(format!("instance {instance}: {detail}")),
    }
}

fn finding_of_store(detail: String) -> Finding {
    Finding { instance: None, detail }
}

/// Runs `one` on each row of `sql`. Few rows at a time are in memory.
async fn each(
    connection: &mut SqliteConnection,
    sql: impl SqlSafeStr,
    mut one: impl FnMut(&SqliteRow) -> Result<(), sqlx::Error> + Send,
) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::query(sql).persistent(false).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        one(&row)?;
    }
    Ok(())
}

/// The file itself: pages, indexes, constraints.
async fn integrity(connection: &mut SqliteConnection) -> Result<Vec<Finding>, sqlx::Error> {
    let rows = fetch(connection, "PRAGMA integrity_check(101)", Arguments::default()).await?;
    let mut findings = Vec::new();
    for row in rows.iter().take(MOST) {
        let detail: String = row.try_get(0)?;
        if detail != "ok" {
            findings.push(finding_of_store(format!("database file: {detail}")));
        }
    }
    if rows.len() > MOST {
        findings.push(finding_of_store("database file: … and more".to_owned()));
    }
    Ok(findings)
}

/// Says `what` of each instance whose number `sql` answers.
async fn numbers(
    connection: &mut SqliteConnection,
    sql: String,
    what: &str,
    findings: &mut Vec<Finding>,
) -> Result<(), sqlx::Error> {
    let mut kind = Kind::new(findings, what);
    each(connection, AssertSqlSafe(sql), |row| {
        kind.add(finding(row.try_get(0)?, what));
        Ok(())
    })
    .await?;
    kind.end();
    Ok(())
}

/// Idempotency keys of which an instance is gone, or was not made with them. A purge finds a key by the time at which its
/// instances were made.
async fn keys(connection: &mut SqliteConnection, findings: &mut Vec<Finding>) -> Result<(), sqlx::Error> {
    let range = "i.number BETWEEN k.first_number AND k.first_number + k.instances - 1";
    let rules = [
        (
            "is the first of the idempotency key `{}`, of which not all exist",
            format!("k.instances < 1 OR k.instances <> (SELECT count(*) FROM instances i WHERE {range})"),
        ),
        (
            "is the first of the idempotency key `{}`, with which not all were made",
            format!("EXISTS (SELECT 1 FROM instances i WHERE {range} AND i.created_at + 86400000000 <> k.expires_at)"),
        ),
        (
            "is the first of the idempotency key `{}`, which does not tell what was asked for",
            "length(k.fingerprint) <> 32".to_owned(),
        ),
    ];
    for (what, rule) in rules {
        let mut kind = Kind::new(findings, &what.replace("the idempotency key `{}`", "an idempotency key"));
        let sql = format!("SELECT key, first_number FROM idempotency k WHERE {rule}");
        each(connection, AssertSqlSafe(sql), |row| {
            kind.add(finding(row.try_get(1)?, &what.replace("{}", row.try_get(0)?)));
            Ok(())
        })
        .await?;
        kind.end();
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
        AND json_valid(i.labels))";
    numbers(connection, sql.to_owned(), "has other labels than it can be found by", findings).await
}

//! Rows that must read back as what they stand for: each is read as the daemon reads it.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, Column, Row, SqliteConnection, sqlite::SqliteRow};

use super::{Kind, each, finding};
use crate::{
    domain::{DefinitionId, InstanceError, Json, Verdict},
    store::{
        Finding,
        sqlite::{
            codec::{self, SUMMARY_COLUMNS, SUMMARY_WIDTH, from_json, labels_of},
            instances, log_reads,
            statement::{Arguments, fetch},
        },
    },
};

/// Looks for rows that cannot be read. Nothing further is said of the instances `told`. Answers how many instances there
/// are.
pub(super) async fn check(
    connection: &mut SqliteConnection,
    told: &HashSet<u64>,
    findings: &mut Vec<Finding>,
) -> Result<u64, sqlx::Error> {
    let read = instances(connection, told, findings).await?;
    let inputs = "SELECT number, body FROM inputs WHERE number > ? ORDER BY number LIMIT 8";
    payloads(connection, inputs, "has inputs that cannot be read", told, findings).await?;
    let outputs = "SELECT number, body FROM outputs WHERE number > ? ORDER BY number LIMIT 8";
    payloads(connection, outputs, "has an output that cannot be read", told, findings).await?;
    attempts(connection, findings).await?;
    logs(connection, told, findings).await?;
    Ok(read)
}

fn is_told(told: &HashSet<u64>, number: i64) -> bool {
    u64::try_from(number).is_ok_and(|number| told.contains(&number))
}

async fn instances(
    connection: &mut SqliteConnection,
    told: &HashSet<u64>,
    findings: &mut Vec<Finding>,
) -> Result<u64, sqlx::Error> {
    let mut read = 0;
    let mut kind = Kind::new(findings, "cannot be read");
    let sql = format!("SELECT {SUMMARY_COLUMNS}, i.inputs, i.output FROM instances i ORDER BY i.number");
    each(connection, AssertSqlSafe(sql), |row| {
        read += 1;
        let number = row.try_get(0)?;
        if let Some(detail) = fault_of_column(row) {
            kind.add(finding(number, detail));
        } else if !is_told(told, number)
            && let Some(detail) = fault(row)
        {
            kind.add(finding(number, &detail));
        }
        Ok(())
    })
    .await?;
    kind.end();
    Ok(read)
}

/// What is wrong with a column that stands for more than one value.
fn fault_of_column(row: &SqliteRow) -> Option<&'static str> {
    let text = |column: usize| row.try_get::<Option<&str>, _>(column).ok().flatten();
    if text(13).is_some_and(|text| from_json::<InstanceError>(text).is_err()) {
        return Some("has an error that cannot be read");
    }
    if text(12).is_some_and(|text| from_json::<Verdict>(text).is_err()) {
        return Some("has a verdict that cannot be read");
    }
    if labels_of(text(24)).is_err() {
        return Some("has labels that cannot be read");
    }
    if text(2).is_some_and(|text| text.parse::<DefinitionId>().is_err()) {
        return Some("has a task id that no task can have");
    }
    None
}

/// Why the instance cannot be read.
fn fault(row: &SqliteRow) -> Option<String> {
    let payload = |column: usize| {
        let text: Option<String> = row.try_get(column)?;
        text.map(Json::from_stored).transpose().map(drop).map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let read = codec::summary(row).and_then(|_| payload(SUMMARY_WIDTH)).and_then(|()| payload(SUMMARY_WIDTH + 1));
    read.err().map(|error| format!("cannot be read: {}", reason(row, error)))
}

/// The reason of `error`, with the name of the column where it is of one.
fn reason(row: &SqliteRow, error: sqlx::Error) -> String {
    match error {
        sqlx::Error::ColumnDecode { index, source } => {
            let column = index.parse::<usize>().ok().and_then(|index| row.try_column(index).ok());
            match column {
                Some(column) => format!("{}: {source}", column.name()),
                None => source.to_string(),
            }
        }
        sqlx::Error::Decode(source) => source.to_string(),
        other => other.to_string(),
    }
}

/// Runs `one` on each row of `sql`, which answers a few rows above its parameter, the first column. They may be large.
async fn pages(
    connection: &mut SqliteConnection,
    sql: &'static str,
    mut one: impl FnMut(&SqliteRow) -> Result<(), sqlx::Error>,
) -> Result<(), sqlx::Error> {
    let mut after = i64::MIN;
    loop {
        let mut arguments = Arguments::default();
        arguments.add(after)?;
        let rows = fetch(connection, sql, arguments).await?;
        for row in &rows {
            after = row.try_get(0)?;
            one(row)?;
        }
        if rows.is_empty() {
            return Ok(());
        }
    }
}

async fn payloads(
    connection: &mut SqliteConnection,
    sql: &'static str,
    what: &str,
    told: &HashSet<u64>,
    findings: &mut Vec<Finding>,
) -> Result<(), sqlx::Error> {
    let mut kind = Kind::new(findings, what);
    pages(connection, sql, |row| {
        let number = row.try_get(0)?;
        let is_read = row.try_get::<String, _>(1).is_ok_and(|text| Json::from_stored(text).is_ok());
        if !is_read && !is_told(told, number) {
            kind.add(finding(number, what));
        }
        Ok(())
    })
    .await?;
    kind.end();
    Ok(())
}

async fn attempts(connection: &mut SqliteConnection, findings: &mut Vec<Finding>) -> Result<(), sqlx::Error> {
    let mut kind = Kind::new(findings, "has a record of an attempt that cannot be read");
    let sql = "SELECT number, attempt, node, started_at, finished_at, ended, error, exit_code, signal FROM attempts";
    each(connection, sql, |row| {
        if let Err(error) = instances::recorded_attempt(row, 1) {
            let attempt: i64 = row.try_get(1)?;
            let detail = format!("has a record of attempt {attempt} that cannot be read: {}", reason(row, error));
            kind.add(finding(row.try_get(0)?, &detail));
        }
        Ok(())
    })
    .await?;
    kind.end();
    Ok(())
}

async fn logs(
    connection: &mut SqliteConnection,
    told: &HashSet<u64>,
    findings: &mut Vec<Finding>,
) -> Result<(), sqlx::Error> {
    let mut kind = Kind::new(findings, "has a log that cannot be read");
    let sql = "SELECT l.chunk, l.first, l.body, l.number, l.bytes, i.attempt FROM logs l \
        JOIN instances i ON i.number = l.number WHERE l.chunk > ? ORDER BY l.chunk LIMIT 8";
    pages(connection, sql, |row| {
        let number = row.try_get(3)?;
        if is_told(told, number) {
            return Ok(());
        }
        let (bytes, attempt): (i64, i64) = (row.try_get(4)?, row.try_get(5)?);
        match log_reads::chunk_of(row, 1) {
            Err(error) => {
                let detail = format!("has a log that cannot be read: {}", reason(row, error));
                kind.add(finding(number, &detail));
            }
            Ok(lines) if lines.iter().any(|line| line.attempt < 1 || i64::from(line.attempt) > attempt) => {
                kind.add(finding(number, "has lines in its log of attempts that it never had"));
            }
            Ok(lines) if lines.iter().map(|line| line.text.len() as i64).sum::<i64>() != bytes => {
                kind.add(finding(number, "has a log of another size than is recorded"));
            }
            Ok(_) => {}
        }
        Ok(())
    })
    .await?;
    kind.end();
    Ok(())
}

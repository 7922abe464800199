//! Puts old counters together: minutes past 8 days to hours, hours past 62 days to days, a little at a time. Without
//! it a task that is always busy would fill half a million rows a year.

use std::collections::BTreeMap;

use sqlx::Row;

use super::{
    counters::{KEPT, MINUTE, histogram_column, histogram_of},
    statement::{Arguments, Part, Statement},
    transaction::Transaction,
};
use crate::domain::{Histogram, Micros};

/// What rows come to stand for, and from which age on, in minutes.
const STEPS: [(i64, i64); 2] = [(60, 8 * 1_440), (1_440, 62 * 1_440)];
/// Stands among the spans for what was deleted.
pub(super) const FORGOTTEN: i64 = 0;
/// The minute up to which rows of a span are made, or up to which rows are deleted.
pub(super) const DONE_TO: &str = "SELECT done_to FROM rollups WHERE span = ?";
/// How many rows one batch puts together.
const ROWS: usize = 512;
/// The columns that are added up, from `started` on.
const SUMS: usize = 8;

/// The rows that tell how many instances there are, of tasks of which there are none.
pub(super) const GONE: &str = "DELETE FROM minutes WHERE minute = 9223372036854775807 AND pending = 0 AND running = 0 \
    AND completed = 0 AND failed = 0 AND cancelled = 0";

static WRITE: Statement = Statement::new(&[
    Part::Text(
        "INSERT INTO minutes (minute, task_id, span, started, completed, failed, cancelled, gone_started, \
         gone_completed, gone_failed, gone_cancelled, durations) SELECT * FROM (VALUES ",
    ),
    Part::Rows(12),
    Part::Text(") WHERE column1 IS NOT NULL"),
]);

/// Puts some old counters together and deletes the oldest. Answers when there is more to do.
pub(super) async fn write(transaction: &mut Transaction<'_>, now: Micros) -> Result<Option<Micros>, sqlx::Error> {
    let now = now.0.div_euclid(MINUTE);
    if oldest(transaction, i64::MIN).await?.is_some_and(|oldest| oldest < now - KEPT) {
        let mut arguments = Arguments::default();
        arguments.add(now - KEPT)?;
        transaction.fetch_fixed("DELETE FROM minutes WHERE minute < ?", arguments).await?;
        set_done_to(transaction, FORGOTTEN, now - KEPT).await?;
    }
    // Of tasks that have gone.
    transaction.fetch_fixed(GONE, Arguments::default()).await?;
    let mut due: Option<i64> = None;
    for (span, age) in STEPS {
        let from = done_to(transaction, span).await?;
        let Some(oldest) = oldest(transaction, from).await? else { continue };
        let begins = oldest.div_euclid(span) * span;
        let at = begins + span + age;
        if at > now {
            due = due.into_iter().chain([at]).min();
            continue;
        }
        if fold(transaction, begins, span).await? {
            set_done_to(transaction, span, begins + span).await?;
        }
        due = Some(now);
    }
    Ok(due.map(|minute| Micros(minute.saturating_mul(MINUTE))))
}

async fn done_to(transaction: &mut Transaction<'_>, span: i64) -> Result<i64, sqlx::Error> {
    let mut arguments = Arguments::default();
    arguments.add(span)?;
    let rows = transaction.fetch_fixed(DONE_TO, arguments).await?;
    rows.first().map_or(Ok(0), |row| row.try_get(0))
}

async fn set_done_to(transaction: &mut Transaction<'_>, span: i64, minute: i64) -> Result<(), sqlx::Error> {
    let mut arguments = Arguments::default();
    arguments.add(span)?;
    arguments.add(minute)?;
    let sql =
        "INSERT INTO rollups (span, done_to) VALUES (?, ?) ON CONFLICT (span) DO UPDATE SET done_to = excluded.done_to";
    transaction.fetch_fixed(sql, arguments).await.map(drop)
}

async fn oldest(transaction: &mut Transaction<'_>, from: i64) -> Result<Option<i64>, sqlx::Error> {
    let mut arguments = Arguments::default();
    arguments.add(from)?;
    let sql = "SELECT min(minute) FROM minutes WHERE minute >= ? AND minute < 9223372036854775807";
    let rows = transaction.fetch_fixed(sql, arguments).await?;
    rows.first().map_or(Ok(None), |row| row.try_get(0))
}

/// Puts rows of the stretch that begins at `begins` together. Whether that was all of them.
async fn fold(transaction: &mut Transaction<'_>, begins: i64, span: i64) -> Result<bool, sqlx::Error> {
    let mut arguments = Arguments::default();
    for value in [begins, begins + span, span, ROWS as i64] {
        arguments.add(value)?;
    }
    let sql = "SELECT minute, task_id, started, completed, failed, cancelled, gone_started, gone_completed, \
        gone_failed, gone_cancelled, durations FROM minutes WHERE minute >= ? AND minute < ? AND span < ? \
        ORDER BY minute, task_id LIMIT ?";
    let rows = transaction.fetch_fixed(sql, arguments).await?;
    let mut tasks: BTreeMap<String, ([i64; SUMS], Histogram)> = BTreeMap::new();
    for row in &rows {
        let (minute, task_id): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        delete(transaction, minute, &task_id).await?;
        add(tasks.entry(task_id).or_default(), row, 2)?;
    }
    for (task_id, sums) in &mut tasks {
        // What earlier batches have put together of this stretch.
        let mut arguments = Arguments::default();
        arguments.add(begins)?;
        arguments.add(task_id.as_str())?;
        let sql = "SELECT started, completed, failed, cancelled, gone_started, gone_completed, gone_failed, \
            gone_cancelled, durations FROM minutes WHERE minute = ? AND task_id = ?";
        if let Some(row) = transaction.fetch_fixed(sql, arguments).await?.first() {
            add(sums, row, 0)?;
            delete(transaction, begins, task_id).await?;
        }
    }
    let written: Vec<_> = tasks.into_iter().collect();
    let bind = |arguments: &mut Arguments, items: &[(String, ([i64; SUMS], Histogram))], size: usize| {
        for (task_id, (sums, durations)) in items {
            arguments.add(begins)?;
            arguments.add(task_id.as_str())?;
            arguments.add(span)?;
            for sum in sums {
                arguments.add(*sum)?;
            }
            let column = histogram_column(durations);
            arguments.add(Some(column.as_slice()).filter(|column| !column.is_empty()))?;
        }
        arguments.pad((size - items.len()) * 12)
    };
    transaction.queue(&WRITE, &written, bind).await?;
    Ok(rows.len() < ROWS)
}

fn add(to: &mut ([i64; SUMS], Histogram), row: &sqlx::sqlite::SqliteRow, first: usize) -> Result<(), sqlx::Error> {
    for (at, sum) in to.0.iter_mut().enumerate() {
        *sum = sum.saturating_add(row.try_get(first + at)?);
    }
    // One that cannot be read is told of by fsck, and must not stand in the way.
    to.1.merge(&histogram_of(row.try_get(first + SUMS)?).unwrap_or_default());
    Ok(())
}

async fn delete(transaction: &mut Transaction<'_>, minute: i64, task_id: &str) -> Result<(), sqlx::Error> {
    let mut arguments = Arguments::default();
    arguments.add(minute)?;
    arguments.add(task_id)?;
    transaction.fetch_fixed("DELETE FROM minutes WHERE minute = ? AND task_id = ?", arguments).await.map(drop)
}

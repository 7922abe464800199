//! The sequence of instances. It finds those of a stretch of time without an index: numbers rise with the time of
//! creation.
//!
//! They do so as long as nobody sets the clock back. A little of that is allowed for here; more is noted in the store,
//! and until the instances from before are gone, lists filter by time alone.

use std::{ops::Range, time::Duration};

use sqlx::{Row, SqliteConnection};

use super::{
    statement::{Arguments, count, fetch, to_column},
    transaction::Transaction,
};
use crate::domain::{InstanceQuery, Micros};

/// How far the clock may be set back without being noted.
const UNNOTED: Duration = Duration::from_secs(10);
/// How far from its neighbours an instance may stand in time; several times the above, for it may happen again.
const SLACK: Duration = Duration::from_secs(60);

/// Where the sequence of instances stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence {
    /// The last number given to an instance.
    pub(super) last_number: u64,
    /// The latest time at which an instance was created since the clock was last set back.
    pub(super) latest: Micros,
}

/// Where the sequence stands in a store that was just opened.
pub(super) async fn read(connection: &mut SqliteConnection) -> Result<Sequence, sqlx::Error> {
    let sql = "SELECT max(m.last_number, coalesce(i.number, 0)), coalesce(i.created_at, 0) FROM meta m \
        LEFT JOIN instances i ON i.number = (SELECT max(number) FROM instances)";
    let rows = fetch(connection, sql, Arguments::default()).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(Sequence { last_number: count(row, 0)?, latest: Micros(row.try_get(1)?) })
}

/// Takes note of the time of new instances, of which `first` is the first.
pub(super) async fn follow_clock(
    transaction: &mut Transaction<'_>,
    now: Micros,
    first: u64,
    sequence: &mut Sequence,
) -> Result<(), sqlx::Error> {
    if now >= sequence.latest.before(UNNOTED) {
        sequence.latest = sequence.latest.max(now);
        return Ok(());
    }
    sequence.latest = now;
    transaction.queue_fixed("UPDATE meta SET clock_step = ?").await?.add(to_column(first)?)
}

/// The numbers among which everything is that `query` can match.
pub(super) async fn numbers(
    connection: &mut SqliteConnection,
    query: &InstanceQuery,
) -> Result<Range<i64>, sqlx::Error> {
    let below = query.below.map_or(i64::MAX, |below| i64::try_from(below).unwrap_or(i64::MAX));
    let mut numbers = 1..below;
    if query.created_after.is_none() && query.created_before.is_none() {
        return Ok(numbers);
    }
    let sql = "SELECT clock_step, (SELECT min(number) FROM instances), (SELECT max(number) FROM instances) FROM meta";
    let rows = fetch(connection, sql, Arguments::default()).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let (Some(oldest), Some(newest)) = (row.try_get::<Option<i64>, _>(1)?, row.try_get::<Option<i64>, _>(2)?) else {
        return Ok(numbers);
    };
    if row.try_get::<i64, _>(0)? > oldest {
        return Ok(numbers);
    }
    let all = oldest..newest.saturating_add(1);
    if let Some(after) = query.created_after {
        // Created more than the slack before: so is everything older.
        numbers.start = first_not_before(connection, all.clone(), after.before(SLACK)).await?;
    }
    if let Some(before) = query.created_before {
        // Created the slack after, or later: nothing newer was created before.
        let end = first_not_before(connection, all, before.after(SLACK)).await?;
        numbers.end = numbers.end.min(if end > newest { i64::MAX } else { end });
    }
    Ok(numbers)
}

/// A number below which all instances were created before `time` while the clock kept going, found by halving.
async fn first_not_before(
    connection: &mut SqliteConnection,
    numbers: Range<i64>,
    time: Micros,
) -> Result<i64, sqlx::Error> {
    let (mut low, mut high) = (numbers.start, numbers.end);
    let sql = "SELECT number, created_at FROM instances WHERE number >= ? ORDER BY number LIMIT 1";
    while low < high {
        let middle = low + (high - low) / 2;
        let mut arguments = Arguments::default();
        arguments.add(middle)?;
        let rows = fetch(connection, sql, arguments).await?;
        match rows.first() {
            // There may be gaps: everything from `middle` to what was found is as it is.
            Some(row) if row.try_get::<i64, _>(1)? < time.0 => low = row.try_get::<i64, _>(0)? + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

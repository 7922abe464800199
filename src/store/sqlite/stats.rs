//! Statistics, from the counters alone.

use sqlx::Row;

use super::{
    codec::{shared, status_of},
    counters::{MINUTE, histogram_of},
    fault::of_read,
    readers::Readers,
    statement::{Arguments, count, fetch},
};
use crate::{
    domain::{Happened, Micros, Stats, StatsQuery},
    store::{DoneByTask, StoreError},
};

// One statement, so that all of it is of one commit.
const ALL: &str = "SELECT NULL, status, max(sum(n), 0), 0, 0, 0, NULL FROM totals GROUP BY status \
    UNION ALL SELECT minute, 0, started, completed, failed, cancelled, durations FROM minutes \
    WHERE minute >= ? AND minute < ?";
const OF_TASK: &str = "SELECT NULL, status, max(n, 0), 0, 0, 0, NULL FROM totals WHERE task_id = ? \
    UNION ALL SELECT minute, 0, started, completed, failed, cancelled, durations FROM minutes \
    WHERE minute >= ? AND minute < ? AND task_id = ?";

/// The figures that `query` asks for.
pub(super) async fn stats(readers: &Readers, query: &StatsQuery) -> Result<Stats, StoreError> {
    let mut reader = readers.take().await?;
    let read = async {
        let mut arguments = Arguments::default();
        let sql = match &query.task_id {
            None => ALL,
            Some(task_id) => {
                arguments.add(task_id.as_str())?;
                OF_TASK
            }
        };
        arguments.add(query.from.0.div_euclid(MINUTE))?;
        arguments.add(query.start(query.buckets).0.div_euclid(MINUTE))?;
        if let Some(task_id) = &query.task_id {
            arguments.add(task_id.as_str())?;
        }
        let mut stats = Stats { buckets: vec![Happened::default(); query.buckets], ..Stats::default() };
        for row in fetch(&mut reader, sql, arguments).await? {
            let Some(minute) = row.try_get::<Option<i64>, _>(0)? else {
                stats.by_status[status_of(row.try_get(1)?)? as usize] = count(&row, 2)?;
                continue;
            };
            let Some(at) = query.bucket_of(Micros(minute.saturating_mul(MINUTE))) else { continue };
            let bucket = &mut stats.buckets[at];
            bucket.started += count(&row, 2)?;
            bucket.completed += count(&row, 3)?;
            bucket.failed += count(&row, 4)?;
            bucket.cancelled += count(&row, 5)?;
            stats.durations.merge(&histogram_of(row.try_get(6)?)?);
        }
        Ok(stats)
    };
    read.await.map_err(of_read)
}

/// How many done instances there are of each task that has any.
pub(super) async fn done_by_task(readers: &Readers) -> Result<DoneByTask, StoreError> {
    let mut reader = readers.take().await?;
    let sql = "SELECT task_id, sum(n) FROM totals WHERE status >= 2 GROUP BY task_id HAVING sum(n) > 0";
    let rows = fetch(&mut reader, sql, Arguments::default()).await.map_err(of_read)?;
    rows.iter().map(|row| Ok((shared(row, 0)?, count(row, 1)?))).collect::<Result<_, sqlx::Error>>().map_err(of_read)
}

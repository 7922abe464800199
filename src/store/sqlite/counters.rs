//! The counters behind the statistics: what a batch changes, added up in memory and written by one statement.
//!
//! The histogram of a minute is written as a whole. Its last state is kept here, as it was committed, so that a commit
//! reads nothing back: only what happened before the store was opened, or before a commit failed, is read again.

use std::{collections::HashMap, sync::Arc};

use sqlx::Row as _;

use super::{
    codec::unreadable,
    statement::{Arguments, Part, Statement, to_column},
    transaction::Transaction,
};
use crate::domain::{Happened, Histogram, Micros, Status};

/// Microseconds of a minute.
pub(super) const MINUTE: i64 = 60_000_000;
/// How many minutes a row may stand for.
pub(super) const SPANS: [i64; 3] = [1, 60, 1_440];
/// How many minutes what happened is kept: the longest window there is, and a day for the alignment of its buckets.
pub(super) const KEPT: i64 = 1_441 * 1_440;

/// The minute of the rows that tell how many instances there are: the last that there can be, so that these rows lie
/// beside those of the present minute.
pub(super) const TOTALS: i64 = i64::MAX;

static COUNTERS: Statement = Statement::new(&[
    Part::Text(
        "INSERT INTO minutes (minute, task_id, pending, running, started, completed, failed, cancelled, durations) \
         SELECT * FROM (VALUES ",
    ),
    Part::Rows(9),
    Part::Text(
        ") WHERE column1 IS NOT NULL ON CONFLICT (minute, task_id) DO UPDATE SET pending = pending + excluded.pending, \
         running = running + excluded.running, started = started + excluded.started, \
         completed = completed + excluded.completed, failed = failed + excluded.failed, \
         cancelled = cancelled + excluded.cancelled, durations = coalesce(excluded.durations, durations)",
    ),
]);

/// What a batch changes.
#[derive(Default)]
pub(super) struct Tally {
    tasks: HashMap<Arc<str>, OfTask>,
}

#[derive(Default)]
struct OfTask {
    /// In the order of [`Status::ALL`].
    totals: [i64; Status::ALL.len()],
    /// Almost always one.
    minutes: Vec<(i64, OfMinute)>,
}

#[derive(Default)]
struct OfMinute {
    happened: Happened,
    durations: Histogram,
}

impl Tally {
    /// An instance was made, pending.
    pub(super) fn created(&mut self, task_id: &Arc<str>, now: Micros) {
        let task = self.task(task_id);
        task.totals[Status::Pending as usize] += 1;
        task.minute(now).happened.started += 1;
    }

    /// An instance went from one status to another and is not done.
    pub(super) fn moved(&mut self, task_id: &Arc<str>, from: Status, to: Status) {
        let task = self.task(task_id);
        task.totals[from as usize] -= 1;
        task.totals[to as usize] += 1;
    }

    /// An instance is done.
    pub(super) fn done(
        &mut self,
        task_id: &Arc<str>,
        from: Status,
        to: Status,
        started_at: Option<Micros>,
        finished_at: Micros,
    ) {
        self.moved(task_id, from, to);
        let minute = self.task(task_id).minute(finished_at);
        let happened = &mut minute.happened;
        let n = match to {
            Status::Completed => &mut happened.completed,
            Status::Cancelled => &mut happened.cancelled,
            Status::Failed | Status::Pending | Status::Running => &mut happened.failed,
        };
        *n += 1;
        // How long a cancelled one ran tells nothing of how long its task takes.
        if let Some(started_at) = started_at.filter(|_| to != Status::Cancelled) {
            minute.durations.add(finished_at.since(started_at));
        }
    }

    fn task(&mut self, task_id: &Arc<str>) -> &mut OfTask {
        if !self.tasks.contains_key(task_id) {
            self.tasks.insert(Arc::clone(task_id), OfTask::default());
        }
        self.tasks.get_mut(task_id).expect("it was put there")
    }
}

impl OfTask {
    fn minute(&mut self, time: Micros) -> &mut OfMinute {
        let minute = time.0.div_euclid(MINUTE);
        let at = match self.minutes.iter().position(|(other, _)| *other == minute) {
            Some(at) => at,
            None => {
                self.minutes.push((minute, OfMinute::default()));
                self.minutes.len() - 1
            }
        };
        &mut self.minutes[at].1
    }
}

/// The histograms of the present minute as they were committed.
pub(super) struct Present {
    minute: i64,
    /// Whether all of that minute are here.
    whole: bool,
    histograms: HashMap<Arc<str>, Histogram>,
    /// No minute after this one has a histogram.
    newest: i64,
}

/// The last minute of which anything is told. The constant is [`TOTALS`].
const NEWEST: &str = "SELECT max(minute) FROM minutes WHERE minute < 9223372036854775807";

impl Present {
    async fn load(transaction: &mut Transaction<'_>) -> Result<Self, sqlx::Error> {
        let rows = transaction.fetch_fixed(NEWEST, Arguments::default()).await?;
        let newest = rows.first().map_or(Ok(None), |row| row.try_get::<Option<i64>, _>(0))?.unwrap_or(i64::MIN);
        Ok(Present { minute: newest, whole: false, histograms: HashMap::new(), newest })
    }

    /// Takes the histogram of a minute.
    async fn take(
        &mut self,
        transaction: &mut Transaction<'_>,
        minute: i64,
        task_id: &Arc<str>,
    ) -> Result<Histogram, sqlx::Error> {
        if minute > self.newest {
            self.histograms.clear();
            (self.minute, self.whole, self.newest) = (minute, true, minute);
            return Ok(Histogram::default());
        }
        if minute == self.minute {
            if let Some(histogram) = self.histograms.remove(task_id) {
                return Ok(histogram);
            }
            if self.whole {
                return Ok(Histogram::default());
            }
        }
        let sql = "SELECT durations FROM minutes WHERE minute = ? AND task_id = ?";
        let arguments = transaction.queue_fixed(sql).await?;
        arguments.add(minute)?;
        arguments.add(task_id.clone())?;
        let rows = transaction.run().await?;
        // One that cannot be read is told of by fsck, and must not stand in the way of an end.
        rows.first().map_or(Ok(Histogram::default()), |row| Ok(histogram_of(row.try_get(0)?).unwrap_or_default()))
    }

    fn put_back(&mut self, minute: i64, task_id: Arc<str>, histogram: Histogram) {
        if minute == self.minute {
            self.histograms.insert(task_id, histogram);
        }
    }
}

/// Writes what `tally` has added up. `present` is what the last commit left; None where that is not known.
pub(super) async fn write(
    transaction: &mut Transaction<'_>,
    tally: Tally,
    present: &mut Option<Present>,
) -> Result<(), sqlx::Error> {
    let mut rows = Vec::new();
    for (task_id, task) in tally.tasks {
        let [pending, running, completed, failed, cancelled] = task.totals;
        if task.totals.iter().any(|n| *n != 0) {
            let counts = [pending, running, 0, completed, failed, cancelled];
            rows.push(Row { minute: TOTALS, task_id: task_id.clone(), counts, durations: None });
        }
        for (minute, OfMinute { happened, durations }) in task.minutes {
            let mut column = None;
            if !durations.is_empty() {
                let present = match present {
                    Some(present) => present,
                    None => present.insert(Present::load(transaction).await?),
                };
                let mut histogram = present.take(transaction, minute, &task_id).await?;
                histogram.merge(&durations);
                column = Some(histogram_column(&histogram));
                present.put_back(minute, task_id.clone(), histogram);
            }
            let Happened { started, completed, failed, cancelled } = happened;
            let counts = [0, 0, to_column(started)?, to_column(completed)?, to_column(failed)?, to_column(cancelled)?];
            rows.push(Row { minute, task_id: task_id.clone(), counts, durations: column });
        }
    }
    let bind = |arguments: &mut Arguments, rows: &[Row], size: usize| {
        for row in rows {
            arguments.add(row.minute)?;
            arguments.add(row.task_id.clone())?;
            for n in row.counts {
                arguments.add(n)?;
            }
            arguments.add(row.durations.as_deref())?;
        }
        arguments.pad((size - rows.len()) * 9)
    };
    transaction.queue(&COUNTERS, &rows, bind).await
}

/// What is added to a row of the table.
struct Row {
    minute: i64,
    task_id: Arc<str>,
    /// Pending, running, started, completed, failed, cancelled.
    counts: [i64; 6],
    /// The histogram as it is from now on; None where it stays.
    durations: Option<Vec<u8>>,
}

/// A histogram as its column holds it.
pub(super) fn histogram_column(histogram: &Histogram) -> Vec<u8> {
    let mut column = Vec::new();
    for (bucket, n) in histogram.iter() {
        column.extend_from_slice(&bucket.to_be_bytes());
        column.extend_from_slice(&n.min((1 << 48) - 1).to_be_bytes()[2..]);
    }
    column
}

/// The histogram that a column holds.
pub(super) fn histogram_of(column: Option<&[u8]>) -> Result<Histogram, sqlx::Error> {
    let mut histogram = Histogram::default();
    let column = column.unwrap_or_default();
    for entry in column.chunks(8) {
        let Ok(bytes) = <[u8; 8]>::try_from(entry) else {
            return Err(unreadable("histogram of bytes", column.len()));
        };
        let entry = u64::from_be_bytes(bytes);
        let bucket = (entry >> 48) as u16;
        if bucket >= Histogram::buckets() {
            return Err(unreadable("bucket of durations", bucket));
        }
        histogram.add_to(bucket, entry & ((1 << 48) - 1));
    }
    Ok(histogram)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::sqlite::rollup;

    #[test]
    fn statements_name_the_minute_of_the_totals() {
        let texts = [NEWEST, rollup::GONE, include_str!("../../../migrations/sqlite/0006_counters_in_one_table.sql")];
        for text in texts {
            assert!(text.contains(&TOTALS.to_string()), "{text}");
        }
    }

    #[test]
    fn a_histogram_reads_back_equal() {
        let mut histogram = Histogram::default();
        for micros in [0, 1, 17, 5_000, 5_000, 86_400_000_000] {
            histogram.add(Duration::from_micros(micros));
        }
        let column = histogram_column(&histogram);
        assert_eq!(column.len(), 5 * 8);
        assert_eq!(histogram_of(Some(&column)).expect("it reads"), histogram);
        assert!(histogram_of(Some(&column[1..])).is_err());
        assert!(histogram_of(Some(&[0xff; 8])).is_err());
        assert!(histogram_of(None).expect("it reads").is_empty());
    }
}

//! Stops: a pending instance is cancelled at once, a running one keeps the earliest deadline.

use std::collections::HashMap;

use sqlx::Row;

use super::{
    codec::{shared, status_code},
    counters::Tally,
    reports::statuses,
    statement::{Arguments, Part, Statement, count, rounds},
    transaction::Transaction,
};
use crate::{
    domain::{Micros, Status},
    store::{Batch, Stop, StopOutcome},
};

static STOPS: Statement = Statement::new(&[
    Part::Text("WITH v(number, deadline, only) AS (VALUES "),
    Part::Rows(3),
    Part::Text(
        ") UPDATE instances SET \
         finished_at = iif(status = 0, max(?, coalesce(started_at, created_at)), NULL), \
         status = iif(status = 0, 4, 1), \
         ready = 0, \
         stop_requested_at = coalesce(stop_requested_at, ?), \
         stop_deadline = v.deadline, \
         version = version + (batch <> ?), batch = ?, updated_at = ? \
         FROM v WHERE instances.number = v.number AND (v.only IS NULL OR v.only = instances.status) \
         AND (instances.status = 0 OR (instances.status = 1 \
         AND (instances.stop_deadline IS NULL OR v.deadline < instances.stop_deadline))) \
         RETURNING number, version, status, task_id, started_at, finished_at",
    ),
]);

/// Writes the stops of `batch`.
pub(super) async fn write(
    transaction: &mut Transaction<'_>,
    batch: &Batch,
    tally: &mut Tally,
) -> Result<Vec<StopOutcome>, sqlx::Error> {
    let mut outcomes = vec![StopOutcome::NotFound; batch.stops.len()];
    for round in rounds(&batch.stops, |stop| stop.instance) {
        let items: Vec<&Stop> = round.iter().map(|index| &batch.stops[*index]).collect();
        let bind = |arguments: &mut Arguments, items: &[&Stop], size: usize| {
            for stop in items {
                arguments.add_count(stop.instance)?;
                arguments.add(stop.deadline.0)?;
                arguments.add(stop.only.map(status_code))?;
            }
            arguments.pad((size - items.len()) * 3)?;
            arguments.add(batch.now.0)?;
            arguments.add(batch.now.0)?;
            arguments.add_count(batch.number)?;
            arguments.add_count(batch.number)?;
            arguments.add(batch.now.0)
        };
        let rows = transaction.fetch(&STOPS, &items, bind).await?;
        let applied: HashMap<u64, StopOutcome> = rows
            .iter()
            .map(|row| {
                let version = count(row, 1)?;
                let outcome = match row.try_get::<i64, _>(2)? {
                    1 => StopOutcome::Stopping { version },
                    _ => {
                        let started_at = row.try_get::<Option<i64>, _>(4)?.map(Micros);
                        let finished_at = Micros(row.try_get(5)?);
                        tally.done(&shared(row, 3)?, Status::Pending, Status::Cancelled, started_at, finished_at);
                        StopOutcome::Cancelled { version }
                    }
                };
                Ok((count(row, 0)?, outcome))
            })
            .collect::<Result<_, sqlx::Error>>()?;
        let mut refused = Vec::new();
        for index in round {
            let stop = &batch.stops[index];
            match applied.get(&stop.instance) {
                Some(outcome) => outcomes[index] = *outcome,
                None => refused.push(index),
            }
        }
        if refused.is_empty() {
            continue;
        }
        // Before the next round, which may change what these met.
        let statuses = statuses(transaction, refused.iter().map(|index| batch.stops[*index].instance)).await?;
        for index in refused {
            let stop = &batch.stops[index];
            outcomes[index] = match statuses.get(&stop.instance) {
                None => StopOutcome::NotFound,
                Some(code @ 0..=1) if stop.only.is_some_and(|only| status_code(only) != *code) => StopOutcome::Mismatch,
                Some(1) => StopOutcome::Unchanged,
                Some(_) => StopOutcome::Done,
            };
        }
    }
    Ok(outcomes)
}

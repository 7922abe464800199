//! Stops: a pending instance is cancelled at once, a running one keeps the earliest deadline.

use std::collections::HashMap;

use sqlx::{Row as _, SqliteConnection};

use super::{
    finish::statuses,
    row::signed,
    statement::{ManyRows, pieces},
};
use crate::store::{Batch, Stop, StopOutcome};

// ?1 now, ?2 batch. Nothing is touched where nothing would change.
static STOP: ManyRows = ManyRows::new(
    "WITH v(number, deadline) AS (VALUES ",
    "($1, $2)",
    ") UPDATE instances AS i SET \
       status = iif(i.status = 0, 4, i.status), \
       finished_at = iif(i.status = 0, max(?1, coalesce(i.started_at, ?1)), NULL), \
       stop_requested_at = coalesce(i.stop_requested_at, ?1), \
       stop_deadline = min(coalesce(i.stop_deadline, v.deadline), v.deadline), \
       ready = 0, \
       version = i.version + (i.batch <> ?2), batch = ?2, updated_at = ?1 \
     FROM v WHERE i.number = v.number \
       AND (i.status = 0 OR (i.status = 1 AND (i.stop_deadline IS NULL OR i.stop_deadline > v.deadline))) \
     RETURNING number, version, status",
    2,
    2,
);

/// Writes the stops of `batch`.
pub async fn stop(connection: &mut SqliteConnection, batch: &Batch) -> Result<Vec<StopOutcome>, sqlx::Error> {
    // Two stops of one instance are one: the one with the nearer deadline.
    let mut nearest: HashMap<u64, Stop> = HashMap::with_capacity(batch.stops.len());
    for stop in &batch.stops {
        let one = nearest.entry(stop.instance).or_insert_with(|| stop.clone());
        one.deadline = one.deadline.min(stop.deadline);
    }
    let stops: Vec<_> = nearest.into_values().collect();
    let mut applied = HashMap::with_capacity(stops.len());
    for (text, piece) in pieces(&STOP, &stops) {
        let mut query = sqlx::query(text).bind(batch.now.0).bind(signed(batch.number));
        for stop in piece {
            query = query.bind(signed(stop.instance)).bind(stop.deadline.0);
        }
        for row in query.fetch_all(&mut *connection).await? {
            let version = row.try_get::<i64, _>(1)?.unsigned_abs();
            let outcome = match row.try_get::<i64, _>(2)? {
                1 => StopOutcome::Stopping { version },
                _ => StopOutcome::Cancelled { version },
            };
            applied.insert(row.try_get::<i64, _>(0)?.unsigned_abs(), outcome);
        }
    }
    let missing: Vec<u64> =
        stops.iter().map(|stop| stop.instance).filter(|number| !applied.contains_key(number)).collect();
    let found = statuses(connection, &missing).await?;
    // A repeat within the batch changes nothing that the first one did not.
    let mut seen = std::collections::HashSet::new();
    Ok(batch
        .stops
        .iter()
        .map(|stop| match (applied.get(&stop.instance), found.get(&stop.instance)) {
            (Some(outcome), _) if seen.insert(stop.instance) => *outcome,
            (Some(StopOutcome::Cancelled { .. }), _) => StopOutcome::Done,
            (Some(_), _) => StopOutcome::Unchanged,
            (None, None) => StopOutcome::NotFound,
            (None, Some(status)) if *status >= 2 => StopOutcome::Done,
            (None, Some(_)) => StopOutcome::Unchanged,
        })
        .collect())
}

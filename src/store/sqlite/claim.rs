//! What becomes ready, what has waited too long, and what runs next.

use std::{cmp::Reverse, collections::HashMap, sync::Arc};

use sqlx::{Row as _, SqliteConnection};

use super::{
    row::{error_text, signed},
    statement::{ManyRows, pieces},
};
use crate::{
    domain::{ErrorKind, InstanceError, Micros, Workload},
    store::{Batch, Claimed, Claims, Committed, Expired, Room},
};

/// The most rows that one batch promotes, and the most that it lets expire: what is left is due at once.
const MOST: i64 = 4096;

// The first ready ones of each task, in their order; a task that is not named costs nothing.
static CANDIDATES: ManyRows = ManyRows::union(
    "SELECT $3, number, priority FROM (SELECT number, priority FROM instances INDEXED BY instances_ready \
     WHERE task_id = $1 AND status = 0 AND ready = 1 ORDER BY priority DESC, number LIMIT $2)",
    3,
);

// ?1 now, ?2 batch, ?3 node, ?4 the numbers.
const CLAIM: &str = "UPDATE instances SET status = 1, ready = 0, attempt = attempt + 1, started_at = ?1, node = ?3, \
     progress = 0.0, message = NULL, verdict = NULL, verdict_message = NULL, \
     version = version + (batch <> ?2), batch = ?2, updated_at = ?1 \
     WHERE number IN (SELECT value FROM json_each(?4)) AND status = 0 \
     RETURNING number, attempt, version";

/// Lets expire what has waited too long, makes ready what is due, and says when the next is.
pub async fn promote(
    connection: &mut SqliteConnection,
    batch: &Batch,
    committed: &mut Committed,
) -> Result<(), sqlx::Error> {
    expire(connection, batch, committed).await?;
    let now = batch.now.0;
    // Not a change that anybody sees: neither version nor time.
    let rows = sqlx::query(
        "UPDATE instances SET ready = 1 WHERE number IN (SELECT number FROM instances INDEXED BY instances_due
         WHERE status = 0 AND ready = 0 AND run_at <= ?1 ORDER BY run_at LIMIT ?2) RETURNING task_id",
    )
    .bind(now)
    .bind(MOST)
    .fetch_all(&mut *connection)
    .await?;
    for row in &rows {
        let task_id: &str = row.try_get(0)?;
        if !committed.promoted.iter().any(|known| known.as_ref() == task_id) {
            committed.promoted.push(Arc::from(task_id));
        }
    }
    let due: Option<i64> = sqlx::query_scalar(
        "SELECT min(at) FROM (
           SELECT (SELECT min(run_at) FROM instances INDEXED BY instances_due WHERE status = 0 AND ready = 0) AS at
           UNION ALL
           SELECT (SELECT min(queue_deadline) FROM instances INDEXED BY instances_expiring
                   WHERE status = 0 AND attempt = 0 AND queue_deadline IS NOT NULL))",
    )
    .fetch_one(&mut *connection)
    .await?;
    committed.next_due = due.map(Micros);
    Ok(())
}

async fn expire(
    connection: &mut SqliteConnection,
    batch: &Batch,
    committed: &mut Committed,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT number, queue_timeout FROM instances INDEXED BY instances_expiring
         WHERE status = 0 AND attempt = 0 AND queue_deadline IS NOT NULL AND queue_deadline <= ?1
         ORDER BY queue_deadline LIMIT ?2",
    )
    .bind(batch.now.0)
    .bind(MOST)
    .fetch_all(&mut *connection)
    .await?;
    if rows.is_empty() {
        return Ok(());
    }
    let mut errors = HashMap::with_capacity(rows.len());
    for row in &rows {
        let after = row.try_get::<i64, _>(1)? as f64 / 1e6;
        let error = InstanceError {
            kind: ErrorKind::QueueTimeout { after },
            message: format!("waited longer than its queue timeout of {after} s"),
            attempt: 0,
        };
        errors.insert(row.try_get::<i64, _>(0)?, error);
    }
    let texts: Vec<_> = errors.iter().map(|(number, error)| (number, error_text(error))).collect();
    let texts = serde_json::to_string(&texts).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let rows = sqlx::query(
        "UPDATE instances AS i SET status = 3, ready = 0, error = v.value ->> 1, finished_at = ?1,
           version = i.version + (i.batch <> ?2), batch = ?2, updated_at = ?1
         FROM json_each(?3) AS v WHERE i.number = v.value ->> 0 RETURNING number, version",
    )
    .bind(batch.now.0)
    .bind(signed(batch.number))
    .bind(texts)
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let number: i64 = row.try_get(0)?;
        if let Some(error) = errors.remove(&number) {
            let version = row.try_get::<i64, _>(1)?.unsigned_abs();
            committed.expired.push(Expired { instance: number.unsigned_abs(), version, error });
        }
    }
    Ok(())
}

/// Claims what may run.
pub async fn claim(
    connection: &mut SqliteConnection,
    batch: &Batch,
    claims: &Claims,
) -> Result<Vec<Claimed>, sqlx::Error> {
    let chosen = choose(connection, claims).await?;
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: Vec<i64> = chosen.iter().map(|(number, _)| *number).collect();
    let numbers = serde_json::to_string(&numbers).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let rows = sqlx::query(CLAIM)
        .bind(batch.now.0)
        .bind(signed(batch.number))
        .bind(batch.node.as_ref())
        .bind(numbers)
        .fetch_all(&mut *connection)
        .await?;
    let mut claimed = HashMap::with_capacity(rows.len());
    let mut again = Vec::new();
    for row in rows {
        let number: i64 = row.try_get(0)?;
        let attempt = u32::try_from(row.try_get::<i64, _>(1)?).unwrap_or(u32::MAX);
        if attempt > 1 {
            again.push(number);
        }
        claimed.insert(number, (attempt, row.try_get::<i64, _>(2)?.unsigned_abs()));
    }
    if !again.is_empty() {
        let numbers = serde_json::to_string(&again).map_err(|error| sqlx::Error::Encode(error.into()))?;
        sqlx::query("DELETE FROM outputs WHERE number IN (SELECT value FROM json_each(?1))")
            .bind(numbers)
            .execute(&mut *connection)
            .await?;
    }
    Ok(chosen
        .into_iter()
        .filter_map(|(number, room)| {
            let (attempt, version) = claimed.remove(&number)?;
            let instance = number.unsigned_abs();
            Some(Claimed { instance, attempt, version, task_id: Arc::clone(&room.task_id) })
        })
        .collect())
}

/// Among the tasks with room: higher priority first, then the lower number, as far as the slots go.
async fn choose<'a>(
    connection: &mut SqliteConnection,
    claims: &'a Claims,
) -> Result<Vec<(i64, &'a Room)>, sqlx::Error> {
    let slots = |workload| match workload {
        Workload::Local => claims.local_slots,
        Workload::Remote => claims.command_slots,
    };
    let rooms: Vec<(usize, &Room)> = claims.rooms.iter().enumerate().collect();
    let mut candidates: Vec<(Reverse<i64>, i64, &Room)> = Vec::new();
    for (text, piece) in pieces(&CANDIDATES, &rooms) {
        let mut query = sqlx::query(text);
        for (at, room) in piece {
            query = query
                .bind(room.task_id.as_ref())
                .bind(i64::from(room.n.min(slots(room.workload))))
                .bind(signed(*at as u64));
        }
        for row in query.fetch_all(&mut *connection).await? {
            let at = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
            if let Some(room) = claims.rooms.get(at) {
                candidates.push((Reverse(row.try_get(2)?), row.try_get(1)?, room));
            }
        }
    }
    candidates.sort_unstable_by_key(|(priority, number, _)| (*priority, *number));
    let (mut local, mut command) = (claims.local_slots, claims.command_slots);
    candidates.retain(|(.., room)| {
        let left = match room.workload {
            Workload::Local => &mut local,
            Workload::Remote => &mut command,
        };
        let has_room = *left > 0;
        *left -= u32::from(has_room);
        has_room
    });
    Ok(candidates.into_iter().map(|(_, number, room)| (number, room)).collect())
}

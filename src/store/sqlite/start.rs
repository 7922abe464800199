//! New instances, their inputs, labels and idempotency keys.

use std::collections::HashMap;

use sqlx::{Row as _, SqliteConnection};

use super::{
    row::{labels_text, micros, signed, workload_code},
    statement::{ManyRows, pieces},
};
use crate::{
    domain::Micros,
    store::{Batch, IdempotencyClaim, NewInstance, StartOutcome},
};

/// How long a key is kept.
const KEY_AGE_MICROS: i64 = 24 * 3600 * 1_000_000;

/// How many keys that are too old one commit removes: more than it adds, few enough not to be felt.
const EXPIRED_PER_COMMIT: i64 = 64;

// ?1 now, ?2 batch.
static INSTANCES: ManyRows = ManyRows::new(
    "INSERT INTO instances (number, id, task_id, workload, status, ready, priority, attempt, max_attempts, version, \
     batch, progress, timeout, queue_timeout, queue_deadline, retry_delay, run_at, created_at, updated_at, labels, \
     retry_of) VALUES ",
    "($1, $2, $3, $4, 0, $5, $6, 0, $7, 1, ?2, 0.0, $8, $9, $10, $11, $12, ?1, ?1, $13, $14)",
    "",
    2,
    14,
);
static INPUTS: ManyRows = ManyRows::new("INSERT INTO inputs (number, body) VALUES ", "($1, $2)", "", 0, 2);
static LABELS: ManyRows = ManyRows::new("INSERT INTO labels (key, value, number) VALUES ", "($1, $2, $3)", "", 0, 3);

/// Writes the starts of `batch`; numbers are given out from `next` on.
pub async fn start(
    connection: &mut SqliteConnection,
    batch: &Batch,
    next: &mut u64,
) -> Result<Vec<StartOutcome>, sqlx::Error> {
    let mut keys = known_keys(connection, batch).await?;
    let mut outcomes = Vec::with_capacity(batch.starts.len());
    let mut rows: Vec<(u64, &NewInstance)> = Vec::with_capacity(batch.starts.len());
    let mut fresh: Vec<(&IdempotencyClaim, Vec<u64>)> = Vec::new();
    for start in &batch.starts {
        if let Some(claim) = &start.idempotency {
            let name = (claim.principal.as_ref().to_owned(), claim.key.as_ref().to_owned());
            if let Some((fingerprint, numbers)) = keys.get(&name) {
                outcomes.push(if fingerprint == &claim.fingerprint {
                    StartOutcome::Replayed { numbers: numbers.clone() }
                } else {
                    StartOutcome::KeyConflict
                });
                continue;
            }
        }
        let numbers: Vec<u64> = (*next..).take(start.instances.len()).collect();
        *next += start.instances.len() as u64;
        rows.extend(numbers.iter().copied().zip(&start.instances));
        if let Some(claim) = &start.idempotency {
            // A second start with this key in the same batch meets it like one that came later.
            let name = (claim.principal.as_ref().to_owned(), claim.key.as_ref().to_owned());
            keys.insert(name, (claim.fingerprint, numbers.clone()));
            fresh.push((claim, numbers.clone()));
        }
        outcomes.push(StartOutcome::Created { numbers });
    }
    insert(connection, batch, &rows).await?;
    if !fresh.is_empty() {
        insert_keys(connection, batch.now, &fresh).await?;
    }
    Ok(outcomes)
}

async fn insert(
    connection: &mut SqliteConnection,
    batch: &Batch,
    rows: &[(u64, &NewInstance)],
) -> Result<(), sqlx::Error> {
    let now = batch.now;
    for (text, piece) in pieces(&INSTANCES, rows) {
        let mut query = sqlx::query(text).bind(now.0).bind(signed(batch.number));
        for (number, new) in piece {
            // The past means now.
            let run_at = new.run_at.map_or(now, |run_at| run_at.max(now));
            let queue_deadline = new.limits.queue_timeout.map(|queue_timeout| run_at.after(queue_timeout).0);
            query = query
                .bind(signed(*number))
                .bind(new.id.as_bytes().as_slice())
                .bind(new.task_id.as_ref())
                .bind(workload_code(new.workload))
                .bind(run_at <= now)
                .bind(i64::from(new.limits.priority))
                .bind(i64::from(new.limits.max_attempts))
                .bind(new.limits.timeout.map(micros))
                .bind(new.limits.queue_timeout.map(micros))
                .bind(queue_deadline)
                .bind(micros(new.limits.retry_delay))
                .bind(run_at.0)
                .bind(labels_text(&new.labels))
                .bind(new.retry_of.as_ref().map(|id| id.as_bytes().as_slice()));
        }
        query.execute(&mut *connection).await?;
    }
    for (text, piece) in pieces(&INPUTS, rows) {
        let mut query = sqlx::query(text);
        for (number, new) in piece {
            query = query.bind(signed(*number)).bind(new.inputs.as_str());
        }
        query.execute(&mut *connection).await?;
    }
    let labels: Vec<_> =
        rows.iter().flat_map(|(number, new)| new.labels.iter().map(|(key, value)| (key, value, *number))).collect();
    for (text, piece) in pieces(&LABELS, &labels) {
        let mut query = sqlx::query(text);
        for (key, value, number) in piece {
            query = query.bind(*key).bind(*value).bind(signed(*number));
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

type Keys = HashMap<(String, String), ([u8; 32], Vec<u64>)>;

/// The keys of `batch` that are in use. One that is too old is not.
async fn known_keys(connection: &mut SqliteConnection, batch: &Batch) -> Result<Keys, sqlx::Error> {
    let wanted: Vec<_> = batch
        .starts
        .iter()
        .filter_map(|start| start.idempotency.as_ref())
        .map(|claim| (claim.principal.as_ref(), claim.key.as_ref()))
        .collect();
    let mut keys = HashMap::new();
    if wanted.is_empty() {
        return Ok(keys);
    }
    let wanted = serde_json::to_string(&wanted).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let rows = sqlx::query(
        "SELECT k.principal, k.key, k.fingerprint, k.numbers FROM json_each(?1) AS w CROSS JOIN idempotency AS k
         WHERE k.principal = w.value ->> 0 AND k.key = w.value ->> 1 AND k.created_at > ?2",
    )
    .bind(wanted)
    .bind(batch.now.0 - KEY_AGE_MICROS)
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let fingerprint: Vec<u8> = row.try_get(2)?;
        let fingerprint = fingerprint.try_into().map_err(|_| sqlx::Error::Decode("a fingerprint".into()))?;
        let numbers = serde_json::from_str(row.try_get(3)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
        keys.insert((row.try_get(0)?, row.try_get(1)?), (fingerprint, numbers));
    }
    Ok(keys)
}

async fn insert_keys(
    connection: &mut SqliteConnection,
    now: Micros,
    fresh: &[(&IdempotencyClaim, Vec<u64>)],
) -> Result<(), sqlx::Error> {
    for (claim, numbers) in fresh {
        let numbers = serde_json::to_string(numbers).map_err(|error| sqlx::Error::Encode(error.into()))?;
        // Replaces one that was too old.
        sqlx::query(
            "INSERT OR REPLACE INTO idempotency (principal, key, fingerprint, numbers, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )
        .bind(claim.principal.as_ref())
        .bind(claim.key.as_ref())
        .bind(claim.fingerprint.as_slice())
        .bind(numbers)
        .bind(now.0)
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query(
        "DELETE FROM idempotency WHERE (principal, key) IN
         (SELECT principal, key FROM idempotency WHERE created_at <= ?1 ORDER BY created_at LIMIT ?2)",
    )
    .bind(now.0 - KEY_AGE_MICROS)
    .bind(EXPIRED_PER_COMMIT)
    .execute(&mut *connection)
    .await?;
    Ok(())
}

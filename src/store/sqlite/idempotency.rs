//! Idempotency keys: one stands for the instances that it made, for a day.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use sqlx::Row;

use super::{
    statement::{Arguments, Part, Statement, count, json_array},
    transaction::Transaction,
};
use crate::{
    domain::Micros,
    store::{Batch, IdempotencyClaim, Start, StartOutcome},
};

/// How long a key is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);

static LOOK_UP: Statement = Statement::new(&[
    Part::Text("WITH v(start, principal, key) AS (VALUES "),
    Part::Rows(3),
    Part::Text(
        ") SELECT v.start, k.fingerprint, k.first_number, k.instances FROM v CROSS JOIN idempotency k \
         ON k.principal = v.principal AND k.key = v.key WHERE k.expires_at > ?",
    ),
]);

static KEYS: Statement = Statement::new(&[
    // A key that is there already has expired.
    Part::Text(
        "INSERT INTO idempotency (principal, key, fingerprint, first_number, instances, expires_at) \
         SELECT column1, column2, column3, column4, column5, column6 FROM (VALUES ",
    ),
    Part::Rows(6),
    Part::Text(
        ") WHERE column1 IS NOT NULL ON CONFLICT (principal, key) DO UPDATE SET fingerprint = excluded.fingerprint, \
         first_number = excluded.first_number, instances = excluded.instances, expires_at = excluded.expires_at",
    ),
]);

static FORGET: Statement = Statement::new(&[
    Part::Text("DELETE FROM idempotency WHERE (principal, key) IN (SELECT column1, column2 FROM (VALUES "),
    Part::Rows(2),
    Part::Text(") WHERE column1 IS NOT NULL)"),
]);

/// What a key stands for.
#[derive(Debug, Clone)]
pub(super) struct Made {
    fingerprint: Vec<u8>,
    first: u64,
    instances: u64,
}

/// The keys of a batch: what they stood for before, and what they come to stand for.
pub(super) struct Keys<'a> {
    known: HashMap<usize, Made>,
    new: HashMap<Name, (&'a IdempotencyClaim, Made)>,
}

/// Whose key, and which.
type Name = (Arc<str>, Arc<str>);

impl<'a> Keys<'a> {
    pub(super) fn new(known: HashMap<usize, Made>) -> Self {
        Keys { known, new: HashMap::new() }
    }

    /// What becomes of a start by its key alone; None where it makes instances, from the number `first` on.
    pub(super) fn outcome(&mut self, index: usize, start: &'a Start, first: u64) -> Option<StartOutcome> {
        let claim = start.idempotency.as_ref()?;
        let key = (Arc::clone(&claim.principal), Arc::clone(&claim.key));
        let made = self.known.get(&index).or_else(|| self.new.get(&key).map(|(_, made)| made));
        match made {
            Some(made) if made.fingerprint == claim.fingerprint => {
                Some(StartOutcome::Replayed { numbers: (made.first..made.first + made.instances).collect() })
            }
            Some(_) => Some(StartOutcome::KeyConflict),
            None => {
                let instances = start.instances.len() as u64;
                self.new.insert(key, (claim, Made { fingerprint: claim.fingerprint.to_vec(), first, instances }));
                None
            }
        }
    }
}

/// Which starts of `batch` have a key that was used before.
pub(super) async fn look_up(
    transaction: &mut Transaction<'_>,
    batch: &Batch,
) -> Result<HashMap<usize, Made>, sqlx::Error> {
    let keyed: Vec<(usize, &IdempotencyClaim)> = batch
        .starts
        .iter()
        .enumerate()
        .filter_map(|(index, start)| start.idempotency.as_ref().map(|claim| (index, claim)))
        .collect();
    if keyed.is_empty() {
        return Ok(HashMap::new());
    }
    let bind = |arguments: &mut Arguments, items: &[(usize, &IdempotencyClaim)], size: usize| {
        for (index, claim) in items {
            arguments.add_count(*index as u64)?;
            arguments.add(claim.principal.clone())?;
            arguments.add(claim.key.clone())?;
        }
        arguments.pad((size - items.len()) * 3)?;
        arguments.add(batch.expiry.0)
    };
    let rows = transaction.fetch(&LOOK_UP, &keyed, bind).await?;
    rows.iter()
        .map(|row| {
            let made = Made { fingerprint: row.try_get(1)?, first: count(row, 2)?, instances: count(row, 3)? };
            Ok((count(row, 0)? as usize, made))
        })
        .collect()
}

/// Keeps the new keys, and drops a few that have expired.
pub(super) async fn write(transaction: &mut Transaction<'_>, batch: &Batch, keys: Keys<'_>) -> Result<(), sqlx::Error> {
    let new: Vec<(&IdempotencyClaim, Made)> = keys.new.into_values().collect();
    if new.is_empty() {
        return Ok(());
    }
    let sql = "DELETE FROM idempotency WHERE (principal, key) IN (SELECT principal, key FROM idempotency \
        INDEXED BY idempotency_expires WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)";
    let arguments = transaction.queue_fixed(sql).await?;
    arguments.add(batch.expiry.0)?;
    arguments.add_count(2 * new.len() as u64 + 16)?;
    let bind = |arguments: &mut Arguments, items: &[(&IdempotencyClaim, Made)], size: usize| {
        for (claim, made) in items {
            arguments.add(claim.principal.clone())?;
            arguments.add(claim.key.clone())?;
            arguments.add(made.fingerprint.as_slice())?;
            arguments.add_count(made.first)?;
            arguments.add_count(made.instances)?;
            arguments.add(batch.now.after(KEPT).0)?;
        }
        arguments.pad((size - items.len()) * 6)
    };
    transaction.queue(&KEYS, &new, bind).await
}

/// Drops the keys that stand for any of these instances, which were made at these times. A key expires a fixed time
/// after its instances were made, and is found by that.
pub(super) async fn forget(
    transaction: &mut Transaction<'_>,
    instances: &BTreeMap<u64, i64>,
    created: &BTreeSet<i64>,
) -> Result<(), sqlx::Error> {
    let expiry = created.iter().map(|created| Micros(*created).after(KEPT).0.unsigned_abs());
    let mut arguments = Arguments::default();
    arguments.add(json_array(expiry))?;
    let sql = "SELECT principal, key, first_number, instances FROM idempotency INDEXED BY idempotency_expires \
        WHERE expires_at IN (SELECT value FROM json_each(?))";
    let mut keys: Vec<(String, String)> = Vec::new();
    for row in transaction.fetch_fixed(sql, arguments).await? {
        let first = count(&row, 2)?;
        if instances.range(first..first.saturating_add(count(&row, 3)?)).next().is_some() {
            keys.push((row.try_get(0)?, row.try_get(1)?));
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    let bind = |arguments: &mut Arguments, items: &[(String, String)], size: usize| {
        for (principal, key) in items {
            arguments.add(principal.as_str())?;
            arguments.add(key.as_str())?;
        }
        arguments.pad((size - items.len()) * 2)
    };
    transaction.queue(&FORGET, &keys, bind).await
}

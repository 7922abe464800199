//! What runs next: higher priority first, then the older number, among the tasks with room.

use std::{collections::HashMap, sync::Arc};

use sqlx::Row;

use super::{
    codec::small,
    starts::New,
    statement::{Arguments, Part, Statement, count, json_array},
    transaction::Transaction,
};
use crate::{
    domain::Workload,
    store::{Batch, Claimed, Claims, Room},
};

/// What a batch claims.
pub(super) struct Chosen<'a> {
    /// In order of claim.
    pub(super) claimed: Vec<Claimed>,
    /// The new instances, those that run at once marked.
    pub(super) new: Vec<New<'a>>,
    /// The claimed instances that were there before.
    older: Vec<u64>,
    /// Those of them whose earlier attempt may have left an output.
    retried: Vec<u64>,
}

/// An instance that may be claimed.
struct Candidate {
    room: usize,
    number: u64,
    priority: i64,
    /// How often it has been attempted.
    attempts: u32,
    /// Its version, should it be claimed.
    version: u64,
    /// Its place among the new instances, where it is one.
    new: Option<usize>,
}

static CANDIDATES: Statement = Statement::new(&[Part::Repeat(
    "SELECT * FROM (SELECT ?, number, priority, attempt, version + (batch <> ?) FROM instances \
     INDEXED BY instances_ready WHERE task_id = ? AND ready = 1 ORDER BY priority DESC, number LIMIT coalesce(?, 0))",
    " UNION ALL ",
)]);

/// Chooses what to claim among what is ready and what is new.
pub(super) async fn choose<'a>(
    transaction: &mut Transaction<'_>,
    batch: &Batch,
    new: Vec<New<'a>>,
) -> Result<Chosen<'a>, sqlx::Error> {
    let mut chosen = Chosen { claimed: Vec::new(), new, older: Vec::new(), retried: Vec::new() };
    let Some(claims) = &batch.claims else { return Ok(chosen) };
    let rooms: Vec<(usize, &Room)> =
        claims.rooms.iter().enumerate().filter(|(_, room)| most(claims, room) > 0).collect();
    if rooms.is_empty() {
        return Ok(chosen);
    }
    let with_older: Vec<_> = rooms.iter().copied().filter(|(_, room)| room.older).collect();
    let mut candidates = match with_older.is_empty() {
        true => Vec::new(),
        false => older(transaction, batch.number, claims, &with_older).await?,
    };
    let places: HashMap<&str, usize> = rooms.iter().map(|(index, room)| (&*room.task_id, *index)).collect();
    candidates.extend(chosen.new.iter().enumerate().filter(|(_, new)| new.ready).filter_map(|(index, new)| {
        let room = *places.get(&*new.instance.task_id)?;
        let priority = i64::from(new.instance.limits.priority);
        Some(Candidate { room, number: new.number, priority, attempts: 0, version: 1, new: Some(index) })
    }));
    candidates.sort_unstable_by_key(|candidate| (-candidate.priority, candidate.number));

    let mut room_left: Vec<u32> = claims.rooms.iter().map(|room| room.n).collect();
    let (mut local_left, mut command_left) = (claims.local_slots, claims.command_slots);
    for candidate in candidates {
        let room = &claims.rooms[candidate.room];
        let slots = match room.workload {
            Workload::Local => &mut local_left,
            Workload::Remote => &mut command_left,
        };
        if *slots == 0 || room_left[candidate.room] == 0 {
            continue;
        }
        *slots -= 1;
        room_left[candidate.room] -= 1;
        match candidate.new {
            Some(index) => chosen.new[index].running = true,
            None => chosen.older.push(candidate.number),
        }
        if candidate.attempts > 0 {
            chosen.retried.push(candidate.number);
        }
        chosen.claimed.push(Claimed {
            instance: candidate.number,
            attempt: candidate.attempts + 1,
            version: candidate.version,
            task_id: Arc::clone(&room.task_id),
        });
    }
    Ok(chosen)
}

/// The most that `room` can take.
fn most(claims: &Claims, room: &Room) -> u32 {
    room.n.min(match room.workload {
        Workload::Local => claims.local_slots,
        Workload::Remote => claims.command_slots,
    })
}

async fn older(
    transaction: &mut Transaction<'_>,
    batch: u64,
    claims: &Claims,
    rooms: &[(usize, &Room)],
) -> Result<Vec<Candidate>, sqlx::Error> {
    let mut candidates = Vec::new();
    // Fewer arms than rows of other statements: each is a query of its own.
    for rooms in rooms.chunks(64) {
        let bind = |arguments: &mut Arguments, items: &[(usize, &Room)], size: usize| {
            for (index, room) in items {
                arguments.add_count(*index as u64)?;
                arguments.add_count(batch)?;
                arguments.add(room.task_id.clone())?;
                arguments.add(i64::from(most(claims, room)))?;
            }
            arguments.pad((size - items.len()) * 4)
        };
        for row in transaction.fetch(&CANDIDATES, rooms, bind).await? {
            candidates.push(Candidate {
                room: count(&row, 0)? as usize,
                number: count(&row, 1)?,
                priority: row.try_get(2)?,
                attempts: small(&row, 3)?,
                version: count(&row, 4)?,
                new: None,
            });
        }
    }
    Ok(candidates)
}

/// Turns the chosen instances that were there before into running ones.
pub(super) async fn write(
    transaction: &mut Transaction<'_>,
    batch: &Batch,
    chosen: &Chosen<'_>,
) -> Result<(), sqlx::Error> {
    if chosen.older.is_empty() {
        return Ok(());
    }
    if !chosen.retried.is_empty() {
        let sql = "DELETE FROM outputs WHERE number IN (SELECT value FROM json_each(?))";
        let arguments = transaction.queue_fixed(sql).await?;
        arguments.add(json_array(chosen.retried.iter().copied()))?;
    }
    let sql = "UPDATE instances SET status = 1, ready = 0, attempt = attempt + 1, started_at = ?, node = ?, \
        progress = 0.0, message = NULL, verdict = NULL, output = NULL, version = version + (batch <> ?), batch = ?, updated_at = ? \
        WHERE number IN (SELECT value FROM json_each(?))";
    let arguments = transaction.queue_fixed(sql).await?;
    arguments.add(batch.now.0)?;
    arguments.add(batch.node.clone())?;
    arguments.add_count(batch.number)?;
    arguments.add_count(batch.number)?;
    arguments.add(batch.now.0)?;
    arguments.add(json_array(chosen.older.iter().copied()))?;
    Ok(())
}

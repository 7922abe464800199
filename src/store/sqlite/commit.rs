//! One batch as one transaction: the sections in their order, each a statement over many rows.

use sqlx::{Connection as _, SqliteConnection};

use super::{Writer, claim, error::commit_error, finish, logs, start, stop};
use crate::store::{Batch, CommitError, Committed};

/// Writes `batch` and answers when COMMIT has synced it.
pub async fn commit(writer: &mut Writer, batch: &Batch) -> Result<Committed, CommitError> {
    let mut transaction =
        writer.connection.begin_with("BEGIN IMMEDIATE").await.map_err(|error| commit_error(error, false))?;
    let mut next = writer.next;
    match sections(&mut transaction, batch, &mut next).await {
        Ok(committed) => {
            transaction.commit().await.map_err(|error| commit_error(error, true))?;
            writer.next = next;
            Ok(committed)
        }
        Err(error) => {
            let error = commit_error(error, false);
            match transaction.rollback().await {
                Ok(()) => Err(error),
                // A full disk rolls back by itself, and then there is nothing left to roll back.
                Err(rollback) if super::error::code(&rollback) == Some(1) => Err(error),
                Err(rollback) => Err(commit_error(rollback, false)),
            }
        }
    }
}

async fn sections(connection: &mut SqliteConnection, batch: &Batch, next: &mut u64) -> Result<Committed, sqlx::Error> {
    let mut committed = Committed::default();
    if !batch.logs.is_empty() {
        logs::write(connection, &batch.logs).await?;
    }
    if !batch.finishes.is_empty() {
        committed.finishes = finish::finish(connection, batch).await?;
    }
    if !batch.reports.is_empty() {
        committed.reports = finish::report(connection, batch).await?;
    }
    if !batch.stops.is_empty() {
        committed.stops = stop::stop(connection, batch).await?;
    }
    if !batch.starts.is_empty() {
        committed.starts = start::start(connection, batch, next).await?;
    }
    if batch.promote {
        claim::promote(connection, batch, &mut committed).await?;
    }
    if let Some(claims) = &batch.claims {
        committed.claimed = claim::claim(connection, batch, claims).await?;
    }
    Ok(committed)
}

/// About how many pages of the log `batch` wrote.
pub fn pages(batch: &Batch) -> u64 {
    let inputs: usize =
        batch.starts.iter().flat_map(|start| &start.instances).map(|new| new.inputs.as_str().len() + 600).sum();
    let logs: usize = batch.logs.iter().flat_map(|chunk| &chunk.lines).map(|line| line.text.len() + 64).sum();
    let rows = batch.finishes.len() + batch.reports.len() + batch.stops.len();
    // A commit writes each page that it touched once, whole: few rows touch a page each, many share them.
    ((inputs + logs + rows * 200) / 2048 + 8) as u64
}

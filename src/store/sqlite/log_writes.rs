//! Lines of logs: one row a chunk.

use super::{
    log_reads::{self, body},
    statement::{Arguments, Part, Statement, json_array},
    transaction::Transaction,
};
use crate::{domain::LogChunk, store::Batch};

static CHUNKS: Statement = Statement::new(&[
    // A log without its instance would be nobody's: its lines are dropped.
    Part::Text("WITH v(number, first, last, bytes, body) AS (VALUES "),
    Part::Rows(5),
    Part::Text(
        ") INSERT INTO logs (number, first, last, bytes, body) SELECT v.number, v.first, v.last, v.bytes, v.body FROM v \
         CROSS JOIN instances i ON i.number = v.number",
    ),
]);

/// Writes the log chunks of `batch`.
pub(super) async fn write(transaction: &mut Transaction<'_>, batch: &Batch) -> Result<(), sqlx::Error> {
    let chunks: Vec<&LogChunk> = batch.logs.iter().filter(|chunk| !chunk.lines.is_empty()).collect();
    if chunks.is_empty() {
        return Ok(());
    }
    let bind = |arguments: &mut Arguments, items: &[&LogChunk], size: usize| {
        for chunk in items {
            let (first, last) = log_reads::span(&chunk.lines);
            arguments.add_count(chunk.instance)?;
            arguments.add_count(first)?;
            arguments.add_count(last)?;
            arguments.add_count(chunk.lines.iter().map(|line| line.text.len() as u64).sum())?;
            arguments.add(body(&chunk.lines)?)?;
        }
        arguments.pad((size - items.len()) * 5)
    };
    transaction.queue(&CHUNKS, &chunks, bind).await?;
    if chunks.iter().any(|chunk| chunk.keep_from > 1) {
        trim(transaction, &chunks).await?;
    }
    if chunks.iter().any(|chunk| chunk.dropped > 0) {
        count_losses(transaction, &chunks).await?;
    }
    Ok(())
}

/// Deletes the chunks that no longer fit. A chunk goes as a whole, once all its lines may go.
async fn trim(transaction: &mut Transaction<'_>, chunks: &[&LogChunk]) -> Result<(), sqlx::Error> {
    let sql = "DELETE FROM logs WHERE chunk IN (SELECT l.chunk FROM json_each(?) n JOIN json_each(?) k \
        ON k.key = n.key CROSS JOIN logs l INDEXED BY logs_window ON l.number = n.value AND l.first < k.value \
        WHERE l.last < k.value)";
    let arguments = transaction.queue_fixed(sql).await?;
    arguments.add(json_array(chunks.iter().map(|chunk| chunk.instance)))?;
    arguments.add(json_array(chunks.iter().map(|chunk| chunk.keep_from)))?;
    Ok(())
}

async fn count_losses(transaction: &mut Transaction<'_>, chunks: &[&LogChunk]) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO log_losses (number, dropped) SELECT n.value, max(d.value) FROM json_each(?) n \
        JOIN json_each(?) d ON d.key = n.key JOIN instances i ON i.number = n.value WHERE d.value > 0 GROUP BY n.value \
        ON CONFLICT (number) DO UPDATE SET dropped = max(dropped, excluded.dropped)";
    let arguments = transaction.queue_fixed(sql).await?;
    arguments.add(json_array(chunks.iter().map(|chunk| chunk.instance)))?;
    arguments.add(json_array(chunks.iter().map(|chunk| chunk.dropped)))?;
    Ok(())
}

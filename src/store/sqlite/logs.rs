//! Logs: one row a chunk, read chunk by chunk.

use sqlx::{Row as _, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::{
    error::store_error,
    row::signed,
    statement::{ManyRows, pieces},
};
use crate::{
    domain::{LogChunk, LogLine, LogQuery, LogWindow, Micros, Stream},
    store::{LogExtent, StoreError},
};

static CHUNKS: ManyRows = ManyRows::new(
    "INSERT OR IGNORE INTO logs (number, first, last, bytes, lines) VALUES ",
    "($1, $2, $3, $4, $5)",
    "",
    0,
    5,
);

/// A line as it stands in a chunk.
type Stored<'a> = (u8, i64, u32, std::borrow::Cow<'a, str>);

/// Writes chunks, and deletes what they replace.
pub async fn write(connection: &mut SqliteConnection, chunks: &[LogChunk]) -> Result<(), sqlx::Error> {
    for (text, piece) in pieces(&CHUNKS, chunks) {
        let mut query = sqlx::query(text);
        for chunk in piece {
            let (first, last) = match (chunk.lines.first(), chunk.lines.last()) {
                (Some(first), Some(last)) => (first.seq, last.seq),
                _ => return Err(sqlx::Error::Encode("a chunk without lines".into())),
            };
            let bytes: usize = chunk.lines.iter().map(|line| line.text.len()).sum();
            let lines: Vec<Stored<'_>> = chunk
                .lines
                .iter()
                .map(|line| (stream_code(line.stream), line.time.0, line.attempt, line.text.as_str().into()))
                .collect();
            let lines = serde_json::to_string(&lines).map_err(|error| sqlx::Error::Encode(error.into()))?;
            query = query
                .bind(signed(chunk.instance))
                .bind(signed(first))
                .bind(signed(last))
                .bind(signed(bytes as u64))
                .bind(lines);
        }
        query.execute(&mut *connection).await?;
    }
    for chunk in chunks.iter().filter(|chunk| chunk.dropped > 0) {
        sqlx::query("DELETE FROM logs WHERE number = ?1 AND last < ?2")
            .bind(signed(chunk.instance))
            .bind(signed(chunk.keep_from))
            .execute(&mut *connection)
            .await?;
        sqlx::query("INSERT OR REPLACE INTO log_losses (number, dropped) VALUES (?1, ?2)")
            .bind(signed(chunk.instance))
            .bind(signed(chunk.dropped))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

fn stream_code(stream: Stream) -> u8 {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
        Stream::Task => 2,
        Stream::System => 3,
    }
}

fn stream(code: u8) -> Stream {
    match code {
        0 => Stream::Stdout,
        1 => Stream::Stderr,
        2 => Stream::Task,
        _ => Stream::System,
    }
}

/// What is kept of a log.
pub async fn extent(readers: &SqlitePool, instance: u64) -> Result<LogExtent, StoreError> {
    let row = sqlx::query(
        "SELECT coalesce(max(last), 0), coalesce(min(first), 0), coalesce(sum(bytes), 0),
           coalesce((SELECT dropped FROM log_losses WHERE number = ?1), 0)
         FROM logs WHERE number = ?1",
    )
    .bind(signed(instance))
    .fetch_one(readers)
    .await
    .map_err(store_error)?;
    let column = |at| row.try_get::<i64, _>(at).map(i64::unsigned_abs).map_err(store_error);
    Ok(LogExtent { last: column(0)?, first: column(1)?, bytes: column(2)?, dropped: column(3)? })
}

/// Reads lines; memory holds what is answered and one chunk.
pub async fn read(readers: &SqlitePool, query: &LogQuery) -> Result<Vec<LogLine>, StoreError> {
    match query.window {
        LogWindow::From(from) => read_from(readers, query, from).await,
        LogWindow::Tail => read_tail(readers, query).await,
    }
}

async fn read_from(readers: &SqlitePool, query: &LogQuery, from: u64) -> Result<Vec<LogLine>, StoreError> {
    let mut lines = Vec::new();
    let mut at = from.max(1);
    let extent = extent(readers, query.instance).await?;
    if let Some(marker) = marker(&extent).filter(|marker| marker.seq >= at && matches(marker, query)) {
        lines.push(marker);
    }
    while lines.len() < query.limit {
        let chunk = sqlx::query(
            "SELECT first, last, lines FROM logs WHERE number = ?1 AND first >=
               coalesce((SELECT max(first) FROM logs WHERE number = ?1 AND first <= ?2 AND last >= ?2), ?2)
             ORDER BY first LIMIT 1",
        )
        .bind(signed(query.instance))
        .bind(signed(at))
        .fetch_optional(readers)
        .await
        .map_err(store_error)?;
        let Some(chunk) = chunk else { break };
        let (last, stored) = decode(&chunk)?;
        let wanted = stored.into_iter().filter(|line| line.seq >= at && matches(line, query));
        lines.extend(wanted.take(query.limit - lines.len()));
        at = last + 1;
    }
    Ok(lines)
}

async fn read_tail(readers: &SqlitePool, query: &LogQuery) -> Result<Vec<LogLine>, StoreError> {
    let mut newest_first = Vec::new();
    let mut below = i64::MAX;
    while newest_first.len() < query.limit {
        let chunk = sqlx::query(
            "SELECT first, last, lines FROM logs WHERE number = ?1 AND first < ?2 ORDER BY first DESC LIMIT 1",
        )
        .bind(signed(query.instance))
        .bind(below)
        .fetch_optional(readers)
        .await
        .map_err(store_error)?;
        let Some(chunk) = chunk else {
            let extent = extent(readers, query.instance).await?;
            newest_first.extend(marker(&extent).filter(|marker| matches(marker, query)));
            break;
        };
        below = chunk.try_get(0).map_err(store_error)?;
        let (_, stored) = decode(&chunk)?;
        let wanted = stored.into_iter().rev().filter(|line| matches(line, query));
        newest_first.extend(wanted.take(query.limit - newest_first.len()));
    }
    newest_first.reverse();
    Ok(newest_first)
}

fn matches(line: &LogLine, query: &LogQuery) -> bool {
    query.stream.is_none_or(|stream| line.stream == stream)
        && query.grep.as_ref().is_none_or(|text| line.text.contains(text.as_str()))
}

/// The lines of a row of `first, last, lines`, and the `seq` of the last.
fn decode(row: &SqliteRow) -> Result<(u64, Vec<LogLine>), StoreError> {
    let first: i64 = row.try_get(0).map_err(store_error)?;
    let last: i64 = row.try_get(1).map_err(store_error)?;
    let text: &str = row.try_get(2).map_err(store_error)?;
    let stored: Vec<Stored<'_>> = serde_json::from_str(text)
        .map_err(|source| StoreError::Corrupt { what: "a chunk of a log".to_owned(), source: Some(source.into()) })?;
    let lines = (first.unsigned_abs()..)
        .zip(stored)
        .map(|(seq, (code, time, attempt, text))| LogLine {
            seq,
            time: Micros(time),
            attempt,
            stream: stream(code),
            text: text.into_owned(),
        })
        .collect();
    Ok((last.unsigned_abs(), lines))
}

/// The line that stands where lines were dropped.
fn marker(extent: &LogExtent) -> Option<LogLine> {
    (extent.dropped > 0 && extent.first > 1).then(|| LogLine {
        seq: extent.first - 1,
        time: Micros(0),
        attempt: 0,
        stream: Stream::System,
        text: format!("{} lines are not here: the log is over limits.log", extent.dropped),
    })
}

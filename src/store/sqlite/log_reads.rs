//! Windows of logs. They are read chunk by chunk, so that a read never holds more than its lines and a few chunks.

use std::collections::VecDeque;

use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use super::{
    codec::{from_json, json_column},
    fault::of_read,
    readers::Readers,
    statement::{Arguments, count, fetch, to_column},
};
use crate::{
    domain::{LogLine, LogQuery, LogWindow, Micros, Stream},
    store::{LogExtent, StoreError},
};

/// A line as a chunk keeps it: stream, time, attempt, text. Its `seq` follows from the chunk's first.
type Stored<'a> = (u8, i64, u32, std::borrow::Cow<'a, str>);

/// The text of a chunk.
pub(super) fn body(lines: &[LogLine]) -> Result<String, sqlx::Error> {
    let stored: Vec<Stored<'_>> = lines
        .iter()
        .map(|line| (stream_code(line.stream), line.time.0, line.attempt, line.text.as_str().into()))
        .collect();
    json_column(&stored)
}

/// The first and the last `seq` of a chunk.
pub(super) fn span(lines: &[LogLine]) -> (u64, u64) {
    let first = lines.first().map_or(1, |line| line.seq);
    (first, first + (lines.len() as u64).saturating_sub(1))
}

fn stream_code(stream: Stream) -> u8 {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
        Stream::Task => 2,
        Stream::System => 3,
    }
}

fn lines_of(first: u64, body: &str) -> Result<Vec<LogLine>, sqlx::Error> {
    let stored: Vec<Stored<'_>> = from_json(body)?;
    (first..)
        .zip(stored)
        .map(|(seq, (stream, time, attempt, text))| {
            let stream = Stream::ALL
                .get(usize::from(stream))
                .copied()
                .ok_or_else(|| super::codec::unreadable("stream", stream))?;
            Ok(LogLine { seq, time: Micros(time), attempt, stream, text: text.into_owned() })
        })
        .collect()
}

/// The lines that `query` asks for.
pub(super) async fn lines(readers: &Readers, query: &LogQuery) -> Result<Vec<LogLine>, StoreError> {
    let mut reader = readers.take().await?;
    let read = async {
        let marker = marker(&mut reader, query.instance).await?;
        match query.window {
            LogWindow::From(from) => forwards(&mut reader, query, from, marker).await,
            LogWindow::Tail => backwards(&mut reader, query, marker).await,
        }
    };
    read.await.map_err(of_read)
}

fn matches(query: &LogQuery, line: &LogLine) -> bool {
    query.stream.is_none_or(|stream| stream == line.stream)
        && query.grep.as_ref().is_none_or(|grep| line.text.contains(grep.as_str()))
}

/// Lines from `from` on, oldest first.
async fn forwards(
    connection: &mut SqliteConnection,
    query: &LogQuery,
    from: u64,
    mut marker: Option<LogLine>,
) -> Result<Vec<LogLine>, sqlx::Error> {
    let limit = query.limit.max(1);
    let mut found = Vec::new();
    let mut next = start(connection, query.instance, from).await?;
    let sql = "SELECT first, body FROM logs INDEXED BY logs_window WHERE number = ? AND first >= ? \
        ORDER BY first LIMIT 4";
    loop {
        let mut arguments = Arguments::default();
        arguments.add(to_column(query.instance)?)?;
        arguments.add(next)?;
        let rows = fetch(connection, sql, arguments).await?;
        for row in &rows {
            next = row.try_get::<i64, _>(0)? + 1;
            for line in chunk_of(row, 0)? {
                let before = marker.take_if(|marker| marker.seq < line.seq);
                for line in before.into_iter().chain([line]) {
                    if line.seq >= from && matches(query, &line) {
                        found.push(line);
                    }
                    if found.len() == limit {
                        return Ok(found);
                    }
                }
            }
        }
        if rows.is_empty() {
            return Ok(found);
        }
    }
}

/// Where the chunk begins that may hold the line `seq`.
async fn start(connection: &mut SqliteConnection, instance: u64, seq: u64) -> Result<i64, sqlx::Error> {
    let mut arguments = Arguments::default();
    arguments.add(to_column(instance)?)?;
    arguments.add(i64::try_from(seq).unwrap_or(i64::MAX))?;
    let sql = "SELECT coalesce(max(first), 0) FROM logs INDEXED BY logs_window WHERE number = ? AND first <= ?";
    fetch(connection, sql, arguments).await?.first().map_or(Ok(0), |row| row.try_get(0))
}

/// The last lines, in order.
async fn backwards(
    connection: &mut SqliteConnection,
    query: &LogQuery,
    mut marker: Option<LogLine>,
) -> Result<Vec<LogLine>, sqlx::Error> {
    let limit = query.limit.max(1);
    let mut found = VecDeque::new();
    let mut next = i64::MAX;
    let sql = "SELECT first, body FROM logs INDEXED BY logs_window WHERE number = ? AND first <= ? \
        ORDER BY first DESC LIMIT 4";
    loop {
        let mut arguments = Arguments::default();
        arguments.add(to_column(query.instance)?)?;
        arguments.add(next)?;
        let rows = fetch(connection, sql, arguments).await?;
        for row in &rows {
            next = row.try_get::<i64, _>(0)? - 1;
            for line in chunk_of(row, 0)?.into_iter().rev() {
                let after = marker.take_if(|marker| marker.seq > line.seq);
                for line in after.into_iter().chain([line]) {
                    if matches(query, &line) {
                        found.push_front(line);
                    }
                    if found.len() == limit {
                        return Ok(found.into());
                    }
                }
            }
        }
        if rows.is_empty() {
            if let Some(marker) = marker.filter(|marker| matches(query, marker)) {
                found.push_front(marker);
            }
            return Ok(found.into());
        }
    }
}

/// The lines of a chunk whose first `seq` and text stand from the column `at` on.
pub(super) fn chunk_of(row: &SqliteRow, at: usize) -> Result<Vec<LogLine>, sqlx::Error> {
    lines_of(count(row, at)?, row.try_get(at + 1)?)
}

/// The line that stands where lines were dropped, if any were.
async fn marker(connection: &mut SqliteConnection, instance: u64) -> Result<Option<LogLine>, sqlx::Error> {
    let instance = to_column(instance)?;
    let mut arguments = Arguments::default();
    arguments.add(instance)?;
    let sql = "SELECT dropped FROM log_losses WHERE number = ? AND dropped > 0";
    let Some(dropped) = fetch(connection, sql, arguments).await?.first().map(|row| count(row, 0)).transpose()? else {
        return Ok(None);
    };
    // Before the first line that is kept; where that is the very first, in the first gap after it.
    let mut arguments = Arguments::default();
    arguments.add(instance)?;
    let sql = "SELECT first, body FROM logs WHERE chunk = (SELECT chunk FROM (SELECT chunk, first, \
        lag(last, 1, 0) OVER (ORDER BY first) AS before FROM logs INDEXED BY logs_window WHERE number = ?) \
        WHERE first > before + 1 ORDER BY first LIMIT 1)";
    let rows = fetch(connection, sql, arguments).await?;
    let Some(next) = rows.first().map(|row| chunk_of(row, 0)).transpose()?.and_then(|chunk| chunk.into_iter().next())
    else {
        return Ok(None);
    };
    let text = format!("{} lines dropped here: the log is over limits.log", thousands(dropped));
    Ok(Some(LogLine { seq: next.seq - 1, time: next.time, attempt: next.attempt, stream: Stream::System, text }))
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What is kept of one instance's log.
pub(super) async fn extent(readers: &Readers, instance: u64) -> Result<LogExtent, StoreError> {
    let mut reader = readers.take().await?;
    let read = async {
        let mut arguments = Arguments::default();
        arguments.add(to_column(instance)?)?;
        arguments.add(to_column(instance)?)?;
        let sql = "SELECT coalesce(max(last), 0), coalesce(min(first), 0), coalesce(sum(bytes), 0), \
            coalesce((SELECT dropped FROM log_losses WHERE number = ?), 0) \
            FROM logs INDEXED BY logs_window WHERE number = ?";
        let rows = fetch(&mut reader, sql, arguments).await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        Ok(LogExtent { last: count(row, 0)?, first: count(row, 1)?, bytes: count(row, 2)?, dropped: count(row, 3)? })
    };
    read.await.map_err(of_read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!([1, 999, 1000, 12345, 1234567].map(thousands), ["1", "999", "1,000", "12,345", "1,234,567"]);
    }
}

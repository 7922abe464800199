//! Between the values of the domain and the columns that hold them.

use std::{fmt::Display, sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row, sqlite::SqliteRow};
use uuid::Uuid;

use super::statement::count;
use crate::domain::{
    Ended, Instance, InstanceError, Json, Labels, Limits, Micros, Outcome, Phase, Progress, Status, StopRequest,
    Summary, Workload,
};

/// The number that stands for a status.
pub(super) fn status_code(status: Status) -> i64 {
    match status {
        Status::Pending => 0,
        Status::Running => 1,
        Status::Completed => 2,
        Status::Failed => 3,
        Status::Cancelled => 4,
    }
}

/// The status that a number stands for.
pub(super) fn status_of(code: i64) -> Result<Status, sqlx::Error> {
    usize::try_from(code)
        .ok()
        .and_then(|index| Status::ALL.get(index).copied())
        .ok_or_else(|| unreadable("status", code))
}

/// The number that stands for a workload.
pub(super) fn workload_code(workload: Workload) -> i64 {
    match workload {
        Workload::Local => 0,
        Workload::Remote => 1,
    }
}

/// The word for how an attempt ended.
pub(super) fn ended_of(word: &str) -> Result<Ended, sqlx::Error> {
    [Ended::Completed, Ended::Failed, Ended::Cancelled, Ended::Interrupted]
        .into_iter()
        .find(|ended| ended.as_str() == word)
        .ok_or_else(|| unreadable("ended", word))
}

/// A duration in microseconds.
pub(super) fn duration_column(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A value as JSON text.
pub(super) fn json_column<T: Serialize>(value: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// A value from JSON text.
pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Labels from their JSON text.
pub(super) fn labels_of(text: Option<&str>) -> Result<Labels, sqlx::Error> {
    match text {
        None => Ok(Labels::default()),
        Some(text) => Labels::new(from_json(text)?).map_err(|error| sqlx::Error::Decode(error.into())),
    }
}

/// The columns of [`summary`], in its order. `i` is the instance.
pub(super) const SUMMARY_COLUMNS: &str = "i.number, i.id, i.task_id, i.workload, i.status, i.priority, i.attempt, \
    i.max_attempts, i.version, i.batch, i.progress, i.message, i.verdict, i.error, i.timeout, i.queue_timeout, \
    i.retry_delay, i.stop_requested_at, i.stop_deadline, i.run_at, i.created_at, i.started_at, i.finished_at, \
    i.updated_at, i.labels, i.retry_of, i.node";

/// How many there are.
pub(super) const SUMMARY_WIDTH: usize = 27;

/// An instance without its payloads from a row of [`SUMMARY_COLUMNS`].
pub(super) fn summary(row: &SqliteRow) -> Result<Summary, sqlx::Error> {
    let status = status_of(row.try_get(4)?)?;
    let time = |column: usize| row.try_get::<Option<i64>, _>(column).map(|time| time.map(Micros));
    let duration = |column: usize| {
        row.try_get::<Option<i64>, _>(column)
            .map(|micros| micros.map(|micros| Duration::from_micros(micros.unsigned_abs())))
    };
    let finished_at = time(22)?;
    let error: Option<InstanceError> = row.try_get::<Option<&str>, _>(13)?.map(from_json).transpose()?;
    let outcome = match (status, error) {
        (Status::Completed, None) => Some(Outcome::Completed),
        (Status::Cancelled, None) => Some(Outcome::Cancelled),
        (Status::Failed, Some(error)) => Some(Outcome::Failed(Box::new(error))),
        (Status::Pending | Status::Running, None) => None,
        (status, _) => return Err(unreadable("error of an instance that is", status)),
    };
    let phase = match (outcome, finished_at) {
        (Some(outcome), Some(finished_at)) => Phase::Done { outcome, finished_at },
        (None, None) if status == Status::Running => Phase::Running,
        (None, None) => Phase::Pending,
        _ => return Err(unreadable("finished_at of an instance that is", status)),
    };
    let stop = match (time(17)?, time(18)?) {
        (Some(requested_at), Some(deadline)) => Some(StopRequest { requested_at, deadline }),
        _ => None,
    };
    let progress: f64 = row.try_get(10)?;
    Ok(Summary {
        id: uuid(row.try_get(1)?)?,
        number: count(row, 0)?,
        task_id: shared(row, 2)?,
        workload: match row.try_get::<i64, _>(3)? {
            0 => Workload::Local,
            1 => Workload::Remote,
            other => return Err(unreadable("workload", other)),
        },
        phase,
        progress: Progress::new(progress, row.try_get(11)?).map_err(|error| sqlx::Error::Decode(error.into()))?,
        attempt: small(row, 6)?,
        limits: Limits {
            timeout: duration(14)?,
            queue_timeout: duration(15)?,
            max_attempts: small(row, 7)?,
            retry_delay: duration(16)?.unwrap_or_default(),
            priority: row.try_get(5)?,
        },
        stop,
        verdict: row.try_get::<Option<&str>, _>(12)?.map(from_json).transpose()?,
        labels: labels_of(row.try_get(24)?)?,
        run_at: Micros(row.try_get(19)?),
        created_at: Micros(row.try_get(20)?),
        started_at: time(21)?,
        updated_at: Micros(row.try_get(23)?),
        version: count(row, 8)?,
        retry_of: row.try_get::<Option<&[u8]>, _>(25)?.map(uuid).transpose()?,
        node: row.try_get::<Option<&str>, _>(26)?.map(Arc::from),
        batch: count(row, 9)?,
    })
}

/// An instance from a row of [`SUMMARY_COLUMNS`], its inputs and its output.
pub(super) fn instance(row: &SqliteRow) -> Result<Instance, sqlx::Error> {
    let json = |text: String| Json::from_stored(text).map_err(|error| sqlx::Error::Decode(error.into()));
    Ok(Instance {
        summary: summary(row)?,
        inputs: json(row.try_get(SUMMARY_WIDTH)?)?,
        output: row.try_get::<Option<String>, _>(SUMMARY_WIDTH + 1)?.map(json).transpose()?,
    })
}

/// A column that holds a small count, such as an attempt.
pub(super) fn small(row: &SqliteRow, column: usize) -> Result<u32, sqlx::Error> {
    row.try_get::<i64, _>(column)?.try_into().map_err(|_| unreadable("count in column", column))
}

/// A column of text as shared text.
pub(super) fn shared(row: &SqliteRow, column: usize) -> Result<Arc<str>, sqlx::Error> {
    row.try_get::<&str, _>(column).map(Arc::from)
}

fn uuid(bytes: &[u8]) -> Result<Uuid, sqlx::Error> {
    Uuid::from_slice(bytes).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// An error for a column that holds what it cannot hold.
pub(super) fn unreadable(what: &str, value: impl Display) -> sqlx::Error {
    sqlx::Error::Decode(format!("{what} {value}").into())
}

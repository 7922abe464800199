//! Rows and values: how what the domain knows stands in columns.

use std::{sync::Arc, time::Duration};

use sqlx::{Row as _, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    domain::{
        Ended, InstanceError, Json, Labels, Limits, Micros, Outcome, Phase, Progress, Status, StopRequest, Summary,
        Verdict, VerdictStatus, Workload,
    },
    store::StoreError,
};

/// The columns of a summary, for `SELECT`.
pub const SUMMARY: &str = "i.number, i.id, i.task_id, i.workload, i.status, i.priority, i.attempt, i.max_attempts, \
     i.version, i.batch, i.progress, i.message, i.verdict, i.verdict_message, i.error, i.timeout, i.queue_timeout, \
     i.retry_delay, i.stop_requested_at, i.stop_deadline, i.run_at, i.created_at, i.started_at, i.finished_at, \
     i.updated_at, i.labels, i.retry_of, i.node";

pub fn status_code(status: Status) -> i64 {
    match status {
        Status::Pending => 0,
        Status::Running => 1,
        Status::Completed => 2,
        Status::Failed => 3,
        Status::Cancelled => 4,
    }
}

pub fn verdict_code(verdict: VerdictStatus) -> i64 {
    match verdict {
        VerdictStatus::Completed => 2,
        VerdictStatus::Failed => 3,
        VerdictStatus::Cancelled => 4,
    }
}

pub fn ended_code(ended: Ended) -> i64 {
    match ended {
        Ended::Completed => 0,
        Ended::Failed => 1,
        Ended::Cancelled => 2,
        Ended::Interrupted => 3,
    }
}

pub fn ended(code: i64) -> Result<Ended, StoreError> {
    match code {
        0 => Ok(Ended::Completed),
        1 => Ok(Ended::Failed),
        2 => Ok(Ended::Cancelled),
        3 => Ok(Ended::Interrupted),
        other => Err(corrupt(format!("ended {other} of an attempt"))),
    }
}

pub fn workload_code(workload: Workload) -> i64 {
    match workload {
        Workload::Local => 0,
        Workload::Remote => 1,
    }
}

/// A duration as it is stored.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A number as it is stored. SQLite's integers are signed; ours stay far below their end.
pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

pub fn corrupt(what: String) -> StoreError {
    StoreError::Corrupt { what, source: None }
}

/// An error as it is stored.
pub fn error_text(error: &InstanceError) -> String {
    // Strings and numbers only: it cannot fail to be written.
    serde_json::to_string(error).unwrap_or_else(|_| "null".to_owned())
}

/// A stored error.
pub fn error(text: &str) -> Result<InstanceError, StoreError> {
    serde_json::from_str(text)
        .map_err(|source| StoreError::Corrupt { what: "an error".to_owned(), source: Some(source.into()) })
}

pub fn json(text: String) -> Result<Json, StoreError> {
    Json::from_stored(text)
        .map_err(|source| StoreError::Corrupt { what: "a payload".to_owned(), source: Some(source.into()) })
}

pub fn labels_text(labels: &Labels) -> Option<String> {
    (!labels.is_empty()).then(|| serde_json::to_string(labels).unwrap_or_default())
}

fn labels(text: Option<&str>) -> Result<Labels, StoreError> {
    let Some(text) = text else { return Ok(Labels::default()) };
    let map = serde_json::from_str(text)
        .map_err(|source| StoreError::Corrupt { what: "labels".to_owned(), source: Some(source.into()) })?;
    Labels::new(map).map_err(|source| StoreError::Corrupt { what: "labels".to_owned(), source: Some(source.into()) })
}

/// Reads the columns of [`SUMMARY`].
pub fn summary(row: &SqliteRow) -> Result<Summary, StoreError> {
    summary_columns(row)
        .map_err(super::error::store_error)?
        .map_err(|what| corrupt(format!("{what} of instance {}", row.try_get::<i64, _>(0).unwrap_or(0))))
}

type Read<T> = Result<Result<T, String>, sqlx::Error>;

fn summary_columns(row: &SqliteRow) -> Read<Summary> {
    let finished_at: Option<i64> = row.try_get(23)?;
    let error_text: Option<&str> = row.try_get(14)?;
    let finished_at = finished_at.map(Micros);
    let status: i64 = row.try_get(4)?;
    let done = |outcome| match finished_at {
        Some(finished_at) => Ok(Phase::Done { outcome, finished_at }),
        None => Err("finished_at".to_owned()),
    };
    let phase = match status {
        0 => Ok(Phase::Pending),
        1 => Ok(Phase::Running),
        2 => done(Outcome::Completed),
        3 => match error_text.map(error) {
            Some(Ok(error)) => done(Outcome::Failed(Box::new(error))),
            _ => Err("error".to_owned()),
        },
        4 => done(Outcome::Cancelled),
        other => Err(format!("status {other}")),
    };
    let phase = match phase {
        Ok(phase) => phase,
        Err(what) => return Ok(Err(what)),
    };
    let Ok(id) = Uuid::from_slice(row.try_get(1)?) else { return Ok(Err("id".to_owned())) };
    let retry_of = match row.try_get::<Option<&[u8]>, _>(26)?.map(Uuid::from_slice) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => return Ok(Err("retry_of".to_owned())),
    };
    let Ok(progress) = Progress::new(row.try_get(10)?, row.try_get(11)?) else {
        return Ok(Err("progress".to_owned()));
    };
    let verdict_status = match row.try_get::<Option<i64>, _>(12)? {
        None => None,
        Some(2) => Some(VerdictStatus::Completed),
        Some(3) => Some(VerdictStatus::Failed),
        Some(4) => Some(VerdictStatus::Cancelled),
        Some(_) => return Ok(Err("verdict".to_owned())),
    };
    let verdict = match verdict_status {
        None => None,
        Some(status) => Some(Verdict { status, message: row.try_get(13)? }),
    };
    let labels = match labels(row.try_get(25)?) {
        Ok(labels) => labels,
        Err(_) => return Ok(Err("labels".to_owned())),
    };
    let stop = match (row.try_get::<Option<i64>, _>(18)?, row.try_get::<Option<i64>, _>(19)?) {
        (Some(requested_at), Some(deadline)) => {
            Some(StopRequest { requested_at: Micros(requested_at), deadline: Micros(deadline) })
        }
        _ => None,
    };
    let whole = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
    Ok(Ok(Summary {
        id,
        number: row.try_get::<i64, _>(0)?.unsigned_abs(),
        task_id: Arc::from(row.try_get::<&str, _>(2)?),
        workload: if row.try_get::<i64, _>(3)? == 0 { Workload::Local } else { Workload::Remote },
        phase,
        progress,
        attempt: whole(row.try_get(6)?),
        limits: Limits {
            timeout: row.try_get::<Option<i64>, _>(15)?.map(duration),
            queue_timeout: row.try_get::<Option<i64>, _>(16)?.map(duration),
            max_attempts: whole(row.try_get(7)?),
            retry_delay: duration(row.try_get(17)?),
            priority: i16::try_from(row.try_get::<i64, _>(5)?).unwrap_or(0),
        },
        stop,
        verdict,
        labels,
        run_at: Micros(row.try_get(20)?),
        created_at: Micros(row.try_get(21)?),
        started_at: row.try_get::<Option<i64>, _>(22)?.map(Micros),
        updated_at: Micros(row.try_get(24)?),
        version: row.try_get::<i64, _>(8)?.unsigned_abs(),
        retry_of,
        node: row.try_get::<Option<&str>, _>(27)?.map(Arc::from),
        batch: row.try_get::<i64, _>(9)?.unsigned_abs(),
    }))
}

//! What running attempts write: their reports and their ends. Both are fenced by the attempt's number.

use std::collections::HashMap;

use sqlx::{Row as _, SqliteConnection};

use super::{
    row::{ended_code, error_text, signed, status_code, verdict_code},
    statement::{ManyRows, pieces},
};
use crate::{
    domain::{Ended, Json, Outcome, Status},
    store::{Batch, Ending, Finish, FinishOutcome, Report, Then, Written},
};

// ?1 now, ?2 batch. A row's own: number, attempt, then (status, run_at, error) for both endings, progress, message.
static FINISH: ManyRows = ManyRows::new(
    "WITH v(number, attempt, s0, r0, e0, s1, r1, e1, progress, message) AS (VALUES ",
    "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    ") UPDATE instances AS i SET \
       status = iif(i.stop_requested_at IS NULL, v.s0, v.s1), \
       error = iif(i.stop_requested_at IS NULL, v.e0, v.e1), \
       run_at = coalesce(iif(i.stop_requested_at IS NULL, v.r0, v.r1), i.run_at), \
       ready = coalesce(iif(i.stop_requested_at IS NULL, v.r0, v.r1) <= ?1, 0), \
       finished_at = iif(iif(i.stop_requested_at IS NULL, v.s0, v.s1) >= 2, max(?1, i.started_at), NULL), \
       progress = coalesce(v.progress, i.progress), \
       message = iif(v.progress IS NULL, i.message, v.message), \
       version = i.version + (i.batch <> ?2), batch = ?2, updated_at = ?1 \
     FROM v WHERE i.number = v.number AND i.attempt = v.attempt AND i.status = 1 \
     RETURNING number, version, stop_requested_at IS NOT NULL, started_at, node",
    2,
    10,
);

// Before the row turns terminal, and only where the fence holds.
static OUTPUTS: ManyRows = ManyRows::new(
    "WITH v(number, attempt, body) AS (VALUES ",
    "($1, $2, $3)",
    ") INSERT OR REPLACE INTO outputs (number, body) SELECT v.number, v.body FROM v \
     CROSS JOIN instances AS i ON i.number = v.number AND i.attempt = v.attempt AND i.status = 1",
    0,
    3,
);
static NO_OUTPUTS: ManyRows = ManyRows::new(
    "WITH v(number, attempt) AS (VALUES ",
    "($1, $2)",
    ") DELETE FROM outputs WHERE number IN (SELECT i.number FROM v \
     CROSS JOIN instances AS i ON i.number = v.number AND i.attempt = v.attempt AND i.status = 1)",
    0,
    2,
);

static ATTEMPTS: ManyRows = ManyRows::new(
    "INSERT OR REPLACE INTO attempts \
     (number, attempt, node, started_at, finished_at, ended, error, exit_code, signal) VALUES ",
    "($1, $2, $3, $4, max(?1, $4), $5, $6, $7, $8)",
    "",
    1,
    8,
);

// ?1 now, ?2 batch. Flags say which parts a report has.
static REPORT: ManyRows = ManyRows::new(
    "WITH v(number, attempt, progress, message, stated, verdict, why) AS (VALUES ",
    "($1, $2, $3, $4, $5, $6, $7)",
    ") UPDATE instances AS i SET \
       progress = coalesce(v.progress, i.progress), \
       message = iif(v.progress IS NULL, i.message, v.message), \
       verdict = iif(v.stated, v.verdict, i.verdict), \
       verdict_message = iif(v.stated, v.why, i.verdict_message), \
       version = i.version + (i.batch <> ?2), batch = ?2, updated_at = ?1 \
     FROM v WHERE i.number = v.number AND i.attempt = v.attempt AND i.status = 1 \
     RETURNING number, version",
    2,
    7,
);

/// Whether the instance's own row will not tell the same about the attempt.
fn needs_record(finish: &Finish, ending: &Ending) -> bool {
    let told = match &ending.then {
        Then::Again { .. } => false,
        Then::Done(Outcome::Completed) => ending.ended == Ended::Completed,
        Then::Done(Outcome::Failed(_)) => ending.ended == Ended::Failed,
        Then::Done(Outcome::Cancelled) => ending.ended == Ended::Cancelled,
    };
    !told || finish.exit_code.is_some() || finish.signal.is_some()
}

struct Applied {
    version: u64,
    stopped: bool,
    started_at: i64,
    node: String,
}

/// Writes the ends of attempts.
pub async fn finish(connection: &mut SqliteConnection, batch: &Batch) -> Result<Vec<FinishOutcome>, sqlx::Error> {
    let finishes = &batch.finishes;
    write_outputs(connection, finishes.iter().map(|one| (one.instance, one.attempt, &one.output))).await?;
    let mut applied: HashMap<u64, Applied> = HashMap::with_capacity(finishes.len());
    for (text, piece) in pieces(&FINISH, finishes) {
        let mut query = sqlx::query(text).bind(batch.now.0).bind(signed(batch.number));
        for finish in piece {
            query = query.bind(signed(finish.instance)).bind(i64::from(finish.attempt));
            for ending in [&finish.unless_stopped, &finish.if_stopped] {
                let (status, run_at, error) = match &ending.then {
                    Then::Again { run_at } => (Status::Pending, Some(run_at.0), None),
                    Then::Done(outcome) => (outcome.status(), None, outcome.error().map(error_text)),
                };
                query = query.bind(status_code(status)).bind(run_at).bind(error);
            }
            let progress = finish.progress.as_ref();
            query = query
                .bind(progress.map(|progress| progress.value()))
                .bind(progress.and_then(|progress| progress.message.as_deref()));
        }
        for row in query.fetch_all(&mut *connection).await? {
            let number: i64 = row.try_get(0)?;
            let one = Applied {
                version: row.try_get::<i64, _>(1)?.unsigned_abs(),
                stopped: row.try_get(2)?,
                started_at: row.try_get(3)?,
                node: row.try_get(4)?,
            };
            applied.insert(number.unsigned_abs(), one);
        }
    }
    let mut records = Vec::new();
    let mut outcomes = Vec::with_capacity(finishes.len());
    for finish in finishes {
        // Taken out: of two ends of one attempt only the first one counts.
        let Some(one) = applied.remove(&finish.instance) else {
            outcomes.push(FinishOutcome::Fenced);
            continue;
        };
        outcomes.push(FinishOutcome::Applied { version: one.version, stopped: one.stopped });
        let ending = if one.stopped { &finish.if_stopped } else { &finish.unless_stopped };
        if needs_record(finish, ending) {
            records.push((finish, ending, one));
        }
    }
    for (text, piece) in pieces(&ATTEMPTS, &records) {
        let mut query = sqlx::query(text).bind(batch.now.0);
        for (finish, ending, one) in piece {
            query = query
                .bind(signed(finish.instance))
                .bind(i64::from(finish.attempt))
                .bind(&one.node)
                .bind(one.started_at)
                .bind(ended_code(ending.ended))
                .bind(ending.error.as_ref().map(error_text))
                .bind(finish.exit_code)
                .bind(finish.signal);
        }
        query.execute(&mut *connection).await?;
    }
    Ok(outcomes)
}

/// Writes reports.
pub async fn report(connection: &mut SqliteConnection, batch: &Batch) -> Result<Vec<Written>, sqlx::Error> {
    let reports = &batch.reports;
    write_outputs(connection, reports.iter().map(|one| (one.instance, one.attempt, &one.output))).await?;
    let mut applied: HashMap<u64, u64> = HashMap::with_capacity(reports.len());
    for (text, piece) in pieces(&REPORT, reports) {
        let mut query = sqlx::query(text).bind(batch.now.0).bind(signed(batch.number));
        for report in piece {
            let progress = report.progress.as_ref();
            let stated = report.verdict.as_ref();
            let verdict = stated.and_then(Option::as_ref);
            query = query
                .bind(signed(report.instance))
                .bind(i64::from(report.attempt))
                .bind(progress.map(|progress| progress.value()))
                .bind(progress.and_then(|progress| progress.message.as_deref()))
                .bind(stated.is_some())
                .bind(verdict.map(|verdict| verdict_code(verdict.status)))
                .bind(verdict.and_then(|verdict| verdict.message.as_deref()));
        }
        for row in query.fetch_all(&mut *connection).await? {
            applied.insert(row.try_get::<i64, _>(0)?.unsigned_abs(), row.try_get::<i64, _>(1)?.unsigned_abs());
        }
    }
    let missing: Vec<u64> =
        reports.iter().map(|report| report.instance).filter(|number| !applied.contains_key(number)).collect();
    let found = statuses(connection, &missing).await?;
    Ok(reports.iter().map(|report| written(report, &applied, &found)).collect())
}

fn written(report: &Report, applied: &HashMap<u64, u64>, found: &HashMap<u64, i64>) -> Written {
    match (applied.get(&report.instance), found.get(&report.instance)) {
        (Some(version), _) => Written::Applied { version: *version },
        (None, None) => Written::NotFound,
        (None, Some(status)) if *status >= 2 => Written::Done,
        (None, Some(_)) => Written::Fenced,
    }
}

/// The status codes of those of `numbers` that exist.
pub async fn statuses(connection: &mut SqliteConnection, numbers: &[u64]) -> Result<HashMap<u64, i64>, sqlx::Error> {
    if numbers.is_empty() {
        return Ok(HashMap::new());
    }
    let numbers = serde_json::to_string(numbers).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query("SELECT i.number, i.status FROM json_each(?1) AS w CROSS JOIN instances AS i ON i.number = w.value")
        .bind(numbers)
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| Ok((row.try_get::<i64, _>(0)?.unsigned_abs(), row.try_get(1)?)))
        .collect()
}

async fn write_outputs<'a>(
    connection: &mut SqliteConnection,
    items: impl Iterator<Item = (u64, u32, &'a Option<Option<Json>>)>,
) -> Result<(), sqlx::Error> {
    let mut set = Vec::new();
    let mut cleared = Vec::new();
    for (number, attempt, output) in items {
        match output {
            None => {}
            Some(Some(output)) => set.push((number, attempt, output)),
            Some(None) => cleared.push((number, attempt)),
        }
    }
    for (text, piece) in pieces(&OUTPUTS, &set) {
        let mut query = sqlx::query(text);
        for (number, attempt, output) in piece {
            query = query.bind(signed(*number)).bind(i64::from(*attempt)).bind(output.as_str());
        }
        query.execute(&mut *connection).await?;
    }
    for (text, piece) in pieces(&NO_OUTPUTS, &cleared) {
        let mut query = sqlx::query(text);
        for (number, attempt) in piece {
            query = query.bind(signed(*number)).bind(i64::from(*attempt));
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

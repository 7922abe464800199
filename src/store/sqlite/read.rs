//! Reads: single instances, pages, attempts, and what a new daemon must know.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, QueryBuilder, Row as _, Sqlite, SqlitePool};

use super::{
    error::store_error,
    row::{self, SUMMARY, signed},
};
use crate::{
    domain::{
        Attempt, Ended, Instance, InstanceKey, InstanceQuery, Micros, Outcome, Page, Phase, Status, Summary,
        instance::AttemptRecord,
    },
    store::{Backlog, StoreError},
};

/// Instances by id or number; one statement, so one snapshot.
pub async fn get(readers: &SqlitePool, keys: &[InstanceKey]) -> Result<Vec<Instance>, StoreError> {
    let numbers: Vec<_> =
        keys.iter().filter_map(|key| if let InstanceKey::Number(n) = key { Some(*n) } else { None }).collect();
    let ids: Vec<_> = keys
        .iter()
        .filter_map(|key| if let InstanceKey::Id(id) = key { Some(id.simple().to_string()) } else { None })
        .collect();
    let mut instances = Vec::with_capacity(keys.len());
    for (wanted, condition) in [
        (serde_json::to_string(&numbers), "i.number IN (SELECT value FROM json_each(?1))"),
        (serde_json::to_string(&ids), "i.id IN (SELECT unhex(value) FROM json_each(?1))"),
    ] {
        let wanted = wanted.map_err(|error| StoreError::Unavailable(error.into()))?;
        if wanted == "[]" {
            continue;
        }
        let text = format!(
            "SELECT {SUMMARY}, p.body, o.body FROM instances AS i
             LEFT JOIN inputs AS p ON p.number = i.number LEFT JOIN outputs AS o ON o.number = i.number
             WHERE {condition}"
        );
        let rows = sqlx::query(AssertSqlSafe(text)).bind(wanted).fetch_all(readers).await.map_err(store_error)?;
        for row in &rows {
            let summary = row::summary(row)?;
            let inputs: Option<String> = row.try_get(28).map_err(store_error)?;
            let inputs =
                inputs.ok_or_else(|| row::corrupt(format!("the inputs of instance {} are missing", summary.number)))?;
            let output: Option<String> = row.try_get(29).map_err(store_error)?;
            instances.push(Instance {
                summary,
                inputs: row::json(inputs)?,
                output: output.map(row::json).transpose()?,
            });
        }
    }
    Ok(instances)
}

/// A page of summaries, newest first.
pub async fn list(readers: &SqlitePool, query: &InstanceQuery) -> Result<Page<Summary>, StoreError> {
    let most = query.limit + 1;
    let mut sql = QueryBuilder::<Sqlite>::new(format!("SELECT {SUMMARY} FROM instances AS i WHERE i.number IN ("));
    // One arm a status, so that each walks an index in the list's order and ends after a page.
    let arms: Vec<Option<Status>> = if query.statuses.is_empty() || query.statuses.len() == Status::ALL.len() {
        vec![None]
    } else {
        query.statuses.iter().copied().map(Some).collect()
    };
    for (at, status) in arms.into_iter().enumerate() {
        if at > 0 {
            sql.push(" UNION ALL ");
        }
        sql.push("SELECT number FROM (");
        arm(&mut sql, query, status);
        sql.push(" LIMIT ").push_bind(signed(most as u64)).push(")");
    }
    sql.push(") ORDER BY i.number DESC LIMIT ").push_bind(signed(most as u64));
    let rows = sql.build().fetch_all(readers).await.map_err(store_error)?;
    let mut items = rows.iter().map(row::summary).collect::<Result<Vec<_>, _>>()?;
    let more = items.len() > query.limit;
    items.truncate(query.limit);
    Ok(Page { items, more })
}

fn arm(sql: &mut QueryBuilder<Sqlite>, query: &InstanceQuery, status: Option<Status>) {
    let mut labels = query.labels.iter();
    if let Some(label) = labels.next() {
        sql.push(
            "SELECT x.number FROM labels AS x CROSS JOIN instances AS x_i ON x_i.number = x.number WHERE x.key = ",
        );
        sql.push_bind(label.key.clone());
        if let Some(value) = &label.value {
            sql.push(" AND x.value = ").push_bind(value.clone());
        }
    } else if status.is_some() && query.task_id.is_none() {
        sql.push("SELECT x.number FROM instances AS x INDEXED BY instances_by_status WHERE 1");
    } else if query.task_id.is_some() {
        sql.push("SELECT x.number FROM instances AS x INDEXED BY instances_by_task WHERE 1");
    } else {
        sql.push("SELECT x.number FROM instances AS x WHERE 1");
    }
    let of = if query.labels.is_empty() { "x" } else { "x_i" };
    let mut and = |condition: &str, value: i64| {
        sql.push(format!(" AND {of}.{condition} ")).push_bind(value);
    };
    if let Some(status) = status {
        and("status =", row::status_code(status));
    }
    if let Some(after) = query.created_after {
        and("created_at >=", after.0);
    }
    if let Some(before) = query.created_before {
        and("created_at <", before.0);
    }
    if let Some(task_id) = &query.task_id {
        sql.push(format!(" AND {of}.task_id = ")).push_bind(task_id.clone());
    }
    if let Some(below) = query.below {
        sql.push(" AND x.number < ").push_bind(signed(below));
    }
    for label in labels {
        sql.push(" AND EXISTS (SELECT 1 FROM labels AS l WHERE l.number = x.number AND l.key = ");
        sql.push_bind(label.key.clone());
        if let Some(value) = &label.value {
            sql.push(" AND l.value = ").push_bind(value.clone());
        }
        sql.push(")");
    }
    sql.push(" ORDER BY x.number DESC");
}

/// The attempts of an instance: those that are kept, and the latest from the instance's own row.
pub async fn attempts(readers: &SqlitePool, instance: u64) -> Result<Vec<Attempt>, StoreError> {
    let rows = sqlx::query(
        "SELECT attempt, node, started_at, finished_at, ended, error, exit_code, signal FROM attempts
         WHERE number = ?1 ORDER BY attempt",
    )
    .bind(signed(instance))
    .fetch_all(readers)
    .await
    .map_err(store_error)?;
    let mut attempts = Vec::with_capacity(rows.len() + 1);
    for row in &rows {
        let error: Option<&str> = row.try_get(5).map_err(store_error)?;
        attempts.push(Attempt {
            attempt: u32::try_from(row.try_get::<i64, _>(0).map_err(store_error)?).unwrap_or(u32::MAX),
            node: Arc::from(row.try_get::<&str, _>(1).map_err(store_error)?),
            started_at: Micros(row.try_get(2).map_err(store_error)?),
            end: Some(AttemptRecord {
                finished_at: Micros(row.try_get(3).map_err(store_error)?),
                ended: row::ended(row.try_get(4).map_err(store_error)?)?,
                error: error.map(row::error).transpose()?,
                exit_code: row.try_get(6).map_err(store_error)?,
                signal: row.try_get(7).map_err(store_error)?,
            }),
        });
    }
    let text = format!("SELECT {SUMMARY} FROM instances AS i WHERE i.number = ?1");
    let row =
        sqlx::query(AssertSqlSafe(text)).bind(signed(instance)).fetch_optional(readers).await.map_err(store_error)?;
    if let Some(row) = row {
        let summary = row::summary(&row)?;
        if !attempts.iter().any(|attempt| attempt.attempt == summary.attempt) {
            attempts.extend(latest(&summary));
        }
    }
    Ok(attempts)
}

fn latest(summary: &Summary) -> Option<Attempt> {
    let (started_at, node) = (summary.started_at?, summary.node.clone()?);
    let end = match &summary.phase {
        Phase::Pending => return None,
        Phase::Running => None,
        Phase::Done { outcome, finished_at } => Some(AttemptRecord {
            finished_at: *finished_at,
            ended: match outcome {
                Outcome::Completed => Ended::Completed,
                Outcome::Failed(_) => Ended::Failed,
                Outcome::Cancelled => Ended::Cancelled,
            },
            error: outcome.error().cloned(),
            exit_code: None,
            signal: None,
        }),
    };
    Some(Attempt { attempt: summary.attempt, node, started_at, end })
}

/// Everything that is running.
pub async fn running(readers: &SqlitePool) -> Result<Vec<Summary>, StoreError> {
    let text = format!(
        "SELECT {SUMMARY} FROM instances AS i INDEXED BY instances_by_status WHERE i.status = 1 ORDER BY i.number"
    );
    let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(readers).await.map_err(store_error)?;
    rows.iter().map(row::summary).collect()
}

/// What waits to run.
pub async fn backlog(readers: &SqlitePool) -> Result<Backlog, StoreError> {
    let pending: i64 =
        sqlx::query_scalar("SELECT count(*) FROM instances INDEXED BY instances_by_status WHERE status = 0")
            .fetch_one(readers)
            .await
            .map_err(store_error)?;
    // Skips from task to task along the index instead of reading every row of it.
    let ready: Vec<String> = sqlx::query_scalar(
        "WITH RECURSIVE t(task_id) AS (
           SELECT (SELECT min(task_id) FROM instances INDEXED BY instances_ready WHERE status = 0 AND ready = 1)
           UNION ALL
           SELECT (SELECT min(i.task_id) FROM instances AS i INDEXED BY instances_ready
                   WHERE i.status = 0 AND i.ready = 1 AND i.task_id > t.task_id) FROM t WHERE t.task_id IS NOT NULL)
         SELECT task_id FROM t WHERE task_id IS NOT NULL",
    )
    .fetch_all(readers)
    .await
    .map_err(store_error)?;
    Ok(Backlog { pending: pending.unsigned_abs(), ready: ready.into_iter().map(Arc::from).collect() })
}

//! What running attempts reported, and what became of writes that did not apply.

use std::collections::HashMap;

use sqlx::Row;

use super::{
    codec::json_column,
    payload::{self, bind_output},
    statement::{Arguments, Part, Statement, count, json_array, rounds},
    transaction::Transaction,
};
use crate::store::{Batch, Report, Written};

static REPORTS: Statement = Statement::new(&[
    Part::Text("WITH v(number, attempt, progress, message, has_verdict, verdict, sets_output, output) AS (VALUES "),
    Part::Rows(8),
    Part::Text(
        ") UPDATE instances SET \
         progress = coalesce(v.progress, instances.progress), \
         message = iif(v.progress IS NULL, instances.message, v.message), \
         verdict = iif(v.has_verdict, v.verdict, instances.verdict), \
         output = iif(v.sets_output, v.output, instances.output), \
         version = version + (batch <> ?), batch = ?, updated_at = ? \
         FROM v WHERE instances.number = v.number AND ",
    ),
    Part::Fence("instances"),
    Part::Text(" RETURNING number, version"),
]);

/// Writes the reports of `batch`.
pub(super) async fn write(transaction: &mut Transaction<'_>, batch: &Batch) -> Result<Vec<Written>, sqlx::Error> {
    let mut outcomes = vec![None; batch.reports.len()];
    for round in rounds(&batch.reports, |report| report.instance) {
        let items: Vec<&Report> = round.iter().map(|index| &batch.reports[*index]).collect();
        payload::write_outputs(transaction, items.iter().map(|item| (item.instance, item.attempt, &item.output)))
            .await?;
        let applied = write_instances(transaction, batch, &items).await?;
        for index in round {
            outcomes[index] =
                applied.get(&batch.reports[index].instance).map(|version| Written::Applied { version: *version });
        }
    }
    if outcomes.iter().all(Option::is_some) {
        return Ok(outcomes.into_iter().flatten().collect());
    }
    let refused = batch.reports.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_none());
    let statuses = statuses(transaction, refused.map(|(report, _)| report.instance)).await?;
    let outcome = |(report, outcome): (&Report, Option<Written>)| {
        outcome.unwrap_or_else(|| match statuses.get(&report.instance) {
            None => Written::NotFound,
            Some(status) if *status >= 2 => Written::Done,
            Some(_) => Written::Fenced,
        })
    };
    Ok(batch.reports.iter().zip(outcomes).map(outcome).collect())
}

async fn write_instances(
    transaction: &mut Transaction<'_>,
    batch: &Batch,
    reports: &[&Report],
) -> Result<HashMap<u64, u64>, sqlx::Error> {
    let bind = |arguments: &mut Arguments, items: &[&Report], size: usize| {
        for report in items {
            arguments.add_count(report.instance)?;
            arguments.add(report.attempt)?;
            arguments.add(report.progress.as_ref().map(|progress| progress.value()))?;
            arguments.add(report.progress.as_ref().and_then(|progress| progress.message.clone()))?;
            arguments.add(report.verdict.is_some())?;
            arguments.add(report.verdict.as_ref().and_then(Option::as_ref).map(json_column).transpose()?)?;
            bind_output(arguments, &report.output)?;
        }
        arguments.pad((size - items.len()) * 8)?;
        arguments.add_count(batch.number)?;
        arguments.add_count(batch.number)?;
        arguments.add(batch.now.0)
    };
    let rows = transaction.fetch(&REPORTS, reports, bind).await?;
    rows.iter().map(|row| Ok((count(row, 0)?, count(row, 1)?))).collect()
}

/// The status of each of these instances that exists.
pub(super) async fn statuses(
    transaction: &mut Transaction<'_>,
    instances: impl Iterator<Item = u64>,
) -> Result<HashMap<u64, i64>, sqlx::Error> {
    let sql = "SELECT number, status FROM instances WHERE number IN (SELECT value FROM json_each(?))";
    let arguments = transaction.queue_fixed(sql).await?;
    arguments.add(json_array(instances))?;
    let rows = transaction.run().await?;
    rows.iter().map(|row| Ok((count(row, 0)?, row.try_get(1)?))).collect()
}

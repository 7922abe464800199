//! The outputs of running attempts, which reports set and finishes too.

use super::{
    statement::{Arguments, Part, Statement, json_array},
    transaction::Transaction,
};
use crate::domain::Json;

static OUTPUTS: Statement = Statement::new(&[
    Part::Text("WITH v(number, attempt, body) AS (VALUES "),
    Part::Rows(3),
    Part::Text(
        ") INSERT INTO outputs (number, body) SELECT v.number, v.body FROM v \
         CROSS JOIN instances i ON i.number = v.number WHERE ",
    ),
    Part::Fence("i"),
    Part::Text(" ON CONFLICT (number) DO UPDATE SET body = excluded.body"),
]);

/// Writes the outputs of running attempts, given as instance, attempt, and the output where there is one to write.
pub(super) async fn write<'a>(
    transaction: &mut Transaction<'_>,
    items: impl Iterator<Item = (u64, u32, &'a Option<Option<Json>>)>,
) -> Result<(), sqlx::Error> {
    let mut written = Vec::new();
    let mut cleared = Vec::new();
    for (instance, attempt, output) in items {
        match output {
            Some(Some(output)) => written.push((instance, attempt, output)),
            Some(None) => cleared.push((instance, attempt)),
            None => {}
        }
    }
    if !written.is_empty() {
        let bind = |arguments: &mut Arguments, items: &[(u64, u32, &Json)], size: usize| {
            for (instance, attempt, output) in items {
                arguments.add_count(*instance)?;
                arguments.add(*attempt)?;
                arguments.add(output.as_str())?;
            }
            arguments.pad((size - items.len()) * 3)
        };
        transaction.queue(&OUTPUTS, &written, bind).await?;
    }
    if !cleared.is_empty() {
        clear(transaction, &cleared).await?;
    }
    Ok(())
}

async fn clear(transaction: &mut Transaction<'_>, attempts: &[(u64, u32)]) -> Result<(), sqlx::Error> {
    let sql = "DELETE FROM outputs WHERE number IN (SELECT i.number FROM json_each(?) n \
        JOIN json_each(?) a ON a.key = n.key JOIN instances i ON i.number = n.value \
        WHERE i.attempt = a.value AND i.status = 1)";
    let arguments = transaction.queue_fixed(sql).await?;
    arguments.add(json_array(attempts.iter().map(|(instance, _)| *instance)))?;
    arguments.add(json_array(attempts.iter().map(|(_, attempt)| u64::from(*attempt))))?;
    Ok(())
}

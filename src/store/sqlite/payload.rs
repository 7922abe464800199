//! Inputs and outputs: short ones stand in the instance's own row, long ones beside it.
//!
//! A page less and a row less to write for each start and each end, as long as a change of status does not write much
//! again. Where an output follows a longer one, a trigger removes that one.

use super::{
    statement::{Arguments, Part, Statement, json_array},
    transaction::Transaction,
};
use crate::domain::Json;

/// Up to so many bytes stand in the row. Each change of status writes the whole page that the row is on, and changes of
/// thousands at once write as many pages as their rows fill.
const SHORT: usize = 256;

/// Whether a payload stands in the instance's own row.
pub(super) fn stands_in_row(payload: &Json) -> bool {
    payload.as_str().len() <= SHORT
}

/// What sets an output: `None` leaves it, `Some(None)` clears it.
pub(super) type SetOutput = Option<Option<Json>>;

/// The columns `sets_output` and `output` of a statement that updates the instance's row.
pub(super) fn bind_output(arguments: &mut Arguments, output: &SetOutput) -> Result<(), sqlx::Error> {
    arguments.add(output.is_some())?;
    arguments.add(output.as_ref().and_then(Option::as_ref).filter(|output| stands_in_row(output)).map(Json::as_str))
}

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

/// Writes what stands beside the row of the outputs of running attempts, given as instance, attempt, and what sets the
/// output. To be run before the row is updated, which may be the end of the attempt.
pub(super) async fn write_outputs<'a>(
    transaction: &mut Transaction<'_>,
    items: impl Iterator<Item = (u64, u32, &'a SetOutput)>,
) -> Result<(), sqlx::Error> {
    let mut long = Vec::new();
    let mut cleared = Vec::new();
    for (instance, attempt, output) in items {
        match output {
            Some(Some(output)) if stands_in_row(output) => {}
            Some(Some(output)) => long.push((instance, attempt, output)),
            Some(None) => cleared.push((instance, attempt)),
            None => {}
        }
    }
    if !long.is_empty() {
        let bind = |arguments: &mut Arguments, items: &[(u64, u32, &Json)], size: usize| {
            for (instance, attempt, output) in items {
                arguments.add_count(*instance)?;
                arguments.add(*attempt)?;
                arguments.add(output.as_str())?;
            }
            arguments.pad((size - items.len()) * 3)
        };
        transaction.queue(&OUTPUTS, &long, bind).await?;
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

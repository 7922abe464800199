//! New instances: numbered here, for this is the only writer, so that an insert need not answer anything.

use super::{
    codec::{duration_column, json_column, workload_code},
    idempotency,
    payload::stands_in_row,
    sequence::{self, Sequence},
    statement::{Arguments, Part, Statement},
    transaction::Transaction,
};
use crate::{
    domain::{Labels, Micros},
    store::{Batch, NewInstance, StartOutcome},
};

/// The starts of a batch before they are written.
pub(super) struct Planned<'a> {
    /// What becomes of each start.
    pub(super) outcomes: Vec<StartOutcome>,
    /// The instances to be made.
    pub(super) new: Vec<New<'a>>,
}

/// An instance to be made.
pub(super) struct New<'a> {
    pub(super) number: u64,
    pub(super) instance: &'a NewInstance,
    pub(super) run_at: Micros,
    /// Whether it may run now.
    pub(super) ready: bool,
    /// Whether the same batch claims it.
    pub(super) running: bool,
}

static INSTANCES: Statement = Statement::new(&[
    // attempt is 1 where the row is inserted as running, else 0: the same as its status.
    Part::Text(
        "INSERT INTO instances (version, progress, batch, created_at, updated_at, node, started_at, number, id, task_id, \
         workload, status, attempt, ready, priority, max_attempts, timeout, queue_timeout, queue_deadline, retry_delay, \
         run_at, labels, retry_of, inputs) \
         SELECT 1, 0.0, ?, ?, ?, iif(column5 = 1, ?, NULL), iif(column5 = 1, ?, NULL), column1, column2, column3, \
         column4, column5, column5, column6, column7, column8, column9, column10, column11, column12, \
         column13, column14, column15, column16 FROM (VALUES ",
    ),
    Part::Rows(16),
    Part::Text(") WHERE column1 IS NOT NULL"),
]);

static LONG_INPUTS: Statement = Statement::new(&[
    Part::Text("INSERT INTO inputs (number, body) SELECT column1, column2 FROM (VALUES "),
    Part::Rows(2),
    Part::Text(") WHERE column1 IS NOT NULL"),
]);

static LABELS: Statement = Statement::new(&[
    Part::Text("INSERT INTO labels (key, value, number) SELECT column1, column2, column3 FROM (VALUES "),
    Part::Rows(3),
    Part::Text(") WHERE column1 IS NOT NULL"),
]);

/// Numbers the instances of `batch` that are new, and says what becomes of each start.
pub(super) async fn plan<'a>(
    transaction: &mut Transaction<'_>,
    batch: &'a Batch,
    sequence: &mut Sequence,
) -> Result<Planned<'a>, sqlx::Error> {
    let known = idempotency::look_up(transaction, batch).await?;
    let mut planned = Planned { outcomes: Vec::with_capacity(batch.starts.len()), new: Vec::new() };
    let mut keys = idempotency::Keys::new(known);
    for (index, start) in batch.starts.iter().enumerate() {
        let first = sequence.last_number + 1;
        if let Some(outcome) = keys.outcome(index, start, first) {
            planned.outcomes.push(outcome);
            continue;
        }
        for instance in &start.instances {
            sequence.last_number += 1;
            let run_at = instance.run_at.map_or(batch.now, |run_at| run_at.max(batch.now));
            let ready = run_at <= batch.now;
            planned.new.push(New { number: sequence.last_number, instance, run_at, ready, running: false });
        }
        planned.outcomes.push(StartOutcome::Created { numbers: (first..=sequence.last_number).collect() });
    }
    idempotency::write(transaction, batch, keys).await?;
    if let Some(first) = planned.new.first() {
        sequence::follow_clock(transaction, batch.now, first.number, sequence).await?;
    }
    Ok(planned)
}

/// Inserts the planned instances.
pub(super) async fn write(
    transaction: &mut Transaction<'_>,
    batch: &Batch,
    new: &[New<'_>],
) -> Result<(), sqlx::Error> {
    if new.is_empty() {
        return Ok(());
    }
    let bind = |arguments: &mut Arguments, items: &[New<'_>], size: usize| {
        arguments.add_count(batch.number)?;
        arguments.add(batch.now.0)?;
        arguments.add(batch.now.0)?;
        arguments.add(batch.node.clone())?;
        arguments.add(batch.now.0)?;
        for new in items {
            bind_instance(arguments, new)?;
        }
        arguments.pad((size - items.len()) * 16)
    };
    transaction.queue(&INSTANCES, new, bind).await?;
    let long: Vec<&New<'_>> = new.iter().filter(|new| !stands_in_row(&new.instance.inputs)).collect();
    if !long.is_empty() {
        let bind = |arguments: &mut Arguments, items: &[&New<'_>], size: usize| {
            for new in items {
                arguments.add_count(new.number)?;
                arguments.add(new.instance.inputs.as_str())?;
            }
            arguments.pad((size - items.len()) * 2)
        };
        transaction.queue(&LONG_INPUTS, &long, bind).await?;
    }
    let labels: Vec<(&str, &str, u64)> =
        new.iter().flat_map(|new| new.instance.labels.iter().map(|(key, value)| (key, value, new.number))).collect();
    if labels.is_empty() {
        return Ok(());
    }
    let bind = |arguments: &mut Arguments, items: &[(&str, &str, u64)], size: usize| {
        for (key, value, number) in items {
            arguments.add(*key)?;
            arguments.add(*value)?;
            arguments.add_count(*number)?;
        }
        arguments.pad((size - items.len()) * 3)
    };
    transaction.queue(&LABELS, &labels, bind).await
}

fn bind_instance(arguments: &mut Arguments, new: &New<'_>) -> Result<(), sqlx::Error> {
    let NewInstance { id, task_id, workload, inputs, limits, labels, retry_of, .. } = new.instance;
    arguments.add_count(new.number)?;
    arguments.add(id.as_bytes().as_slice())?;
    arguments.add(task_id.clone())?;
    arguments.add(workload_code(*workload))?;
    arguments.add(i64::from(new.running))?;
    arguments.add(new.ready && !new.running)?;
    arguments.add(i64::from(limits.priority))?;
    arguments.add(i64::from(limits.max_attempts))?;
    arguments.add(limits.timeout.map(duration_column))?;
    arguments.add(limits.queue_timeout.map(duration_column))?;
    arguments.add(limits.queue_timeout.map(|timeout| new.run_at.after(timeout).0))?;
    arguments.add(duration_column(limits.retry_delay))?;
    arguments.add(new.run_at.0)?;
    arguments.add(labels_column(labels)?)?;
    arguments.add(retry_of.as_ref().map(|id| id.as_bytes().as_slice()))?;
    arguments.add(stands_in_row(inputs).then(|| inputs.as_str()))
}

fn labels_column(labels: &Labels) -> Result<Option<String>, sqlx::Error> {
    if labels.is_empty() { Ok(None) } else { json_column(labels).map(Some) }
}

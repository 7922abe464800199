//! Registered definitions.

use std::{str::FromStr, time::Duration};

use sqlx::{
    Row, SqliteConnection,
    sqlite::{SqliteRow, SqliteValueRef},
};

use super::{
    check::Kind,
    codec::{duration_column, from_json, json_column, small, unreadable},
    fault::of_read,
    readers::Readers,
    statement::{Arguments, fetch},
    transaction::Transaction,
};
use crate::{
    domain::{Definition, DefinitionId, Json, Source, Workload},
    store::{Batch, DefinitionChange, DefinitionOutcome, Finding, StoreError},
};

const ALL: &str = "SELECT id, name, description, command, timeout, queue_timeout, max_attempts, retry_delay, concurrency, \
    input_schema, output_schema, app_id, app_version_id FROM definitions ORDER BY id";

/// Writes the change of definitions of `batch`, if there is one. After its starts, so that it sees them.
pub(super) async fn write(
    transaction: &mut Transaction<'_>,
    batch: &Batch,
) -> Result<Option<DefinitionOutcome>, sqlx::Error> {
    let outcome = match &batch.definition {
        None => return Ok(None),
        Some(DefinitionChange::Register(definition)) => {
            insert(transaction, batch, definition).await?;
            DefinitionOutcome::Registered
        }
        Some(DefinitionChange::Remove { id }) => remove(transaction, id).await?,
    };
    Ok(Some(outcome))
}

async fn insert(transaction: &mut Transaction<'_>, batch: &Batch, definition: &Definition) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO definitions (id, name, description, command, timeout, queue_timeout, max_attempts, \
        retry_delay, concurrency, input_schema, output_schema, app_id, app_version_id, created_at) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let arguments = transaction.queue_fixed(sql).await?;
    arguments.add(definition.id.as_str())?;
    arguments.add(definition.name.as_str())?;
    arguments.add(definition.description.as_deref())?;
    arguments.add(json_column(&definition.command.as_deref().unwrap_or_default())?)?;
    arguments.add(definition.timeout.map(duration_column))?;
    arguments.add(definition.queue_timeout.map(duration_column))?;
    arguments.add(i64::from(definition.max_attempts))?;
    arguments.add(duration_column(definition.retry_delay))?;
    arguments.add(definition.concurrency.map(i64::from))?;
    arguments.add(definition.input_schema.as_ref().map(Json::as_str))?;
    arguments.add(definition.output_schema.as_ref().map(Json::as_str))?;
    arguments.add(definition.app_id.as_deref())?;
    arguments.add(definition.app_version_id.as_deref())?;
    arguments.add(batch.now.0)
}

async fn remove(transaction: &mut Transaction<'_>, id: &str) -> Result<DefinitionOutcome, sqlx::Error> {
    let live = "SELECT 1 FROM instances INDEXED BY instances_status WHERE status IN (0, 1) AND task_id = ? LIMIT 1";
    transaction.queue_fixed(live).await?.add(id)?;
    if !transaction.run().await?.is_empty() {
        return Ok(DefinitionOutcome::InUse);
    }
    transaction.queue_fixed("DELETE FROM definitions WHERE id = ? RETURNING id").await?.add(id)?;
    let removed = transaction.run().await?;
    Ok(if removed.is_empty() { DefinitionOutcome::NotFound } else { DefinitionOutcome::Removed })
}

/// Every registered definition, by id.
pub(super) async fn all(readers: &Readers) -> Result<Vec<Definition>, StoreError> {
    let mut reader = readers.take().await?;
    let rows = fetch(&mut reader, ALL, Arguments::default()).await.map_err(of_read)?;
    rows.iter().map(definition).collect::<Result<_, _>>().map_err(of_read)
}

fn definition(row: &SqliteRow) -> Result<Definition, sqlx::Error> {
    let id = |column: usize| {
        let text: &str = row.try_get(column)?;
        DefinitionId::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let duration = |column: usize| {
        let micros: Option<i64> = row.try_get(column)?;
        Ok::<_, sqlx::Error>(micros.map(|micros| Duration::from_micros(micros.unsigned_abs())))
    };
    let schema = |column: usize| {
        let text: Option<String> = row.try_get(column)?;
        text.map(Json::from_stored).transpose().map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let command: Vec<String> = from_json(row.try_get(3)?)?;
    if command.is_empty() {
        return Err(unreadable("command of the definition", id(0)?));
    }
    let has = |column: usize| row.try_get_raw(column).map(|value: SqliteValueRef<'_>| !sqlx::ValueRef::is_null(&value));
    Ok(Definition {
        name: id(1)?,
        description: row.try_get(2)?,
        command: Some(command),
        timeout: duration(4)?,
        queue_timeout: duration(5)?,
        max_attempts: small(row, 6)?,
        retry_delay: duration(7)?.unwrap_or_default(),
        concurrency: if has(8)? { Some(small(row, 8)?) } else { None },
        input_schema: schema(9)?,
        output_schema: schema(10)?,
        app_id: row.try_get(11)?,
        app_version_id: row.try_get(12)?,
        ..Definition::new(id(0)?, Workload::Remote, Source::Registered)
    })
}

/// What is wrong with them.
pub(super) async fn check(connection: &mut SqliteConnection, findings: &mut Vec<Finding>) -> Result<(), sqlx::Error> {
    let mut kind = Kind::new(findings, "definitions that are wrong");
    let mut add = |detail: String| kind.add(Finding { instance: None, detail });
    for row in fetch(connection, ALL, Arguments::default()).await? {
        let id: String = row.try_get(0)?;
        if let Err(error) = definition(&row) {
            add(format!("the definition `{id}` cannot be read: {error}"));
            continue;
        }
        for (column, name) in
            [(4, "timeout"), (5, "queue_timeout"), (6, "max_attempts"), (7, "retry_delay"), (8, "concurrency")]
        {
            if row.try_get::<Option<i64>, _>(column)?.is_some_and(|value| value < 1) {
                add(format!("the definition `{id}` has a {name} that is not above 0"));
            }
        }
        for (column, name) in [(9, "input_schema"), (10, "output_schema")] {
            let text: Option<&str> = row.try_get(column)?;
            if text.is_some_and(|text| !text.starts_with('{') && text != "true" && text != "false") {
                add(format!("the definition `{id}` has an {name} that is neither an object nor a boolean"));
            }
        }
    }
    let sql = "SELECT a.id, b.id FROM definitions a JOIN definitions b ON a.name = b.id AND a.id <> b.id";
    for row in fetch(connection, sql, Arguments::default()).await? {
        let (named, other): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        add(format!("the definition `{named}` has the id of `{other}` as its name"));
    }
    kind.end();
    Ok(())
}

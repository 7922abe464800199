//! What the migrations make, against what is there.

use std::collections::BTreeMap;

use sqlx::{Connection, Row, SqliteConnection};

use super::finding_of_store;
use crate::store::{
    Finding,
    sqlite::{
        open,
        statement::{Arguments, fetch},
    },
};

/// What the schema holds, by name, and which migrations made it.
struct Schema {
    parts: BTreeMap<String, String>,
    migrations: BTreeMap<i64, Vec<u8>>,
}

/// Looks for tables, views, indexes, triggers and rows that a store must have.
pub(super) async fn check(connection: &mut SqliteConnection) -> Result<Vec<Finding>, sqlx::Error> {
    let mut sound = open::in_memory().await?;
    let wanted = read(&mut sound).await?;
    sound.close().await?;
    let there = read(connection).await?;
    let mut findings = Vec::new();
    for (name, text) in &wanted.parts {
        match there.parts.get(name) {
            None => findings.push(finding_of_store(format!("schema: `{name}` is missing"))),
            Some(there) if there != text => {
                findings.push(finding_of_store(format!("schema: `{name}` is not what this version makes")));
            }
            Some(_) => {}
        }
    }
    for (version, checksum) in &wanted.migrations {
        if there.migrations.get(version) != Some(checksum) {
            findings
                .push(finding_of_store(format!("schema: migration {version} is not recorded as this version has it")));
        }
    }
    if findings.is_empty() {
        let rows = fetch(connection, "SELECT boot < 1 OR last_number < 0 FROM meta", Arguments::default()).await?;
        if rows.len() != 1 || rows[0].try_get(0)? {
            findings.push(finding_of_store("the row that says what this store is, is missing or wrong".to_owned()));
        }
    }
    Ok(findings)
}

async fn read(connection: &mut SqliteConnection) -> Result<Schema, sqlx::Error> {
    let mut schema = Schema { parts: BTreeMap::new(), migrations: BTreeMap::new() };
    // What SQLite makes for itself has no text. The table of the migrations is not ours.
    let sql = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE '%\\_sqlx\\_migrations%' ESCAPE '\\'";
    for row in fetch(connection, sql, Arguments::default()).await? {
        let words: Vec<&str> = row.try_get::<&str, _>(1)?.split_whitespace().collect();
        schema.parts.insert(row.try_get(0)?, words.join(" "));
    }
    let sql = "SELECT version, checksum FROM _sqlx_migrations";
    for row in fetch(connection, sql, Arguments::default()).await? {
        schema.migrations.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(schema)
}

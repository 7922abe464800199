//! Statements over many rows, in fixed sizes so that each is compiled once and kept.
//!
//! A statement is compiled for 1, 2, 4, … 256 rows. Fewer rows than its size are padded with nulls, which the
//! statement must skip; more rows take several runs. Parameters are anonymous: numbered ones are looked up in a list
//! that grows with the statement.

use std::sync::OnceLock;

use sqlx::{
    Encode, Row, Sqlite, SqliteConnection, Type,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::negative_control::NegativeControl;

/// The number of rows of each size.
const SIZES: [usize; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/// One piece of a statement.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// SQL as it stands.
    Text(&'static str),
    /// Rows of so many parameters, `(?,?),(?,?)`.
    Rows(usize),
    /// This text once a row, separated by the second.
    Repeat(&'static str, &'static str),
    /// The fence: that `v.attempt` is the attempt of this table's instance, which runs.
    Fence(&'static str),
}

/// A statement, or several that run in one go, over a varying number of rows.
#[derive(Debug)]
pub(super) struct Statement {
    parts: &'static [Part],
    built: [OnceLock<String>; SIZES.len()],
}

impl Statement {
    pub(super) const fn new(parts: &'static [Part]) -> Self {
        Statement { parts, built: [const { OnceLock::new() }; SIZES.len()] }
    }

    /// `items` in as many parts as it takes runs, at most 256 in each.
    pub(super) fn chunks<'i, T>(&self, items: &'i [T]) -> std::slice::Chunks<'i, T> {
        items.chunks(SIZES[SIZES.len() - 1])
    }

    /// Its text for so many rows, and the size that this text is for.
    pub(super) fn sized(&'static self, rows: usize) -> (&'static str, usize) {
        let index = SIZES.iter().position(|size| rows <= *size).unwrap_or(SIZES.len() - 1);
        let size = SIZES[index];
        (self.built[index].get_or_init(|| build(self.parts, size)), size)
    }
}

fn build(parts: &[Part], size: usize) -> String {
    let mut sql = String::new();
    for part in parts {
        match part {
            Part::Text(text) => sql.push_str(text),
            Part::Rows(columns) => {
                let row = format!("({})", vec!["?"; *columns].join(","));
                sql.push_str(&vec![row; size].join(","));
            }
            Part::Repeat(text, separator) => sql.push_str(&vec![*text; size].join(separator)),
            Part::Fence(table) if NegativeControl::FenceWithoutAttempt.is_on() => {
                sql.push_str(&format!("{table}.status = 1"));
            }
            Part::Fence(table) => sql.push_str(&format!("{table}.attempt = v.attempt AND {table}.status = 1")),
        }
    }
    sql
}

/// What is bound to a statement's parameters, in their order.
#[derive(Default)]
pub(super) struct Arguments(SqliteArguments);

impl Arguments {
    /// Binds one value.
    pub(super) fn add<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> Result<(), sqlx::Error> {
        sqlx::Arguments::add(&mut self.0, value).map_err(sqlx::Error::Encode)
    }

    /// Binds a count, a number of a row, a version.
    pub(super) fn add_count(&mut self, value: u64) -> Result<(), sqlx::Error> {
        self.add(to_column(value)?)
    }

    /// Whether nothing is bound.
    pub(super) fn is_empty(&self) -> bool {
        sqlx::Arguments::len(&self.0) == 0
    }

    /// As sqlx takes them.
    pub(super) fn into_inner(self) -> SqliteArguments {
        self.0
    }

    /// Binds so many nulls.
    pub(super) fn pad(&mut self, values: usize) -> Result<(), sqlx::Error> {
        (0..values).try_for_each(|_| self.add(None::<i64>))
    }
}

/// Runs a fixed statement and answers its rows.
pub(super) async fn fetch(
    connection: &mut SqliteConnection,
    sql: &'static str,
    arguments: Arguments,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    sqlx::query_with(sql, arguments.0).fetch_all(connection).await
}

/// Runs a fixed statement without parameters, and expects no rows.
pub(super) async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(connection).await.map(drop)
}

/// A number as SQLite keeps it.
pub(super) fn to_column(value: u64) -> Result<i64, sqlx::Error> {
    i64::try_from(value).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// A column that holds a count, a number of a row, a version.
pub(super) fn count(row: &SqliteRow, column: usize) -> Result<u64, sqlx::Error> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// Numbers as a JSON array, for `json_each`.
pub(super) fn json_array(numbers: impl IntoIterator<Item = u64>) -> String {
    let mut text = String::from("[");
    for number in numbers {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&number.to_string());
    }
    text.push(']');
    text
}

/// Cuts `items` into rounds in each of which no instance stands twice, so that a statement over a round finds every
/// row as the item before it left it. Almost always one round.
pub(super) fn rounds<T>(items: &[T], instance: impl Fn(&T) -> u64) -> Vec<Vec<usize>> {
    let mut rounds: Vec<(std::collections::HashSet<u64>, Vec<usize>)> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let number = instance(item);
        match rounds.iter_mut().find(|(taken, _)| !taken.contains(&number)) {
            Some((taken, round)) => {
                taken.insert(number);
                round.push(index);
            }
            None => rounds.push(([number].into(), vec![index])),
        }
    }
    rounds.into_iter().map(|(_, round)| round).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_built_for_the_next_size() {
        static STATEMENT: Statement =
            Statement::new(&[Part::Text("VALUES "), Part::Rows(2), Part::Text("; "), Part::Repeat("x", "|")]);
        assert_eq!(STATEMENT.sized(3), ("VALUES (?,?),(?,?),(?,?),(?,?); x|x|x|x", 4));
        assert_eq!(STATEMENT.sized(256).1, 256);
    }

    #[test]
    fn an_instance_stands_once_in_a_round() {
        assert_eq!(rounds(&[1, 2, 1, 3, 1], |n| *n), [vec![0, 1, 3], vec![2], vec![4]]);
        assert!(rounds(&[0u64; 0], |n| *n).is_empty());
    }
}

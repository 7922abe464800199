//! One transaction, in as few trips to the connection's thread as its answers allow.
//!
//! sqlx runs a connection on a thread of its own, and each statement is a message there and one back: with a single
//! start at a time these switches between threads cost more than the statements. So a statement whose rows nobody
//! needs is only put in line, and goes with the next one whose rows somebody does; BEGIN goes with the first and
//! COMMIT with the last.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::Arc,
};

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Either, Executor, SqliteConnection, sqlite::SqliteRow};

use super::{
    fault::Stage,
    settings::Synchronous,
    statement::{Arguments, Statement},
};

/// Statements over more rows than this are not joined with others: joined texts are compiled once a combination of
/// sizes, and large ones are dear to compile and to keep.
const LARGE: usize = 16;

/// The texts of joined statements. Each is made once: there are as many as combinations of sections and sizes.
#[derive(Default)]
pub(super) struct Texts(HashMap<Vec<Piece>, Arc<str>>);

/// One statement's text, known by where it stands in memory: comparing it letter by letter would take longer than
/// running it.
#[derive(Clone, Copy)]
struct Piece(&'static str);

impl PartialEq for Piece {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Piece {}

impl Hash for Piece {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::hash(self.0, state);
    }
}

const COMMIT: &str = "COMMIT";

/// So many texts are kept; more would be combinations that hardly come again.
const MOST_TEXTS: usize = 1024;

impl Texts {
    fn joined(&mut self, pieces: &[Piece]) -> Arc<str> {
        if let Some(text) = self.0.get(pieces) {
            return Arc::clone(text);
        }
        if self.0.len() >= MOST_TEXTS {
            self.0.clear();
        }
        let text: Arc<str> = pieces.iter().map(|piece| piece.0).collect::<Vec<_>>().join("; ").into();
        self.0.insert(pieces.to_vec(), Arc::clone(&text));
        text
    }
}

/// A transaction that was begun, or will be with its first statement.
pub(super) struct Transaction<'c> {
    connection: &'c mut SqliteConnection,
    texts: &'c mut Texts,
    /// What goes with the next trip.
    queued: Vec<Piece>,
    arguments: Arguments,
    /// Whether a statement over many rows is among them.
    large: bool,
    /// How many statements stand in line before each expectation.
    expectations: Vec<usize>,
    missed_expectation: bool,
    /// Where the last trip ended.
    stage: Stage,
}

/// Fails, by text that is no JSON, unless the statement before it changed so many rows: SQLite raises errors of our
/// own in triggers only.
const EXPECT_CHANGES: &str = "SELECT json('') WHERE changes() <> ?";

impl<'c> Transaction<'c> {
    /// A transaction that takes the write lock with its first statement: a lock taken later is refused at once where
    /// another process holds it. Where `synchronous` is given the connection syncs so from then on: that cannot be
    /// changed within a transaction.
    pub(super) fn begin(
        connection: &'c mut SqliteConnection,
        texts: &'c mut Texts,
        synchronous: Option<Synchronous>,
    ) -> Self {
        let begin = match synchronous {
            None => "BEGIN IMMEDIATE",
            Some(Synchronous::Off) => "PRAGMA synchronous = OFF; BEGIN IMMEDIATE",
            Some(Synchronous::Normal) => "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
            Some(Synchronous::Full) => "PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
            Some(Synchronous::Extra) => "PRAGMA synchronous = EXTRA; BEGIN IMMEDIATE",
        };
        Transaction {
            connection,
            texts,
            queued: vec![Piece(begin)],
            arguments: Arguments::default(),
            large: false,
            expectations: Vec::new(),
            missed_expectation: false,
            stage: Stage::Statement,
        }
    }

    /// Puts `statement` over `items` in line. `bind` binds the items it is given, then pads up to the size that it is
    /// told.
    pub(super) async fn queue<T>(
        &mut self,
        statement: &'static Statement,
        items: &[T],
        bind: impl Fn(&mut Arguments, &[T], usize) -> Result<(), sqlx::Error>,
    ) -> Result<(), sqlx::Error> {
        for items in statement.chunks(items) {
            let (sql, size) = statement.sized(items.len());
            let large = size > LARGE;
            // BEGIN alone goes with anything.
            if self.queued.len() > 1 && (large || self.large) {
                self.run().await?;
            }
            self.large = large;
            self.queued.push(Piece(sql));
            bind(&mut self.arguments, items, size)?;
        }
        Ok(())
    }

    /// Runs `statement` over `items`, and what stands in line before it. Answers its rows.
    pub(super) async fn fetch<T>(
        &mut self,
        statement: &'static Statement,
        items: &[T],
        bind: impl Fn(&mut Arguments, &[T], usize) -> Result<(), sqlx::Error>,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let mut rows = Vec::new();
        for items in statement.chunks(items) {
            self.queue(statement, items, &bind).await?;
            let more = self.run().await?;
            if rows.is_empty() {
                rows = more;
            } else {
                rows.extend(more);
            }
        }
        Ok(rows)
    }

    /// Puts a fixed statement in line. Its parameters are to be added to what is answered.
    pub(super) async fn queue_fixed(&mut self, sql: &'static str) -> Result<&mut Arguments, sqlx::Error> {
        if self.large {
            self.run().await?;
        }
        self.queued.push(Piece(sql));
        Ok(&mut self.arguments)
    }

    /// Runs a fixed statement after everything that stands in line. Answers its rows.
    pub(super) async fn fetch_fixed(
        &mut self,
        sql: &'static str,
        arguments: Arguments,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        if !self.arguments.is_empty() || self.large {
            self.run().await?;
        }
        self.queued.push(Piece(sql));
        self.arguments = arguments;
        self.run().await
    }

    /// Lets the transaction fail unless the statement put in line last changes so many rows.
    pub(super) async fn expect_changes(&mut self, rows: usize) -> Result<(), sqlx::Error> {
        self.expectations.push(statements(&self.queued));
        self.queued.push(Piece(EXPECT_CHANGES));
        self.arguments.add_count(rows as u64)
    }

    /// Whether the transaction failed for what [`Transaction::expect_changes`] asked.
    pub(super) fn missed_expectation(&self) -> bool {
        self.missed_expectation
    }

    /// Runs what stands in line and commits.
    pub(super) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        self.queued.push(Piece(COMMIT));
        self.run().await.map(drop)
    }

    /// Where the transaction stood when a statement failed.
    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// One trip with what stands in line. Answers all rows that came back.
    pub(super) async fn run(&mut self) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let commits = self.queued.last().is_some_and(|piece| piece.0 == COMMIT);
        let text = self.texts.joined(&self.queued);
        let statements = statements(&self.queued);
        self.queued.clear();
        let expectations = std::mem::take(&mut self.expectations);
        self.large = false;
        let arguments = std::mem::take(&mut self.arguments).into_inner();
        let mut rows = Vec::new();
        let mut done = 0;
        let outcome = {
            let query = sqlx::query_with(AssertSqlSafe(Arc::clone(&text)), arguments);
            let mut results = (&mut *self.connection).fetch_many(query);
            loop {
                match results.try_next().await {
                    Ok(Some(Either::Left(_))) => done += 1,
                    Ok(Some(Either::Right(row))) => rows.push(row),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            }
        };
        if outcome.is_err() {
            self.missed_expectation = expectations.contains(&done);
            if commits && done + 1 == statements {
                self.stage = Stage::Commit;
            }
        }
        outcome.map(|()| rows)
    }
}

/// How many statements `pieces` are. No text of ours holds a semicolon but between statements.
fn statements(pieces: &[Piece]) -> usize {
    pieces.iter().map(|piece| 1 + piece.0.bytes().filter(|byte| *byte == b';').count()).sum()
}

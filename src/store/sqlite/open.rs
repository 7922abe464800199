//! Opens a database file: whose it is, the lock, the schema, the connections.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use sqlx::{
    Row, SqliteConnection,
    migrate::{MigrateError, Migrator},
};

use super::{
    SqliteStore, Writing,
    checkpoint::Checkpointer,
    commit::Writer,
    connection::{self, number},
    fault,
    header::{self, SCHEMA},
    readers::Readers,
    reserve::Reserve,
    sequence,
    settings::{Settings, Synchronous},
    statement::execute,
    syncer::Syncer,
};
use crate::store::{Identity, OpenError, error::Cause};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Opens the store for a daemon.
pub(super) async fn for_daemon(settings: &Settings) -> Result<SqliteStore, OpenError> {
    let location = settings.path.display().to_string();
    let unavailable = |error: io::Error| at(&location, error);
    let path = &resolved(&settings.path).map_err(unavailable)?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unavailable)?;
    }
    let (lock, tag) = lock(path, &location)?;
    header::inspect(path)?;
    // Made here for its mode; what SQLite puts beside it gets the same.
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(unavailable)?;

    let opened = async {
        let mut writer = connection::writer(path, settings.synchronous).await?;
        let schema = match schema_of(&mut writer, &location).await {
            Ok(schema) => schema,
            Err(fault) => {
                // Nothing is left beside a file that is not ours.
                connection::close(writer).await;
                return Err(fault);
            }
        };
        if schema < SCHEMA {
            if schema > 0 {
                // Until it is done nothing answers: some seconds for each million instances.
                tracing::info!(store = %location, from = schema, to = SCHEMA, "bringing the store up to date");
            }
            migrate(&mut writer).await?;
        }
        let said = connection::read_back(&mut writer).await?;
        if said.journal_mode != "wal" || said.synchronous != Some(settings.synchronous) {
            return Err(Fault::Open(at(&location, "SQLite took neither journal_mode=WAL nor synchronous as set")));
        }
        let (boot, key) = count_boot(&mut writer).await?;
        let sequence = sequence::read(&mut writer).await?;
        let identity = Identity {
            boot,
            tag,
            key,
            backend: format!("SQLite {}", said.version),
            synchronous: settings.synchronous.to_string(),
            location: location.clone(),
            schema: SCHEMA.unsigned_abs(),
        };
        let readers = Readers::open(path).await?;
        let writer = Arc::new(tokio::sync::Mutex::new(Writer::new(writer, sequence, settings.synchronous)));
        let checkpoints = connection::checkpointer(path, settings.synchronous).await?;
        let checkpointer = Checkpointer::start(checkpoints, Arc::clone(&writer)).map_err(sqlx::Error::Io)?;
        let syncer = match settings.synchronous {
            // After the first commit, which has made the log.
            Synchronous::Full | Synchronous::Extra => Some(Syncer::start(path).map_err(sqlx::Error::Io)?),
            Synchronous::Off | Synchronous::Normal => None,
        };
        let reserve = Reserve::take(path).map_err(sqlx::Error::Io)?;
        let writing = Writing { writer, checkpointer, syncer, reserve, lock: Mutex::new(Some(lock)) };
        Ok(SqliteStore { identity, readers, writing: Some(writing) })
    };
    opened.await.map_err(|fault| fault.at(&location))
}

/// The file itself, where `path` is a link to one: there SQLite keeps its log, and there is the one lock of the store.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        outcome => outcome,
    }
}

/// Opens the store for reading only.
pub(super) async fn for_check(path: &Path) -> Result<SqliteStore, OpenError> {
    let location = path.display().to_string();
    // Not by its header: a daemon may have it open in this very process, and reading the file by other means than
    // SQLite's would end that daemon's locks.
    path.metadata().map_err(|error| at(&location, error))?;
    let opened = async {
        let readers = Readers::open(path).await?;
        let mut reader = readers.take().await.map_err(|error| Fault::Open(at(&location, error)))?;
        let found = schema_of(&mut reader, &location).await?;
        if found < SCHEMA {
            return Err(Fault::Open(OpenError::Older { location: location.clone(), found, known: SCHEMA }));
        }
        let said = connection::read_back(&mut reader).await?;
        let row = sqlx::query("SELECT boot, key FROM meta").fetch_one(&mut *reader).await?;
        let identity = Identity {
            boot: row.try_get::<i64, _>(0)?.unsigned_abs(),
            tag: String::new(),
            key: key(row.try_get(1)?)?,
            backend: format!("SQLite {}", said.version),
            synchronous: said.synchronous.map_or_else(String::new, |level| level.to_string()),
            location: location.clone(),
            schema: SCHEMA.unsigned_abs(),
        };
        drop(reader);
        Ok(SqliteStore { identity, readers, writing: None })
    };
    opened.await.map_err(|fault| fault.at(&location))
}

/// Takes the lock that a daemon holds for as long as it has the store open, and names it.
fn lock(path: &Path, location: &str) -> Result<(File, String), OpenError> {
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(header::with_suffix(path, ".lock"))
        .map_err(|error| at(location, error))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { location: location.to_owned() }),
        Err(TryLockError::Error(error)) => return Err(at(location, error)),
    }
    let metadata = lock.metadata().map_err(|error| at(location, error))?;
    Ok((lock, format!("{}:{}", metadata.dev(), metadata.ino())))
}

/// The schema of an open database; 0 where it is new. Its header may be older than its log, so it is asked again.
async fn schema_of(connection: &mut SqliteConnection, location: &str) -> Result<i64, Fault> {
    let application_id = number(connection, "PRAGMA application_id").await?;
    let schema = number(connection, "PRAGMA user_version").await?;
    // The first thing that a migration leaves is its own table, maybe alone.
    let foreign = "SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE '%\\_sqlx\\_migrations%' ESCAPE '\\'";
    if application_id == 0 && schema == 0 && number(connection, foreign).await? == 0 {
        return Ok(0);
    }
    header::owner(application_id, schema, location).map_err(Fault::Open)?;
    let migrated = number(connection, "SELECT coalesce(max(version), 0) FROM _sqlx_migrations").await?;
    if migrated > SCHEMA {
        let location = location.to_owned();
        return Err(Fault::Open(OpenError::Newer { location, found: migrated, known: SCHEMA }));
    }
    Ok(schema)
}

/// Brings the schema up to date. Each migration is one transaction with its bookkeeping.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), Fault> {
    // Not `run`: a future with it in it is not `Send`, and an application could not start a server in a task.
    MIGRATIONS.run_direct(None, &mut *connection, false).await?;
    // So that the header tells whose file it is, and of which schema.
    execute(connection, "PRAGMA wal_checkpoint(TRUNCATE)").await?;
    Ok(())
}

/// An empty store in memory, as the migrations make one.
pub(super) async fn in_memory() -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = connection::in_memory().await?;
    let made = MIGRATIONS.run_direct(None, &mut connection, false).await;
    made.map_err(|error| sqlx::Error::Migrate(Box::new(error)))?;
    Ok(connection)
}

/// Counts this boot; at the first one the store gets its key.
async fn count_boot(connection: &mut SqliteConnection) -> Result<(u64, [u8; 32]), Fault> {
    let mut fresh = [0; 32];
    getrandom::fill(&mut fresh).map_err(|error| sqlx::Error::Io(io::Error::other(error)))?;
    let row = sqlx::query(
        "INSERT INTO meta (one, boot, key, last_number) VALUES (1, 1, ?, 0) \
         ON CONFLICT (one) DO UPDATE SET boot = boot + 1 RETURNING boot, key",
    )
    .bind(fresh.as_slice())
    .fetch_all(connection)
    .await?
    .pop()
    .ok_or(sqlx::Error::RowNotFound)?;
    Ok((row.try_get::<i64, _>(0)?.unsigned_abs(), key(row.try_get(1)?)?))
}

fn key(bytes: &[u8]) -> Result<[u8; 32], sqlx::Error> {
    bytes.try_into().map_err(|_| sqlx::Error::Decode("the store's key has the wrong length".into()))
}

fn at(location: &str, source: impl Into<Cause>) -> OpenError {
    OpenError::Unavailable { location: location.to_owned(), source: source.into() }
}

/// What went wrong before it is known where.
enum Fault {
    Open(OpenError),
    Sqlite(sqlx::Error),
    Migrate(MigrateError),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Fault::Sqlite(error)
    }
}

impl From<MigrateError> for Fault {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => Fault::Sqlite(error),
            error => Fault::Migrate(error),
        }
    }
}

impl Fault {
    fn at(self, location: &str) -> OpenError {
        match self {
            Fault::Open(error) => error,
            Fault::Sqlite(error) if fault::is_no_database(&error) => {
                OpenError::Foreign { location: location.to_owned(), why: "it is no SQLite database".to_owned() }
            }
            Fault::Sqlite(error) if fault::is_corruption(&error) => {
                OpenError::Corrupt { location: location.to_owned(), source: error.into() }
            }
            Fault::Sqlite(error) => at(location, error),
            Fault::Migrate(error) => at(location, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_migration_is_the_schema_that_the_header_tells() {
        let last = MIGRATIONS.iter().last().expect("there are migrations");
        assert_eq!(last.version, SCHEMA);
        assert!(last.sql.as_str().contains(&format!("PRAGMA user_version = {SCHEMA};")));
        let first = MIGRATIONS.iter().next().expect("there are migrations");
        assert!(first.sql.as_str().contains(&format!("PRAGMA application_id = {:#x};", header::APPLICATION_ID)));
    }
}

//! Opening a store: whose file it is, who has it, what it must become, and that it syncs as it should.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, Row as _, SqliteConnection, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{SqliteStore, checkpoint::Checkpointer, error::is_corrupt};
use crate::store::{Identity, OpenError};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Marks our files: "twr1". Stands at offset 68 of the header.
const APPLICATION_ID: i32 = 0x7477_7231;

/// Reads go through so many connections: a slow list must not hold up every other read.
const READERS: u32 = 3;

/// How long SQLite itself waits for a lock, so that a commit answers in time.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// Where a store is and how it syncs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The database file.
    pub path: PathBuf,
    /// How commits are synced.
    pub synchronous: Synchronous,
}

/// How commits are synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// Not at all: a power cut may damage the store.
    Off,
    /// At checkpoints: a power cut may lose acknowledged starts.
    Normal,
    /// Every commit.
    #[default]
    Full,
    /// Every commit, and the folder too.
    Extra,
}

impl Settings {
    /// Reads `sqlite:///absolute/path.db` or `sqlite://relative.db`.
    ///
    /// # Errors
    /// [`OpenError::Url`] for anything else.
    pub fn from_url(url: &str) -> Result<Self, OpenError> {
        let path = url.strip_prefix("sqlite://").filter(|path| {
            !path.is_empty() && !path.ends_with('/') && !path.contains(['?', '#', '\0']) && *path != ":memory:"
        });
        let path = path.ok_or_else(|| OpenError::Url { url: url.to_owned() })?;
        Ok(Settings { path: PathBuf::from(path), synchronous: Synchronous::Full })
    }
}

impl SqliteStore {
    /// Opens the store, or makes it. Holds its lock until it is closed.
    ///
    /// # Errors
    /// [`OpenError`]; the file is not changed then.
    pub async fn open(settings: &Settings) -> Result<SqliteStore, OpenError> {
        let path = &settings.path;
        let location = path.display().to_string();
        let unavailable =
            |source: io::Error| OpenError::Unavailable { location: location.clone(), source: source.into() };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unavailable)?;
        }
        let (lock, tag) = take_lock(path, &location)?;
        inspect(path, &location)?;
        if !path.exists() {
            // Made here and not by SQLite, so that only we can read it from the first moment on.
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(unavailable)?;
        }
        let failed = |source: sqlx::Error| match is_corrupt(&source) {
            true => OpenError::Corrupt { location: location.clone(), source: source.into() },
            false => OpenError::Unavailable { location: location.clone(), source: source.into() },
        };

        let options = options(path, settings.synchronous);
        let mut writer = options.connect().await.map_err(failed)?;
        migrate(&mut writer).await.map_err(|error| match error {
            sqlx::migrate::MigrateError::Execute(error) | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => {
                failed(error)
            }
            other => OpenError::Corrupt { location: location.clone(), source: other.into() },
        })?;
        let (boot, key) = begin_boot(&mut writer).await.map_err(failed)?;
        let identity = identity(&mut writer, boot, key, tag, &location).await.map_err(failed)?;
        let readers = readers(path).await.map_err(failed)?;
        let checkpointer = Checkpointer::start(options).await.map_err(failed)?;
        let next = next_number(&mut writer).await.map_err(failed)?;
        Ok(SqliteStore::new(writer, readers, checkpointer, identity, next, Some(lock)))
    }

    /// Opens the store to look at it, beside a daemon that has it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_for_check(path: &Path) -> Result<SqliteStore, OpenError> {
        let location = path.display().to_string();
        if !path.is_file() {
            let source = io::Error::from(io::ErrorKind::NotFound);
            return Err(OpenError::Unavailable { location, source: source.into() });
        }
        inspect(path, &location)?;
        let failed = |source: sqlx::Error| match is_corrupt(&source) {
            true => OpenError::Corrupt { location: location.clone(), source: source.into() },
            false => OpenError::Unavailable { location: location.clone(), source: source.into() },
        };
        let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(Duration::from_secs(5));
        let mut connection = options.connect().await.map_err(failed)?;
        let identity = identity(&mut connection, 0, [0; 32], String::new(), &location).await.map_err(failed)?;
        let readers = readers(path).await.map_err(failed)?;
        Ok(SqliteStore::new(connection, readers, Checkpointer::none(), identity, 0, None))
    }
}

fn options(path: &Path, synchronous: Synchronous) -> SqliteConnectOptions {
    let synchronous = match synchronous {
        Synchronous::Off => SqliteSynchronous::Off,
        Synchronous::Normal => SqliteSynchronous::Normal,
        Synchronous::Full => SqliteSynchronous::Full,
        Synchronous::Extra => SqliteSynchronous::Extra,
    };
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .busy_timeout(BUSY_TIMEOUT)
        // Triggers and `fsck` guard what keys would; keys would cost a look-up a row.
        .foreign_keys(false)
        // Checkpoints have a connection of their own: none runs inside a COMMIT.
        .pragma("wal_autocheckpoint", "0")
        .pragma("cache_size", "-4096")
        // A temporary file could fail for want of descriptors or space.
        .pragma("temp_store", "MEMORY")
        .statement_cache_capacity(256)
        // Rows cross a channel: with room for a whole batch's, the two threads need not take turns.
        .row_buffer_size(1024)
        .disable_statement_logging()
}

async fn readers(path: &Path) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", "-1024")
        .pragma("temp_store", "MEMORY")
        .statement_cache_capacity(128)
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(READERS)
        .min_connections(0)
        .acquire_timeout(Duration::from_secs(5))
        // A closed connection loses its page and statement caches.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_with(options)
        .await
}

fn take_lock(path: &Path, location: &str) -> Result<(File, String), OpenError> {
    let unavailable =
        |source: io::Error| OpenError::Unavailable { location: location.to_owned(), source: source.into() };
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(PathBuf::from(name))
        .map_err(unavailable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { location: location.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(unavailable(source)),
    }
    let metadata = file.metadata().map_err(unavailable)?;
    Ok((file, format!("{}:{}", metadata.dev(), metadata.ino())))
}

/// Looks at the header before SQLite does: a file that is not ours is not touched. Later the file is never opened
/// by other means, since closing any descriptor would drop SQLite's locks.
fn inspect(path: &Path, location: &str) -> Result<(), OpenError> {
    let foreign = |why: &str| Err(OpenError::Foreign { location: location.to_owned(), why: why.to_owned() });
    let mut header = Vec::with_capacity(100);
    match File::open(path) {
        Ok(file) if file.metadata().is_ok_and(|metadata| metadata.is_dir()) => return foreign("it is a folder"),
        Ok(file) => {
            let read = file.take(100).read_to_end(&mut header);
            read.map_err(|source| OpenError::Unavailable { location: location.to_owned(), source: source.into() })?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(OpenError::Unavailable { location: location.to_owned(), source: source.into() }),
    }
    if header.is_empty() {
        return Ok(());
    }
    if !header.starts_with(b"SQLite format 3\0") {
        return foreign("it is no SQLite file");
    }
    let Some(word) = header.get(60..64).zip(header.get(68..72)) else {
        return foreign("it is cut off");
    };
    let number = |bytes: &[u8]| bytes.iter().fold(0_i64, |number, byte| (number << 8) | i64::from(*byte));
    let (found, application_id) = (number(word.0), number(word.1));
    if application_id != i64::from(APPLICATION_ID) {
        return foreign("it is another program's SQLite file");
    }
    let known = newest_schema();
    if found > known {
        return Err(OpenError::Newer { location: location.to_owned(), found, known });
    }
    Ok(())
}

fn newest_schema() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Runs the migrations that are missing. The header is set in the transaction of the last, so that a file is either
/// whole and ours, or not yet begun.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), sqlx::migrate::MigrateError> {
    let schema: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    if schema == newest_schema() {
        return Ok(());
    }
    MIGRATIONS.run(connection).await
}

async fn begin_boot(connection: &mut SqliteConnection) -> Result<(u64, [u8; 32]), sqlx::Error> {
    let mut fresh = [0_u8; 32];
    getrandom::fill(&mut fresh).map_err(|error| sqlx::Error::Io(io::Error::other(error.to_string())))?;
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("INSERT INTO meta (name, value) VALUES ('key', ?1), ('boot', x'30') ON CONFLICT DO NOTHING")
        .bind(fresh.as_slice())
        .execute(&mut *transaction)
        .await?;
    let boot: i64 = sqlx::query_scalar(
        "UPDATE meta SET value = CAST(CAST(CAST(value AS TEXT) AS INTEGER) + 1 AS BLOB) WHERE name = 'boot'
         RETURNING CAST(CAST(value AS TEXT) AS INTEGER)",
    )
    .fetch_one(&mut *transaction)
    .await?;
    let key: Vec<u8> =
        sqlx::query_scalar("SELECT value FROM meta WHERE name = 'key'").fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    let key = key.try_into().map_err(|_| sqlx::Error::Decode("the store's key is not 32 bytes long".into()))?;
    Ok((boot.unsigned_abs(), key))
}

async fn identity(
    connection: &mut SqliteConnection,
    boot: u64,
    key: [u8; 32],
    tag: String,
    location: &str,
) -> Result<Identity, sqlx::Error> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut *connection).await?;
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await?;
    if !journal.eq_ignore_ascii_case("wal") {
        let error = format!("journal_mode is {journal}, not wal: the file system cannot share memory");
        return Err(sqlx::Error::Io(io::Error::other(error)));
    }
    let synchronous: i64 = sqlx::query("PRAGMA synchronous").fetch_one(&mut *connection).await?.try_get(0)?;
    let synchronous = match synchronous {
        0 => "off",
        1 => "normal",
        2 => "full",
        _ => "extra",
    };
    Ok(Identity {
        boot,
        tag,
        key,
        backend: format!("SQLite {version}"),
        synchronous: synchronous.to_owned(),
        location: location.to_owned(),
    })
}

async fn next_number(connection: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let last: Option<i64> = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'instances'")
        .fetch_optional(&mut *connection)
        .await?;
    Ok(last.unwrap_or(0).unsigned_abs() + 1)
}

impl FromStr for Synchronous {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "off" => Ok(Synchronous::Off),
            "normal" => Ok(Synchronous::Normal),
            "full" => Ok(Synchronous::Full),
            "extra" => Ok(Synchronous::Extra),
            _ => Err(format!("`{word}` is none of off, normal, full, extra")),
        }
    }
}

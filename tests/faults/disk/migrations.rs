//! A daemon that is killed while it brings an older store up to date: the next one finishes, and no row is lost.

use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
};

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection, migrate::Migrator, sqlite::SqliteConnectOptions,
};

use super::tried::Tried;
use crate::{
    lane,
    support::server::{TestServer, run},
};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

async fn open(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    options.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal).connect().await.unwrap()
}

async fn migrate(connection: &mut SqliteConnection, to: i64) {
    let known: Vec<_> = MIGRATIONS.iter().filter(|migration| migration.version <= to).cloned().collect();
    Migrator { migrations: Cow::Owned(known), ..Migrator::DEFAULT }.run(connection).await.unwrap();
}

/// A store as a daemon of this schema has left it, with instances in each status.
async fn of_schema(schema: i64, path: &Path) {
    let mut connection = open(path).await;
    migrate(&mut connection, 1).await;
    // Of the last minutes, so that nothing is forgotten or put together yet.
    let began = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() - 3_600_000_000;
    let rows = format!(
        "INSERT INTO meta (one, boot, key, last_number) VALUES (1, 3, zeroblob(32), 0); \
        WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 300) \
        INSERT INTO instances (number, id, task_id, workload, status, ready, priority, attempt, max_attempts, version, \
            batch, progress, error, retry_delay, run_at, created_at, started_at, finished_at, updated_at, node) \
        SELECT n, randomblob(16), CASE n % 2 WHEN 0 THEN 'sleep' ELSE 'checksum' END, 0, 2 + n % 3, 0, 0, 1, 1, 2, 7, 0.5, \
            CASE n % 3 WHEN 1 THEN '{{\"kind\":\"handler\",\"message\":\"x\",\"causes\":[],\"attempt\":1}}' END, \
            1000000, t, t, t + 1000, t + 2000 + n * 1000, t + 2000 + n * 1000, 'here' \
            FROM (SELECT n, {began} + n * 1000000 AS t FROM n); \
        INSERT INTO inputs SELECT number, '{{\"seconds\":' || number || '}}' FROM instances; \
        "
    );
    sqlx::raw_sql(AssertSqlSafe(rows)).execute(&mut connection).await.unwrap();
    migrate(&mut connection, schema).await;
    connection.close().await.unwrap();
}

/// Everything that a store holds, but for how often it was opened.
async fn content(path: &Path) -> Vec<String> {
    let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await.unwrap();
    let schema = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1";
    let mut content: Vec<String> =
        sqlx::query(schema).fetch_all(&mut connection).await.unwrap().iter().map(|row| row.get(0)).collect();
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1";
    for table in sqlx::query(tables).fetch_all(&mut connection).await.unwrap() {
        let table: String = table.get(0);
        let columns = format!(
            "SELECT group_concat('quote(' || name || ')', '||'',''||') FROM pragma_table_info('{table}') \
            WHERE name NOT IN ('boot', 'installed_on', 'execution_time')"
        );
        let columns: String = sqlx::query(AssertSqlSafe(columns)).fetch_one(&mut connection).await.unwrap().get(0);
        let rows = format!("SELECT {columns} FROM \"{table}\" ORDER BY 1");
        let rows = sqlx::query(AssertSqlSafe(rows)).fetch_all(&mut connection).await.unwrap();
        content.extend(rows.iter().map(|row| format!("{table}: {}", row.get::<String, _>(0))));
    }
    connection.close().await.unwrap();
    content
}

fn copy(from: &Path, to: &Path) {
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", to.display()));
    }
    fs::copy(from, to).unwrap();
}

#[tokio::test]
async fn a_migration_that_is_killed_anywhere_is_made_by_the_next_daemon() {
    // From the first one all are gone through.
    for schema in 1..=i64::from(lane::count(1, MIGRATIONS.iter().count() as u32 - 1)) {
        let mut server = TestServer::start().await;
        assert!(server.stop().await.success());
        let older = server.folder().join("older.db");
        of_schema(schema, &older).await;
        copy(&older, &server.database());
        server.restart().await;
        assert!(server.stop().await.success());
        server.fsck();
        let wanted = content(&server.database()).await;
        assert!(wanted.len() > 600, "{}", wanted.len());

        let mut kills = 0;
        for call in ["pwrite64", "fdatasync", "ftruncate", "unlink"] {
            let step = if call == "pwrite64" { lane::count(3, 1) } else { 1 };
            for nth in (1..).step_by(step as usize) {
                copy(&older, &server.database());
                if !is_killed(&server, call, nth).await {
                    break;
                }
                kills += 1;
                let found = run(&["fsck", "--database", &server.database_url()]);
                let is_older = String::from_utf8_lossy(&found.stderr).contains("its schema is older");
                assert!(found.status.success() || is_older, "{call} {nth}: {found:?}");
                server.restart().await;
                assert!(server.stop().await.success());
                server.fsck();
                let found = content(&server.database()).await;
                let differ =
                    found.iter().find(|row| !wanted.contains(row)).or(wanted.iter().find(|row| !found.contains(row)));
                assert!(differ.is_none(), "from schema {schema}, killed at {call} {nth}: {differ:?}");
            }
        }
        println!("from schema {schema}: killed at {kills} places");
        assert!(kills > 10, "{kills}");
    }
}

/// Starts a daemon that is killed at its `nth` such call. Answers false where it came to listen.
async fn is_killed(server: &TestServer, call: &str, nth: u32) -> bool {
    let inject = format!("inject={call}:signal=SIGKILL:when={nth}");
    let through = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject];
    let through: Vec<String> = through.iter().map(ToString::to_string).collect();
    Tried::start(server, &through).outcome().await.is_err()
}

/// The control: a store whose rows were not carried over is noticed.
#[tokio::test]
async fn control_a_row_that_is_lost_on_the_way_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("store.db");
    of_schema(1, &path).await;
    let before = content(&path).await;
    let mut connection = open(&path).await;
    sqlx::query("DELETE FROM inputs WHERE number = 7").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert_ne!(content(&path).await, before);
}

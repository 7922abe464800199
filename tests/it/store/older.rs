//! Stores that earlier versions have left.

use std::{borrow::Cow, path::PathBuf, sync::Arc};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, migrate::Migrator, sqlite::SqliteConnectOptions};
use taskwright::{
    domain::{StatsQuery, Status},
    store::{
        Finish, OpenError, Report,
        sqlite::{Settings, SqliteStore},
    },
};
use tempfile::TempDir;

use super::{scene::*, sqlite::connect};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// A store of schema 4, in which all payloads stand beside the rows of their instances.
async fn of_schema_4(path: &PathBuf) {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = options.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal).connect().await.expect("a file");
    for to in [1, 4] {
        let known: Vec<_> = MIGRATIONS.iter().filter(|migration| migration.version <= to).cloned().collect();
        let migrator = Migrator { migrations: Cow::Owned(known), ..Migrator::DEFAULT };
        migrator.run(&mut connection).await.expect("it is brought up to date");
        if to == 1 {
            let long = "x".repeat(1000);
            let rows = format!(
                "INSERT INTO meta (one, boot, key, last_number) VALUES (1, 3, zeroblob(32), 5); \
                 INSERT INTO instances (number, id, task_id, workload, status, ready, priority, attempt, max_attempts, \
                    version, batch, progress, retry_delay, run_at, created_at, started_at, finished_at, updated_at, node) \
                 SELECT column1, randomblob(16), 'a', 0, column2, column3, 0, column4, 3, 2, 7, 0.0, 1000000, t, t, \
                    iif(column4 > 0, t, NULL), NULL, t + 5, iif(column4 > 0, 'here', NULL) \
                 FROM (VALUES (1, 1, 0, 1), (2, 0, 1, 1), (3, 1, 0, 1), (4, 0, 1, 0), (5, 1, 0, 1)), \
                    (SELECT 1690000000000000 AS t); \
                 INSERT INTO attempts (number, attempt, node, started_at, finished_at, ended) \
                    VALUES (2, 1, 'here', 1690000000000000, 1690000000000005, 'interrupted'); \
                 INSERT INTO inputs SELECT number, '{{\"n\":' || number || '}}' FROM instances; \
                 INSERT INTO outputs VALUES (1, '{{\"old\":1}}'), (2, '{{\"old\":2}}'), (3, '{{\"old\":3}}'), \
                    (5, '{{\"old\":\"{long}\"}}'); \
                 UPDATE instances SET status = 2, finished_at = started_at + 5 WHERE number = 3"
            );
            sqlx::raw_sql(AssertSqlSafe(rows)).execute(&mut connection).await.expect("the rows");
        }
    }
    connection.close().await.expect("it closes");
}

#[tokio::test]
async fn a_store_whose_payloads_stand_beside_the_rows_goes_on() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("store.db");
    of_schema_4(&path).await;
    let error = SqliteStore::open_for_check(&path).await.err().expect("it is not up to date");
    assert!(matches!(error, OpenError::Older { found: 4, .. }), "{error:?}");
    assert!(error.to_string().contains("start `taskwright serve` once"), "{error}");
    let store = SqliteStore::open(Settings::at(&path)).await.expect("it opens");
    let scene = Scene::new(Arc::new(store), folder);
    scene.is_sound().await;
    for number in [1, 2, 3, 4, 5] {
        assert_eq!(scene.get(number).await.inputs, json(&format!("{{\"n\":{number}}}")));
    }
    let always =
        StatsQuery { task_id: None, from: scene.now(), bucket: std::time::Duration::from_secs(60), buckets: 1 };
    let stats = scene.store.stats(&always).await.expect("it reads");
    assert_eq!(stats.by_status, [2, 2, 1, 0, 0], "pending, running, completed, failed, cancelled");

    let short = Report { output: Some(Some(json("{\"new\":1}"))), ..report(1, 1) };
    scene.commit(|batch| batch.reports.push(short)).await;
    let done = Finish { output: Some(Some(json("{\"new\":5}"))), ..finish(5, 1) };
    scene.commit(|batch| batch.finishes.push(done)).await;
    for (number, output) in [(1, "{\"new\":1}"), (2, "{\"old\":2}"), (3, "{\"old\":3}"), (5, "{\"new\":5}")] {
        assert_eq!(scene.get(number).await.output, Some(json(output)));
    }
    // What was replaced is gone.
    let mut beside = connect(&path).await;
    let left = sqlx::query("SELECT number FROM outputs ORDER BY 1").fetch_all(&mut beside).await.expect("it reads");
    assert_eq!(left.iter().map(|row| row.get::<i64, _>(0)).collect::<Vec<_>>(), [2, 3]);
    beside.close().await.expect("it closes");

    assert_eq!(scene.claim("a", 5).await, [2, 4]);
    assert_eq!(scene.get(2).await.output, None, "of the attempt before");
    scene.commit(|batch| batch.finishes = vec![finish(1, 1), finish(2, 2), finish(4, 1)]).await;
    for number in [1, 2, 3, 4, 5] {
        assert_eq!(scene.get(number).await.status(), Status::Completed);
    }
    scene.is_sound().await;
    scene.store.close().await;
}

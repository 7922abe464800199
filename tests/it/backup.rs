//! `taskwright backup`: a copy of the store, beside a running daemon.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, symlink},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, sqlite::SqliteConnectOptions};
use tempfile::{TempDir, tempdir};

use super::support::{
    server::{TestServer, command, run},
    wait_for,
};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn backup(database: &str, target: &Path, more: &[&str]) -> Output {
    command().args(["backup", "--database", database]).arg(target).args(more).output().expect("the binary runs")
}

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

/// What a query answers as one text.
async fn ask(path: &Path, sql: &str) -> String {
    let mut connection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await.expect("it opens");
    let row = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.expect("it answers");
    connection.close().await.expect("it closes");
    row.get(0)
}

/// The names of the files in a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A store that a daemon has made and closed.
async fn closed() -> (TempDir, PathBuf) {
    let mut server = TestServer::start().await;
    server.start_task("sleep", json!({"seconds": 0})).await;
    server.wait_done(1).await;
    assert!(server.stop().await.success());
    let folder = tempdir().unwrap();
    let path = folder.path().join("store.db");
    fs::copy(server.database(), &path).unwrap();
    (folder, path)
}

#[tokio::test]
async fn backups_under_load_are_sound_and_hold_every_acknowledged_start() {
    let server = Arc::new(TestServer::start().await);
    let (acknowledged, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (server, acknowledged, over) = (Arc::clone(&server), Arc::clone(&acknowledged), Arc::clone(&over));
        clients.spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let started = server.start_task("sleep", json!({"seconds": 0.01})).await;
                acknowledged.fetch_max(started["number"].as_u64().unwrap(), Ordering::SeqCst);
            }
        });
    }
    let folder = tempdir().unwrap();
    let mut last = 0;
    for n in 0..5 {
        let before = wait_for("more starts", async || {
            let now = acknowledged.load(Ordering::SeqCst);
            (now >= last + 20).then_some(now)
        })
        .await;
        last = before;
        let target = folder.path().join(format!("{n}.db"));
        let (database, to) = (server.database_url(), target.clone());
        let output = tokio::task::spawn_blocking(move || backup(&database, &to, &[])).await.unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = text(&output.stdout);
        assert!(said.starts_with(&target.display().to_string()) && said.contains(" instances up to number "), "{said}");
        let found = run(&["fsck", "--database", &url(&target)]);
        assert_eq!((found.status.code(), text(&found.stdout).as_str()), (Some(0), ""), "{}", text(&found.stderr));
        // Numbers have no gaps: each start up to the last acknowledged one is there.
        let there = ask(&target, &format!("SELECT count(*) || '' FROM instances WHERE number <= {before}")).await;
        assert_eq!(there, before.to_string());
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    }
    over.store(true, Ordering::SeqCst);
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    assert_eq!(files(folder.path()).len(), 5, "{:?}", files(folder.path()));
    server.fsck();
}

#[tokio::test]
async fn a_daemon_takes_a_backup_as_it_is() {
    let mut server = TestServer::start().await;
    let running = server.start_task("sleep", json!({"seconds": 60})).await;
    let done = server.start_task("sleep", json!({"seconds": 0})).await;
    let done = server.wait_done(&done["number"]).await;
    let folder = tempdir().unwrap();
    let target = folder.path().join("copy.db");
    assert!(backup(&server.database_url(), &target, &[]).status.success());
    for sql in ["SELECT hex(key) FROM meta", "SELECT hex(id) FROM instances WHERE number = 1"] {
        assert_eq!(ask(&target, sql).await, ask(&server.database(), sql).await);
    }
    server.kill9();
    let store = server.database().parent().unwrap().to_owned();
    fs::remove_dir_all(&store).unwrap();
    fs::create_dir(&store).unwrap();
    fs::copy(&target, server.database()).unwrap();
    server.restart().await;
    assert_eq!(server.get(done["id"].as_str().unwrap()).await, done);
    // What ran at that moment did not survive, and no number is given twice.
    let settled = server.wait_done(running["id"].as_str().unwrap()).await;
    assert_eq!(settled["error"]["kind"], "interrupted");
    assert_eq!(server.start_task("sleep", json!({"seconds": 0})).await["number"], 3);
    server.fsck();
}

#[tokio::test]
async fn a_closed_store_is_backed_up_too() {
    let (folder, store) = closed().await;
    let own = fs::read(&store).unwrap();
    let target = folder.path().join("copy.db");
    let output = backup(&url(&store), &target, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::read(&store).unwrap(), own);
    let said =
        format!("{}: {} bytes, 1 instances up to number 1", target.display(), fs::metadata(&target).unwrap().len());
    assert!(text(&output.stdout).starts_with(&said), "{}", text(&output.stdout));
    assert!(files(folder.path()).iter().all(|name| !name.starts_with("copy.db-") && !name.contains("partial")));
    // A relative name lies where the command runs; the configuration tells the store.
    let config = folder.path().join("config.toml");
    fs::write(&config, format!("database.url = '{}'", url(&store))).unwrap();
    let output = command().args(["backup", "--config", "config.toml", "other.db"]).current_dir(folder.path()).output();
    assert!(output.unwrap().status.success());
    assert_eq!(fs::read(folder.path().join("other.db")).unwrap(), fs::read(&target).unwrap());
}

#[tokio::test]
async fn a_store_of_an_older_version_is_backed_up_before_it_is_brought_up_to_date() {
    let (folder, store) = closed().await;
    let mut connection = SqliteConnectOptions::new().filename(&store).connect().await.unwrap();
    let back = "DROP VIEW totals; DROP TABLE minutes; DROP TRIGGER instances_gone_are_counted; PRAGMA user_version = 1";
    sqlx::raw_sql(back).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let target = folder.path().join("copy.db");
    let output = backup(&url(&store), &target, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).ends_with("schema 1\n"), "{}", text(&output.stdout));
}

#[tokio::test]
async fn nothing_is_overwritten_unasked() {
    let (folder, store) = closed().await;
    let target = folder.path().join("copy.db");
    fs::write(&target, "precious").unwrap();
    let refused = |output: &Output, code: i32, said: &str| {
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.starts_with("taskwright: ") && error.contains(said), "{error}");
        assert_eq!(text(&output.stdout), "");
    };
    refused(&backup(&url(&store), &target, &[]), 1, "exists: give another name, or --force");
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    // What another database left beside it would be read as a part of it.
    let wal = folder.path().join("copy.db-wal");
    fs::write(&wal, "old").unwrap();
    refused(&backup(&url(&store), &target, &["--force"]), 1, "copy.db-wal is left from another database");
    fs::remove_file(&wal).unwrap();
    assert!(backup(&url(&store), &target, &["--force"]).status.success());
    assert!(run(&["fsck", "--database", &url(&target)]).status.success());

    refused(&backup(&url(&store), std::path::Path::new("-"), &[]), 2, "a backup is made as a file, not on stdout");

    // The store of another daemon, whose log holds what was acknowledged.
    let server = TestServer::start().await;
    server.start_task("sleep", serde_json::json!({"seconds": 0})).await;
    for flags in [&[][..], &["--force"]] {
        refused(&backup(&url(&store), &server.database(), flags), 2, "is the store of a running daemon");
    }
    server.fsck();

    // The store itself, by any name.
    let own = fs::read(&store).unwrap();
    symlink(&store, folder.path().join("link.db")).unwrap();
    for name in ["store.db", "link.db", "store.db-wal", "store.db.lock", "./store.db"] {
        let output = backup(&url(&store), &folder.path().join(name), &["--force"]);
        refused(&output, 2, "belongs to the store itself");
    }
    assert_eq!(fs::read(&store).unwrap(), own);
    refused(&backup(&url(&store), folder.path(), &["--force"]), 2, "is no regular file");
    refused(&backup(&url(&store), &folder.path().join("none/copy.db"), &[]), 1, "cannot write");
    let fresh = folder.path().join("fresh.db");
    refused(&backup(&url(&folder.path().join("none.db")), &fresh, &[]), 69, "cannot open the store");
    fs::write(folder.path().join("diary.txt"), "Dear diary").unwrap();
    refused(&backup(&url(&folder.path().join("diary.txt")), &fresh, &[]), 69, "is not a taskwright store");
    refused(&backup("postgres://h/d", &fresh, &[]), 78, "--database");
    assert!(!fresh.exists());
    assert!(files(folder.path()).iter().all(|name| !name.contains("partial")), "{:?}", files(folder.path()));
    assert_eq!(run(&["backup"]).status.code(), Some(2));
}

#[tokio::test]
async fn a_backup_that_is_interrupted_leaves_nothing() {
    let (folder, store) = closed().await;
    // Enough that it takes a while.
    let mut connection = SqliteConnectOptions::new().filename(&store).connect().await.unwrap();
    let grow = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 60000) \
        INSERT INTO inputs (number, body) SELECT 1000 + n, hex(randomblob(1500)) FROM n";
    sqlx::raw_sql(grow).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let target = folder.path().join("copy.db");
    let mut child = command()
        .args(["backup", "--database", &url(&store)])
        .arg(&target)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let is_partial = |name: &String| name.contains("partial");
    wait_for("the copy to begin", async || files(folder.path()).iter().any(is_partial).then_some(())).await;
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = wait_for("its end", async || child.try_wait().unwrap()).await;
    if status.success() {
        // It was faster than the signal.
        return;
    }
    assert_eq!((status.code(), status.signal()), (Some(143), None));
    assert!(
        !files(folder.path()).iter().any(|name| is_partial(name) || name == "copy.db"),
        "{:?}",
        files(folder.path())
    );
}

//! Which files SQLite's store opens, and which it leaves as they are.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use taskwright::store::{
    Answer, OpenError, Store,
    sqlite::{Settings, SqliteStore, Synchronous},
};
use tempfile::TempDir;

use super::scene::*;

fn folder() -> TempDir {
    TempDir::new().expect("a temporary folder")
}

async fn open(path: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(Settings::at(path)).await
}

/// A closed store with one instance, and its bytes.
async fn made(folder: &TempDir) -> (PathBuf, Vec<u8>) {
    let path = folder.path().join("store.db");
    let store = open(&path).await.expect("it opens");
    let scene = Scene::new(Arc::new(store), ());
    scene.start((0..50).map(|_| new("a"))).await;
    scene.store.close().await;
    let bytes = fs::read(&path).expect("it reads");
    (path, bytes)
}

/// Opening fails, and neither the file nor anything beside it changes, but for the lock.
async fn refused(path: &Path) -> OpenError {
    let before = fs::read(path).expect("it reads");
    let error = open(path).await.err().expect("it is refused");
    assert!(fs::read(path).expect("it reads") == before, "the file was changed");
    for suffix in ["-wal", "-shm", "-journal"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(suffix);
        assert!(!Path::new(&beside).exists(), "{suffix} was made");
    }
    error
}

#[tokio::test]
async fn a_new_store_is_private_and_says_what_it_is() {
    let folder = folder();
    let path = folder.path().join("deep/er/store.db");
    let store = open(&path).await.expect("it opens");
    let identity = store.identity();
    assert_eq!((identity.boot, &*identity.synchronous), (1, "full"));
    assert!(identity.backend.starts_with("SQLite 3."), "{}", identity.backend);
    assert_eq!(identity.location, path.display().to_string());
    assert!(identity.tag.contains(':') && identity.key != [0; 32]);
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().expect("a folder")), 0o700);
    for suffix in ["", "-wal", "-shm", ".lock"] {
        assert_eq!(mode(&PathBuf::from(format!("{}{suffix}", path.display()))), 0o600, "{suffix}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_store_keeps_its_key_and_counts_its_boots() {
    let folder = folder();
    let (path, _) = made(&folder).await;
    let second = open(&path).await.expect("it opens");
    let (boot, key, tag) = (second.identity().boot, second.identity().key, second.identity().tag.clone());
    assert_eq!(boot, 2);
    second.close().await;
    let third = open(&path).await.expect("it opens");
    assert_eq!((third.identity().boot, third.identity().key, &third.identity().tag), (3, key, &tag));
    assert_eq!(third.backlog().await.expect("it reads").pending, 50);
    third.close().await;
}

#[tokio::test]
async fn each_level_of_syncing_is_read_back() {
    let folder = folder();
    let path = folder.path().join("store.db");
    for level in [Synchronous::Normal, Synchronous::Off, Synchronous::Extra, Synchronous::Full] {
        let settings = Settings { synchronous: level, ..Settings::at(&path) };
        let store = SqliteStore::open(settings).await.expect("it opens");
        assert_eq!(store.identity().synchronous, level.as_str());
        store.close().await;
    }
}

#[tokio::test]
async fn a_second_daemon_is_refused() {
    let folder = folder();
    let path = folder.path().join("store.db");
    let first = open(&path).await.expect("it opens");
    let second = open(&path).await.err().expect("it is refused");
    assert!(matches!(&second, OpenError::InUse { location } if *location == path.display().to_string()), "{second:?}");
    first.close().await;
    open(&path).await.expect("it opens once the first is closed").close().await;
}

#[tokio::test]
async fn a_link_to_a_store_is_that_store() {
    let (folder, elsewhere) = (folder(), folder());
    let (path, _) = made(&folder).await;
    let link = elsewhere.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).expect("it links");
    // As if the file had been moved: this log is of no use, and nothing may be synced there.
    let stale = elsewhere.path().join("link.db-wal");
    fs::write(&stale, b"stale").expect("it writes");

    let store = open(&link).await.expect("it opens");
    let second = open(&path).await.err().expect("it is refused");
    assert!(matches!(second, OpenError::InUse { .. }), "{second:?}");
    let scene = Scene::new(Arc::new(store), ());
    let committed = scene
        .commit(|batch| {
            batch.answer = Answer::Written;
            batch.starts.extend((0..10).map(|_| one(new("a"))));
        })
        .await;
    assert!(path.with_extension("db-wal").exists(), "the log is beside the file");
    committed.synced.wait().await.expect("it is synced");
    scene.store.close().await;
    assert_eq!(fs::read(&stale).expect("it reads"), b"stale");
    let beside: Vec<_> =
        fs::read_dir(elsewhere.path()).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(beside.len(), 2, "{beside:?}");
    let reopened = Scene::new(Arc::new(open(&path).await.expect("it opens")), scene);
    assert_eq!(reopened.start([new("a")]).await, [61]);
    reopened.is_sound().await;
    reopened.store.close().await;
}

#[tokio::test]
async fn an_empty_file_is_a_new_store() {
    let folder = folder();
    let path = folder.path().join("store.db");
    fs::write(&path, b"").expect("it writes");
    let store = open(&path).await.expect("it opens");
    assert_eq!(store.identity().boot, 1);
    store.close().await;
}

#[tokio::test]
async fn a_daemon_killed_before_its_first_migration_leaves_a_new_store() {
    let folder = folder();
    let path = folder.path().join("store.db");
    // What the file is like once SQLite has switched it to its log, and nothing more.
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection = options.connect().await.expect("it connects");
    sqlx::query("PRAGMA journal_mode = WAL").execute(&mut connection).await.expect("it switches");
    connection.close().await.expect("it closes");
    assert!(fs::metadata(&path).expect("it is there").len() > 0);
    let store = open(&path).await.expect("it opens");
    assert_eq!(store.identity().boot, 1);
    store.close().await;
}

#[tokio::test]
async fn a_file_that_is_no_database_is_foreign() {
    let folder = folder();
    let path = folder.path().join("notes.txt");
    for bytes in [&b"Dear diary, "[..], b"x", b"SQLite format 2\0", &[0; 4096]] {
        fs::write(&path, bytes).expect("it writes");
        let error = refused(&path).await;
        assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn the_database_of_another_program_is_foreign() {
    for statements in [
        "CREATE TABLE t (x)",
        "PRAGMA application_id = 77",
        "PRAGMA application_id = 77; PRAGMA journal_mode = WAL; CREATE TABLE t (x)",
        "PRAGMA user_version = 6",
    ] {
        let folder = folder();
        let path = folder.path().join("other.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut connection = options.connect().await.expect("it connects");
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.expect(statements);
        connection.close().await.expect("it closes");
        let error = refused(&path).await;
        assert!(matches!(error, OpenError::Foreign { .. }), "{statements}: {error:?}");
    }
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused() {
    let folder = folder();
    let (path, mut bytes) = made(&folder).await;
    let known = i64::from(u32::from_be_bytes([bytes[60], bytes[61], bytes[62], bytes[63]]));
    bytes[60..64].copy_from_slice(&999_u32.to_be_bytes());
    fs::write(&path, &bytes).expect("it writes");
    let error = refused(&path).await;
    assert!(matches!(error, OpenError::Newer { found: 999, known: answered, .. } if answered == known), "{error:?}");
}

#[tokio::test]
async fn a_damaged_header_is_corrupt() {
    let folder = folder();
    let (path, bytes) = made(&folder).await;
    let mut page_size = bytes.clone();
    page_size[16..18].copy_from_slice(&[0x12, 0x34]);
    let mut fractions = bytes.clone();
    fractions[21] = 0;
    for (what, bytes) in [
        ("cut in its header", &bytes[..60]),
        ("cut in its magic", &bytes[..7]),
        ("cut after its header", &bytes[..100]),
        ("cut in the middle", &bytes[..bytes.len() / 2]),
        ("page size", &page_size[..]),
        ("fractions", &fractions[..]),
    ] {
        fs::write(&path, bytes).expect("it writes");
        let error = refused(&path).await;
        assert!(matches!(error, OpenError::Corrupt { .. }), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn damage_behind_the_header_is_corrupt() {
    let folder = folder();
    let (path, mut bytes) = made(&folder).await;
    // The root of the schema, from its header on.
    bytes[100..400].fill(0xa5);
    fs::write(&path, &bytes).expect("it writes");
    let error = open(&path).await.err().expect("it is refused");
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
    assert!(fs::read(&path).expect("it reads") == bytes, "the file was changed");
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let folder = folder();
    let error = open(folder.path()).await.err().expect("a folder is refused");
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
    fs::write(folder.path().join("file"), b"").expect("it writes");
    let error = open(&folder.path().join("file/store.db")).await.err().expect("a file is no folder");
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_crash_loses_nothing_that_was_committed() {
    let folder = folder();
    let (path, _) = made(&folder).await;
    let store = open(&path).await.expect("it opens");
    let scene = Scene::new(Arc::new(store), ());
    scene.start([new("b")]).await;
    // What a kill leaves: the file and its log as they are.
    let copy = folder.path().join("copy.db");
    for suffix in ["", "-wal"] {
        fs::copy(format!("{}{suffix}", path.display()), format!("{}{suffix}", copy.display())).expect("it copies");
    }
    let left = open(&copy).await.expect("it opens");
    assert_eq!(left.backlog().await.expect("it reads").pending, 51);
    assert_eq!(left.check().await.expect("it reads").findings, []);
    left.close().await;
    scene.store.close().await;
}

#[tokio::test]
async fn a_check_runs_beside_a_daemon() {
    let folder = folder();
    let (path, _) = made(&folder).await;
    let daemon = Scene::new(Arc::new(open(&path).await.expect("it opens")), ());
    daemon.running(new("b")).await;
    let check = SqliteStore::open_for_check(&path).await.expect("it opens");
    assert_eq!(check.check().await.expect("it reads").findings, []);
    assert_eq!(check.identity().boot, 2, "a check is no boot");
    assert_eq!(check.running().await.expect("it reads").len(), 1);
    assert!(check.commit(&daemon.batch()).await.is_err());
    check.close().await;
    daemon.running(new("b")).await;
    daemon.store.close().await;

    // Also without a daemon, and not without a store.
    let check = SqliteStore::open_for_check(&path).await.expect("it opens");
    assert_eq!(check.check().await.expect("it reads").findings, []);
    check.close().await;
    let missing = SqliteStore::open_for_check(folder.path().join("missing.db")).await;
    assert!(matches!(missing.err(), Some(OpenError::Unavailable { .. })));
    assert!(!folder.path().join("missing.db").exists());
    let text = folder.path().join("notes.txt");
    fs::write(&text, "Dear diary, ".repeat(500)).expect("it writes");
    assert!(SqliteStore::open_for_check(&text).await.is_err());
}

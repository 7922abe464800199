//! The store's files are not what was written: damaged, cut, or of a later version. Never a panic, never a new store in
//! the place of the old one.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use super::tried::Tried;
use crate::{
    lane,
    load::Load,
    random::Random,
    support::server::{TestServer, run},
};

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A stopped daemon's store with some hundred instances.
async fn made() -> TestServer {
    let mut server = TestServer::start().await;
    let load = Load::begin(&server, 8);
    load.acknowledges(400).await;
    load.end().await;
    assert!(server.stop().await.success());
    server
}

#[tokio::test]
async fn flipped_bytes_are_refused_or_told_and_never_reset_the_store() {
    let mut numbers = Random::new(lane::seed("flipped bytes"));
    let server = made().await;
    let good = fs::read(server.database()).unwrap();
    let (mut refused, mut served) = (0, 0);
    for round in 0..lane::count(12, 100) {
        let mut bytes = good.clone();
        // In the first round the header too, which tells whose file it is.
        let from = if round == 0 { 0 } else { 100 };
        for _ in 0..1000 {
            let at = from + numbers.within(0..(bytes.len() - from) as u64) as usize;
            bytes[at] ^= 1 + numbers.within(0..255) as u8;
        }
        // Some rounds spare the schema, so that damage is met later than at the door.
        if round % 3 == 2 {
            bytes[..8192].copy_from_slice(&good[..8192]);
        }
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(beside(&server.database(), suffix));
        }
        fs::write(server.database(), &bytes).unwrap();
        assert!(is_found_damaged(&server), "round {round}: fsck finds nothing");
        assert!(fs::read(server.database()).unwrap() == bytes, "fsck changed the file");

        let mut tried = Tried::start(&server, &[]);
        match tried.outcome().await {
            Err(status) => {
                refused += 1;
                assert!(matches!(status.code(), Some(1 | 69)), "round {round}: {status}\n{}", tried.said());
                assert!(tried.said().lines().count() > 0, "it does not say why");
            }
            Ok(url) => {
                served += 1;
                use_damaged(&mut tried, &url).await.unwrap();
            }
        }
        let said = tried.said();
        assert!(!said.contains("panicked"), "round {round}: {said}");
        let now = fs::read(server.database()).unwrap();
        assert!(now.len() >= good.len(), "round {round}: the file has become shorter");
    }
    println!("{refused} refused, {served} served");
    // Not a store of this test any more.
    fs::write(server.database(), &good).unwrap();
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(beside(&server.database(), suffix));
    }
    server.fsck();
}

/// Asks a daemon on a damaged store for everything: it answers, or says that it cannot.
async fn use_damaged(tried: &mut Tried, url: &str) -> Result<(), String> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(15)).build().unwrap();
    let mut paths = vec!["/v1/stats".to_owned(), "/v1/instances?status=completed&limit=500".to_owned()];
    paths.extend(["/v1/instances?limit=500", "/v1/instances?task_id=sleep&limit=500"].map(str::to_owned));
    paths.extend((1..400).step_by(7).map(|n| format!("/v1/instances/{n}")));
    for path in paths {
        match client.get(format!("{url}{path}")).send().await {
            Ok(answer) => {
                let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap_or_default());
                assert!(matches!(status, 200 | 404 | 500 | 503), "{path}: {status} {body}");
                if path == "/v1/instances?limit=500" && status == 200 {
                    let page: Value = serde_json::from_str(&body).unwrap();
                    if page["instances"].as_array().unwrap().is_empty() {
                        return Err(format!("the store was reset: {body}"));
                    }
                }
            }
            Err(error) => {
                assert!(tried.has_ended().is_some(), "{path}: {error}\n{}", tried.said());
            }
        }
    }
    for _ in 0..20 {
        let start =
            client.post(format!("{url}/v1/instances")).json(&json!({"task_id": "sleep", "inputs": {"seconds": 0}}));
        if let Ok(answer) = start.send().await {
            assert!(matches!(answer.status().as_u16(), 201 | 500 | 503), "{}", answer.status());
        }
    }
    let status = match tried.has_ended() {
        Some(status) => status,
        None => tried.end().await,
    };
    assert!(matches!(status.code(), Some(0 | 1)), "{status}\n{}", tried.said());
    Ok(())
}

fn is_found_damaged(server: &TestServer) -> bool {
    let found = run(&["fsck", "--database", &server.database_url()]);
    matches!(found.status.code(), Some(1 | 69))
}

/// The control: a whole store is not taken for a damaged one, and one that was reset is noticed.
#[tokio::test]
async fn control_a_store_that_was_reset_is_noticed() {
    let server = made().await;
    assert!(!is_found_damaged(&server));
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(beside(&server.database(), suffix));
    }
    let mut tried = Tried::start(&server, &[]);
    let url = tried.outcome().await.expect("it makes a new store");
    let why = use_damaged(&mut tried, &url).await.unwrap_err();
    assert!(why.contains("the store was reset"), "{why}");
}

#[tokio::test]
async fn of_a_log_that_was_cut_the_whole_commits_before_the_cut_are_left() {
    let mut numbers = Random::new(lane::seed("cut log"));
    let mut server = TestServer::start().await;
    let load = Load::begin(&server, 8);
    // Not so many that a checkpoint has brought a part of them into the database file.
    load.acknowledges(30).await;
    server.kill9();
    load.end().await;
    let (database, log) = (server.database(), beside(&server.database(), "-wal"));
    let (whole, whole_log) = (fs::read(&database).unwrap(), fs::read(&log).unwrap());
    assert!(whole_log.len() > 100_000, "{} bytes", whole_log.len());
    let mut kept = Vec::new();
    for round in 0..lane::count(8, 60) {
        let mut bytes = whole_log.clone();
        let at = numbers.within(0..bytes.len() as u64) as usize;
        // Cut off, or something else from there on.
        if round % 2 == 0 {
            bytes.truncate(at)
        } else {
            bytes[at..].fill(0xa5)
        }
        fs::write(&database, &whole).unwrap();
        fs::write(&log, &bytes).unwrap();
        let _ = fs::remove_file(beside(&database, "-shm"));
        server.restart().await;
        let list = server.get_json("/v1/instances?limit=1").await;
        let newest = list["instances"][0]["number"].as_u64().unwrap_or(0);
        kept.push((at, newest));
        // No gaps: what is left is a beginning.
        for number in (1..=newest).step_by(7) {
            server.wait_done(number).await;
        }
        assert!(server.stop().await.success());
        server.fsck();
    }
    println!("of {} bytes kept, up to number: {kept:?}", whole_log.len());
    assert!(kept.iter().any(|(_, newest)| *newest > 0));
}

#[tokio::test]
async fn an_index_of_the_log_that_makes_no_sense_is_made_anew() {
    let mut server = TestServer::start().await;
    let load = Load::begin(&server, 8);
    load.acknowledges(100).await;
    server.kill9();
    let told = load.end().await;
    fs::write(beside(&server.database(), "-shm"), vec![0xa5; 32768]).unwrap();
    server.restart().await;
    told.is_kept_by(&server).await;
    assert!(server.stop().await.success());
    server.fsck();
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused_and_stays_as_it_is() {
    let server = made().await;
    for statements in [
        "PRAGMA user_version = 999",
        "PRAGMA user_version = 7; CREATE TABLE later (x); INSERT INTO _sqlx_migrations VALUES (7, 'later', 0, 1, x'00', 1)",
        "INSERT INTO _sqlx_migrations VALUES (7, 'later', 0, 1, x'00', 1)",
    ] {
        let good = fs::read(server.database()).unwrap();
        let mut connection = SqliteConnectOptions::new().filename(server.database()).connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let later = fs::read(server.database()).unwrap();
        let began = Instant::now();
        let mut tried = Tried::start(&server, &[]);
        let status = tried.outcome().await.expect_err("a store of a later version is refused");
        assert!(began.elapsed() < Duration::from_secs(5));
        let said = tried.said();
        assert_eq!(status.code(), Some(69), "{statements}: {said}");
        assert!(said.contains("run the taskwright that wrote it, or a later one"), "{statements}: {said}");
        assert!(fs::read(server.database()).unwrap() == later, "{statements}: the file was changed");
        for suffix in ["-wal", "-shm"] {
            assert!(!beside(&server.database(), suffix).exists(), "{statements}: {suffix} was made");
        }
        fs::write(server.database(), &good).unwrap();
    }
    server.fsck();
}

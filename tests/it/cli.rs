//! The command line: what it prints, where, and with which exit code.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Output, Stdio},
};

use serde_json::Value;
use tempfile::tempdir;

use super::support::server::{TestServer, command, run, write};

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asserts that it ended with `code` and one line on stderr that holds `said`.
pub fn assert_ended(output: &Output, code: i32, said: &str) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(error.starts_with("taskwright: ") && error.contains(said), "{error}\nnot: {said}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(text(&output.stdout), "");
}

/// Every file in `folder` with what it holds.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "lock"))
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn help_teaches_and_usage_errors_exit_2() {
    for arguments in [&["--help"][..], &["serve", "--help"], &["report", "--help"], &["help", "fsck"]] {
        let output = run(arguments);
        assert!(output.status.success(), "{arguments:?}");
        assert!(text(&output.stdout).contains("Usage: taskwright"), "{arguments:?}");
        assert_eq!(text(&output.stderr), "");
    }
    let help = text(&run(&["serve", "--help"]).stdout);
    for word in ["TASKWRIGHT_SERVER__LISTEN", "127.0.0.1:8080", "--demo", "78", "Examples:"] {
        assert!(help.contains(word), "{word} is not in\n{help}");
    }
    for arguments in
        [&[][..], &["srve"], &["serve", "--lsten", "x"], &["report", "progress"], &["serve", "--demo", "--config", "x"]]
    {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = command().arg("openapi").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn the_contract_is_printed_in_both_forms() {
    let yaml = text(&run(&["openapi"]).stdout);
    assert!(yaml.starts_with("openapi: 3.1"), "{yaml}");
    let json = text(&run(&["openapi", "--format", "json"]).stdout);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(json["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")), "{json}");
}

#[tokio::test]
async fn a_second_daemon_on_one_store_refuses() {
    let server = TestServer::start().await;
    let second = run(&["serve", "--listen", "127.0.0.1:0", "--database", &server.database_url()]);
    assert_ended(&second, 69, "is in use by another taskwright: stop it, or give this one another database.url");
    assert!(server.client().get(server.url("/livez")).send().await.unwrap().status().is_success());
}

#[test]
fn a_port_in_use_is_said_with_the_remedy() {
    let folder = tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let database = format!("sqlite://{}/t.db", folder.path().display());
    let arguments = ["serve", "--listen", &address, "--database", &database];
    assert_ended(&run(&arguments), 69, &format!("cannot listen on {address}: stop what listens there"));
    // The store was given back.
    assert!(run(&["fsck", "--database", &database]).status.success());
    drop(taken);
}

#[test]
fn a_store_that_is_not_ours_stays_untouched() {
    let folder = tempdir().unwrap();
    let database = folder.path().join("t.db");
    let url = format!("sqlite://{}", database.display());
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--database", &url];
    // A store of ours, to be spoiled: made by a start that then finds no port.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    assert_eq!(run(&["serve", "--listen", &listen, "--database", &url]).status.code(), Some(69));
    let own = fs::read(&database).unwrap();
    let changed = |at: usize, bytes: &[u8]| {
        let mut changed = own.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    for (what, bytes, said) in [
        ("a text", b"hello, this is no database at all\n".to_vec(), "not a taskwright store"),
        ("another program's database", changed(68, &[1, 2, 3, 4]), "not a taskwright store"),
        ("a later version's", changed(60, &[0, 0, 0x7f, 0]), "run the taskwright that wrote it, or a later one"),
    ] {
        for name in ["t.db-wal", "t.db-shm"] {
            let _ = fs::remove_file(folder.path().join(name));
        }
        fs::write(&database, &bytes).unwrap();
        let before = contents(folder.path());
        assert_ended(&run(&arguments), 69, said);
        assert!(contents(folder.path()) == before, "{what} was changed, or something was put beside it");
        assert_ended(&run(&["fsck", "--database", &url]), 1, said);
        assert!(contents(folder.path()) == before, "{what} was changed by fsck, or something was put beside it");
    }
}

#[test]
fn a_pipe_in_place_of_the_store_is_refused_and_not_waited_for() {
    let folder = tempdir().unwrap();
    let pipe = folder.path().join("t.db");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let url = format!("sqlite://{}", pipe.display());
    assert_ended(&run(&["serve", "--listen", "127.0.0.1:0", "--database", &url]), 69, "it is no regular file");
}

#[test]
fn fsck_says_when_there_is_no_store() {
    let folder = tempdir().unwrap();
    let url = format!("sqlite://{}/none.db", folder.path().display());
    assert_ended(&run(&["fsck", "--database", &url]), 1, "cannot open the store");
    assert_eq!(contents(folder.path()), []);
}

#[tokio::test]
async fn fsck_works_beside_a_running_daemon() {
    let mut server = TestServer::start().await;
    server.fsck();
    server.start_task("sleep", serde_json::json!({"seconds": 0})).await;
    assert!(server.stop().await.success());
    let sound = run(&["fsck", "--database", &server.database_url()]);
    assert_eq!((sound.status.code(), text(&sound.stdout)), (Some(0), String::new()));
    assert_eq!(text(&sound.stderr), "nothing wrong: 1 instance checked\n");
}

#[tokio::test]
async fn healthcheck_asks_the_configured_daemon() {
    let mut server = TestServer::start().await;
    let folder = tempdir().unwrap();
    let config = write(folder.path(), "config.toml", &format!("server.listen = '{}'", server.address()));
    let check = |more: &[&str]| command().args(["healthcheck", "--config"]).arg(&config).args(more).output().unwrap();
    assert!(check(&[]).status.success());
    assert!(check(&["--ready"]).status.success());
    assert!(run(&["healthcheck", "--url", &server.url("")]).status.success());
    assert!(server.stop().await.success());
    assert_ended(&check(&[]), 1, "no daemon answers at http://127.0.0.1");

    // One that accepts and never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", mute.local_addr().unwrap());
    assert_ended(&run(&["healthcheck", "--url", &url, "--timeout", "100ms"]), 1, "did not answer within 0.1 s");
    assert_ended(&run(&["healthcheck", "--url", &url, "--timeout", "soon"]), 2, "--timeout must be a duration");
}

#[test]
fn report_says_what_it_misses() {
    assert_ended(&run(&["report", "progress", "0.5"]), 2, "TASKWRIGHT_URL is not set");
    let with = |url: &str, arguments: &[&str]| {
        let mut report = command();
        report.env("TASKWRIGHT_URL", url).env("NUMEROUS_TASK_INSTANCE_ID", "1").arg("report").args(arguments);
        report.output().unwrap()
    };
    assert_ended(&with("ftp://x", &["should-stop"]), 2, "is no URL of a daemon");
    assert_ended(&with("http://127.0.0.1:1", &["progress", "0.5"]), 69, "no daemon answers at http://127.0.0.1:1");
    assert_ended(&with("http://127.0.0.1:1", &["output", "{"]), 2, "the output is no JSON");
    assert_ended(&with("http://127.0.0.1:1", &["output", "[1]"]), 2, "must be a JSON object");
    assert_ended(&with("http://127.0.0.1:1", &["progress", "nan"]), 2, "is no progress");
    assert_eq!(with("http://127.0.0.1:1", &["status", "pending"]).status.code(), Some(2));
}

//! The handlers that the daemon ships.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use taskwright::{
    Registry,
    domain::{AttemptEnd, ErrorKind, FieldError, Json, Status},
    handlers::{self, Checksum, Sleep, checksum},
    task::TaskHandler,
    testing,
};
use tempfile::TempDir;

#[test]
fn both_are_registered_and_describe_themselves() {
    let mut registry = Registry::default();
    handlers::register(&mut registry).expect("they register");
    let handlers = registry.into_handlers().expect("no configuration is needed");
    let ids: Vec<_> = handlers.iter().map(|(definition, _)| definition.id.as_str()).collect();
    assert_eq!(ids, ["sleep", "checksum"]);
    let schema: Value = handlers[0].0.input_schema.as_ref().expect("a schema").read().expect("readable");
    assert_eq!(schema["required"], json!(["seconds"]));
    let seconds = &schema["properties"]["seconds"];
    assert_eq!(
        (&seconds["minimum"], &seconds["maximum"], &seconds["type"]),
        (&json!(0), &json!(86400), &json!("number"))
    );
    assert!(
        handlers.iter().all(|(definition, _)| definition.description.is_some() && definition.output_schema.is_some())
    );
}

#[test]
fn the_configuration_of_checksum_is_checked() {
    let tables = |text: &str| toml::from_str(text).expect("valid TOML");
    let mut registry = Registry::new(tables("[checksum]\nrots = []"));
    handlers::register(&mut registry).expect("faults come later");
    let error = registry.into_handlers().map(|_| ()).expect_err("a wrong key");
    assert_eq!(error.to_string(), "handlers.checksum.rots: unknown key; did you mean `roots`?");
}

#[tokio::test]
async fn sleep_answers_what_it_slept() {
    for (seconds, text) in [("0", r#"{"slept":0}"#), ("0.0", r#"{"slept":0}"#), ("0.02", r#"{"slept":0.02}"#)] {
        let seconds: Value = serde_json::from_str(seconds).expect("a number");
        let began = Instant::now();
        let run = testing::run(Sleep).input(json!({"seconds": seconds})).await;
        assert_eq!((run.status(), run.output().to_string().as_str()), (Status::Completed, text));
        assert!(began.elapsed().as_secs_f64() >= seconds.as_f64().expect("a number"));
    }
    assert!(testing::run(Sleep).input(json!({"seconds": 0})).await.progress().is_empty(), "the leanest task");
}

#[tokio::test]
async fn sleep_tells_its_progress() {
    let run = testing::run(Sleep).input(json!({"seconds": 0.45})).await;
    let progress = run.progress();
    assert!((4..=5).contains(&progress.len()) && progress.is_sorted(), "{progress:?}");
    assert_eq!(progress.last(), Some(&1.0));
}

#[tokio::test]
async fn sleep_stops_at_once_and_says_how_long_it_slept() {
    let began = Instant::now();
    let run = testing::run(Sleep).input(json!({"seconds": 86400})).stop_after(Duration::from_millis(30)).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(run.status(), Status::Cancelled);
    let slept = run.output()["slept"].as_f64().expect("a number");
    assert!((0.03..5.0).contains(&slept), "{slept}");
}

#[tokio::test]
async fn sleep_refuses_what_is_no_number_of_seconds_at_the_start() {
    let cases = [
        (r#"{}"#, "/seconds", "missing field `seconds`"),
        (r#"{"seconds":-1}"#, "/seconds", "must be a number of seconds from 0 to 86400, not -1"),
        (r#"{"seconds":86400.5}"#, "/seconds", "must be a number of seconds from 0 to 86400, not 86400.5"),
        (r#"{"seconds":"3"}"#, "/seconds", "invalid type: string \"3\", expected f64"),
        (r#"{"seconds":null}"#, "/seconds", "invalid type: null, expected f64"),
        (r#"{"seconds":1e400}"#, "/seconds", "number out of range"),
        (r#"{"seconds":1,"secnds":1}"#, "/secnds", "unknown field `secnds`; did you mean `seconds`?"),
    ];
    let mut registry = Registry::default();
    registry.register(Sleep);
    let (_, handler) = registry.into_handlers().expect("it is registered").remove(0);
    for (text, pointer, detail) in cases {
        let errors = handler.check(&Json::parse(text).expect("valid JSON"));
        assert_eq!(errors, Err(vec![FieldError::new(pointer, detail)]), "{text}");
    }
    assert_eq!(handler.check(&Json::parse(r#"{"seconds":86400}"#).expect("valid JSON")), Ok(()));
    assert_eq!(Sleep::ID, "sleep");
}

/// A folder that may be read, beside one that may not.
struct Folders {
    all: TempDir,
}

impl Folders {
    fn new() -> Self {
        let all = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(all.path().join("open/deep/er")).expect("folders");
        fs::create_dir(all.path().join("open-not")).expect("a folder");
        fs::write(all.path().join("secret"), "secret").expect("a file");
        fs::write(all.path().join("open-not/secret"), "secret").expect("a file");
        fs::write(all.path().join("open/a"), "hello\n").expect("a file");
        Folders { all }
    }

    fn open(&self) -> PathBuf {
        self.all.path().join("open")
    }

    fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        fs::write(self.open().join(name), content).expect("a file");
    }

    fn checksum(&self, path: impl AsRef<Path>) -> testing::Run {
        let path = path.as_ref().to_str().expect("a text").to_owned();
        testing::run(Checksum::new(checksum::Settings { roots: vec![self.open()] })).input(json!({"path": path}))
    }
}

/// What `sha256sum` says of all files in a folder.
fn listing_digest(folder: &Path) -> String {
    let listing = "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum";
    let output = Command::new("sh").args(["-c", listing]).current_dir(folder).stderr(Stdio::inherit()).output();
    let text = String::from_utf8(output.expect("sh runs").stdout).expect("a text");
    text.split(' ').next().expect("a digest").to_owned()
}

#[tokio::test]
async fn checksum_of_a_file() {
    let folders = Folders::new();
    let expected = json!({
        "algorithm": "sha256",
        "digest": "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        "files": 1,
        "bytes": 6,
    });
    for path in [folders.open().join("a"), "a".into(), "./deep/../a".into()] {
        let run = folders.checksum(&path).await;
        assert_eq!(run.output(), expected, "{path:?}: {:?}", run.error());
        assert_eq!(run.progress(), [1.0]);
    }
}

#[tokio::test]
async fn checksum_of_a_folder_is_that_of_its_listing() {
    let folders = Folders::new();
    for name in [
        "deep/b",
        "deep-er",
        "deep.txt",
        "deep/er/c",
        "Z",
        "ä",
        "with space",
        "back\\slash",
        "new\nline",
        "carriage\rreturn",
    ] {
        folders.write(name, name);
    }
    folders.write(OsStr::from_bytes(b"not \xff utf-8"), "x");
    folders.write("empty", "");
    fs::create_dir(folders.open().join("empty folder")).expect("a folder");
    let run = folders.checksum("").await;
    assert_eq!(run.status(), Status::Completed, "{:?}", run.error());
    assert_eq!(run.output()["digest"], listing_digest(&folders.open()));
    assert_eq!(run.output()["files"], 13);
    let run = folders.checksum(folders.open().join("deep")).await;
    assert_eq!(run.output()["digest"], listing_digest(&folders.open().join("deep")));
    let run = folders.checksum("empty folder").await;
    assert_eq!(run.output()["digest"], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

#[tokio::test]
async fn what_is_no_regular_file_is_left_out_of_a_folder() {
    let folders = Folders::new();
    symlink(folders.all.path().join("secret"), folders.open().join("link to secret")).expect("a link");
    symlink("a", folders.open().join("link to a")).expect("a link");
    symlink(folders.open(), folders.open().join("deep/loop")).expect("a link");
    let _socket = UnixListener::bind(folders.open().join("socket")).expect("a socket");
    let made = Command::new("mkfifo").arg(folders.open().join("pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    let run = folders.checksum(".").await;
    assert_eq!(run.output()["files"], 1, "{:?}", run.error());
    assert_eq!(run.output()["digest"], listing_digest(&folders.open()));
    assert_eq!(run.logs(), ["left out 5 entries that are no regular files, such as symbolic links"]);
}

#[tokio::test]
async fn nothing_outside_the_roots_is_read() {
    let folders = Folders::new();
    symlink(folders.all.path().join("secret"), folders.open().join("link")).expect("a link");
    symlink(folders.all.path(), folders.open().join("up")).expect("a link");
    let outside = folders.all.path().to_str().expect("a text");
    let paths = [
        "..".to_owned(),
        "../secret".to_owned(),
        "../open-not/secret".to_owned(),
        "deep/../../secret".to_owned(),
        "deep/er/../../../../../../../../../../../../etc/passwd".to_owned(),
        "../no such file".to_owned(),
        "link".to_owned(),
        "up/secret".to_owned(),
        "up/open-not/secret".to_owned(),
        "/".to_owned(),
        "/etc/passwd".to_owned(),
        "/no/such/file".to_owned(),
        "/proc/self/environ".to_owned(),
        "/dev/zero".to_owned(),
        format!("{outside}/secret"),
        format!("{outside}/open-not/secret"),
        format!("{outside}/open/../secret"),
        format!("{outside}/open/link"),
    ];
    for path in paths {
        let run = folders.checksum(&path).await;
        assert_eq!(run.output(), Value::Null, "{path}");
        assert!(
            matches!(run.end(), AttemptEnd::Failed { kind: ErrorKind::Handler { .. }, permanent: true, .. }),
            "{path}: {:?}",
            run.end()
        );
        let error = run.error().expect("it failed");
        assert!(error.message.contains("handlers.checksum.roots"), "{path}: {}", error.message);
        assert!(!error.message.contains("No such file"), "{path}: {}", error.message);
    }
    // What leads out and in again is inside.
    assert_eq!(folders.checksum("up/open/a").await.status(), Status::Completed);
}

#[tokio::test]
async fn without_roots_nothing_is_read() {
    for path in ["/etc/passwd", "a", "", "/"] {
        let run = testing::run(Checksum::new(checksum::Settings::default())).input(json!({"path": path})).await;
        let error = run.error().expect("it failed");
        assert!(error.message.contains("handlers.checksum.roots"), "{}", error.message);
        assert!(matches!(run.end(), AttemptEnd::Failed { permanent: true, .. }));
    }
}

#[tokio::test]
async fn what_is_not_there_or_no_file_is_named() {
    let folders = Folders::new();
    let run = folders.checksum("no such file").await;
    let error = run.error().expect("it failed");
    assert_eq!(error.message, "cannot read `no such file`");
    assert_eq!(error.kind, ErrorKind::Handler { causes: vec!["No such file or directory (os error 2)".to_owned()] });
    let made = Command::new("mkfifo").arg(folders.open().join("pipe")).status().expect("mkfifo runs");
    assert!(made.success());
    let error = folders.checksum("pipe").await.error().cloned().expect("it failed");
    assert!(error.message.ends_with("is neither a file nor a folder"), "{}", error.message);
}

#[tokio::test]
async fn inputs_of_checksum_are_checked_at_the_start() {
    let run = testing::run(Checksum::new(checksum::Settings::default())).input(json!({"pth": "a"})).await;
    assert!(run.refused());
    let expected = vec![FieldError::new("/pth", "unknown field `pth`; did you mean `path`?")];
    assert_eq!(run.error().map(|error| &error.kind), Some(&ErrorKind::InvalidInputs { errors: expected }));
}

#[tokio::test]
async fn checksum_moves_and_stops_in_the_middle_of_a_file() {
    let folders = Folders::new();
    // Sparse: it takes no room, and at gigabytes a second some minutes to read.
    let file = fs::File::create(folders.open().join("large")).expect("a file");
    file.set_len(1 << 40).expect("a sparse file");
    let began = Instant::now();
    let run = folders.checksum("large").stop_after(Duration::from_millis(400)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(run.status(), Status::Cancelled);
    let progress = run.progress();
    assert!(progress.len() >= 2 && progress.is_sorted(), "{progress:?}");
    assert!(progress.iter().all(|progress| (0.0..0.5).contains(progress)));
}

//! The package in an environment of its own, and a daemon for it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::json;

use crate::support::server::TestServer;

pub const APP: &str = include_str!("app.py");

/// The tasks of [`APP`], as an app's manifest declares them.
pub const TASKS: [&str; 12] = [
    "add",
    "Task Test",
    "reports",
    "reports_and_returns",
    "fails",
    "crashes",
    "exits",
    "waits",
    "stops_itself",
    "states_its_status",
    "echoes",
    "returns_no_json",
];

/// The folder with the programs of the environment that holds the package.
pub fn programs() -> PathBuf {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools").join("bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([own]);
    folders
        .into_iter()
        .find(|folder| folder.join("numerous").is_file() && folder.join("python3").is_file())
        .expect("the package numerous is installed: scripts/test does that")
}

/// A daemon whose tasks find the package, with [`APP`] in its folder and [`TASKS`] configured, and more.
pub async fn daemon(config: &str) -> TestServer {
    let tasks =
        TASKS.map(|name| format!("[[tasks]]\nname = \"{name}\"\ncommand = \"numerous-executor app.py\"\n")).concat();
    let long = "[[tasks]]\nname = \"returns_long_text\"\ncommand = \"numerous-executor app.py\"\ninputs = \"file\"\n";
    daemon_with(&format!("{config}\n{tasks}{long}")).await
}

/// A daemon with this configuration, whose tasks find the package, and with [`APP`] in its folder.
pub async fn daemon_with(config: &str) -> TestServer {
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs().display());
    let server = TestServer::with(config, &[("PATH", &path)]).await;
    fs::write(server.folder().join("app.py"), APP).expect("the app can be written");
    server
}

/// A program of the package's environment that finds this daemon, and nothing of the tests' own environment.
pub fn program(server: &TestServer, name: &str) -> Command {
    let mut command = Command::new(programs().join(name));
    environment(server, &mut command);
    command
}

/// Nothing of the tests' own environment, but the package, and a home in the daemon's folder.
pub fn environment(server: &TestServer, command: &mut Command) {
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs().display());
    command.current_dir(server.folder()).env_clear();
    command.env("PATH", path).env("HOME", server.folder()).env("PYTHONDONTWRITEBYTECODE", "1");
    // The command line asks for a newer version of itself unless it has done so lately.
    let seen = server.folder().join(".numerous/state.json");
    if !seen.exists() {
        fs::create_dir_all(seen.parent().expect("a folder")).expect("a folder can be made");
        let now = chrono::Local::now().format("%Y-%m-%d %H:%M:%S");
        fs::write(&seen, json!({"latest_version": "0.51.2", "last_checked_at": now.to_string()}).to_string())
            .expect("a file can be written");
    }
}

/// What a program has printed; it must have ended well.
pub fn printed(output: &Output) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

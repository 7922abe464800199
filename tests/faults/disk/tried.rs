//! A daemon that may refuse to start.

use std::{
    fs,
    path::PathBuf,
    process::{Child, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{
    server::{TestServer, command_through},
    wait_for,
};

/// A daemon that may refuse to start. Dropped, it is killed.
pub struct Tried {
    child: Child,
    log: PathBuf,
}

impl Tried {
    /// Starts one on the store of `server`, which does not run, through a program that becomes it or, given nothing, at
    /// once.
    pub fn start(server: &TestServer, through: &[String]) -> Tried {
        let log = server.folder().join("tried.log");
        let child = command_through(through)
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--config"])
            .arg(server.config())
            .args(["--database", &server.database_url()])
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Tried { child, log }
    }

    /// What it has logged.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// How it ended, or where it listens.
    pub async fn outcome(&mut self) -> Result<String, ExitStatus> {
        wait_for("the daemon to start or end", async || {
            if let Some(status) = self.has_ended() {
                return Some(Err(status));
            }
            let said = self.said();
            let events = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            events.filter_map(|event| event["url"].as_str().map(str::to_owned)).next().map(Ok)
        })
        .await
    }

    /// Asks it to end and waits until it has.
    pub async fn end(&mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        wait_for("the end of the daemon", async || self.has_ended()).await
    }
}

impl Drop for Tried {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

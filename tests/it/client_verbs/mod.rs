//! The client's verbs, as people and scripts use them: the real binary against a real daemon.

mod discovery;
mod endings;
mod filters;
mod following;
mod forms;
mod inputs;

mod reference;
mod restarts;
mod shells;
mod terminal;
mod watching;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    server::{TestServer, command},
    wait_for,
};

/// Tasks for every way to end. They run in the folder of the configuration.
pub const TASKS: &str = r#"
[[tasks]]
name = "greet"
description = "Says hello on both streams"
command = ["sh", "-c", "echo one; echo two >&2; echo three"]

[[tasks]]
name = "fail"
command = ["sh", "-c", "echo it is broken >&2; exit 3"]

[[tasks]]
name = "gate"
description = "Ends once there is a file named go"
command = ["sh", "-c", "echo begun; while [ ! -e go ]; do sleep 0.02; done; echo opened"]

[[tasks]]
name = "resize"
command = ["sh", "-c", "cat $TASKWRIGHT_INPUT_FILE > $TASKWRIGHT_OUTPUT_FILE"]
[tasks.input_schema]
type = "object"
required = ["width"]
additionalProperties = false
[tasks.input_schema.properties]
width = { type = "integer", minimum = 1, description = "Pixels" }
name = { type = "string", default = "small" }
tags = { type = "array", items = { type = "string" } }
sharp = { type = "boolean" }
"#;

/// A person at a shell, with a home of their own.
pub struct Shell {
    home: TempDir,
    url: Option<String>,
}

impl Shell {
    /// Somebody who speaks with `server`.
    pub fn at(server: &TestServer) -> Shell {
        Shell { home: tempfile::tempdir().unwrap(), url: Some(server.url("")) }
    }

    /// Somebody who has been told nothing.
    pub fn alone() -> Shell {
        Shell { home: tempfile::tempdir().unwrap(), url: None }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// What the environment holds.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let folder = |name: &str| {
            let folder = self.home.path().join(name);
            fs::create_dir_all(&folder).unwrap();
            folder.display().to_string()
        };
        let mut all = vec![
            ("HOME", folder("home")),
            ("XDG_RUNTIME_DIR", folder("runtime")),
            ("XDG_STATE_HOME", folder("state")),
            ("XDG_CONFIG_HOME", folder("config")),
            ("TERM", "xterm-256color".to_owned()),
        ];
        if let Some(url) = &self.url {
            all.push(("TASKWRIGHT_URL", url.clone()));
        }
        all
    }

    /// The binary with these words, split at spaces.
    pub fn command(&self, line: &str) -> Command {
        let mut command = command();
        command.args(line.split_whitespace()).envs(self.environment());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, line: &str) -> Said {
        Said::of(&self.command(line).output().unwrap())
    }

    /// The same with `input` on stdin.
    pub fn run_with(&self, line: &str, input: &str) -> Said {
        use std::io::Write;
        let mut command = self.command(line);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Said::of(&child.wait_with_output().unwrap())
    }

    /// Begins it; its output is read at its end.
    pub fn begin(&self, line: &str) -> Running {
        let mut command = self.command(line);
        Running(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
    }
}

/// Waits until the instance is there and runs.
pub async fn begun(server: &TestServer, number: u64) {
    wait_for(&format!("instance {number} running"), async || {
        let answer = server.client().get(server.url(&format!("/v1/instances/{number}"))).send().await.unwrap();
        answer.text().await.unwrap().contains("\"status\":\"running\"").then_some(())
    })
    .await;
}

/// What a verb said, and its exit code.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    fn of(output: &Output) -> Said {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn ended(self, code: i32) -> Said {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// stdout as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A verb that runs. Dropped, it is killed.
pub struct Running(Option<Child>);

impl Running {
    pub fn interrupt(&self) {
        let pid = Pid::from_child(self.0.as_ref().unwrap());
        kill_process(pid, Signal::INT).unwrap();
    }

    /// Waits until it would not die of Ctrl-C: then it waits for the daemon.
    pub async fn ready(&self) {
        let pid = self.0.as_ref().unwrap().id();
        wait_for("a verb that catches SIGINT", async || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
            let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
            (caught & (1 << (Signal::INT.as_raw() - 1)) != 0).then_some(())
        })
        .await;
    }

    /// Waits until it holds a connection, and the same for a while: then it has met the daemon and waits for more.
    pub async fn settled(&self) {
        let pid = self.0.as_ref().unwrap().id();
        let sockets = || -> Vec<String> {
            let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            let targets = links.filter_map(|link| Some(fs::read_link(link.path()).ok()?.display().to_string()));
            let mut sockets: Vec<_> = targets.filter(|target| target.starts_with("socket:")).collect();
            sockets.sort();
            sockets
        };
        let mut last = (Instant::now(), sockets());
        wait_for("a connection that stays", async || {
            let now = sockets();
            if now != last.1 {
                last = (Instant::now(), now);
            }
            (!last.1.is_empty() && last.0.elapsed() > Duration::from_millis(400)).then_some(())
        })
        .await;
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Said {
        let child = self.0.take().unwrap();
        Said::of(&tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

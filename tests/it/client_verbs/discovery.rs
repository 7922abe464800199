//! Which daemon is meant.

use std::fs;

use rustix::process::{Signal, kill_process};

use super::Shell;
use crate::support::{server::TestServer, wait_for};

/// A daemon of this person, found without being named.
struct Own {
    child: std::process::Child,
    url: String,
}

impl Own {
    async fn start(shell: &Shell) -> Own {
        let known: Vec<_> = endpoints(shell);
        let child = shell
            .command("serve --demo --listen 127.0.0.1:0")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let url = wait_for("the file of the daemon", async || {
            let path = format!("daemon-{}.json", child.id());
            let new = endpoints(shell).into_iter().find(|file| !known.contains(file) && file.ends_with(&path))?;
            let text = fs::read_to_string(new).ok()?;
            let endpoint: serde_json::Value = serde_json::from_str(&text).ok()?;
            endpoint["url"].as_str().map(str::to_owned)
        })
        .await;
        Own { child, url }
    }

    fn end(&mut self, signal: Signal) {
        kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.end(Signal::TERM);
        }
    }
}

fn endpoints(shell: &Shell) -> Vec<String> {
    let folder = shell.home().join("runtime/taskwright");
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path().display().to_string()).collect()
}

fn base(shell: &Shell, line: &str) -> String {
    let said = shell.run(line).ended(0);
    said.out.trim_end().trim_end_matches('/').to_owned()
}

#[tokio::test]
async fn a_daemon_of_the_same_user_is_found_and_its_file_goes_with_it() {
    let shell = Shell::alone();
    let mut first = Own::start(&shell).await;
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&endpoints(&shell)[0]).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(base(&shell, "open --print"), first.url);
    let mut second = Own::start(&shell).await;
    assert_eq!(base(&shell, "open --print"), second.url, "the newest");
    // Killed, it leaves its file; it is passed over, and the next daemon removes it.
    second.end(Signal::KILL);
    assert_eq!(endpoints(&shell).len(), 2);
    assert_eq!(base(&shell, "open --print"), first.url);
    let third = Own::start(&shell).await;
    assert_eq!(endpoints(&shell).len(), 2);
    assert_eq!(base(&shell, "open --print"), third.url);
    drop(third);
    first.end(Signal::TERM);
    assert_eq!(endpoints(&shell), Vec::<String>::new());
    shell.run("ps").ended(69);
}

#[tokio::test]
async fn what_is_said_wins_over_what_is_found() {
    let shell = Shell::alone();
    let own = Own::start(&shell).await;
    let (flag, variable, file) = (TestServer::start().await, TestServer::start().await, TestServer::start().await);
    let folder = shell.home().join("config/taskwright");
    fs::create_dir_all(&folder).unwrap();
    assert_eq!(base(&shell, "open --print"), own.url);
    let text = format!("default = 'a'\n[servers.a]\nurl = '{}'\n[servers.b]\nurl = '{}'\n", file.url(""), flag.url(""));
    fs::write(folder.join("client.toml"), text).unwrap();
    assert_eq!(base(&shell, "open --print"), file.url(""));
    let by_variable = |line: &str| {
        let output = shell.command(line).env("TASKWRIGHT_URL", variable.url("")).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim_end().trim_end_matches('/').to_owned()
    };
    assert_eq!(by_variable("open --print"), variable.url(""));
    assert_eq!(by_variable(&format!("open --print --url {}", flag.url(""))), flag.url(""));
    assert_eq!(by_variable("open --print --server b"), flag.url(""));
}

#[test]
fn whoever_cannot_be_reached_is_named_with_what_named_it() {
    let shell = Shell::alone();
    let said = |line: &str| shell.run(line).ended(69).err;
    assert!(said("ps --url http://127.0.0.1:1").contains("no daemon at http://127.0.0.1:1 (--url)"));
    let output = shell.command("ps").env("TASKWRIGHT_URL", "http://127.0.0.1:1").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("(TASKWRIGHT_URL). Start one: taskwright serve"));
    let folder = shell.home().join("config/taskwright");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("client.toml"), "[servers.lab]\nurl = 'http://127.0.0.1:1'").unwrap();
    assert!(said("ps").contains("(server lab of "));
    shell.run("ps --url ftp://x").ended(2);
    fs::write(folder.join("client.toml"), "[servers.lab]\nurll = 'x'").unwrap();
    assert!(shell.run("ps").ended(2).err.contains("client.toml: unknown field `urll`"));
}

//! What a daemon has of processes and descriptors.

use std::{collections::HashSet, fs, path::Path, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

use super::long_time;
use crate::support::{server::TestServer, wait_within};

/// How long what has ended may take to be let go: supervisors wait a moment for the next command.
const SETTLING: Duration = Duration::from_secs(2);

/// The fields of a process behind its name: state, parent.
pub fn stat(pid: i32) -> Option<(String, i32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// Whether it lives: neither gone nor a zombie.
pub fn lives(pid: i32) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(&*state, "Z" | "X"))
}

fn pids() -> Vec<i32> {
    let folders = fs::read_dir("/proc").expect("/proc is there").filter_map(Result::ok);
    folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok()).collect()
}

/// The children of a process, zombies too.
pub fn children(pid: i32) -> Vec<i32> {
    pids().into_iter().filter(|child| stat(*child).is_some_and(|(_, parent)| parent == pid)).collect()
}

pub fn kill(pid: i32) {
    // It may be gone already.
    let _ = kill_process(Pid::from_raw(pid).expect("a process"), Signal::KILL);
}

pub fn daemon(server: &TestServer) -> i32 {
    server.pid().as_raw_nonzero().get()
}

/// The daemon's spawner of commands.
pub fn spawner(server: &TestServer) -> i32 {
    let named = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "tw-spawner\n");
    children(daemon(server)).into_iter().find(named).expect("the daemon has a spawner")
}

/// The processes of this test's attempts: by their environment, or by how long they sleep.
pub fn of_attempts(server: &TestServer) -> Vec<i32> {
    let time = long_time();
    let sleeps = |pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == time.as_bytes()))
    };
    let mut found: HashSet<i32> = pids().into_iter().filter(sleeps).collect();
    found.extend(server.processes());
    found.into_iter().filter(|pid| lives(*pid)).collect()
}

/// The open descriptors of a process, without TCP connections, which clients keep and close as they like, and without the
/// database, whose readers come as they are needed and stay.
fn descriptors(pid: i32) -> Vec<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default()).concat();
    let connections: HashSet<&str> = tables.lines().filter_map(|line| line.split_whitespace().nth(9)).collect();
    let counts = |target: &Path| {
        let target = target.to_string_lossy();
        let socket = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        !target.contains("taskwright.db") && socket.is_none_or(|inode| !connections.contains(inode))
    };
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").filter_map(Result::ok);
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.filter(|target| counts(target)).map(|target| target.display().to_string()).collect()
}

/// What a daemon has when nothing of it runs.
pub struct Footprint {
    spawner: i32,
    daemon_descriptors: Vec<String>,
    spawner_descriptors: Vec<String>,
}

impl Footprint {
    pub async fn of(server: &TestServer) -> Footprint {
        if let Err(left) = settled(|| idle(server)).await {
            panic!("it does not come to rest: {left}");
        }
        let spawner = spawner(server);
        Footprint {
            spawner,
            daemon_descriptors: descriptors(daemon(server)),
            spawner_descriptors: descriptors(spawner),
        }
    }

    /// Waits a moment and says what the daemon then has more than before.
    pub async fn growth(&self, server: &TestServer) -> Result<(), String> {
        let more = |name: &str, pid, before: &Vec<String>| {
            let now = descriptors(pid);
            match now.len() > before.len() {
                true => Err(format!("descriptors of the {name}: {before:?} before, {now:?} now")),
                false => Ok(()),
            }
        };
        settled(|| {
            idle(server)?;
            assert_eq!(spawner(server), self.spawner, "the spawner was replaced");
            more("daemon", daemon(server), &self.daemon_descriptors)?;
            more("spawner", self.spawner, &self.spawner_descriptors)
        })
        .await
    }
}

/// Nothing lives or lies dead below the daemon but its spawner, and nothing of an attempt anywhere.
fn idle(server: &TestServer) -> Result<(), String> {
    let (daemon, spawner) = (daemon(server), spawner(server));
    let others: Vec<i32> =
        children(daemon).into_iter().filter(|pid| *pid != spawner).chain(children(spawner)).collect();
    let attempts = of_attempts(server);
    match others.is_empty() && attempts.is_empty() {
        true => Ok(()),
        false => Err(format!("below the daemon: {others:?}; of attempts: {attempts:?}")),
    }
}

async fn settled(mut check: impl FnMut() -> Result<(), String>) -> Result<(), String> {
    let mut last = Ok(());
    let settled = wait_within(SETTLING, async || {
        last = check();
        last.is_ok().then_some(())
    })
    .await;
    settled.map_or(last, Ok)
}

/// Kills what a daemon with broken promises leaves.
pub struct Undertaker(Option<String>);

impl Undertaker {
    pub fn of(server: &TestServer) -> Undertaker {
        Undertaker(server.tag())
    }
}

impl Drop for Undertaker {
    fn drop(&mut self) {
        use crate::support::server::processes_with;
        let Some(tag) = &self.0 else { return };
        for pid in processes_with(&format!("TASKWRIGHT_STORE={tag}")) {
            kill(pid);
        }
        let time = long_time();
        for pid in pids() {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if line.split(|byte| *byte == 0).any(|word| word == time.as_bytes()) {
                kill(pid);
            }
        }
    }
}

//! `strace` on a running daemon: what it asks of the kernel, and answers of the kernel that we make up.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::support::wait_for;

/// A strace that watches all threads of a process. Dropped, it lets go of it.
pub struct Strace {
    child: Child,
    folder: TempDir,
}

impl Strace {
    /// Watches `pid` with these arguments of strace. Answers once it has all its threads.
    pub async fn attach(pid: Pid, arguments: &[&str]) -> Strace {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("strace")
            .args(["-f", "-qq", "-o"])
            .arg(folder.path().join("trace"))
            .args(arguments)
            .args(["-p", &pid.as_raw_nonzero().to_string()])
            .stdin(Stdio::null())
            .stderr(fs::File::create(folder.path().join("stderr")).unwrap())
            .spawn()
            .expect("strace is installed");
        let own = format!("TracerPid:\t{}\n", child.id());
        wait_for("strace to attach", async || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("strace ended: {status} {}", fs::read_to_string(folder.path().join("stderr")).unwrap());
            }
            let threads = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).ok()?;
            let mut statuses = threads.map(|thread| fs::read_to_string(thread.ok()?.path().join("status")).ok());
            statuses.all(|status| status.is_some_and(|status| status.contains(&own))).then_some(())
        })
        .await;
        Strace { child, folder }
    }

    /// The trace until now.
    pub fn so_far(&self) -> String {
        fs::read_to_string(self.folder.path().join("trace")).unwrap()
    }

    /// Lets go of the process. Answers the trace.
    pub fn detach(mut self) -> String {
        self.end();
        self.so_far()
    }

    fn end(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // It detaches first, so that the process goes on.
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        self.end();
    }
}

/// One call in a trace. Where it began and ended is told by the lines of the trace, which are in the order of events.
#[derive(Debug)]
pub struct Call {
    pub name: String,
    /// Arguments and result.
    pub text: String,
    pub began: usize,
    /// None where the trace ends before.
    pub ended: Option<usize>,
}

impl Call {
    /// The number and what strace tells of the descriptor that is its first argument.
    pub fn descriptor(&self) -> &str {
        self.text.split([',', ')']).next().unwrap_or_default().trim()
    }

    /// What it answered.
    pub fn result(&self) -> Option<i64> {
        self.text.rsplit_once(" = ")?.1.split_whitespace().next()?.parse().ok()
    }
}

/// Reads a trace: the two halves of each call that another thread interrupted are put together.
pub fn calls(trace: &str) -> Vec<Call> {
    let mut open = std::collections::HashMap::new();
    let mut calls: Vec<Call> = Vec::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((thread, text)) = text.split_once(' ') else { continue };
        let text = text.trim_start();
        if let Some(rest) = text.strip_prefix("<... ") {
            let Some(index) = open.remove(thread) else { continue };
            let call: &mut Call = &mut calls[index];
            call.text.push_str(rest.split_once("resumed>").map_or("", |(_, rest)| rest));
            call.ended = Some(line);
            continue;
        }
        let Some((name, rest)) = text.split_once('(') else { continue };
        let (text, ended) = match rest.strip_suffix("<unfinished ...>") {
            Some(begun) => {
                open.insert(thread, calls.len());
                (begun.trim_end().to_owned(), None)
            }
            None => (rest.to_owned(), Some(line)),
        };
        calls.push(Call { name: name.to_owned(), text, began: line, ended });
    }
    calls
}

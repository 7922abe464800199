//! Commands as processes: they end as they say, and nothing of them is left, whoever dies first.

mod deaths;
mod ends;
mod families;
mod leftovers;
mod starts;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use taskwright::process::{Command, Exit, Process, Spawner};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

const BINARY: &str = env!("CARGO_BIN_EXE_taskwright");

/// A spawner, and a mark in the environment of all that it starts.
struct Shop {
    spawner: Spawner,
    tag: String,
}

impl Shop {
    async fn open() -> Shop {
        let spawner = Spawner::start(Path::new(BINARY)).await.expect("the spawner starts");
        Shop { spawner, tag: new_tag() }
    }

    fn command(&self, argv: &[&str]) -> Command {
        Command {
            argv: argv.iter().map(Into::into).collect(),
            env: vec![
                ("PATH".into(), std::env::var_os("PATH").expect("tests have a PATH")),
                ("TASKWRIGHT_STORE".into(), self.tag.clone().into()),
            ],
            directory: "/tmp".into(),
        }
    }

    async fn start(&self, argv: &[&str]) -> Process {
        self.spawner.spawn(self.command(argv)).await.expect("the program starts")
    }

    /// Starts a shell script and returns when it has printed "ready".
    async fn ready(&self, script: &str) -> Process {
        let mut process = self.start(&["sh", "-c", script]).await;
        let stdout = process.stdout.as_mut().expect("not taken yet");
        let mut text = Vec::new();
        while !text.ends_with(b"ready\n") {
            assert_ne!(stdout.read_buf(&mut text).await.expect("readable"), 0, "it ended before it was ready");
        }
        process
    }

    async fn exit(&self, argv: &[&str]) -> Exit {
        end(self.start(argv).await).await.0
    }

    async fn output(&self, argv: &[&str]) -> String {
        let (exit, stdout, _) = end(self.start(argv).await).await;
        assert_eq!(exit, Exit::Code(0));
        stdout
    }

    fn living(&self) -> Vec<i32> {
        living(&self.tag)
    }
}

/// The end and both streams. They must end too: a process that is gone holds no pipe.
async fn end(mut process: Process) -> (Exit, String, String) {
    let (stdout, stderr) = (text(process.stdout.take()), text(process.stderr.take()));
    within(async { tokio::join!(process.wait(), stdout, stderr) }).await
}

/// All that is still to be read of a stream.
async fn text(stream: Option<Receiver>) -> String {
    let mut text = String::new();
    if let Some(mut stream) = stream {
        stream.read_to_string(&mut text).await.expect("text");
    }
    text
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("in time")
}

async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn new_tag() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// All processes that carry the mark in their environment.
fn living(tag: &str) -> Vec<i32> {
    let mark = format!("TASKWRIGHT_STORE={tag}");
    all_pids()
        .into_iter()
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        })
        .collect()
}

fn all_pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("Linux");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// A field of `/proc/PID/stat` behind the name: 0 the state, 1 the parent.
fn stat(pid: i32, field: usize) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().nth(field)?.to_owned())
}

fn parent(pid: i32) -> i32 {
    stat(pid, 1).and_then(|text| text.parse().ok()).expect("it lives")
}

fn children(pid: i32) -> Vec<i32> {
    all_pids().into_iter().filter(|child| stat(*child, 1).is_some_and(|text| text == pid.to_string())).collect()
}

fn signal(pid: i32, name: &str) {
    let sent = std::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(sent.expect("kill is there").success(), "SIG{name} to {pid}");
}

fn open_fds(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

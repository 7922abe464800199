//! Handlers that report their progress, in a process of their own: an application with the task server inside.

use std::{
    hint::black_box,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskwright::{Server, TaskController, TaskError};
use tempfile::TempDir;
use tokio::time::{MissedTickBehavior, interval};

use crate::{Failure, daemon};

/// What one handler does: so many calls at each tick.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Pace {
    /// How many ticks.
    pub(crate) ticks: u32,
    /// The time from one to the next.
    pub(crate) tick_ms: u64,
    /// Calls at each.
    pub(crate) calls: u32,
    /// Whether they are made; else the handler does the same without them.
    pub(crate) reports: bool,
}

/// What it did.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Done {
    /// Calls that were made.
    pub(crate) calls: u64,
    /// From the first to the last.
    pub(crate) seconds: f64,
}

async fn report_progress(pace: Pace, task: TaskController) -> Result<Done, TaskError> {
    let mut ticks = interval(Duration::from_millis(pace.tick_ms));
    // One that is late catches up.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let all = u64::from(pace.ticks) * u64::from(pace.calls);
    let (mut call, mut calls) = (0_u64, 0);
    let began = Instant::now();
    for _ in 0..pace.ticks {
        ticks.tick().await;
        for _ in 0..pace.calls {
            call += 1;
            let progress = black_box(call as f64 / all as f64);
            if pace.reports {
                task.set_progress(progress)?;
                calls += 1;
            }
        }
    }
    Ok(Done { calls, seconds: began.elapsed().as_secs_f64() })
}

/// Serves until standard input closes, which it does when the benchmark ends, however it ends.
pub(crate) fn serve(store: &str) -> Result<(), Failure> {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let server = Server::at(store).register_fn("report", report_progress);
        let tasks = server.listen((Ipv4Addr::LOCALHOST, 0).into()).start().await?;
        println!("{}", tasks.address().ok_or("the server does not listen")?);
        std::io::stdout().flush()?;
        std::future::pending().await
    })
}

/// The application as a child process.
#[derive(Debug)]
pub(crate) struct Handlers {
    child: Child,
    /// Removed with it.
    _folder: TempDir,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Handlers {
    /// Starts this benchmark again as the application, on an empty store.
    pub(crate) fn start() -> Result<Self, Failure> {
        let folder = daemon::folder()?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve-handlers")
            .arg(daemon::store(folder.path()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().parse().map_err(|_| "the application did not say where it listens")?;
        Ok(Handlers { child, _folder: folder, address })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Handlers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

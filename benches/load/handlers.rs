//! Handlers that report their progress, in a process of their own: an application with the task server inside.

use std::{
    ffi::OsStr,
    hint::black_box,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskwright::{Server, TaskController, TaskError};
use tempfile::TempDir;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    Failure,
    again::{self, Again},
    daemon,
};

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

/// Serves until the benchmark ends.
pub(crate) fn serve(store: &str) -> Result<(), Failure> {
    again::end_with_the_benchmark();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let server = Server::at(store).register_fn("report", report_progress);
        let tasks = server.listen((Ipv4Addr::LOCALHOST, 0).into()).start().await?;
        again::tell(tasks.address().ok_or("the server does not listen")?)?;
        std::future::pending().await
    })
}

/// The application as a child process.
#[derive(Debug)]
pub(crate) struct Handlers {
    /// The process; dropped before its folder.
    pub(crate) server: Again,
    /// Removed with it.
    _folder: TempDir,
}

impl Handlers {
    /// Starts this benchmark again as the application, on an empty store.
    pub(crate) fn start() -> Result<Self, Failure> {
        let folder = daemon::folder()?;
        let server = Again::start([OsStr::new("--serve-handlers"), daemon::store(folder.path()).as_os_str()])?;
        Ok(Handlers { server, _folder: folder })
    }
}

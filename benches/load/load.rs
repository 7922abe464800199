//! One round: the disk, bare axum, starts, starts that wait, each for the same time over the same connections.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    Failure,
    again::Again,
    client::{self, Connection, Request, Sample},
    daemon::{self, Daemon},
    disk,
};

/// The size of every request body, padded with white space: the same bytes go to both servers.
const BODY: usize = 256;
const SETTLE_TIMEOUT: Duration = Duration::from_secs(120);
const WARM_UP: Duration = Duration::from_millis(300);

/// What one round measured.
#[derive(Debug)]
pub(crate) struct Round {
    /// A 4 KiB write with `fdatasync`.
    pub(crate) sync: Duration,
    /// Bare axum.
    pub(crate) bare: Sample,
    /// What one request costs bare axum's process on the cores.
    pub(crate) bare_cpu: Duration,
    /// Starts, answered after their commit.
    pub(crate) starts: Sample,
    /// Started instances a second, the clock stopping when every one is `completed`.
    pub(crate) completed: f64,
    /// What one of them costs the daemon on the cores, from its request to its end.
    pub(crate) cpu: Duration,
    /// Starts with `?wait=10`, each answered when its instance is `completed`.
    pub(crate) waits: Sample,
}

/// Measures one round; `warm_up` sends some requests to each before, which are not counted.
pub(crate) fn round(
    bare: &Again,
    daemon: &Daemon,
    connections: u16,
    length: Duration,
    warm_up: bool,
) -> Result<Round, Failure> {
    let body = format!("{:<width$}}}", r#"{"task_id":"sleep","inputs":{"seconds":0}"#, width = BODY - 1);
    let to_bare = client::post(bare.address, "/v1/instances", &body);
    let start = client::post(daemon.address, "/v1/instances", &body);
    let start_and_wait = client::post(daemon.address, "/v1/instances?wait=10", &body);
    let to_bare = Request { to: bare.address, bytes: &to_bare, status: 201, contains: None };
    let start = Request { to: daemon.address, bytes: &start, status: 201, contains: None };
    let start_and_wait = Request { bytes: &start_and_wait, contains: Some(r#""status":"completed""#), ..start };

    if warm_up {
        client::closed_loop(to_bare, connections, WARM_UP)?;
        client::closed_loop(start, connections, WARM_UP)?;
        settle(daemon.address)?;
    }
    let sync = disk::synced_write(daemon.folder())?;
    let before = daemon::cpu_time(bare.pid())?;
    let of_bare = client::closed_loop(to_bare, connections, length)?;
    let bare_cpu = (daemon::cpu_time(bare.pid())? - before) / requests(&of_bare);
    let before = daemon::cpu_time(daemon.pid())?;
    let starts = client::closed_loop(start, connections, length)?;
    let settled = settle(daemon.address)?;
    let cpu = (daemon::cpu_time(daemon.pid())? - before) / requests(&starts);
    let completed = starts.latencies.len() as f64 / (settled - starts.began).as_secs_f64();
    let waits = client::closed_loop(start_and_wait, connections, length)?;
    settle(daemon.address)?;
    Ok(Round { sync, bare: of_bare, bare_cpu, starts, completed, cpu, waits })
}

fn requests(sample: &Sample) -> u32 {
    u32::try_from(sample.latencies.len()).unwrap_or(u32::MAX)
}

/// Waits until no instance is pending or running, and makes sure that none failed: then every one is `completed`.
pub(crate) fn settle(daemon: SocketAddr) -> Result<Instant, Failure> {
    const NONE: &str = r#""instances":[]"#;
    let live = client::get(daemon, "/v1/instances?status=pending,running&limit=1");
    let lost = client::get(daemon, "/v1/instances?status=failed,cancelled&limit=1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = Connection::open(daemon).await?;
        let began = Instant::now();
        while !connection.exchange(&live, 200, None).await?.contains(NONE) {
            if began.elapsed() > SETTLE_TIMEOUT {
                return Err(format!("instances were still not done after {SETTLE_TIMEOUT:?}").into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let settled = Instant::now();
        connection.exchange(&lost, 200, Some(NONE)).await?;
        Ok(settled)
    })
}

//! The yardstick: axum that parses JSON, answers JSON and stores nothing, in a process of its own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use axum::{Json, Router, http::StatusCode, routing::post};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::TcpListener;

use crate::Failure;

#[derive(Deserialize)]
struct Start {
    task_id: String,
    inputs: Box<RawValue>,
}

/// About what an instance weighs: 256 bytes.
#[derive(Serialize)]
struct Started {
    id: String,
    number: u64,
    task_id: String,
    status: &'static str,
    progress: f64,
    message: Option<String>,
    inputs: Box<RawValue>,
    output: Option<String>,
    error: Option<String>,
    workload: &'static str,
    attempt: u32,
    max_attempts: u32,
    version: u64,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

async fn start(Json(start): Json<Start>) -> (StatusCode, Json<Started>) {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let started = Started {
        id: format!("00000000-0000-7000-8000-{number:012}"),
        number,
        task_id: start.task_id,
        status: "running",
        progress: 0.0,
        message: None,
        inputs: start.inputs,
        output: None,
        error: None,
        workload: "local",
        attempt: 1,
        max_attempts: 1,
        version: 1,
    };
    (StatusCode::CREATED, Json(started))
}

/// Serves until standard input closes, which it does when the benchmark ends, however it ends.
pub(crate) fn serve() -> Result<(), Failure> {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        axum::serve(listener, Router::new().route("/v1/instances", post(start))).await?;
        Ok(())
    })
}

/// The bare server as a child process.
#[derive(Debug)]
pub(crate) struct BareServer {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl BareServer {
    /// Starts this benchmark again as the bare server.
    pub(crate) fn start() -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve-bare")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().parse().map_err(|_| "the bare server did not say where it listens")?;
        Ok(BareServer { child, address })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

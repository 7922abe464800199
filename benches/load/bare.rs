//! The yardstick: axum that parses JSON, answers JSON and stores nothing, in a process of its own.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU64, Ordering},
};

use axum::{Json, Router, http::StatusCode, routing::post};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::TcpListener;

use crate::{
    Failure,
    again::{self, Again},
};

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

/// Serves until the benchmark ends.
pub(crate) fn serve() -> Result<(), Failure> {
    again::end_with_the_benchmark();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        again::tell(listener.local_addr()?)?;
        axum::serve(listener, Router::new().route("/v1/instances", post(start))).await?;
        Ok(())
    })
}

/// Starts this benchmark again as the bare server.
pub(crate) fn start_server() -> Result<Again, Failure> {
    Again::start(["--serve-bare"])
}

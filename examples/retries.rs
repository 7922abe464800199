//! Errors that are worth another attempt, and errors that are not: a task that asks another server.
//!
//! ```sh
//! cargo run --example retries -- serve --demo
//! curl --json '{"address":"127.0.0.1:9"}' http://127.0.0.1:8080/v1/definitions/knock/instances
//! curl http://127.0.0.1:8080/v1/instances/1/attempts
//! ```

use std::{
    net::{AddrParseError, SocketAddr},
    process::ExitCode,
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskwright::{TaskController, TaskError, TaskHandler, TaskOptions};
use tokio::net::TcpStream;

/// Where to knock.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Door {
    /// `ADDRESS:PORT`
    address: String,
}

/// That somebody opened.
#[derive(Serialize, JsonSchema)]
pub struct Opened {
    attempts: u32,
    seconds: f64,
}

/// Connects to a server that may be down for a while.
pub struct Knock;

impl TaskHandler for Knock {
    const ID: &'static str = "knock";
    // 1 s, 2 s, 4 s, 8 s between the attempts; each may take 3 s.
    const OPTIONS: TaskOptions =
        TaskOptions::new().max_attempts(5).retry_delay(Duration::from_secs(1)).timeout(Duration::from_secs(3));
    type Input = Door;
    type Output = Opened;

    async fn run(&self, door: Door, task: TaskController) -> Result<Opened, TaskError> {
        let began = Instant::now();
        // No other attempt would read it differently.
        let address: SocketAddr = door.address.parse().map_err(|error: AddrParseError| {
            TaskError::from(error).context("`address` must be ADDRESS:PORT").into_permanent()
        })?;
        // `?` makes any error a retryable one, with its causes.
        TcpStream::connect(address).await?;
        Ok(Opened { attempts: task.attempt(), seconds: began.elapsed().as_secs_f64() })
    }
}

fn main() -> ExitCode {
    taskwright::run(|registry| {
        registry.register(Knock);
        Ok(())
    })
}

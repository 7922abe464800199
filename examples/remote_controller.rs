//! A task that is a program of its own: it reports its progress, its output and its log, and ends when it is told to.
//!
//! ```toml
//! # taskwright.toml
//! [[tasks]]
//! name = "measure"
//! command = ["target/debug/examples/remote_controller"]
//! ```
//!
//! ```sh
//! cargo build --examples && taskwright serve --config taskwright.toml
//! curl --json '{"samples":300}' '127.0.0.1:8080/v1/definitions/measure/instances?wait'
//! ```
//!
//! The program here is a tokio one; with the argument `blocking` it does the same without a runtime.

use std::{error::Error, process::ExitCode, time::Duration};

use serde::Deserialize;
use serde_json::json;
use taskwright::{RemoteTaskController, TaskController, get_task_controller, get_task_inputs};

/// The inputs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    samples: u32,
}

/// Takes one sample.
fn sample(n: u32) -> f64 {
    if n.is_multiple_of(100) {
        // Found from the environment: no need to pass the controller down here.
        if let Ok(task) = get_task_controller() {
            task.log(format_args!("sample {n}"));
        }
    }
    (f64::from(n) / 10.0).sin()
}

/// Tells how far it is, and what came out so far.
fn report(task: &TaskController, wanted: &Wanted, taken: u32, sum: f64) -> Result<(), Box<dyn Error>> {
    task.set_progress_with(f64::from(taken) / f64::from(wanted.samples), &format!("{taken} samples"))?;
    task.set_output(json!({ "samples": taken, "mean": sum / f64::from(taken) }))?;
    Ok(())
}

async fn measure() -> Result<(), Box<dyn Error>> {
    let task = RemoteTaskController::from_env().await?;
    // Else a stop would end the program where it stands.
    task.catch_sigterm()?;
    let wanted: Wanted = get_task_inputs().read()?;
    let mut sum = 0.0;
    for n in 1..=wanted.samples {
        sum += sample(n);
        report(&task, &wanted, n, sum)?;
        tokio::select! {
            reason = task.stopped() => {
                task.log(format_args!("asked to end: {reason:?}"));
                break;
            }
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
    // Everything is with the daemon before the program ends.
    task.flush().await?;
    Ok(())
}

fn measure_blocking() -> Result<(), Box<dyn Error>> {
    let task = RemoteTaskController::from_env_blocking()?;
    let wanted: Wanted = get_task_inputs().read()?;
    let mut sum = 0.0;
    for n in 1..=wanted.samples {
        sum += sample(n);
        report(&task, &wanted, n, sum)?;
        // One sample too far off is enough.
        if sum > 10.0 {
            task.request_stop();
            task.flush_blocking()?;
        }
        if task.should_stop() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    task.flush_blocking()?;
    Ok(())
}

fn main() -> ExitCode {
    let ended = if std::env::args().any(|argument| argument == "blocking") {
        measure_blocking()
    } else {
        tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(measure()))
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

//! `sleep`: waits. For trying the daemon out, and for measuring it: `sleep 0` is the least that a task can do.

use std::{pin::pin, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use crate::{
    domain::duration::Seconds,
    task::{TaskController, TaskError, TaskHandler, TaskOptions},
};

/// The longest sleep: a day.
const LONGEST: f64 = 86_400.0;

/// Sleeps for some seconds, with progress, and ends at once when it is stopped.
pub struct Sleep;

/// How long to sleep.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Seconds, from 0 to 86,400; decimals are allowed.
    #[schemars(with = "f64", range(min = 0, max = 86_400))]
    seconds: Span,
}

/// A number of seconds in the range of [`Input`].
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
struct Span(f64);

impl TryFrom<f64> for Span {
    type Error = String;

    fn try_from(seconds: f64) -> Result<Self, String> {
        if (0.0..=LONGEST).contains(&seconds) {
            Ok(Span(seconds))
        } else {
            Err(format!("must be a number of seconds from 0 to 86400, not {seconds}"))
        }
    }
}

/// How long it slept.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// Seconds: those asked for, or fewer when it was stopped.
    #[schemars(with = "f64")]
    slept: Seconds,
}

impl Output {
    fn of(slept: Duration) -> Self {
        Output { slept: Seconds(slept) }
    }
}

impl TaskHandler for Sleep {
    const ID: &'static str = "sleep";
    const OPTIONS: TaskOptions = TaskOptions::new().description("Sleeps for a number of seconds");
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, task: TaskController) -> Result<Output, TaskError> {
        let total = Duration::from_secs_f64(input.seconds.0);
        if total.is_zero() {
            return Ok(Output::of(total));
        }
        let began = Instant::now();
        let step = step(total);
        let mut next = began;
        let mut stopped = pin!(task.stopped());
        loop {
            next = (next + step).min(began + total);
            tokio::select! {
                biased;
                _ = &mut stopped => {
                    let slept = began.elapsed().min(total);
                    task.set_output(Output::of(Duration::from_millis(slept.as_millis() as u64)))?;
                    return Err(TaskError::stopped());
                }
                () = sleep_until(next) => {
                    let slept = began.elapsed().min(total);
                    task.set_progress(slept.div_duration_f64(total))?;
                    if slept == total {
                        return Ok(Output::of(total));
                    }
                }
            }
        }
    }
}

/// The time between two reports: a hundredth of the whole, but 0.1 s at least and 10 s at most.
fn step(total: Duration) -> Duration {
    (total / 100).clamp(Duration::from_millis(100), Duration::from_secs(10))
}

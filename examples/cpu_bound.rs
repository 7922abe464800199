//! Work that keeps a core busy: it goes through the blocking door, so that it holds up no other task, and asks now
//! and then whether to stop, for a thread cannot be stopped from outside.
//!
//! ```sh
//! cargo run --release --example cpu_bound -- serve --demo
//! curl --json '{"below":1000000000}' http://127.0.0.1:8080/v1/definitions/count-primes/instances
//! ```

use std::process::ExitCode;

use schemars::JsonSchema;
use serde::Deserialize;
use taskwright::{TaskController, TaskError, TaskHandler, TaskOptions};

/// How many numbers are sieved between two looks at whether to stop: about a millisecond of work.
const SEGMENT: u64 = 1 << 18;

/// What a start sends.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Primes below this number are counted; four thousand million at most.
    below: u32,
}

/// Counts primes. Two at once at most, and an hour at most.
pub struct CountPrimes;

impl TaskHandler for CountPrimes {
    const ID: &'static str = "count-primes";
    const OPTIONS: TaskOptions = TaskOptions::new()
        .description("Counts the primes below a number")
        .concurrency(2)
        .timeout(std::time::Duration::from_secs(3600));
    type Input = Range;
    /// No object: the output becomes `{"result": 168}`.
    type Output = u64;

    async fn run(&self, range: Range, task: TaskController) -> Result<u64, TaskError> {
        task.blocking(move |task| count(u64::from(range.below), &task)).await
    }
}

fn count(below: u64, task: &TaskController) -> Result<u64, TaskError> {
    let small = small_primes(below.isqrt() + 1);
    let mut found = 0;
    let mut start = 0;
    while start < below {
        if task.should_stop() {
            return Err(TaskError::stopped());
        }
        let end = (start + SEGMENT).min(below);
        found += count_segment(start, end, &small);
        start = end;
        task.set_progress_with(end as f64 / below as f64, &format!("{found} primes below {end}"))?;
    }
    Ok(found)
}

/// The primes below `limit`, by trial division: there are few.
fn small_primes(limit: u64) -> Vec<u64> {
    let mut primes: Vec<u64> = Vec::new();
    for n in 2..limit {
        if primes.iter().take_while(|prime| *prime * *prime <= n).all(|prime| n % prime != 0) {
            primes.push(n);
        }
    }
    primes
}

/// How many primes lie in `start..end`, by the sieve of Eratosthenes.
fn count_segment(start: u64, end: u64, small: &[u64]) -> u64 {
    let mut is_prime = vec![true; (end - start) as usize];
    for n in start..end.min(2) {
        is_prime[(n - start) as usize] = false;
    }
    for prime in small.iter().take_while(|prime| *prime * *prime < end) {
        let first = (prime * prime).max(start.next_multiple_of(*prime));
        for multiple in (first..end).step_by(*prime as usize) {
            is_prime[(multiple - start) as usize] = false;
        }
    }
    is_prime.into_iter().filter(|is_prime| *is_prime).count() as u64
}

fn main() -> ExitCode {
    taskwright::run(|registry| {
        registry.register(CountPrimes);
        Ok(())
    })
}

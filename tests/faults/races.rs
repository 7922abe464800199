//! Two things at once, on the real store and the real engine: whichever comes first, what callers were told is what
//! happened. Each race is run many times, with both sides let go at the same moment give or take a little.

mod bench;
mod commits;
mod fences;
mod keys;
mod kills;
mod saboteur;
mod stops;
mod streams;

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Lets up to `longest` pass, so that the two sides of a race come in every order.
async fn dither(random: u64, longest: Duration) {
    let until = Instant::now() + Duration::from_nanos(random % (longest.as_nanos() as u64 + 1));
    while Instant::now() < until {
        tokio::task::yield_now().await;
    }
}

/// Runs a test of this binary, which is ignored otherwise, in a process of its own under a negative control. Says whether
/// it failed, and what it printed.
fn fails_under(control: &str, test: &str) -> (bool, String) {
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("TASKWRIGHT_CONTROL", control)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(printed.contains("running 1 test"), "{printed}");
    (!output.status.success(), printed)
}

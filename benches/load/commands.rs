//! Commands against the least that running a program costs: a bare loop over `tokio::process` with as many at once.

use std::time::{Duration, Instant};

use tokio::{process::Command, runtime::Builder};

use crate::{
    Failure,
    client::{self, Request},
    daemon::Daemon,
    floor,
    load::settle,
    table::{median, thousands},
};

const PROGRAM: &str = "/bin/true";
/// Of the bare loop.
const FLOOR: f64 = 0.5;

/// Prints the report to standard output.
pub(crate) fn report(length: Duration, rounds: u8) -> Result<(), Failure> {
    // As many as the daemon runs by default, and more than there are cores: a slot waits for a commit between two commands.
    let mut slots = vec![2 * std::thread::available_parallelism()?.get(), 8, 16];
    slots.sort_unstable();
    slots.dedup();
    println!("\ncommands: {PROGRAM} in turn, medians of {rounds} rounds of {} s", length.as_secs_f64());
    for slots in slots {
        let daemon = Daemon::configured(&format!(
            "[worker]\ncommand_slots = {slots}\n\n[[tasks]]\nname = \"true\"\ncommand = [\"{PROGRAM}\"]\n"
        ))?;
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for round in 1..=rounds {
            eprintln!("commands: {slots} at once, round {round} of {rounds}");
            bare.push(bare_loop(slots, length)?);
            ours.push(commands(&daemon, slots, length)?);
        }
        daemon.stop()?;
        let (bare, ours) = (median(bare), median(ours));
        println!("{slots} at once: bare loop {}/s, taskwright {}/s", thousands(bare), thousands(ours));
        floor::at_least(&format!("commands, {slots} at once"), ours / bare, FLOOR, "of bare");
    }
    Ok(())
}

/// Programs a second that tasks of this process run, each its next when the one before has ended.
fn bare_loop(tasks: usize, length: Duration) -> Result<f64, Failure> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let began = Instant::now();
        let tasks: Vec<_> = (0..tasks)
            .map(|_| {
                tokio::spawn(async move {
                    let mut count = 0_u32;
                    while began.elapsed() < length {
                        let status = Command::new(PROGRAM).status().await?;
                        if !status.success() {
                            return Err(Failure::from(format!("{PROGRAM}: {status}")));
                        }
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        let mut count = 0;
        for task in tasks {
            count += task.await??;
        }
        Ok(f64::from(count) / began.elapsed().as_secs_f64())
    })
}

/// Commands a second that the daemon completes. Four connections a slot, each of which waits for its instance: no slot
/// is ever without work, and what waits does not grow.
fn commands(daemon: &Daemon, slots: usize, length: Duration) -> Result<f64, Failure> {
    let start = client::post(daemon.address, "/v1/instances?wait=30", r#"{"task_id":"true"}"#);
    let completed = Some(r#""status":"completed""#);
    let request = Request { to: daemon.address, bytes: &start, status: 201, contains: completed };
    let sample = client::closed_loop(request, u16::try_from(4 * slots)?, length)?;
    settle(daemon.address)?;
    Ok(sample.rate())
}

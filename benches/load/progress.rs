//! What the reports of handlers cost: how many commits, and how much of a core.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use serde::Deserialize;

use crate::{
    Failure,
    client::Caller,
    daemon::cpu_time,
    floor,
    handlers::{Done, Handlers, Pace},
    load::settle,
    table::thousands,
};

/// From the start of the last handler to the measurement.
const BEFORE: Duration = Duration::from_millis(500);
/// From there to the end of that handler: the first began earlier, and must not end before.
const AFTER: Duration = Duration::from_secs(2);
const HANDLERS: u32 = 200;
const COMMITS: &str = "taskwright_store_commits_total";
const RUNNING: &str = "taskwright_local_running";

/// What happened in the time of one measurement.
struct Cost {
    /// Commits a second.
    commits: f64,
    /// Cores that the process kept busy.
    cores: f64,
    /// Calls a second of one handler, over the whole of it.
    calls: f64,
}

/// Prints the report to standard output.
pub(crate) fn report(length: Duration) -> Result<(), Failure> {
    println!("\nprogress: set_progress from handlers, over {} s", length.as_secs_f64());
    let fast = measure(1, length, 10, 1000, true)?;
    println!("one handler makes {} calls/s and keeps {:.2} cores busy", thousands(fast.calls), fast.cores);
    floor::at_least("one handler, set_progress", fast.calls, 100_000.0, "calls/s");
    floor::at_most("one handler, set_progress", fast.commits, 10.0, "commits/s");

    let silent = measure(HANDLERS, length, 100, 1, false)?;
    let many = measure(HANDLERS, length, 100, 1, true)?;
    println!(
        "{HANDLERS} handlers, ten times a second each: {:.3} cores with reports, {:.3} without; {:.1} commits/s",
        many.cores, silent.cores, many.commits
    );
    floor::at_most(&format!("{HANDLERS} handlers, their reports"), many.cores - silent.cores, 0.25, "cores");
    Ok(())
}

/// Runs so many handlers of one pace, and looks at them between their start and their end.
fn measure(handlers: u32, length: Duration, tick_ms: u64, calls: u32, reports: bool) -> Result<Cost, Failure> {
    eprintln!("progress: {handlers} handlers, {calls} calls every {tick_ms} ms, reports: {reports}");
    let application = Handlers::start()?;
    let mut caller = Caller::open(application.server.address)?;
    let whole = BEFORE + length + AFTER;
    let ticks = u32::try_from(whole.as_millis() / u128::from(tick_ms))?;
    let pace = serde_json::to_string(&Pace { ticks, tick_ms, calls, reports })?;
    let start = format!(r#"{{"task_id":"report","inputs":{pace}}}"#);
    for _ in 0..handlers {
        caller.post("/v1/instances", &start)?;
    }
    sleep(BEFORE);
    let (began, cpu, commits) = (Instant::now(), cpu_time(application.server.pid())?, metric(&mut caller, COMMITS)?);
    sleep(length);
    let (took, cpu, commits) = (
        began.elapsed().as_secs_f64(),
        (cpu_time(application.server.pid())? - cpu).as_secs_f64(),
        metric(&mut caller, COMMITS)? - commits,
    );
    if metric(&mut caller, RUNNING)? != u64::from(handlers) {
        return Err("not all handlers ran from the start of the measurement to its end".into());
    }
    settle(application.server.address)?;
    let done = output(&caller.get("/v1/instances/1")?)?;
    // A window may hold one more than its length in periods.
    Ok(Cost {
        commits: commits.saturating_sub(1) as f64 / took,
        cores: cpu / took,
        calls: done.calls as f64 / done.seconds,
    })
}

fn metric(caller: &mut Caller, name: &str) -> Result<u64, Failure> {
    let metrics = caller.get("/metrics")?;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.ok_or_else(|| format!("no {name} among the metrics"))?.trim().parse()?)
}

fn output(instance: &str) -> Result<Done, Failure> {
    #[derive(Deserialize)]
    struct Instance {
        output: Done,
    }
    Ok(serde_json::from_str::<Instance>(instance)?.output)
}

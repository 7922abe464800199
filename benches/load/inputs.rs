//! What instances with large inputs write to the store's log (WAL): the inputs once, and no more at each change of status.

use std::fs;

use crate::{Failure, client::Caller, daemon::Daemon, floor, load::settle};

const INPUTS: usize = 1024 * 1024;
const INSTANCES: u32 = 20;
/// A frame of the log is a page and a header; rows, indexes and counters come on top.
const FLOOR: f64 = 1.2 * INPUTS as f64 + 8192.0;
/// The thread that all commits go through. It writes to the log only: another one brings that into the database file.
const WRITER: &str = "sqlite-writer";

/// Prints the report to standard output.
pub(crate) fn report(quick: bool) -> Result<(), Failure> {
    let instances = if quick { INSTANCES / 4 } else { INSTANCES };
    let daemon = Daemon::configured(
        "[limits]\nbody = \"2 MiB\"\n\n[[tasks]]\nname = \"true\"\ncommand = [\"/bin/true\"]\ninputs = \"file\"\n",
    )?;
    println!("\ninputs of 1 MiB: {instances} commands, from their start to completed");
    let small = written(&daemon, &inputs(16), instances)?;
    let large = written(&daemon, &inputs(INPUTS), instances)?;
    println!("written to the log an instance: {:.1} KiB with inputs of 16 bytes", small / 1024.0);
    floor::at_most("written an instance with inputs of 1 MiB", large / 1024.0, FLOOR / 1024.0, "KiB");
    daemon.stop()
}

/// A JSON object of this size.
fn inputs(size: usize) -> String {
    let frame = r#"{"text":""}"#;
    format!(r#"{{"text":"{}"}}"#, "x".repeat(size - frame.len()))
}

/// The bytes that one instance has the writer write.
fn written(daemon: &Daemon, inputs: &str, instances: u32) -> Result<f64, Failure> {
    let mut caller = Caller::open(daemon.address)?;
    let start = format!(r#"{{"task_id":"true","inputs":{inputs}}}"#);
    // The first of all writes more than the others.
    caller.post("/v1/instances?wait=30", &start)?;
    let before = writer_bytes(daemon.pid())?;
    for _ in 0..instances {
        caller.post("/v1/instances?wait=30", &start)?;
    }
    settle(daemon.address)?;
    Ok((writer_bytes(daemon.pid())? - before) as f64 / f64::from(instances))
}

/// The bytes that the writer's calls have written so far.
fn writer_bytes(pid: u32) -> Result<u64, Failure> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.path();
        if fs::read_to_string(thread.join("comm"))?.trim() != WRITER {
            continue;
        }
        let io = fs::read_to_string(thread.join("io"))?;
        let bytes = io.lines().find_map(|line| line.strip_prefix("wchar:")).ok_or("a thread's io without wchar")?;
        return Ok(bytes.trim().parse()?);
    }
    Err(format!("the daemon has no thread {WRITER}").into())
}

//! What the daemon costs when it has nothing to do: memory, wake-ups, and the time until it is ready.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    Failure,
    daemon::{Daemon, signal},
    table::millis,
};

const IDLE: Duration = Duration::from_secs(10);
const RESTARTS: usize = 10;
const SLOTS: u32 = 256;

/// Prints the report to standard output.
pub(crate) fn report() -> Result<(), Failure> {
    let mut daemon = Daemon::start(SLOTS)?;
    println!("ready after {:.1} ms on a new store", millis(daemon.ready_after));
    let mut times = Vec::new();
    for _ in 0..RESTARTS {
        daemon = daemon.restart()?;
        times.push(daemon.ready_after);
    }
    times.sort_unstable();
    println!(
        "ready after {:.1} ms on the same store (median of {RESTARTS}; {:.1} to {:.1} ms)",
        millis(times[RESTARTS / 2]),
        millis(times[0]),
        millis(times[RESTARTS - 1])
    );

    std::thread::sleep(IDLE);
    let processes = family(daemon.pid())?;
    for (pid, name) in &processes {
        let (resident, private) = memory(*pid)?;
        let role = if *pid == daemon.pid() { "daemon" } else { "child" };
        println!(
            "{role} {pid} ({name}) after {} s idle: RSS {resident:.1} MB, of it private {private:.1} MB",
            IDLE.as_secs()
        );
    }

    let before = wake_ups(&processes)?;
    std::thread::sleep(IDLE);
    let switches = wake_ups(&processes)? - before;
    println!("wake-ups of all threads in {} s by the kernel's count of context switches: {switches}", IDLE.as_secs());
    match system_calls(&processes)? {
        Some(calls) => {
            println!("system calls seen by strace in {} s: {}\n{}", IDLE.as_secs(), calls.lines().count(), calls)
        }
        None => println!("system calls: strace is not here (apt-get install strace)"),
    }
    daemon.stop()
}

/// The process and its descendants, with their names.
fn family(root: u32) -> Result<Vec<(u32, String)>, Failure> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process may end while it is looked at.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((head, tail)) = stat.rsplit_once(')') else { continue };
        let name = head.split_once('(').map_or("", |(_, name)| name).to_owned();
        let parent = tail.split_whitespace().nth(1).and_then(|parent| parent.parse::<u32>().ok()).unwrap_or(0);
        all.push((pid, parent, name));
    }
    let mut found: Vec<(u32, String)> = Vec::new();
    let mut wanted = vec![root];
    while let Some(pid) = wanted.pop() {
        found.extend(all.iter().filter(|process| process.0 == pid).map(|process| (pid, process.2.clone())));
        wanted.extend(all.iter().filter(|process| process.1 == pid).map(|process| process.0));
    }
    Ok(found)
}

/// Resident and private memory of a process, in MB.
fn memory(pid: u32) -> Result<(f64, f64), Failure> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let sum = |names: &[&str]| -> f64 {
        rollup
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| names.contains(name))
            .filter_map(|(_, value)| value.trim().trim_end_matches(" kB").parse::<f64>().ok())
            .sum::<f64>()
            * 1024.0
            / 1e6
    };
    Ok((sum(&["Rss"]), sum(&["Private_Clean", "Private_Dirty"])))
}

/// How often the threads of these processes have been put on a core.
fn wake_ups(processes: &[(u32, String)]) -> Result<u64, Failure> {
    let mut count = 0;
    for (pid, _) in processes {
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let status = fs::read_to_string(thread?.path().join("status"))?;
            count += status
                .lines()
                .filter_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
                .filter_map(|value| value.trim().parse::<u64>().ok())
                .sum::<u64>();
        }
    }
    Ok(count)
}

/// The system calls that these processes begin within ten seconds, one a line; none without strace.
fn system_calls(processes: &[(u32, String)]) -> Result<Option<String>, Failure> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-q", "-ttt"]);
    for (pid, _) in processes {
        strace.args(["-p", &pid.to_string()]);
    }
    let trace = tempfile::NamedTempFile::new()?;
    strace.arg("-o").arg(trace.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut child) = strace.spawn() else { return Ok(None) };
    // Attaching interrupts each thread once and shows the call it resumes: these lines are not the daemon's doing.
    std::thread::sleep(Duration::from_secs(1));
    let from = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    std::thread::sleep(IDLE);
    let until = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    signal("INT", child.id())?;
    child.wait()?;
    let began = |line: &&str| {
        let time = line.split_whitespace().nth(1).and_then(|time| time.parse::<f64>().ok());
        time.is_some_and(|time| (from..until).contains(&time))
    };
    let trace = fs::read_to_string(trace.path())?;
    Ok(Some(trace.lines().filter(began).collect::<Vec<_>>().join("\n")))
}

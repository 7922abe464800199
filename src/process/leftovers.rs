//! What a dead daemon, spawner or supervisor may have left: processes that carry a mark of ours in their environment.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::thread;
use std::time::{Duration, Instant};

use super::sys;
use super::tree::{self, Entry, Reach};
use crate::domain::variables::STORE;

/// How long [`kill_marked`] tries.
const PATIENCE: Duration = Duration::from_secs(10);

/// Kills every process of our user, but this one, whose environment holds `TASKWRIGHT_STORE=<tag>`, until none is left.
/// Returns how many there were. Blocks, 10 s at most: a busy machine takes its time.
///
/// A process that has replaced its environment is not found; the supervisors see to those as long as they live.
///
/// # Errors
/// `TimedOut` when such processes still live after 10 s; else what reading the table of processes failed with.
pub fn kill_leftovers(tag: &str) -> io::Result<usize> {
    kill_marked(&[format!("{STORE}={tag}")])
}

/// As [`kill_leftovers`], of those whose environment holds all of `marks`, each a variable with its value.
///
/// # Errors
/// As for [`kill_leftovers`].
pub fn kill_marked(marks: &[String]) -> io::Result<usize> {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = HashSet::new();
    let mut living: Vec<i32> = Vec::new();
    let mut quiet = 0;
    loop {
        let struck = tree::strike(Reach::Process, || {
            let found = marked(marks)?;
            living = found.iter().map(|entry| entry.pid).collect();
            seen.extend(found.iter().map(|entry| (entry.pid, entry.started)));
            Ok(found)
        })?;
        // One pass may miss a child that was forked while it ran; two in a row do not miss its parent as well.
        quiet = if struck == 0 { quiet + 1 } else { 0 };
        if quiet == 2 {
            return Ok(seen.len());
        }
        if struck == 0 {
            continue;
        }
        // A machine that is busy may take long for a look that finds nobody: that alone is no failure.
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("processes that were left do not die: end them by hand: {living:?}"),
            ));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// The processes that carry the marks.
fn marked(marks: &[String]) -> io::Result<Vec<Entry>> {
    let (us, user) = (std::process::id() as i32, sys::user());
    Ok(tree::pids()?
        .into_iter()
        .filter(|pid| *pid != us && carries(*pid, user, marks))
        .filter_map(Entry::read)
        .filter(|entry| !entry.is_zombie())
        .collect())
}

fn carries(pid: i32, user: u32, marks: &[String]) -> bool {
    let folder = format!("/proc/{pid}");
    if !fs::metadata(&folder).is_ok_and(|metadata| metadata.uid() == user) {
        return false;
    }
    let environment = fs::read(format!("{folder}/environ")).unwrap_or_default();
    marks.iter().all(|mark| environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()))
}

//! What a dead daemon may have left: processes that carry its store's name in their environment.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::thread;
use std::time::{Duration, Instant};

use super::sys;
use super::tree::{self, Entry, Reach};

/// How long [`kill_leftovers`] tries.
const PATIENCE: Duration = Duration::from_secs(2);

/// Kills every process of our user, but this one, whose environment holds `TASKWRIGHT_STORE=<tag>`, until none is left.
/// Returns how many there were. Blocks, 2 s at most.
///
/// A process that has replaced its environment is not found; the supervisors see to those as long as they live.
///
/// # Errors
/// `TimedOut` when such processes still live after 2 s; else what reading the table of processes failed with.
pub fn kill_leftovers(tag: &str) -> io::Result<usize> {
    let mark = format!("TASKWRIGHT_STORE={tag}").into_bytes();
    let deadline = Instant::now() + PATIENCE;
    let mut seen = HashSet::new();
    let mut quiet = 0;
    loop {
        let struck = tree::strike(Reach::Process, || {
            let found = marked(&mark)?;
            seen.extend(found.iter().map(|entry| (entry.pid, entry.started)));
            Ok(found)
        })?;
        // One pass may miss a child that was forked while it ran; two in a row do not miss its parent as well.
        quiet = if struck == 0 { quiet + 1 } else { 0 };
        if quiet == 2 {
            return Ok(seen.len());
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "processes of an earlier daemon on this store do not die: end them by hand",
            ));
        }
        if struck > 0 {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The processes that carry the mark.
fn marked(mark: &[u8]) -> io::Result<Vec<Entry>> {
    let (us, user) = (std::process::id() as i32, sys::user());
    Ok(tree::pids()?
        .into_iter()
        .filter(|pid| *pid != us && carries(*pid, user, mark))
        .filter_map(Entry::read)
        .filter(|entry| !entry.is_zombie())
        .collect())
}

fn carries(pid: i32, user: u32, mark: &[u8]) -> bool {
    let folder = format!("/proc/{pid}");
    if !fs::metadata(&folder).is_ok_and(|metadata| metadata.uid() == user) {
        return false;
    }
    let environment = fs::read(format!("{folder}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == mark)
}

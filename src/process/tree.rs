//! The table of processes: who descends from whom, and killing all of a family.
//!
//! A process may fork while the table is read, so one pass proves nothing. Each round therefore stops all it finds until
//! a pass finds nothing new, and only then kills: a fork bomb stands still before it dies. A process that forks and
//! exits at once, again and again, is gone before a pass is over; it is met by signals to its process group, which a fork
//! cannot slip through, and by stopping our own children as soon as they are read. The callers repeat rounds until
//! nothing is left, by a proof of their own.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;

use super::sys;

/// How many passes one round spends on stopping before it kills what it has.
const STOP_PASSES: usize = 16;

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub pid: i32,
    pub parent: i32,
    pub group: i32,
    pub session: i32,
    /// The letter of proc(5).
    pub state: u8,
    /// Start time in clock ticks since boot: with the pid it names one process.
    pub started: u64,
}

impl Entry {
    /// The line of one process; `None` if there is none.
    pub(super) fn read(pid: i32) -> Option<Entry> {
        let mut text = [0; 1024];
        let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut text).ok()?;
        Entry::parse(pid, &text[..length])
    }

    fn parse(pid: i32, text: &[u8]) -> Option<Entry> {
        // The name may hold spaces and brackets: what follows the last bracket is well formed.
        let end = text.iter().rposition(|byte| *byte == b')')?;
        let text = std::str::from_utf8(&text[end + 1..]).ok()?;
        let mut fields = text.split_ascii_whitespace();
        let state = *fields.next()?.as_bytes().first()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        // Field 22 of stat(5); the session was field 6.
        let started = fields.nth(15)?.parse().ok()?;
        Some(Entry { pid, parent, group, session, state, started })
    }

    /// Dead already, not yet reaped.
    pub(super) fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// Standing still by a signal.
    pub(super) fn is_stopped(&self) -> bool {
        self.state == b'T'
    }

    /// Sends a signal to this very process, and to no later one of the same number.
    pub(super) fn signal(&self, signal: libc::c_int) -> io::Result<()> {
        if self.parent == std::process::id() as i32 {
            // Our own child keeps its number until we reap it.
            return sys::kill(self.pid, signal);
        }
        let process = match sys::open_process(self.pid) {
            Ok(process) => Some(process),
            // Kernels before 5.3, and sandboxes: the check below and a direct signal are the next best.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => None,
            Err(error) => return Err(error),
        };
        if Entry::read(self.pid).is_none_or(|now| now.started != self.started) {
            return Ok(());
        }
        match process {
            Some(process) => sys::kill_process(process.as_fd(), signal),
            None => sys::kill(self.pid, signal),
        }
    }
}

/// The numbers of all processes.
pub(super) fn pids() -> io::Result<Vec<i32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// All processes that live. `seen` is called with each as soon as it is read.
fn table(mut seen: impl FnMut(&Entry)) -> io::Result<Vec<Entry>> {
    let mut table = Vec::new();
    for entry in pids()?.into_iter().filter_map(Entry::read) {
        if !entry.is_zombie() {
            seen(&entry);
            table.push(entry);
        }
    }
    Ok(table)
}

/// What descends from `root` in a table, without the children of `root` that `spared` names and what descends from them.
fn descendants(table: &[Entry], root: i32, spared: &dyn Fn(i32) -> bool) -> Vec<Entry> {
    let mut children: HashMap<i32, Vec<&Entry>> = HashMap::new();
    for entry in table {
        children.entry(entry.parent).or_default().push(entry);
    }
    let mut found: Vec<Entry> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        // Removed, so that a table that was read in motion and holds a circle still ends.
        for entry in children.remove(&parent).unwrap_or_default() {
            if !(parent == root && spared(entry.pid)) {
                found.push(*entry);
                parents.push(entry.pid);
            }
        }
    }
    found
}

/// How far a signal to a process reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// This process.
    Process,
    /// Its process group too. Right where the group's session was begun by a process that is to die, or by its parent:
    /// then nobody else can be in it.
    Group,
}

impl Reach {
    /// It may be gone, or not ours to signal: the next round sees to that.
    fn signal(self, entry: &Entry, signal: libc::c_int) {
        let us = std::process::id() as i32;
        // If the group has died meanwhile and its number has a new owner, that one is in another session.
        if self == Reach::Group
            && entry.group > 1
            && entry.group != us
            && Entry::read(entry.group).is_none_or(|leader| leader.session == entry.session)
        {
            let _ = sys::kill(-entry.group, signal);
        }
        let _ = entry.signal(signal);
    }
}

/// Kills what `find` finds, one round; says how many that was. Zero: a whole pass found nobody.
pub(super) fn strike(reach: Reach, mut find: impl FnMut() -> io::Result<Vec<Entry>>) -> io::Result<usize> {
    let mut stopped = HashSet::new();
    let mut found = Vec::new();
    for _ in 0..STOP_PASSES {
        found = find()?;
        let mut news = false;
        for entry in &found {
            if stopped.insert((entry.pid, entry.started)) {
                news = true;
                reach.signal(entry, libc::SIGSTOP);
            }
        }
        if !news {
            break;
        }
    }
    for entry in &found {
        reach.signal(entry, libc::SIGKILL);
    }
    Ok(stopped.len())
}

/// One round against everything below this process, but for its children that `spared` names and their families. Every
/// child must have begun a session of its own, or this process must be a session leader.
pub(super) fn strike_below_us(spared: &dyn Fn(i32) -> bool) -> io::Result<usize> {
    let us = std::process::id() as i32;
    strike(Reach::Group, || {
        let table = table(|entry| {
            if entry.parent == us && !spared(entry.pid) {
                let _ = entry.signal(libc::SIGSTOP);
            }
        })?;
        Ok(descendants(&table, us, spared))
    })
}

/// One round against a session whose leader was killed.
///
/// # Errors
/// `ResourceBusy` while a process has the leader's number: it is about to die, or the number has a new owner.
pub(super) fn strike_session(session: i32) -> io::Result<usize> {
    strike(Reach::Group, || {
        let mut table = table(|_| {})?;
        if table.iter().any(|entry| entry.pid == session) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        table.retain(|entry| entry.session == session);
        Ok(table)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pid: i32, parent: i32) -> Entry {
        Entry { pid, parent, group: 0, session: 0, state: b'S', started: 0 }
    }

    #[test]
    fn a_name_full_of_brackets_does_not_confuse_the_fields() {
        let text = b"77 (a) S 1 (b)) S 12 77 70 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 99123 5 6 7";
        let expected = Entry { pid: 77, parent: 12, group: 77, session: 70, state: b'S', started: 99123 };
        assert_eq!(Entry::parse(77, text), Some(expected));
        assert_eq!(Entry::parse(77, b"77 (a) S 12"), None);
    }

    #[test]
    fn our_own_line_can_be_read() {
        let us = std::process::id() as i32;
        let line = Entry::read(us).expect("we live");
        assert!(!line.is_zombie() && line.started > 0);
        assert_eq!(line.parent, std::os::unix::process::parent_id() as i32);
    }

    #[test]
    fn descendants_leave_out_strangers_and_the_spared_families() {
        let table =
            [entry(1, 0), entry(10, 1), entry(11, 10), entry(12, 11), entry(20, 10), entry(21, 20), entry(30, 1)];
        let mut found: Vec<i32> = descendants(&table, 10, &|pid| pid == 20).iter().map(|e| e.pid).collect();
        found.sort_unstable();
        assert_eq!(found, [11, 12]);
    }

    #[test]
    fn a_circle_in_a_torn_table_ends() {
        let table = [entry(10, 1), entry(11, 12), entry(12, 11), entry(13, 10)];
        assert_eq!(descendants(&table, 10, &|_| false), [entry(13, 10)]);
        assert_eq!(descendants(&table, 11, &|_| false).len(), 2);
    }
}

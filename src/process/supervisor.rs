//! One supervisor: it starts one program at a time and says how it ended when nothing of the attempt is left.
//!
//! It kills everything below it when the program ends, when the daemon asks or dies (the control socket ends), and when
//! the spawner dies (the lifeline ends). It is done when the kernel says that it has no child: it is the subreaper of all
//! that descends from it, so then nothing does, and the next command can begin.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use super::program::{Launcher, Unstarted};
use super::sys::{self, Reaped};
use super::tree;
use super::wire::{self, Reply, Request, Step};
use crate::negative_control::NegativeControl;

/// The longest pause between two rounds against processes that do not die, in milliseconds.
const LONGEST_PAUSE: i32 = 50;

/// How long a program may take before the daemon is told that it runs. One that ends sooner is told of once, with its end:
/// that spares both sides a wake-up, and delays nothing that a person sees.
const MOMENT: Duration = Duration::from_millis(10);

/// A command with its streams.
struct Work {
    request: Request,
    command: Text,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// Where a command stands.
enum Text {
    Here(Vec<u8>),
    File(OwnedFd),
}

/// What a supervisor has from the spawner.
pub(super) struct Inherited<'a> {
    /// Ends when the spawner dies.
    pub lifeline: BorrowedFd<'a>,
    /// Readable when a child has news.
    pub signals: BorrowedFd<'a>,
    /// `/dev/null`.
    pub null: BorrowedFd<'a>,
}

/// Runs one command after another in a process that was forked for them, until the daemon lets go of it. Exit 0 says: all
/// is cleaned up, whatever the programs did.
pub(super) fn supervise(control: OwnedFd, inherited: &Inherited<'_>) -> ! {
    let refuse = |step, error: &io::Error| {
        let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
        say(control.as_fd(), Reply::Failed { step, errno });
    };
    if let Err(error) = prepare(&control, inherited) {
        refuse(Step::Supervisor, &error);
        sys::exit(0);
    }
    say(control.as_fd(), Reply::Hired { supervisor: std::process::id() as i32 });
    let mut launcher = Launcher::new();
    let mut record = vec![0; Request::LONGEST];
    while let Some(work) = next_command(control.as_fd(), inherited.lifeline, &mut record) {
        match work.and_then(|work| start(work, &mut launcher, [control.as_fd(), inherited.lifeline])) {
            Err(Unstarted::Unwanted) => {
                // Daemon or spawner died, or the caller gave up, while the command was on its way.
                say(control.as_fd(), Reply::Refused);
                break;
            }
            Err(Unstarted::Failed(step, error)) => refuse(step, &error),
            Ok(program) => {
                let (verdict, over) = watch(program, control.as_fd(), inherited);
                say(control.as_fd(), verdict);
                if over {
                    break;
                }
            }
        }
    }
    sys::exit(0)
}

/// The daemon may be gone: then nobody waits for the word.
fn say(control: BorrowedFd<'_>, reply: Reply) {
    let _ = sys::send(control, &reply.encode(), &[]);
}

fn prepare(control: &OwnedFd, inherited: &Inherited<'_>) -> io::Result<()> {
    // Other supervisors' sockets and the lifeline's writing end must not live on in this process.
    sys::close_all_but(&mut [
        control.as_raw_fd(),
        inherited.lifeline.as_raw_fd(),
        inherited.signals.as_raw_fd(),
        inherited.null.as_raw_fd(),
    ])?;
    // Its input is that of every program, and a reader must see the end of a stream when the program's processes are gone.
    for stream in 0..=2 {
        sys::place(inherited.null, stream)?;
    }
    // An idle process should keep no folder busy.
    std::env::set_current_dir("/")?;
    sys::set_name(c"tw-supervisor");
    sys::new_session()?;
    sys::become_subreaper()
}

/// Waits for a command. `None` when there will be none: daemon or spawner is gone, or the daemon needs us no longer.
fn next_command(
    control: BorrowedFd<'_>,
    lifeline: BorrowedFd<'_>,
    record: &mut [u8],
) -> Option<Result<Work, Unstarted>> {
    loop {
        let [_, orphaned] = sys::poll([Some(control), Some(lifeline)], -1).ok()?;
        if orphaned {
            return None;
        }
        let (length, fds) = match sys::receive_with_fds(control, record) {
            Ok((0, _)) => return None,
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return None,
        };
        if record[..length] == *wire::TERMINATE {
            // It was meant for the command before, which had ended by then.
            continue;
        }
        let refused = |errno| Some(Err(Unstarted::Failed(Step::Supervisor, io::Error::from_raw_os_error(errno))));
        let Some((request, text)) = Request::decode(&record[..length]) else {
            return refused(libc::EBADMSG);
        };
        let mut fds = fds.into_iter();
        let (Some(stdout), Some(stderr)) = (fds.next(), fds.next()) else {
            // The kernel drops the descriptors that we have no number left for.
            return refused(libc::EMFILE);
        };
        let command = match fds.next() {
            Some(file) => Text::File(file),
            None if text.is_empty() => return refused(libc::EMFILE),
            None => Text::Here(text.to_vec()),
        };
        return Some(Ok(Work { request, command, stdout, stderr }));
    }
}

/// Starts the program with its own streams, and lets go of them.
fn start(work: Work, launcher: &mut Launcher, bounds: [BorrowedFd<'_>; 2]) -> Result<i32, Unstarted> {
    let Work { request, command, stdout, stderr } = work;
    let supervisor = |error| Unstarted::Failed(Step::Supervisor, error);
    let text = match command {
        Text::Here(text) => text,
        Text::File(file) => read(request, file).map_err(supervisor)?,
    };
    let command =
        wire::decode(request, &text).ok_or_else(|| supervisor(io::Error::from_raw_os_error(libc::EBADMSG)))?;
    launcher.start(&command, [stdout.as_fd(), stderr.as_fd()], bounds)
}

fn read(request: Request, file: OwnedFd) -> io::Result<Vec<u8>> {
    let length = usize::try_from(request.length).map_err(io::Error::other)?;
    if length > wire::MAX_COMMAND {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    let mut text = vec![0; length];
    File::from(file).read_exact_at(&mut text, 0)?;
    Ok(text)
}

/// Waits for an end, kills what is left, and answers how the program ended once nothing is, and whether that was the last
/// command. After a [`MOMENT`], or where there is something to be killed, it says first that the program ran.
fn watch(program: i32, daemon: BorrowedFd<'_>, inherited: &Inherited<'_>) -> (Reply, bool) {
    let mut status = None;
    let (mut control, mut lifeline) = (Some(daemon), Some(inherited.lifeline));
    let mut untold = Some(Instant::now() + MOMENT);
    let mut rounds = 0;
    loop {
        loop {
            match sys::reap(false) {
                Reaped::Child(pid, news) if pid == program => status = Some(news),
                Reaped::Child(..) => {}
                Reaped::NoNews if status.is_none() || !NegativeControl::KillLeaderOnly.is_on() => break,
                Reaped::NoNews | Reaped::NoChild => {
                    return (verdict(program, status, lifeline.is_none()), control.is_none() || lifeline.is_none());
                }
            }
        }
        let doomed = status.is_some() || control.is_none() || lifeline.is_none();
        // What is to be killed may take long to die.
        if untold.take_if(|due| doomed || *due <= Instant::now()).is_some() {
            say(daemon, Reply::Started { program });
        }
        let pause = if doomed {
            if NegativeControl::KillLeaderOnly.is_on() {
                let _ = sys::kill(program, libc::SIGKILL);
            } else {
                if status.is_none() {
                    // The likely ones first; this also works where the table of processes cannot be read.
                    let _ = sys::kill(-program, libc::SIGKILL);
                }
                // Where the table cannot be read now (no descriptors left), the next round tries again.
                let _ = tree::strike_below_us(&|_| false);
            }
            rounds += 1;
            (1 << rounds.min(6)).min(LONGEST_PAUSE)
        } else {
            // Rounded up, so that the moment is over then.
            untold.map_or(-1, |due| 1 + due.saturating_duration_since(Instant::now()).as_millis() as i32)
        };
        let news = sys::poll([control, lifeline, Some(inherited.signals)], pause);
        let [asked, orphaned, child] = news.unwrap_or([true; 3]);
        if asked && let Some(socket) = control {
            control = obey(socket, program, status.is_some());
        }
        if orphaned {
            // Nothing is ever written to it.
            lifeline = None;
        }
        if child {
            sys::drain_signals(inherited.signals);
        }
    }
}

/// Reads what the daemon asks for. `None` when it asks for the end of all, by ending the socket.
fn obey(socket: BorrowedFd<'_>, program: i32, ended: bool) -> Option<BorrowedFd<'_>> {
    let mut word = [0; 8];
    loop {
        match sys::receive(socket, &mut word) {
            Ok(0) => return None,
            Ok(length) if word[..length] == *wire::TERMINATE => {
                // Not yet reaped, the program still owns its number, so the group is its own.
                if !ended {
                    let _ = sys::kill(-program, libc::SIGTERM);
                    // One that stands still could not act on it.
                    let _ = sys::kill(-program, libc::SIGCONT);
                }
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(socket),
            Err(_) => return None,
        }
    }
}

fn verdict(program: i32, status: Option<i32>, abandoned: bool) -> Reply {
    match status {
        Some(status) if libc::WIFEXITED(status) => Reply::Exited { program, code: libc::WEXITSTATUS(status) },
        Some(status) if libc::WIFSIGNALED(status) && !(abandoned && libc::WTERMSIG(status) == libc::SIGKILL) => {
            Reply::Signalled { program, signal: libc::WTERMSIG(status) }
        }
        _ => Reply::Lost,
    }
}

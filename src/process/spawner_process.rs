//! The spawner's own process: it forks supervisors and cleans up after those that were killed.
//!
//! It keeps a copy of each supervisor's control socket. So the daemon reads the end of that socket only when the
//! supervisor is gone *and* the spawner has killed whatever it left behind.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use super::own_program;
use super::supervisor::{self, Inherited};
use super::sys::{self, Reaped};
use super::tree;
use super::wire::{HELLO, HIRE, Reply, Step};

/// The name under which this binary is the spawner.
pub(super) const HIDDEN_NAME: &str = "taskwright-spawner";

/// The pause between two rounds against orphans that do not die, in milliseconds.
const PAUSE: i32 = 5;

/// In a process that was started as the spawner this serves until the daemon is gone, and never returns. In any other it
/// returns at once. It must be the first call of `main`, before any thread is started.
pub fn run_if_spawner() {
    let stdin = io::stdin();
    if std::env::args_os().next().is_none_or(|name| name != HIDDEN_NAME) || !sys::is_seqpacket(stdin.as_fd()) {
        own_program::note();
        return;
    }
    let code = match SpawnerProcess::begin() {
        Ok(mut forks) => {
            forks.serve();
            0
        }
        Err(error) => {
            eprintln!("taskwright: the spawner of commands cannot start: {error}");
            1
        }
    };
    sys::exit(code)
}

struct SpawnerProcess {
    /// The daemon. `None` once it is gone.
    daemon: Option<OwnedFd>,
    signals: OwnedFd,
    null: OwnedFd,
    lifeline: OwnedFd,
    /// Its end tells every supervisor to kill what it has; nothing is ever written to it. `None` once the daemon is gone.
    alive: Option<OwnedFd>,
    /// Living supervisors, each with its control socket.
    supervisors: HashMap<i32, OwnedFd>,
    /// The control sockets of supervisors that did not end by themselves.
    lost: Vec<OwnedFd>,
    /// How many rounds in a row have found no orphan.
    quiet: u8,
}

impl SpawnerProcess {
    fn begin() -> io::Result<SpawnerProcess> {
        // What else the daemon may have let slip is not ours.
        sys::close_all_but(&mut [])?;
        let daemon = io::stdin().as_fd().try_clone_to_owned()?;
        let null: OwnedFd = File::options().read(true).write(true).open("/dev/null")?.into();
        sys::place(null.as_fd(), 0)?;
        sys::set_name(c"tw-spawner");
        // The terminal's Ctrl-C is meant for the daemon. Fails only for a process that has a session already.
        let _ = sys::new_session();
        sys::become_subreaper()?;
        sys::forbid_new_privileges()?;
        let signals = sys::take_signals()?;
        // After all are blocked: nothing can end this process in between.
        sys::default_signals();
        let (lifeline, alive) = io::pipe()?;
        sys::send(daemon.as_fd(), HELLO, &[])?;
        Ok(SpawnerProcess {
            daemon: Some(daemon),
            signals,
            null,
            lifeline: lifeline.into(),
            alive: Some(alive.into()),
            supervisors: HashMap::new(),
            lost: Vec::new(),
            quiet: 0,
        })
    }

    /// Until the daemon is gone and with it every supervisor: each of them sees the end of the lifeline.
    fn serve(&mut self) {
        loop {
            self.reap();
            if self.daemon.is_none() && self.supervisors.is_empty() && self.lost.is_empty() {
                return;
            }
            let pause = self.clean_up();
            let daemon = self.daemon.as_ref().map(OwnedFd::as_fd);
            let [request, child] = sys::poll([daemon, Some(self.signals.as_fd())], pause).unwrap_or([true; 2]);
            if child {
                sys::drain_signals(self.signals.as_fd());
            }
            if request {
                self.take_request();
            }
        }
    }

    fn reap(&mut self) {
        while let Reaped::Child(pid, status) = sys::reap(true) {
            if libc::WIFSTOPPED(status) {
                if self.supervisors.contains_key(&pid) {
                    // Somebody tampers with it. Stopped it could not keep its promise; dead, we keep it.
                    let _ = sys::kill(pid, libc::SIGKILL);
                }
            } else if let Some(control) = self.supervisors.remove(&pid)
                && !(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0)
            {
                self.lost.push(control);
                self.quiet = 0;
            }
        }
    }

    /// One round against the orphans of lost supervisors. Returns how long to wait for the next, −1 for no next.
    fn clean_up(&mut self) -> i32 {
        if self.lost.is_empty() {
            return -1;
        }
        // Every child of ours that is no supervisor was left by one.
        match tree::strike_below_us(&|pid| self.supervisors.contains_key(&pid)) {
            Ok(0) => self.quiet += 1,
            Ok(_) | Err(_) => self.quiet = 0,
        }
        // One pass may miss a child that was forked while it ran; two in a row do not miss its parent as well.
        match self.quiet {
            0 => PAUSE,
            1 => 0,
            _ => {
                for control in self.lost.drain(..) {
                    let _ = sys::send(control.as_fd(), &Reply::Lost.encode(), &[]);
                }
                -1
            }
        }
    }

    fn take_request(&mut self) {
        let Some(daemon) = &self.daemon else { return };
        let mut record = [0; HIRE.len()];
        let fds = match sys::receive_with_fds(daemon.as_fd(), &mut record) {
            Ok((length, fds)) if length > 0 => fds,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => {
                self.daemon = None;
                // A daemon that only said farewell still holds the control sockets.
                self.alive = None;
                return;
            }
        };
        // The kernel drops a descriptor that we have no number left for: the daemon reads the end of the socket then.
        let Some(control) = fds.into_iter().next() else { return };
        match sys::fork() {
            Ok(Some(pid)) => {
                self.supervisors.insert(pid, control);
            }
            Ok(None) => supervisor::supervise(
                control,
                &Inherited { lifeline: self.lifeline.as_fd(), signals: self.signals.as_fd(), null: self.null.as_fd() },
            ),
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EAGAIN);
                let _ = sys::send(control.as_fd(), &Reply::Failed { step: Step::Supervisor, errno }.encode(), &[]);
            }
        }
    }
}

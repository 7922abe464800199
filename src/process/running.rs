//! A command that runs: its streams, its signals, its end.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep};

use super::idle::{Idle, Supervisor};
use super::wire::{Reply, TERMINATE};
use super::{sys, tree};

/// How long the last resort tries, when both the supervisor and the spawner were killed.
const LAST_RESORT: Duration = Duration::from_secs(2);

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Its supervisor or the spawner died. Every process was killed; how the program would have ended is not known.
    Lost,
}

/// A running command. Dropping it kills every process of it.
#[derive(Debug)]
pub struct Process {
    /// What the program writes to its standard output; to be taken by whoever reads it.
    pub stdout: Option<Receiver>,
    /// What the program writes to its standard error; to be taken by whoever reads it.
    pub stderr: Option<Receiver>,
    /// `None` once the supervisor serves somebody else.
    control: Option<AsyncFd<OwnedFd>>,
    program: i32,
    supervisor: i32,
    /// Where the supervisor goes when nothing is left.
    idle: Idle,
    /// Everything was to be killed, which is also the end of the supervisor.
    is_doomed: AtomicBool,
    exit: Option<Exit>,
}

impl Process {
    pub(super) fn new(control: AsyncFd<OwnedFd>, streams: [Receiver; 2], start: Start, idle: Idle) -> Process {
        let [stdout, stderr] = streams;
        Process {
            stdout: Some(stdout),
            stderr: Some(stderr),
            control: Some(control),
            program: start.program,
            supervisor: start.supervisor,
            idle,
            is_doomed: AtomicBool::new(false),
            exit: start.exit,
        }
    }

    /// The program's process id, which is also the number of its process group; 0 where the program killed its
    /// supervisor before that could tell.
    pub fn pid(&self) -> i32 {
        self.program
    }

    /// Asks for SIGTERM to the program's process group, and SIGCONT in case it stands still. Does nothing once the program has ended.
    pub fn terminate(&self) {
        if let Some(control) = &self.control {
            // It fails when the supervisor is gone, or when so many requests wait that one more says nothing new.
            let _ = sys::send(control.get_ref().as_fd(), TERMINATE, &[]);
        }
    }

    /// Asks for SIGKILL to every process that descends from the program. Does nothing once all have ended.
    pub fn kill(&self) {
        if let Some(control) = &self.control {
            self.is_doomed.store(true, Ordering::Relaxed);
            sys::end_writing(control.get_ref().as_fd());
        }
    }

    /// Waits until the program has ended and none of its descendants is left. What they wrote can still be read.
    ///
    /// Cancel safe; may be called again, and answers the same.
    pub async fn wait(&mut self) -> Exit {
        let (None, Some(control)) = (self.exit, &self.control) else {
            return self.exit.unwrap_or(Exit::Lost);
        };
        let exit = match next_reply(control).await {
            Ok(Some(Reply::Exited(code))) => Exit::Code(code),
            Ok(Some(Reply::Signalled(signal))) => Exit::Signal(signal),
            Ok(Some(Reply::Lost)) => Exit::Lost,
            // The end without a word: supervisor and spawner were both killed, and the program's session is all we know.
            Ok(Some(Reply::Begun { .. } | Reply::Started { .. } | Reply::Failed { .. }) | None) | Err(_) => {
                self.clean_up().await;
                Exit::Lost
            }
        };
        self.exit = Some(exit);
        self.release_supervisor(exit);
        exit
    }

    /// Nothing is left of the program, and its supervisor is free.
    fn release_supervisor(&mut self, exit: Exit) {
        if let Some(control) = self.control.take_if(|_| exit != Exit::Lost && !*self.is_doomed.get_mut()) {
            self.idle.put(Supervisor(control.into_inner()));
        }
    }

    async fn clean_up(&self) {
        let deadline = Instant::now() + LAST_RESORT;
        while Instant::now() < deadline && !matches!(tree::strike_session(self.supervisor), Ok(0)) {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// What is known of a command when it has been started.
pub(super) struct Start {
    pub supervisor: i32,
    pub program: i32,
    pub exit: Option<Exit>,
}

/// The next word of a supervisor; `None` at the end, or when it is not understood. Cancel safe.
pub(super) async fn next_reply(control: &AsyncFd<OwnedFd>) -> io::Result<Option<Reply>> {
    let mut record = [0; Reply::LENGTH];
    loop {
        let mut ready = control.readable().await?;
        let received = ready.try_io(|socket| sys::receive(socket.get_ref().as_fd(), &mut record));
        match received {
            // It ended without having read all that we sent. That is told first, and once; what it said is still there.
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Ok(length) => return Ok(Reply::decode(&record[..length?])),
            // It was not ready after all.
            Err(_) => {}
        }
    }
}

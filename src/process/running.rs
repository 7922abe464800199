//! A command that runs: its streams, its signals, its end.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::idle::{Idle, Supervisor};
use super::sys;
use super::tree::{self, Entry};
use super::wire::{Reply, TERMINATE};

/// How long the last resort tries, when both the supervisor and the spawner were killed.
const LAST_RESORT: Duration = Duration::from_secs(2);

/// How often it is looked whether a supervisor that is to kill everything stands still.
const SUPERVISOR_PATIENCE: Duration = Duration::from_millis(100);

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

/// A command that was started, and may have ended. Dropping it kills every process of it.
#[derive(Debug)]
pub struct Process {
    /// What the program writes to its standard output; to be taken by whoever reads it. `None` where it has ended already
    /// and nothing is left to be read.
    pub stdout: Option<Receiver>,
    /// What it writes to its standard error, as [`stdout`](Self::stdout).
    pub stderr: Option<Receiver>,
    /// `None` once the supervisor serves somebody else.
    control: Option<AsyncFd<OwnedFd>>,
    program: i32,
    supervisor: i32,
    spawner: i32,
    /// Where the supervisor goes when nothing is left.
    idle: Idle,
    /// Everything was to be killed, which is also the end of the supervisor.
    is_doomed: AtomicBool,
    /// Wakes whoever waits for the end once it is.
    doomed: Notify,
    exit: Option<Exit>,
}

impl Process {
    pub(super) fn new(control: AsyncFd<OwnedFd>, streams: [Option<Receiver>; 2], start: Start, idle: Idle) -> Process {
        let [stdout, stderr] = streams;
        let mut process = Process {
            stdout,
            stderr,
            control: Some(control),
            program: start.program,
            supervisor: start.supervisor,
            spawner: start.spawner,
            idle,
            is_doomed: AtomicBool::new(false),
            doomed: Notify::new(),
            exit: start.exit,
        };
        if let Some(exit) = start.exit {
            process.release_supervisor(exit);
        }
        process
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
            sys::end_writing(control.get_ref().as_fd());
            self.is_doomed.store(true, Ordering::SeqCst);
            self.doomed.notify_one();
        }
    }

    /// Once everything is to be killed, looks now and then whether the program has stopped its supervisor, which could not
    /// act on that. Then the spawner does, or the last resort. Never resolves.
    async fn watch_supervisor(&self) {
        while !self.is_doomed.load(Ordering::SeqCst) {
            self.doomed.notified().await;
        }
        loop {
            sleep(SUPERVISOR_PATIENCE).await;
            // A dead one that nobody reaps means that the spawner stands still too.
            if Entry::read(self.supervisor).is_some_and(|supervisor| supervisor.is_stopped() || supervisor.is_zombie())
            {
                self.kill_supervisor();
            }
        }
    }

    /// Ends a supervisor that does not answer: `wait` then sees to everything that it had.
    pub(super) fn kill_supervisor(&self) {
        self.is_doomed.store(true, Ordering::SeqCst);
        // The spawner reaps it, so as long as that is its parent the number is its own.
        if Entry::read(self.supervisor).is_some_and(|supervisor| supervisor.parent == self.spawner) {
            let _ = sys::kill(self.supervisor, libc::SIGKILL);
            if Entry::read(self.spawner).is_some_and(|spawner| spawner.is_stopped()) {
                let _ = sys::kill(self.spawner, libc::SIGKILL);
            }
        }
    }

    /// Waits until the program has ended and none of its descendants is left. What they wrote can still be read.
    ///
    /// Cancel safe; may be called again, and answers the same.
    pub async fn wait(&mut self) -> Exit {
        let (None, Some(control)) = (self.exit, &self.control) else {
            return self.exit.unwrap_or(Exit::Lost);
        };
        let exit = loop {
            let heard = tokio::select! {
                biased;
                heard = next_heard(control) => heard,
                () = self.watch_supervisor() => continue,
            };
            match heard {
                Ok(Heard::Said(Reply::Exited { code, .. })) => break Exit::Code(code),
                Ok(Heard::Said(Reply::Signalled { signal, .. })) => break Exit::Signal(signal),
                Ok(Heard::Said(Reply::Lost)) => break Exit::Lost,
                // A signal that we asked for came too late.
                Ok(Heard::Unread) => {}
                // The end without a word: supervisor and spawner were both killed, and the program's session is all we know.
                Ok(Heard::Said(_) | Heard::End) | Err(_) => {
                    self.clean_up().await;
                    break Exit::Lost;
                }
            }
        };
        self.exit = Some(exit);
        self.release_supervisor(exit);
        exit
    }

    /// How the program ended, where that is known already: nothing is left of it then.
    pub fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// Nothing is left of the program, and its supervisor is free.
    fn release_supervisor(&mut self, exit: Exit) {
        if let Some(control) = self.control.take_if(|_| exit != Exit::Lost && !*self.is_doomed.get_mut()) {
            self.idle.put(Supervisor { control: control.into_inner(), pid: self.supervisor });
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
    pub spawner: i32,
    /// 0 where it is not known.
    pub program: i32,
    /// How it ended, where that is known.
    pub exit: Option<Exit>,
}

/// What is heard from a supervisor.
#[derive(Debug, Clone, Copy)]
pub(super) enum Heard {
    /// A word.
    Said(Reply),
    /// It ended without having read all that we sent. That is told before what it said, and once.
    Unread,
    /// The end, or what is not understood.
    End,
}

/// The next that is heard. Cancel safe.
pub(super) async fn next_heard(control: &AsyncFd<OwnedFd>) -> io::Result<Heard> {
    let mut record = [0; Reply::LENGTH];
    loop {
        let mut ready = control.readable().await?;
        let received = ready.try_io(|socket| sys::receive(socket.get_ref().as_fd(), &mut record));
        match received {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(Heard::Unread),
            Ok(length) => return Ok(Reply::decode(&record[..length?]).map_or(Heard::End, Heard::Said)),
            // It was not ready after all.
            Err(_) => {}
        }
    }
}

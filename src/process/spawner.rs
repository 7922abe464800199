//! The daemon's side of the spawner: starting it, asking it, starting another when it has died.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::command::{Command, SpawnError};
use super::idle::{Idle, Supervisor};
use super::running::{Exit, Heard, Process, Start, next_heard};
use super::spawner_process::HIDDEN_NAME;
use super::sys;
use super::tree::Entry;
use super::wire::{self, HELLO, HIRE, Reply, Request, Step, Unfit};
use crate::negative_control::NegativeControl;

/// How long a spawner may take to say that it is ready, and a supervisor to say that the program runs or ran.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a spawner may take to end when it is told to.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why there is no spawner.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnerError {
    /// The binary could not be started, or it is not the binary of this daemon.
    #[error(
        "the spawner of commands cannot be started from {program:?}: check that the binary is still there and was not replaced"
    )]
    Start {
        /// The binary.
        program: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// Starts commands. A handle: clones share one spawner process. It may be used from any tokio runtime with I/O and time.
#[derive(Debug, Clone)]
pub struct Spawner {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    program: PathBuf,
    state: Mutex<State>,
    pid: AtomicI32,
    idle: Idle,
}

#[derive(Debug)]
enum State {
    Up(Link),
    /// The last one died and no other could be started yet.
    Down,
    Closed,
}

impl Spawner {
    /// Starts a spawner from `program`, this daemon's own binary, whose `main` begins with
    /// [`run_if_spawner`](super::run_if_spawner). `/proc/self/exe` still names it after an upgrade has replaced the file.
    ///
    /// # Errors
    /// [`SpawnerError::Start`] when the binary does not start or does not answer as a spawner within 10 s.
    pub async fn start(program: &Path) -> Result<Spawner, SpawnerError> {
        let link = open(program.to_owned(), None)
            .await
            .map_err(|source| SpawnerError::Start { program: program.to_owned(), source })?;
        Ok(Spawner {
            shared: Arc::new(Shared {
                program: program.to_owned(),
                pid: AtomicI32::new(link.pid()),
                state: Mutex::new(State::Up(link)),
                idle: Idle::default(),
            }),
        })
    }

    /// Starts a command and returns once it has run for a moment or has ended. Its streams are registered with the runtime
    /// of the caller. If the spawner has died, another is started first. Dropping the future leaves nothing running.
    ///
    /// # Errors
    /// What [`SpawnError`] lists. The command does not run then.
    pub async fn spawn(&self, command: Command) -> Result<Process, SpawnError> {
        let record = match wire::encode(&command) {
            Ok(record) => record,
            Err(Unfit::Malformed(reason)) => return Err(SpawnError::Malformed { reason }),
            Err(Unfit::TooLarge) => {
                return Err(failed(command, Step::Exec, io::Error::from_raw_os_error(libc::E2BIG)));
            }
        };
        let outcome = self.run(&record).await;
        outcome.map_err(|trouble| match trouble {
            Trouble::Gone(source) | Trouble::Refused(source) | Trouble::Late(source) | Trouble::Other(source) => {
                SpawnError::Spawner { source }
            }
            Trouble::Failed { step, errno } => failed(command, step, io::Error::from_raw_os_error(errno)),
        })
    }

    /// Hands the command to a supervisor that has nothing to do, else to a new one.
    async fn run(&self, record: &[u8]) -> Result<Process, Trouble> {
        while let Some(supervisor) = self.shared.idle.take() {
            match self.ask(supervisor, record).await {
                // It died idle, or was about to.
                Err(Trouble::Gone(_) | Trouble::Refused(_)) => {}
                outcome => return outcome,
            }
        }
        let link = self.link(None).await?;
        match self.hire_and_ask(&link, record).await {
            Err(trouble) if self.is_lost(&trouble) => {
                let link = self.link(Some(&link)).await?;
                self.hire_and_ask(&link, record).await
            }
            outcome => outcome,
        }
    }

    /// The process id of the spawner, the last one if there were several.
    pub fn pid(&self) -> i32 {
        self.shared.pid.load(Ordering::Relaxed)
    }

    /// Ends the spawner and with it every command that still runs. Later spawns fail. Takes 5 s at most.
    pub async fn shutdown(&self) {
        let state = std::mem::replace(&mut *self.shared.state.lock().await, State::Closed);
        let State::Up(mut link) = state else { return };
        sys::end(link.socket.as_fd());
        let Some(mut child) = link.child.take() else {
            return;
        };
        let deadline = Instant::now() + FAREWELL;
        while Instant::now() < deadline {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(2)).await;
        }
        let _ = child.kill();
        reap_aside(child);
    }

    async fn hire_and_ask(&self, link: &OwnedFd, record: &[u8]) -> Result<Process, Trouble> {
        let outcome = match hire(link).await {
            Ok(supervisor) => self.ask(supervisor, record).await,
            Err(trouble) => Err(trouble),
        };
        match outcome {
            Err(Trouble::Gone(_)) if !is_gone(link) => {
                Err(io::Error::other("the supervisor died before it began").into())
            }
            outcome => outcome,
        }
    }

    /// Asks a supervisor to start a command: [`Trouble::Gone`] when it ended before it began to.
    async fn ask(&self, supervisor: Supervisor, record: &[u8]) -> Result<Process, Trouble> {
        let Supervisor { control, pid: supervisor } = supervisor;
        let control = sys::watch_readable(control)?;
        let (stdout, stdout_end) = io::pipe()?;
        let (stderr, stderr_end) = io::pipe()?;
        hand_over(control.get_ref(), record, [stdout_end.as_fd(), stderr_end.as_fd()]).await?;
        // Ours would hide the end of the others.
        drop((stdout_end, stderr_end));
        // From here on the program may run. Only a word of the supervisor, or that it has read nothing, says that it did
        // not; whatever else goes wrong is the end of an attempt that may have begun.
        let (mut program, mut exit, mut is_late) = (0, None, false);
        loop {
            match heard_in_time(&control).await {
                Ok(Heard::Said(Reply::Started { program: pid })) => program = pid,
                Ok(Heard::Said(Reply::Exited { program: pid, code })) => {
                    (program, exit) = (pid, Some(Exit::Code(code)));
                }
                Ok(Heard::Said(Reply::Signalled { program: pid, signal })) => {
                    (program, exit) = (pid, Some(Exit::Signal(signal)));
                }
                Ok(Heard::Said(Reply::Failed { step, errno })) => return Err(Trouble::Failed { step, errno }),
                Ok(Heard::Said(Reply::Refused)) => return Err(Trouble::Refused(io::Error::other("it was ending"))),
                Ok(Heard::Unread) => return Err(Trouble::Gone(io::Error::other("it died"))),
                // The spawner's word about one that died. The end that follows tells whether it had taken the command.
                Ok(Heard::Said(Reply::Lost)) => {
                    exit = Some(Exit::Lost);
                    continue;
                }
                // A program may be quick enough to kill its supervisor first. `wait` sees to what is left.
                Ok(Heard::Said(Reply::Hired { .. }) | Heard::End) => {}
                Err(_) => is_late = true,
            }
            break;
        }
        let is_over = match exit {
            Some(_) => sys::are_at_end([stdout.as_fd(), stderr.as_fd()]).unwrap_or_default(),
            None => [false; 2],
        };
        // Without a number left for it a stream is lost, not the program.
        let streams = [(stdout, is_over[0]), (stderr, is_over[1])]
            .map(|(stream, is_over)| if is_over { None } else { Receiver::from_owned_fd(stream.into()).ok() });
        let start = Start { supervisor, spawner: self.pid(), program, exit };
        let process = Process::new(control, streams, start, self.shared.idle.clone());
        if is_late {
            process.kill_supervisor();
        }
        Ok(process)
    }

    /// Whether the spawner must be replaced. One that a signal has stopped will never answer again.
    fn is_lost(&self, trouble: &Trouble) -> bool {
        match trouble {
            Trouble::Gone(_) | Trouble::Refused(_) => true,
            Trouble::Late(_) => Entry::read(self.pid()).is_some_and(|spawner| spawner.is_stopped()),
            Trouble::Failed { .. } | Trouble::Other(_) => false,
        }
    }

    /// The socket of the present spawner. If there is none, or it is still the `dead` one, a new one is started.
    async fn link(&self, dead: Option<&Arc<OwnedFd>>) -> io::Result<Arc<OwnedFd>> {
        let mut state = self.shared.state.lock().await;
        let dead = match &*state {
            State::Closed => return Err(io::Error::other("it was shut down")),
            State::Up(link) if dead.is_none_or(|dead| !Arc::ptr_eq(dead, &link.socket)) => {
                return Ok(Arc::clone(&link.socket));
            }
            State::Up(_) | State::Down => match std::mem::replace(&mut *state, State::Down) {
                State::Up(link) => Some(link),
                State::Down | State::Closed => None,
            },
        };
        let link = open(self.shared.program.clone(), dead).await?;
        self.shared.pid.store(link.pid(), Ordering::Relaxed);
        let socket = Arc::clone(&link.socket);
        *state = State::Up(link);
        Ok(socket)
    }
}

/// The connection to one spawner process. Dropping it ends that process.
#[derive(Debug)]
struct Link {
    socket: Arc<OwnedFd>,
    child: Option<Child>,
}

impl Link {
    fn pid(&self) -> i32 {
        // Process ids are below 2^22.
        self.child.as_ref().map_or(0, |child| child.id() as i32)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        sys::end(self.socket.as_fd());
        if let Some(child) = self.child.take() {
            reap_aside(child);
        }
    }
}

/// Waits for a process that is about to end, on a thread of its own: a zombie would stay otherwise.
fn reap_aside(mut child: Child) {
    let _ = std::thread::Builder::new().name("spawner-end".to_owned()).spawn(move || child.wait());
}

/// Ends the dead (or stopped) spawner and starts another.
async fn open(program: PathBuf, dead: Option<Link>) -> io::Result<Link> {
    let open = move || {
        if let Some(mut child) = dead.and_then(|mut link| link.child.take()) {
            let _ = child.kill();
            let _ = child.wait();
        }
        let (ours, theirs) = sys::seqpacket_pair()?;
        let mut command = std::process::Command::new(program);
        command.arg0(HIDDEN_NAME).env_clear().stdin(Stdio::from(theirs)).stdout(Stdio::null());
        NegativeControl::hand_on(&mut command);
        let child = command.spawn()?;
        let mut link = Link { socket: Arc::new(ours), child: Some(child) };
        let said = said_hello(&link.socket);
        if said.is_err()
            && let Some(child) = &mut link.child
        {
            // It may be another program that would run on.
            let _ = child.kill();
        }
        said.map(|()| link)
    };
    tokio::task::spawn_blocking(open).await.map_err(io::Error::other)?
}

fn said_hello(socket: &OwnedFd) -> io::Result<()> {
    let patience = i32::try_from(PATIENCE.as_millis()).unwrap_or(i32::MAX);
    if sys::poll([Some(socket.as_fd())], patience)? == [false] {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time"));
    }
    let mut word = [0; 64];
    let length = sys::receive(socket.as_fd(), &mut word)?;
    if word[..length] == *HELLO {
        Ok(())
    } else {
        Err(io::Error::other("it did not answer as a spawner of this version does"))
    }
}

/// Why a request came to nothing.
enum Trouble {
    /// Spawner or supervisor is dead and has not started the command.
    Gone(io::Error),
    /// The supervisor has not, for its spawner is dead.
    Refused(io::Error),
    /// Nobody took the request in time.
    Late(io::Error),
    /// The supervisor says why.
    Failed {
        step: Step,
        errno: i32,
    },
    Other(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Other(error)
    }
}

fn too_late(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, message)
}

/// Sends a request. A full queue is waited out by short sleeps: the socket belongs to no runtime, so that every runtime
/// can use it.
async fn send_patiently(link: &OwnedFd, record: &[u8], fds: &[i32]) -> Result<(), Trouble> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match sys::send(link.as_fd(), record, fds) {
            Ok(()) => return Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::ENOBUFS | libc::ETOOMANYREFS) if Instant::now() < deadline => {
                    sleep(Duration::from_millis(1)).await;
                }
                // The last of them while the other end is being closed, by older kernels.
                Some(libc::EPIPE | libc::ECONNRESET | libc::ENOTCONN | libc::ECONNREFUSED) => {
                    return Err(Trouble::Gone(error));
                }
                _ => return Err(Trouble::Other(error)),
            },
        }
    }
}

/// Sends a command with its streams.
async fn hand_over(control: &OwnedFd, record: &[u8], streams: [BorrowedFd<'_>; 2]) -> Result<(), Trouble> {
    let [stdout, stderr] = streams.map(|stream| stream.as_raw_fd());
    if record.len() <= Request::LONGEST {
        match send_patiently(control, record, &[stdout, stderr]).await {
            // The system was told to have short queues.
            Err(Trouble::Other(error)) if error.raw_os_error() == Some(libc::EMSGSIZE) => {}
            sent => return sent,
        }
    }
    let (head, text) = record.split_at(Request::LENGTH);
    let text = sys::memory_file(text)?;
    send_patiently(control, head, &[stdout, stderr, text.as_raw_fd()]).await
}

/// The next that is heard within [`PATIENCE`]. Where all of us stood still for that long (a machine that slept, a container
/// that was paused) the other side still has half of it.
async fn heard_in_time(control: &AsyncFd<OwnedFd>) -> io::Result<Heard> {
    for _ in 0..2 {
        if let Ok(heard) = timeout(PATIENCE / 2, next_heard(control)).await {
            return heard;
        }
    }
    Err(too_late("it did not say in time that the program runs"))
}

/// Asks the spawner for a supervisor: [`Trouble::Gone`] or [`Trouble::Late`] when there will be none.
async fn hire(link: &OwnedFd) -> Result<Supervisor, Trouble> {
    let (control, theirs) = sys::seqpacket_pair()?;
    send_patiently(link, HIRE, &[theirs.as_raw_fd()]).await?;
    // Ours would hide the end of the other.
    drop(theirs);
    let control = sys::watch_readable(control)?;
    match timeout(PATIENCE, next_heard(&control)).await {
        Ok(Ok(Heard::Said(Reply::Hired { supervisor }))) => {
            Ok(Supervisor { control: control.into_inner(), pid: supervisor })
        }
        Ok(Ok(Heard::Said(Reply::Failed { step, errno }))) => Err(Trouble::Failed { step, errno }),
        Ok(Ok(_)) => Err(Trouble::Gone(io::Error::other("it died"))),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Trouble::Late(too_late("it did not take the request in time"))),
    }
}

/// A spawner says nothing after its hello: a readable socket is one that has ended.
fn is_gone(link: &OwnedFd) -> bool {
    matches!(sys::poll([Some(link.as_fd())], 0), Ok([true]))
}

/// The supervisor's word in terms of the command.
fn failed(command: Command, step: Step, source: io::Error) -> SpawnError {
    let program = command.argv.into_iter().next().unwrap_or_default();
    match (step, source.raw_os_error()) {
        (Step::Directory, _) => SpawnError::Directory { directory: command.directory, source },
        (Step::Lookup, Some(libc::ENOENT | libc::ENOTDIR)) => SpawnError::NotFound { program, source },
        (Step::Exec, Some(libc::ENOENT)) => SpawnError::NoInterpreter { program, source },
        (Step::Lookup | Step::Exec, Some(libc::EACCES | libc::ENOEXEC | libc::EPERM)) => {
            SpawnError::NotExecutable { program, source }
        }
        (Step::Exec | Step::Supervisor, Some(libc::E2BIG)) => SpawnError::TooLarge { program, source },
        _ => SpawnError::Refused { program, source },
    }
}

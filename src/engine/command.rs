//! One attempt of a command: its environment and files, its streams, its signals, its end.

use std::{
    ffi::OsString,
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{
    attempt::{Attempt, Flood, Signals},
    catalog::{self, CommandRunner, InputsBy},
    request::AttemptIdentity,
    run::{Cut, End, Parts, bad_output, returned},
    token,
};
use crate::{
    domain::{
        AttemptEnd, ErrorKind, FieldError, Interruption, Json, Stream,
        error::chain,
        json::{InvalidJson, compact_bytes},
    },
    process::{Command, Exit, LineSplitter, Process, SpawnError},
};

/// Between the SIGTERM of a timeout and the SIGKILL to all.
const TIMEOUT_GRACE: Duration = Duration::from_secs(5);

/// How long the end of a program waits for the end of its streams, so that the log of a done instance is complete.
const STREAM_PATIENCE: Duration = Duration::from_secs(1);

/// An unfinished line (a prompt, a progress bar) is shown after so long without its end.
const PARTIAL_LINE_AFTER: Duration = Duration::from_millis(500);

/// What commands find in their environment beside what their task says.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Where they report.
    pub url: String,
    /// Whose processes they are.
    pub tag: String,
    /// What their tokens are sealed with.
    pub key: [u8; 32],
    /// What is taken over from the daemon's own environment.
    pub inherited: Vec<(OsString, OsString)>,
}

impl Environment {
    /// The variables of this process that commands may see: PATH, HOME, LANG, LC_*, TZ.
    pub fn inherited() -> Vec<(OsString, OsString)> {
        std::env::vars_os()
            .filter(|(name, _)| {
                let name = name.to_string_lossy();
                matches!(&*name, "PATH" | "HOME" | "LANG" | "TZ") || name.starts_with("LC_")
            })
            .collect()
    }

    fn variables(&self, attempt: &Attempt, command: &CommandRunner, scratch: &Path) -> Vec<(OsString, OsString)> {
        let identity = AttemptIdentity { instance: attempt.id, attempt: attempt.attempt };
        let mut variables: Vec<(OsString, OsString)> = self.inherited.clone();
        let mut set = |name: &str, value: OsString| {
            variables.retain(|(known, _)| known != name);
            variables.push((name.into(), value));
        };
        set("PYTHONUNBUFFERED", "1".into());
        for (name, value) in &command.env {
            set(name, value.into());
        }
        set("NUMEROUS_TASK_INSTANCE_ID", attempt.id.to_string().into());
        if command.inputs == InputsBy::Environment {
            set("TASK_DATA_INPUT", BASE64_STANDARD.encode(attempt.inputs.as_str()).into());
        }
        set("TASKWRIGHT_STORE", self.tag.clone().into());
        set("TASKWRIGHT_INPUT_FILE", scratch.join(INPUT_FILE).into());
        set("TASKWRIGHT_OUTPUT_FILE", scratch.join(OUTPUT_FILE).into());
        set("TASKWRIGHT_URL", self.url.clone().into());
        set("TASKWRIGHT_TOKEN", token::seal(&self.key, identity).into());
        variables
    }
}

const INPUT_FILE: &str = "input.json";
const OUTPUT_FILE: &str = "output.json";

/// Runs the command of `attempt` to its end.
pub async fn run(parts: &Parts, attempt: &Arc<Attempt>) -> End {
    let catalog::Runner::Command(command) = &attempt.task.runner else {
        return AttemptEnd::Fenced.into();
    };
    // They were valid when they were accepted; the task may have been changed since.
    if let Err(errors) = attempt.task.check_inputs(&attempt.inputs) {
        return AttemptEnd::Failed {
            kind: ErrorKind::InvalidInputs { errors },
            message: "the inputs, accepted once, are not valid for the task as it is now".to_owned(),
            permanent: true,
        }
        .into();
    }
    let scratch = match Scratch::create(&parts.scratch, attempt) {
        Ok(scratch) => scratch,
        Err(error) => return not_started(command, format!("cannot make the attempt's scratch directory: {error}")),
    };
    let Some(spawner) = &parts.spawner else {
        return not_started(command, "this daemon has no spawner".to_owned());
    };
    let process = spawner
        .spawn(Command {
            argv: command.argv.iter().map(OsString::from).collect(),
            env: parts.environment.variables(attempt, command, &scratch.0),
            directory: command.directory.clone(),
        })
        .await;
    match process {
        Ok(process) => watch(parts, attempt, process, &scratch).await,
        // The spawner is gone and does not come back: nothing that the command could help.
        Err(SpawnError::Spawner { source }) => {
            tracing::error!(error = %source, instance = %attempt.id, "the spawner of commands does not answer");
            not_started(command, format!("the spawner of commands does not answer: {source}"))
        }
        Err(error) => not_started(command, chain(&error)),
    }
}

fn not_started(command: &CommandRunner, message: String) -> End {
    let program = command.argv.first().cloned().unwrap_or_default();
    AttemptEnd::Failed { kind: ErrorKind::Spawn { program }, message, permanent: false }.into()
}

/// What was sent to the processes so far.
#[derive(Default)]
struct Sent {
    /// A stop of somebody else, or its deadline, signalled them.
    stop: bool,
    /// The drain did.
    shutdown: bool,
    /// The timeout did, at this time.
    timeout: Option<Instant>,
    /// Everything was killed.
    kill: bool,
}

async fn watch(parts: &Parts, attempt: &Arc<Attempt>, mut process: Process, scratch: &Scratch) -> End {
    let last_error = Arc::new(std::sync::Mutex::new(None));
    let stdout = tokio::spawn(pump(Arc::clone(attempt), Stream::Stdout, process.stdout.take(), None));
    let last = Some(Arc::clone(&last_error));
    let stderr = tokio::spawn(pump(Arc::clone(attempt), Stream::Stderr, process.stderr.take(), last));
    let pumps = [stdout.abort_handle(), stderr.abort_handle()];
    let mut signals = attempt.signals();
    let mut sent = Sent::default();
    let exit = loop {
        let told = *signals.borrow_and_update();
        let next = obey(attempt, &process, &told, &mut sent);
        tokio::select! {
            biased;
            exit = process.wait() => break exit,
            // The sender lives in the attempt, which this function borrows.
            _ = signals.changed() => {}
            () = until(next) => {}
        }
    };
    // Every process is gone, so both streams end; what is still in the pipes is read first.
    let _ = tokio::time::timeout(STREAM_PATIENCE, async { (stdout.await, stderr.await) }).await;
    pumps.iter().for_each(tokio::task::AbortHandle::abort);
    drop(process);
    let last_error = last_error.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    ended(parts, attempt, exit, &sent, scratch, last_error)
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Sends the signals that are due; answers when the next one is.
fn obey(attempt: &Attempt, process: &Process, told: &Signals, sent: &mut Sent) -> Option<Instant> {
    if let Some(stop) = told.stop
        && stop.terminate
        && !sent.stop
    {
        sent.stop = true;
        process.terminate();
    }
    if let Some(shutdown) = told.shutdown
        && shutdown.terminate
        && !sent.shutdown
    {
        sent.shutdown = true;
        attempt.note_shutdown_observed();
        process.terminate();
    }
    let now = Instant::now();
    let mut next = None;
    if let Some((cut, at)) = Cut::next(told, attempt.limits.timeout, attempt.began)
        && sent.timeout.is_none()
    {
        if at > now {
            next = Some(at);
        } else if cut == Cut::Timeout {
            sent.timeout = Some(now);
            process.terminate();
        } else if !sent.kill {
            sent.stop |= cut == Cut::Stop;
            sent.shutdown |= cut == Cut::Shutdown;
            sent.kill = true;
            process.kill();
        }
    }
    if let Some(since) = sent.timeout
        && !sent.kill
    {
        // A stop or the end of a drain that comes meanwhile may be nearer than the timeout's own grace.
        let deadline = [told.stop.map(|stop| stop.deadline), told.shutdown.map(|shutdown| shutdown.deadline)]
            .into_iter()
            .flatten()
            .fold(since + TIMEOUT_GRACE, Instant::min);
        if deadline <= now || told.over {
            sent.kill = true;
            process.kill();
        } else {
            next = Some(deadline);
        }
    }
    next
}

fn ended(
    parts: &Parts,
    attempt: &Attempt,
    exit: Exit,
    sent: &Sent,
    scratch: &Scratch,
    last_error: Option<String>,
) -> End {
    let (exit_code, signal) = match exit {
        Exit::Code(code) => (Some(code), None),
        Exit::Signal(signal) => (None, Some(signal)),
        Exit::Lost => (None, None),
    };
    let with = |end: End| End { exit_code, signal, ..end };
    if attempt.signals().borrow().over {
        return AttemptEnd::Fenced.into();
    }
    let output = scratch.output(parts.output_limit);
    // With another exit than 0 a valid file is kept, and one that is not valid says nothing.
    let kept = || match &output {
        Ok(Some(value)) if value.is_object() => Some(value.clone()),
        Ok(Some(value)) if !value.is_null() => Some(value.clone().into_result_object()),
        _ => None,
    };
    if sent.timeout.is_some() {
        return with(End { output: kept(), ..Cut::Timeout.end(attempt.limits.timeout).into() });
    }
    if exit == Exit::Lost {
        tracing::warn!(
            instance = %attempt.id,
            "the process that watched the command of instance {} died; every process of it was killed",
            attempt.number,
        );
        let reason = if sent.shutdown { Interruption::Shutdown } else { Interruption::Crash };
        return AttemptEnd::Interrupted(reason).into();
    }
    if sent.stop && exit != Exit::Code(0) {
        return with(End { output: kept(), ..AttemptEnd::Stopped.into() });
    }
    if attempt.observed_shutdown() {
        return with(End { output: kept(), ..AttemptEnd::Interrupted(Interruption::Shutdown).into() });
    }
    match exit {
        Exit::Code(0) => with(match output {
            Ok(value) => returned(attempt, value.filter(|value| !value.is_null()), parts.output_limit),
            Err((errors, message)) => bad_output(errors, message).into(),
        }),
        Exit::Code(code) => {
            let message = last_error.unwrap_or_else(|| format!("exit code {code}"));
            let kind = ErrorKind::Exit { exit_code: code };
            with(End { output: kept(), ..AttemptEnd::Failed { kind, message, permanent: false }.into() })
        }
        Exit::Signal(number) => {
            let signal_name = signal_name(number);
            let message = format!("ended by signal {number} ({signal_name})");
            let kind = ErrorKind::Signal { signal: number, signal_name };
            with(End { output: kept(), ..AttemptEnd::Failed { kind, message, permanent: false }.into() })
        }
        Exit::Lost => AttemptEnd::Interrupted(Interruption::Crash).into(),
    }
}

/// Reads one stream to its end, line by line into the log; keeps the last line in `last`, where it is wanted.
async fn pump(
    attempt: Arc<Attempt>,
    stream: Stream,
    reader: Option<impl AsyncRead + Unpin>,
    last: Option<Arc<std::sync::Mutex<Option<String>>>>,
) {
    let Some(mut reader) = reader else { return };
    let mut splitter = LineSplitter::new();
    let mut newest = Newest::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = if splitter.pending().is_some() || !newest.is_empty() {
            match tokio::time::timeout(PARTIAL_LINE_AFTER, reader.read(&mut buffer)).await {
                Ok(read) => read,
                Err(_) => {
                    let mut lines = newest.take(&attempt, &mut splitter);
                    lines.extend(splitter.flush());
                    write(&attempt, stream, &lines, last.as_deref()).await;
                    continue;
                }
            }
        } else {
            reader.read(&mut buffer).await
        };
        // A pipe that cannot be read any more has ended as far as the log goes.
        let Some(bytes) = read.ok().filter(|n| *n > 0).map(|n| &buffer[..n]) else {
            let mut lines = newest.take(&attempt, &mut splitter);
            lines.extend(splitter.finish());
            write(&attempt, stream, &lines, last.as_deref()).await;
            return;
        };
        let lines = match attempt.flood() {
            Flood::Over if newest.is_empty() => splitter.push(bytes),
            Flood::Hold => {
                newest.push(bytes);
                continue;
            }
            Flood::Over | Flood::Room => {
                newest.push(bytes);
                newest.take(&attempt, &mut splitter)
            }
        };
        write(&attempt, stream, &lines, last.as_deref()).await;
    }
}

/// The newest bytes of a stream that is not stored as fast as it comes. Cutting lines that will be dropped anyway
/// would cost more than all the rest.
#[derive(Default)]
struct Newest {
    bytes: Vec<u8>,
    lost: u64,
}

impl Newest {
    /// So many are kept: about what one chunk of the log holds.
    const KEEP: usize = 192 << 10;

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Cut at twice the size, so that what is kept is moved once for each time it is replaced.
        if self.bytes.len() > 2 * Self::KEEP {
            let from = self.bytes.len() - Self::KEEP;
            // A line that has lost its beginning goes too.
            let cut = self.bytes[from..].iter().position(|byte| *byte == b'\n').map_or(from, |at| from + at + 1);
            self.lost += self.bytes[..cut].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.bytes.drain(..cut);
        }
    }

    fn take(&mut self, attempt: &Attempt, splitter: &mut LineSplitter) -> Vec<String> {
        if self.bytes.is_empty() {
            return Vec::new();
        }
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            attempt.log_skip(lost);
        }
        splitter.push(&std::mem::take(&mut self.bytes))
    }
}

async fn write(
    attempt: &Arc<Attempt>,
    stream: Stream,
    lines: &[String],
    last: Option<&std::sync::Mutex<Option<String>>>,
) {
    for line in lines {
        log(attempt, stream, line, last).await;
    }
}

async fn log(attempt: &Arc<Attempt>, stream: Stream, line: &str, last: Option<&std::sync::Mutex<Option<String>>>) {
    if let Some(last) = last
        && !line.trim().is_empty()
    {
        let mut kept = line.to_owned();
        kept.truncate(kept.floor_char_boundary(crate::domain::instance::LONGEST_MESSAGE));
        *last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(kept);
    }
    attempt.log_line(stream, line).await;
}

/// The scratch directory of one attempt; removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn create(parent: &Path, attempt: &Attempt) -> io::Result<Scratch> {
        let scratch = Scratch(parent.join(format!("{}-{}", attempt.number, attempt.attempt)));
        match std::fs::DirBuilder::new().mode(0o700).create(&scratch.0) {
            // Left by a daemon that died in this very attempt and could not be cleaned up.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::remove_dir_all(&scratch.0)?;
                std::fs::DirBuilder::new().mode(0o700).create(&scratch.0)?;
            }
            other => other?,
        }
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(scratch.0.join(INPUT_FILE))?;
        io::Write::write_all(&mut file, attempt.inputs.as_str().as_bytes())?;
        Ok(scratch)
    }

    /// The JSON that the command left; None where it left nothing.
    fn output(&self, limit: usize) -> Result<Option<Json>, (Vec<FieldError>, String)> {
        let refuse = |message: String| Err((vec![FieldError::new("", message.clone())], message));
        let path = self.0.join(OUTPUT_FILE);
        // A link or a device in its place is not followed: only what the command wrote counts.
        match std::fs::symlink_metadata(&path) {
            Err(_) => return Ok(None),
            Ok(file) if !file.is_file() => return refuse("the output file is no regular file".to_owned()),
            Ok(file) if file.len() == 0 => return Ok(None),
            Ok(file) if file.len() > limit as u64 => {
                return refuse(format!("the output is {} bytes long; limits.output allows {limit}", file.len()));
            }
            Ok(_) => {}
        }
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => return refuse(format!("the output file cannot be read: {error}")),
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let parsed = compact_bytes(&bytes).and_then(|text| Json::parse(&text));
        match parsed {
            Ok(json) => Ok(Some(json)),
            Err(InvalidJson { fault, at }) => refuse(format!("the output file holds {fault} at byte {at}")),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, directory = %self.0.display(), "a scratch directory cannot be removed");
        }
    }
}

/// Makes the directory that holds the scratch directories of a store's attempts, empty.
///
/// # Errors
/// Where it cannot be made, or is somebody else's.
pub fn prepare_scratch(tag: &str) -> io::Result<PathBuf> {
    let uid = std::fs::metadata("/proc/self")?.uid();
    let path = scratch_path(uid, tag);
    match std::fs::DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => return Ok(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let found = std::fs::symlink_metadata(&path)?;
    if !found.is_dir() || found.uid() != uid || found.permissions().mode() & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is not a private directory of ours: remove it", path.display()),
        ));
    }
    for entry in std::fs::read_dir(&path)? {
        std::fs::remove_dir_all(entry?.path())?;
    }
    Ok(path)
}

/// Removes the directory again, where nothing is left in it.
pub fn remove_scratch(tag: &str) {
    if let Ok(own) = std::fs::metadata("/proc/self") {
        let _ = std::fs::remove_dir(scratch_path(own.uid(), tag));
    }
}

fn scratch_path(uid: u32, tag: &str) -> PathBuf {
    std::env::temp_dir().join(format!("taskwright-{uid}-{}", tag.replace(':', "-")))
}

/// The name of a signal, such as `SIGSEGV`.
fn signal_name(number: i32) -> String {
    let name = match number {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGSTKFLT => "SIGSTKFLT",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGVTALRM => "SIGVTALRM",
        libc::SIGPROF => "SIGPROF",
        libc::SIGIO => "SIGIO",
        libc::SIGPWR => "SIGPWR",
        libc::SIGSYS => "SIGSYS",
        other => return format!("SIGRTMIN+{}", other - libc::SIGRTMIN()),
    };
    name.to_owned()
}

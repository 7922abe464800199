//! One attempt of a command: its files, its streams, its signals, its end.

mod environment;
mod signal_name;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle};

pub use environment::Environment;
use signal_name::signal_name;

use super::{
    attempt::{Attempt, Signals},
    catalog::{CommandRunner, Executable},
    executor,
    pump::pump,
    run::{Cut, End, Parts, bad_output, returned},
    scratch::Scratch,
};
use crate::{
    domain::{AttemptEnd, ErrorKind, Interruption, Stream, error::chain},
    negative_control::NegativeControl,
    process::{Command, Exit, Process, SpawnError, kill_marked},
    task::outcome,
};

/// Between the SIGTERM of a timeout and the SIGKILL to all.
const TIMEOUT_GRACE: Duration = Duration::from_secs(5);

/// How long the end of a program waits for the end of its streams. With every process gone both have ended, so only a
/// stranger to whom the program handed a stream could make it wait.
const STREAM_PATIENCE: Duration = Duration::from_secs(1);

/// How long what was read may take until it is in the log, which is as fast as the store.
const LOG_PATIENCE: Duration = Duration::from_secs(10);

/// Runs the command of `attempt` to its end.
pub async fn run(parts: &Parts, attempt: &Arc<Attempt>) -> End {
    let Executable::Command(command) = &attempt.task.executable else {
        return AttemptEnd::Fenced.into();
    };
    // They were valid when they were accepted; the task may have been changed since.
    if let Err(errors) = attempt.task.check_inputs(&attempt.inputs) {
        return outcome::invalid_inputs(errors).into();
    }
    let scratch = match Scratch::create(&parts.scratch, attempt) {
        Ok(scratch) => scratch,
        Err(error) => return not_started(command, format!("cannot make the attempt's scratch directory: {error}")),
    };
    let argv = match executor::argv(command, attempt.task.definition.name.as_str(), &scratch) {
        Ok(argv) => argv,
        Err(error) => return not_started(command, format!("cannot write into the scratch directory: {error}")),
    };
    let Some(spawner) = &parts.spawner else {
        return not_started(command, "this daemon has no spawner".to_owned());
    };
    let process = spawner
        .spawn(Command {
            argv,
            env: parts.environment.variables(attempt, command, &scratch.0),
            directory: command.directory.clone(),
        })
        .await;
    match process {
        Ok(process) => attend(parts, attempt, process, &scratch).await,
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

/// Sees to the program until it has ended, and every process of it is gone.
async fn attend(parts: &Parts, attempt: &Arc<Attempt>, mut process: Process, scratch: &Scratch) -> End {
    let last_error = Arc::new(Mutex::new(None));
    let (over, read_until) = watch::channel(None);
    let pump = |kind, stream: Option<_>, last| {
        let (attempt, read_until) = (Arc::clone(attempt), read_until.clone());
        async move {
            if let Some(stream) = stream {
                pump(attempt, kind, stream, read_until, last).await;
            }
        }
    };
    let stdout = pump(Stream::Stdout, process.stdout.take(), None);
    let stderr = pump(Stream::Stderr, process.stderr.take(), Some(Arc::clone(&last_error)));
    let pumps = if process.exit().is_some() {
        // Nobody knows any more what was written when. People expect the output before the complaints about it.
        vec![tokio::spawn(async {
            stdout.await;
            stderr.await;
        })]
    } else {
        // What was written meanwhile is read in the reverse of this order, mostly: the last task to be spawned runs first.
        vec![tokio::spawn(stderr), tokio::spawn(stdout)]
    };
    let mut signals = attempt.signals();
    let mut sent = Sent::default();
    let exit = loop {
        // No signal of ours can have ended what had ended before.
        if let Some(exit) = process.exit() {
            break exit;
        }
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
    if exit == Exit::Lost && !NegativeControl::KillLeaderOnly.is_on() {
        kill_strays(parts, attempt).await;
    }
    // Every process is gone, so both streams end; what is still in the pipes is read first.
    let _ = over.send(Some(tokio::time::Instant::now() + STREAM_PATIENCE));
    drain(pumps).await;
    drop(process);
    let last_error = last_error.lock().unwrap_or_else(PoisonError::into_inner).take();
    ended(parts, attempt, exit, &sent, scratch, last_error)
}

/// Waits until what was read is in the log.
async fn drain(pumps: Vec<JoinHandle<()>>) {
    let deadline = tokio::time::Instant::now() + STREAM_PATIENCE + LOG_PATIENCE;
    for mut pump in pumps {
        if tokio::time::timeout_at(deadline, &mut pump).await.is_err() {
            pump.abort();
        }
    }
}

/// Supervisor and spawner may both have been killed, by the program itself if it likes. What then began a session of its
/// own is known by its environment only.
async fn kill_strays(parts: &Parts, attempt: &Attempt) {
    let marks = parts.environment.marks(attempt).map(|(name, value)| format!("{name}={value}"));
    match tokio::task::spawn_blocking(move || kill_marked(&marks)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::error!(%error, instance = %attempt.id, "processes of an attempt outlive it"),
        Err(error) => tracing::error!(%error, instance = %attempt.id, "nobody looked for what an attempt left"),
    }
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
    let output = scratch.output(parts.output_limit).map(outcome::returned_output);
    // With another exit than 0 a valid file is kept, and one that is not valid says nothing.
    let kept = || output.as_ref().ok().cloned().flatten();
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
    if attempt.observed_shutdown() {
        return with(End { output: kept(), ..AttemptEnd::Interrupted(Interruption::Shutdown).into() });
    }
    if sent.stop && exit != Exit::Code(0) {
        return with(End { output: kept(), ..AttemptEnd::Stopped.into() });
    }
    match exit {
        Exit::Code(0) => with(match output {
            Ok(output) => returned(attempt, output, parts.output_limit),
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

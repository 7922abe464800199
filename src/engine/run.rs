//! One attempt, from its claim to its end.
//!
//! A handler's future runs on the handlers' own runtime. Whoever must end it early (a stop's deadline,
//! a timeout, a drain) waits for its time on the daemon's runtime, so that a handler that blocks its thread
//! cannot put its own end off: the instance ends, and only the slot stays taken.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use super::{
    attempt::{Attempt, AttemptReporter, Held, Signals},
    catalog::Executable,
    command,
    ending::{bound, endings},
    images::Images,
    lanes::{FinishItem, Lanes},
    pool::{Pool, Slot},
    running::Running,
    scratch,
    state::State,
};
use crate::{
    domain::{AttemptEnd, ErrorKind, FieldError, Interruption, Json, Stream, duration::deadline},
    process::Spawner,
    store::Then,
    task::{erased::HandlerEnd, outcome},
};

/// How long a future that is to be dropped may take before its instance ends without it.
const DROP_PATIENCE: Duration = Duration::from_millis(100);

/// Runs attempts. Cheap to clone.
#[derive(Clone)]
pub struct Runner(Arc<Parts>);

/// What is needed to run attempts.
pub struct Parts {
    /// Where handlers run.
    pub handlers: Handle,
    /// Where everything else runs.
    pub service: Handle,
    /// The way into the ledger.
    pub lanes: Arc<Lanes>,
    /// Who is watched.
    pub images: Arc<Images>,
    /// Who may run.
    pub pool: Arc<Pool>,
    /// What runs.
    pub running: Arc<Running>,
    /// What was done.
    pub state: Arc<State>,
    /// Starts commands; None where there are none.
    pub spawner: Option<Spawner>,
    /// Where attempts of commands have their scratch directories.
    pub scratch: scratch::Places,
    /// What commands find in their environment.
    pub environment: command::Environment,
    /// The largest output.
    pub output_limit: usize,
}

/// How an attempt ended, with what it leaves.
pub struct End {
    /// How.
    pub end: AttemptEnd,
    /// What it returned, as the instance's output.
    pub output: Option<Json>,
    /// The exit code of a command that exited.
    pub exit_code: Option<i32>,
    /// The signal that ended a command.
    pub signal: Option<i32>,
}

impl From<AttemptEnd> for End {
    fn from(end: AttemptEnd) -> Self {
        End { end, output: None, exit_code: None, signal: None }
    }
}

/// Why an attempt is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The attempt no longer speaks for its instance.
    Over,
    /// The stop's deadline.
    Stop,
    /// The attempt's timeout.
    Timeout,
    /// The end of a drain.
    Shutdown,
}

impl Cut {
    /// What ends an attempt that began at `began`, and when, by what it has been told so far. A stop keeps its own
    /// deadline: after it, the timeout no longer counts.
    pub fn next(signals: &Signals, timeout: Option<Duration>, began: Instant) -> Option<(Cut, Instant)> {
        if signals.over {
            return Some((Cut::Over, began));
        }
        let stop = signals.stop.map(|stop| (Cut::Stop, stop.deadline));
        let timeout = match stop {
            Some(_) => None,
            None => timeout.map(|timeout| (Cut::Timeout, deadline(began, timeout))),
        };
        let shutdown = signals.shutdown.map(|shutdown| (Cut::Shutdown, shutdown.deadline));
        [stop, timeout, shutdown].into_iter().flatten().min_by_key(|(_, at)| *at)
    }

    /// How the attempt ended then.
    pub fn end(self, timeout: Option<Duration>) -> AttemptEnd {
        match self {
            Cut::Over => AttemptEnd::Fenced,
            Cut::Stop => AttemptEnd::Stopped,
            Cut::Shutdown => AttemptEnd::Interrupted(Interruption::Shutdown),
            Cut::Timeout => {
                let after = timeout.unwrap_or_default().as_secs_f64();
                AttemptEnd::Failed {
                    kind: ErrorKind::Timeout { after },
                    message: format!("ran longer than its timeout of {after} s"),
                    permanent: false,
                }
            }
        }
    }
}

impl Runner {
    /// A runner of these parts.
    pub fn new(parts: Parts) -> Self {
        Runner(Arc::new(parts))
    }

    /// Where attempts of commands have their scratch directories.
    pub fn scratch(&self) -> &scratch::Places {
        &self.0.scratch
    }

    /// Begins attempts that were just claimed.
    pub fn begin(&self, attempts: Vec<(Arc<Attempt>, Slot)>) {
        let mut handlers = Vec::with_capacity(attempts.len());
        for (attempt, slot) in attempts {
            match &attempt.task.executable {
                Executable::Handler(_) => {
                    if attempt.limits.timeout.is_some() {
                        self.enforce(&attempt);
                    }
                    handlers.push((attempt, slot));
                }
                Executable::Command(_) => {
                    let runner = self.clone();
                    self.0.service.spawn(async move {
                        let held = attempt.hold(slot);
                        let end = command::run(&runner.0, &attempt).await;
                        if attempt.end() {
                            runner.finish(&attempt, end, Some(held)).await;
                        }
                    });
                }
            }
        }
        let runner = self.clone();
        match <[_; 1]>::try_from(handlers) {
            Ok([(attempt, slot)]) => {
                self.0.handlers.spawn(async move { runner.run_handler(attempt, slot).await });
            }
            Err(handlers) if handlers.is_empty() => {}
            // One wake-up for all: they are handed out among the handlers' own threads.
            Err(handlers) => {
                self.0.handlers.spawn(async move {
                    for (attempt, slot) in handlers {
                        let runner = runner.clone();
                        tokio::spawn(async move { runner.run_handler(attempt, slot).await });
                    }
                });
            }
        }
    }

    async fn run_handler(&self, attempt: Arc<Attempt>, slot: Slot) {
        let Executable::Handler(handler) = &attempt.task.executable else { return };
        let held = attempt.hold(slot);
        let reporter = Arc::new(AttemptReporter(Arc::clone(&attempt)));
        let end = {
            let future = Arc::clone(handler).run(attempt.inputs.clone(), reporter);
            tokio::select! {
                biased;
                end = future => Some(end),
                () = attempt.cut() => None,
            }
        };
        attempt.note_dropped();
        if let Some(end) = end
            && attempt.end()
        {
            let end = self.handler_end(&attempt, end);
            self.finish(&attempt, end, Some(held)).await;
        }
    }

    fn handler_end(&self, attempt: &Attempt, end: HandlerEnd) -> End {
        if attempt.observed_shutdown()
            && matches!(end, HandlerEnd::Returned(_) | HandlerEnd::Stopped | HandlerEnd::Failed { .. })
        {
            // What it returned counts where its verdict does.
            let output = match outcome::attempt_end(end) {
                (AttemptEnd::Returned, output) => returned(attempt, output, self.0.output_limit).output,
                _ => None,
            };
            return End { output, ..AttemptEnd::Interrupted(Interruption::Shutdown).into() };
        }
        match outcome::attempt_end(end) {
            (AttemptEnd::Returned, output) => returned(attempt, output, self.0.output_limit),
            (end, _) => end.into(),
        }
    }

    /// Ends the attempt of a handler from outside when its time has come. Once per attempt.
    pub fn enforce(&self, attempt: &Arc<Attempt>) {
        if matches!(attempt.task.executable, Executable::Handler(_)) && attempt.begin_to_enforce() {
            let (runner, attempt) = (self.clone(), Arc::clone(attempt));
            self.0.service.spawn(async move { runner.await_cut(attempt).await });
        }
    }

    async fn await_cut(&self, attempt: Arc<Attempt>) {
        let mut signals = attempt.signals();
        let cut = loop {
            let next = Cut::next(&signals.borrow_and_update(), attempt.limits.timeout, attempt.began);
            if attempt.has_ended() {
                return;
            }
            // The sender lives in the attempt: a change is the only way out of these waits.
            let _ = match next {
                None => signals.changed().await,
                Some((cut, at)) => match tokio::time::timeout_at(at.into(), signals.changed()).await {
                    Err(_) => break cut,
                    Ok(changed) => changed,
                },
            };
        };
        attempt.request_cut();
        let _ = tokio::time::timeout(DROP_PATIENCE, attempt.dropped()).await;
        if !attempt.end() {
            return;
        }
        self.warn_if_stuck(&attempt);
        self.finish(&attempt, cut.end(attempt.limits.timeout).into(), None).await;
    }

    fn warn_if_stuck(&self, attempt: &Arc<Attempt>) {
        if !attempt.holds_slot() {
            return;
        }
        tracing::warn!(
            instance = %attempt.id,
            task = %attempt.task.definition.id,
            "blocking work of instance {} goes on after its end; its slot stays taken until it returns",
            attempt.number,
        );
        let (state, attempt) = (Arc::clone(&self.0.state), Arc::clone(attempt));
        state.counters.stuck_blocking.fetch_add(1, Ordering::Relaxed);
        self.0.service.spawn(async move {
            attempt.slot_released().await;
            state.counters.stuck_blocking.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Whether nobody waits for the end of this attempt, nor for what it gives back.
    fn may_wait(&self, attempt: &Attempt) -> bool {
        attempt.task.definition.concurrency.is_none()
            && !self.0.pool.is_wanted()
            && !self.0.images.is_watched(attempt.number)
            && !self.0.state.is_draining()
    }

    /// Puts the end of an attempt in line for its commit, and gives its slot back: the slot is free as soon as the
    /// attempt has ended, not when that is committed. The end goes first, so that whoever gets the slot is not seen
    /// to begin before.
    pub async fn finish(&self, attempt: &Arc<Attempt>, mut end: End, mut held: Option<Arc<Held>>) {
        bound(&mut end.end);
        let verdict = attempt.close_reports();
        let endings = endings(&end.end, attempt.attempt, attempt.attempts_left(), verdict, attempt.limits.retry_delay);
        let Some((unless_stopped, if_stopped)) = endings else {
            self.0.running.remove(attempt);
            return;
        };
        let again = matches!(unless_stopped.then, Then::Again { .. });
        if again {
            drop(held.take());
            // The next attempt must not meet what this one has left running; a stop needs no next attempt.
            let mut signals = attempt.signals();
            tokio::select! {
                () = attempt.slot_released() => {}
                _ = signals.wait_for(|signals| signals.stop.is_some()) => {}
            }
            if let Some(error) = &unless_stopped.error {
                attempt.log_now(Stream::System, &format!("attempt {} failed: {}", attempt.attempt, error.message));
            }
        }
        self.0.lanes.push_finish(FinishItem {
            patient: !again && self.may_wait(attempt),
            attempt: Arc::clone(attempt),
            unless_stopped,
            if_stopped,
            output: end.output,
            exit_code: end.exit_code,
            signal: end.signal,
            since: Instant::now(),
        });
        drop(held);
    }
}

/// The end of an attempt that returned a value, of which `output` was made.
pub fn returned(attempt: &Attempt, output: Option<Json>, limit: usize) -> End {
    if let Some(size) = output.as_ref().map(|output| output.as_str().len())
        && size > limit
    {
        return outcome::output_too_large(size, limit).into();
    }
    let last = output.clone().or_else(|| attempt.last_output());
    if let Some(Err(errors)) = last.as_ref().map(|output| attempt.task.check_output(output)) {
        return bad_output(errors, "the output does not satisfy the task's output schema".into()).into();
    }
    End { end: AttemptEnd::Returned, output, exit_code: None, signal: None }
}

/// An attempt whose output was refused.
pub fn bad_output(errors: Vec<FieldError>, message: String) -> AttemptEnd {
    AttemptEnd::Failed { kind: ErrorKind::Output { errors }, message, permanent: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::attempt::EndSignal;

    #[test]
    fn a_stop_keeps_its_own_deadline() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut signals = Signals::default();
        let timeout = Some(Duration::from_secs(5));
        assert_eq!(Cut::next(&signals, None, began), None);
        assert_eq!(Cut::next(&signals, timeout, began), Some((Cut::Timeout, at(5))));
        assert!(Cut::next(&signals, Some(Duration::MAX), began).is_some_and(|(_, far)| far > at(5)));
        signals.shutdown = Some(EndSignal { deadline: at(3), terminate: false });
        assert_eq!(Cut::next(&signals, timeout, began), Some((Cut::Shutdown, at(3))));
        signals.shutdown = None;
        signals.stop = Some(EndSignal { deadline: at(9), terminate: true });
        assert_eq!(Cut::next(&signals, timeout, began), Some((Cut::Stop, at(9))));
        signals.over = true;
        assert_eq!(Cut::next(&signals, timeout, began).map(|(cut, _)| cut), Some(Cut::Over));
    }
}

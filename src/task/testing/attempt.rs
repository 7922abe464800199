//! One attempt outside the daemon, judged by the daemon's own table.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{
    super::{
        erased::{ErasedHandler, HandlerEnd},
        options::TaskOptions,
        outcome,
        reporter::StopReason,
    },
    Finished,
    memory::{Facts, Memory, Told},
};
use crate::domain::{
    AttemptEnd, Conclusion, ErrorKind, FieldError, InstanceError, Interruption, Json, Outcome, Standing, Status,
    conclude,
};

/// What is run, and what happens meanwhile.
pub(super) struct Trial {
    task_id: &'static str,
    handler: Arc<dyn ErasedHandler>,
    pub(super) options: TaskOptions,
    pub(super) input: Result<String, String>,
    pub(super) attempt: u32,
    pub(super) stop: Option<(f64, StopReason)>,
    pub(super) stop_after: Option<Duration>,
    pub(super) grace: Duration,
    pub(super) output_limit: usize,
}

impl Trial {
    pub(super) fn new(task_id: &'static str, options: TaskOptions, handler: Arc<dyn ErasedHandler>) -> Self {
        Trial {
            task_id,
            handler,
            options,
            input: Ok("{}".to_owned()),
            attempt: 1,
            stop: None,
            stop_after: None,
            grace: Duration::from_secs(10),
            output_limit: 1 << 20,
        }
    }

    pub(super) async fn run(self) -> Finished {
        let inputs = match self.accepted() {
            Ok(inputs) => inputs,
            Err(errors) => return refused(errors),
        };
        let memory = Memory::new(Facts {
            task_id: self.task_id,
            attempt: self.attempt,
            inputs: inputs.clone(),
            stop_at: self.stop,
            output_limit: self.output_limit,
        });
        let end = self.drive(inputs, &memory).await;
        self.judge(end, memory.close())
    }

    fn accepted(&self) -> Result<Json, Vec<FieldError>> {
        let fault = |detail: String| vec![FieldError::new("", detail)];
        let text = self.input.as_ref().map_err(|error| fault(error.clone()))?;
        let inputs = Json::parse(text).map_err(|error| fault(error.to_string()))?;
        if !inputs.is_object() {
            return Err(fault("the inputs must be a JSON object".to_owned()));
        }
        self.handler.check(&inputs)?;
        Ok(inputs)
    }

    /// Runs the handler until it returns, or is dropped at its timeout or at the deadline of a stop.
    async fn drive(&self, inputs: Json, memory: &Arc<Memory>) -> Driven {
        let began = Instant::now();
        let mut handler = Arc::clone(&self.handler).run(inputs, Arc::clone(memory) as _);
        let mut timeout = pin!(at(self.options.timeout.map(|timeout| began + timeout)));
        let mut stop = pin!(at(self.stop_after.map(|after| began + after)));
        let mut deadline = pin!(async {
            let asked = memory.asked_to_end().await;
            sleep_until(Instant::from_std(asked) + self.grace).await;
        });
        let mut stop_is_due = self.stop_after.is_some();
        loop {
            tokio::select! {
                biased;
                end = &mut handler => return Driven::Returned(end),
                () = &mut deadline => return Driven::Dropped,
                () = &mut stop, if stop_is_due => {
                    stop_is_due = false;
                    memory.ask_to_end(StopReason::Stop);
                }
                () = &mut timeout => return Driven::TimedOut(self.options.timeout.unwrap_or_default()),
            }
        }
    }

    fn judge(self, driven: Driven, told: Told) -> Finished {
        let (end, returned) = match driven {
            Driven::Returned(end) => outcome::attempt_end(end),
            Driven::Dropped if told.stop_requested => (AttemptEnd::Stopped, None),
            Driven::Dropped => (AttemptEnd::Interrupted(Interruption::Shutdown), None),
            Driven::TimedOut(after) => {
                let kind = ErrorKind::Timeout { after: after.as_secs_f64() };
                let message = format!("ran longer than its timeout of {} s", after.as_secs_f64());
                (AttemptEnd::Failed { kind, message, permanent: false }, None)
            }
        };
        let size = returned.as_ref().map_or(0, |output| output.as_str().len());
        let (end, returned) = if told.shutdown_seen && ended_by_itself(&end) {
            (AttemptEnd::Interrupted(Interruption::Shutdown), None)
        } else if size > self.output_limit {
            (outcome::output_too_large(size, self.output_limit), None)
        } else {
            (end, returned)
        };
        let conclusion = conclude(
            &end,
            &Standing {
                attempt: self.attempt,
                attempts_left: self.attempt < self.options.max_attempts,
                stop_requested: told.stop_requested,
                verdict: told.verdict,
            },
        );
        let (status, error) = match conclusion {
            Conclusion::Done(outcome) => (outcome.status(), failure(outcome)),
            Conclusion::Again { error, .. } => (Status::Pending, error),
            // Nobody takes an attempt over here.
            Conclusion::Nothing => (Status::Running, None),
        };
        let output = returned.or(told.output).and_then(|output| output.read().ok());
        Finished { status, refused: false, end, error, progress: told.progress, output, logs: told.logs }
    }
}

/// Whether the handler returned, `Ok` or `Err`.
fn ended_by_itself(end: &AttemptEnd) -> bool {
    matches!(
        end,
        AttemptEnd::Returned | AttemptEnd::Stopped | AttemptEnd::Failed { kind: ErrorKind::Handler { .. }, .. }
    )
}

/// How the handler's future came to its end.
enum Driven {
    Returned(HandlerEnd),
    Dropped,
    TimedOut(Duration),
}

/// Resolves at `time`; never without one.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn failure(outcome: Outcome) -> Option<InstanceError> {
    match outcome {
        Outcome::Failed(error) => Some(*error),
        Outcome::Completed | Outcome::Cancelled => None,
    }
}

fn refused(errors: Vec<FieldError>) -> Finished {
    let kind = ErrorKind::InvalidInputs { errors };
    let message = "the inputs are not valid for the task".to_owned();
    Finished {
        status: Status::Failed,
        refused: true,
        end: AttemptEnd::Failed { kind: kind.clone(), message: message.clone(), permanent: true },
        error: Some(InstanceError { kind, message, attempt: 0 }),
        progress: Vec::new(),
        output: None,
        logs: Vec::new(),
    }
}

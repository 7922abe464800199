//! An instance as the model has it, and what becomes of it when an attempt ends.

use std::{collections::BTreeMap, time::Duration};

use taskwright::domain::{
    Ended, ErrorKind, Instance, InstanceError, Json, Micros, Progress, Status, Verdict, VerdictStatus,
};

use super::step::{How, TASKS};

/// The delay of every retry.
pub const BACKOFF: Duration = Duration::from_secs(2);

/// An instance as the model has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub number: u64,
    pub task: usize,
    pub max_attempts: u32,
    pub priority: i16,
    pub status: Status,
    pub attempt: u32,
    pub version: u64,
    pub progress: u8,
    pub output: Option<u8>,
    pub verdict: Option<VerdictStatus>,
    /// When it was asked for, and its deadline.
    pub stop: Option<(Micros, Micros)>,
    /// None where the daemon chose it by its own clock.
    pub run_at: Option<Micros>,
    pub created_at: Micros,
    pub started_at: Option<Micros>,
    pub finished_at: Option<Micros>,
    /// The kind of its error.
    pub error: Option<&'static str>,
    /// How its attempts ended, the running one aside.
    pub ended: Vec<Ended>,
    /// Whether it is due, which only a look for what is due finds out.
    pub ready: bool,
    pub queue_deadline: Option<Micros>,
    /// The commit that last changed it.
    pub batch: u64,
}

/// What an attempt's end makes of its instance.
pub enum Next {
    Done(Status, Option<&'static str>),
    Again(Duration),
}

impl Row {
    /// Notes that a commit changed it: one version a commit.
    pub fn touch(&mut self, batch: u64) -> u64 {
        self.version += u64::from(self.batch != batch);
        self.batch = batch;
        self.version
    }

    /// Its attempt ends so.
    pub fn end(&mut self, next: Next, how: How, now: Micros) {
        self.ended.push(match (&next, how) {
            (_, How::Interrupted) => Ended::Interrupted,
            (Next::Done(Status::Completed, _), _) => Ended::Completed,
            (Next::Done(Status::Cancelled, _), _) => Ended::Cancelled,
            _ => Ended::Failed,
        });
        match next {
            Next::Done(status, error) => {
                self.status = status;
                self.error = error;
                self.finished_at = Some(now.max(self.started_at.expect("it ran")));
            }
            Next::Again(delay) => {
                self.status = Status::Pending;
                self.run_at = Some(now.after(delay));
                self.ready = delay.is_zero();
            }
        }
    }
}

/// The table of the design: the first row that matches decides.
pub fn next(how: How, row: &Row, stopped: bool) -> Next {
    let stated = row.verdict.map(|verdict| match verdict {
        VerdictStatus::Completed => Next::Done(Status::Completed, None),
        VerdictStatus::Cancelled => Next::Done(Status::Cancelled, None),
        VerdictStatus::Failed => Next::Done(Status::Failed, Some("handler")),
    });
    let cancelled = Next::Done(Status::Cancelled, None);
    let left = row.attempt < row.max_attempts;
    match how {
        How::Stopped => cancelled,
        How::Interrupted => match stated {
            Some(stated) => stated,
            None if stopped => cancelled,
            None if left => Next::Again(Duration::ZERO),
            None => Next::Done(Status::Failed, Some("interrupted")),
        },
        How::Failed if left && !stopped => Next::Again(BACKOFF),
        How::Failed | How::FailedForGood => Next::Done(Status::Failed, Some("exit")),
        How::Returned => match stated {
            Some(stated) => stated,
            None if stopped => cancelled,
            None => Next::Done(Status::Completed, None),
        },
    }
}

pub fn stated(status: VerdictStatus) -> Verdict {
    Verdict { status, message: None }
}

pub fn progress(percent: u8) -> Progress {
    Progress::new(f64::from(percent) / 100.0, None).expect("it is within 0 and 1")
}

pub fn percent(progress: &Progress) -> u8 {
    (progress.value() * 100.0).round() as u8
}

pub fn output_json(number: u8) -> Json {
    Json::parse(&format!("{{\"n\":{number}}}")).expect("it is JSON")
}

pub fn output_number(output: &Json) -> u8 {
    output.read::<BTreeMap<String, u8>>().expect("it is ours")["n"]
}

/// An instance of the store in the model's terms.
pub fn seen(instance: &Instance, ended: Vec<Ended>, like: &Row) -> Row {
    let error = |error: &InstanceError| match error.kind {
        ErrorKind::Exit { .. } => "exit",
        ErrorKind::Handler { .. } => "handler",
        ErrorKind::Interrupted { .. } => "interrupted",
        ErrorKind::QueueTimeout { .. } => "queue_timeout",
        _ => "another",
    };
    Row {
        number: instance.number,
        task: TASKS.iter().position(|task| **task == *instance.task_id).expect("one of ours"),
        max_attempts: instance.limits.max_attempts,
        priority: instance.limits.priority,
        status: instance.status(),
        attempt: instance.attempt,
        version: instance.version,
        progress: percent(&instance.progress),
        output: instance.output.as_ref().map(output_number),
        verdict: instance.verdict.as_ref().map(|verdict| verdict.status),
        stop: instance.stop.map(|stop| (stop.requested_at, stop.deadline)),
        run_at: like.run_at.map(|_| instance.run_at),
        created_at: instance.created_at,
        started_at: instance.started_at,
        finished_at: instance.finished_at(),
        error: instance.error().map(error),
        ended,
        // Nobody sees these; what they lead to is compared when it happens.
        ready: like.ready,
        queue_deadline: like.queue_deadline,
        batch: instance.batch,
    }
}

//! The lifecycle of instances as a small pure model: what each batch must do to them, by the design alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use taskwright::{
    domain::{
        AttemptEnd, Conclusion, Ended, ErrorKind, Instance, InstanceError, Interruption, Json, Labels, Limits, Micros,
        Progress, Standing, Status, Verdict, VerdictStatus, Workload, conclude,
    },
    store::{
        Batch, Claimed, Claims, Ending, Expected, Finish, FinishOutcome, IdempotencyClaim, NewInstance, Report, Room,
        Start, StartOutcome, Stop, StopOutcome, Then, Written,
    },
};
use uuid::Uuid;

/// The tasks of the model.
pub const TASKS: [&str; 2] = ["a", "b"];

/// The delay of every retry.
const BACKOFF: Duration = Duration::from_secs(2);

/// Which rule of the model is deliberately wrong: the comparison with the store must find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// None is.
    Nothing,
    /// A stop of a running instance does not decide how it ends.
    StopForgotten,
    /// A later stop puts the deadline off.
    DeadlinePutOff,
    /// A report lands whatever the attempt.
    FenceWithoutAttempt,
    /// A new attempt finds what the last one reported.
    RetryKeepsProgress,
    /// A queue timeout ends an instance that has run before.
    QueueTimeoutOfRetries,
    /// A key makes a new instance each time.
    KeyForgotten,
    /// What ran when the daemon died is as it was.
    CrashForgotten,
}

impl Wrong {
    /// Every rule that can be wrong.
    pub const ALL: [Wrong; 8] = [
        Wrong::Nothing,
        Wrong::StopForgotten,
        Wrong::DeadlinePutOff,
        Wrong::FenceWithoutAttempt,
        Wrong::RetryKeepsProgress,
        Wrong::QueueTimeoutOfRetries,
        Wrong::KeyForgotten,
        Wrong::CrashForgotten,
    ];
}

/// Something that happens.
#[derive(Debug, Clone)]
pub enum Step {
    /// One commit.
    Commit(Vec<Item>),
    /// Time passes.
    Wait(Duration),
    /// The daemon dies; another one opens the store, settles what ran and looks for what is due.
    Crash,
}

/// Something to be committed.
#[derive(Debug, Clone)]
pub enum Item {
    /// A new instance.
    Start(NewStart),
    /// A stop, with its deadline in seconds from now.
    Stop { who: usize, deadline: i64, only: Option<Status> },
    /// A report.
    Report { who: usize, attempt: Which, patch: Patch },
    /// The end of an attempt.
    Finish { who: usize, attempt: Which, how: How, patch: Patch, hint: Hint },
    /// A look for what is due.
    Promote,
    /// Room for so many of each task, and so many slots.
    Claim { rooms: [u32; 2], slots: u32 },
}

/// What a new instance is.
#[derive(Debug, Clone)]
pub struct NewStart {
    pub task: usize,
    pub attempts: u32,
    pub priority: i16,
    pub delay: u64,
    pub queue_timeout: Option<u64>,
    /// Key and fingerprint.
    pub key: Option<(u8, u8)>,
}

/// Which attempt somebody says to be.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    Current,
    Previous,
    Next,
}

/// What is reported. The output is an object with this number.
#[derive(Debug, Clone)]
pub struct Patch {
    pub progress: Option<u8>,
    pub output: Option<Option<u8>>,
    pub verdict: Option<Option<VerdictStatus>>,
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Returned,
    Failed,
    FailedForGood,
    Stopped,
    Interrupted,
}

/// What a finish believes of its instance: it must never change what becomes of it.
#[derive(Debug, Clone, Copy)]
pub enum Hint {
    None,
    Right,
    Stale,
}

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
    ready: bool,
    queue_deadline: Option<Micros>,
    /// The commit that last changed it.
    batch: u64,
}

/// What the model says a commit answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    pub finishes: Vec<FinishOutcome>,
    pub reports: Vec<Written>,
    pub stops: Vec<StopOutcome>,
    pub starts: Vec<StartOutcome>,
    /// Number and version.
    pub expired: BTreeSet<(u64, u64)>,
    pub promoted: BTreeSet<&'static str>,
    pub claimed: Vec<Claimed>,
    pub next_due: Option<Micros>,
}

/// All instances, the clock, and what the last step was.
#[derive(Debug, Clone)]
pub struct Model {
    pub wrong: Wrong,
    pub now: Micros,
    /// The number of the last commit.
    pub number: u64,
    pub rows: Vec<Row>,
    /// The commit that the last step made, where it made one.
    pub batch: Option<Batch>,
    pub answer: Answer,
    keys: BTreeMap<u8, (u8, Vec<u64>)>,
}

/// What an attempt's end makes of its instance.
enum Next {
    Done(Status, Option<&'static str>),
    Again(Duration),
}

impl Model {
    pub fn new(wrong: Wrong) -> Self {
        Model {
            wrong,
            // Ahead of the real clock, which a daemon goes by when it settles what the last one left.
            now: Micros(4_102_444_800_123_456),
            number: 0,
            rows: Vec::new(),
            batch: None,
            answer: Answer::default(),
            keys: BTreeMap::new(),
        }
    }

    pub fn apply(&mut self, step: &Step) {
        self.batch = None;
        match step {
            Step::Wait(time) => self.now = self.now.after(*time),
            Step::Commit(items) => {
                self.begin();
                let (batch, ends) = self.fill(items);
                self.commit(&batch, &ends);
                self.batch = Some(batch);
            }
            Step::Crash => {
                self.begin();
                if self.wrong != Wrong::CrashForgotten {
                    self.settle();
                }
                self.begin();
                let (batch, ends) = self.fill(&[Item::Promote]);
                self.commit(&batch, &ends);
                self.batch = Some(batch);
            }
        }
    }

    /// Whether the last step changed this row.
    pub fn has_just_changed(&self, row: &Row) -> bool {
        // A crash is two commits.
        row.batch + 1 >= self.number
    }

    fn begin(&mut self) {
        self.number += 1;
        self.now = self.now.after(Duration::from_millis(100));
    }

    /// The batch that these items are for a store, and how its finishes came about.
    fn fill(&self, items: &[Item]) -> (Batch, Vec<How>) {
        let mut ends = Vec::new();
        let mut batch = Batch::new(self.number, self.now, "node".into());
        for item in items {
            match item {
                Item::Start(new) => batch.starts.push(self.start(new, batch.starts.len())),
                Item::Stop { who, deadline, only } => batch.stops.push(Stop {
                    instance: self.pick(*who),
                    deadline: Micros(self.now.0 + deadline * 1_000_000),
                    only: *only,
                }),
                Item::Report { who, attempt, patch } => {
                    let instance = self.pick(*who);
                    batch.reports.push(Report {
                        instance,
                        attempt: self.attempt(instance, *attempt),
                        progress: patch.progress.map(progress),
                        output: patch.output.map(|output| output.map(output_json)),
                        verdict: patch.verdict.map(|verdict| verdict.map(stated)),
                    });
                }
                Item::Finish { who, attempt, how, patch, hint } => {
                    let instance = self.pick(*who);
                    let attempt = self.attempt(instance, *attempt);
                    batch.finishes.push(self.finish(instance, attempt, *how, patch, *hint));
                    ends.push(*how);
                }
                Item::Promote => batch.promote = true,
                Item::Claim { rooms, slots } => {
                    let room = |(task, n): (&str, &u32)| Room {
                        task_id: task.into(),
                        workload: Workload::Local,
                        n: *n,
                        older: true,
                    };
                    let rooms = TASKS.into_iter().zip(rooms).map(room).collect();
                    batch.claims = Some(Claims { rooms, local_slots: *slots, command_slots: 0 });
                }
            }
        }
        (batch, ends)
    }

    /// One of the newest instances; 0 names one that does not exist.
    fn pick(&self, who: usize) -> u64 {
        let count = self.rows.len();
        (if who == 0 || count == 0 { count + 1 } else { count - (who - 1) % count }) as u64
    }

    fn row(&self, number: u64) -> Option<&Row> {
        self.rows.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    fn attempt(&self, instance: u64, which: Which) -> u32 {
        let current = self.row(instance).map_or(0, |row| row.attempt);
        match which {
            Which::Current => current,
            Which::Previous => current.saturating_sub(1),
            Which::Next => current + 1,
        }
    }

    fn start(&self, new: &NewStart, place: usize) -> Start {
        let id = Uuid::from_u128((u128::from(self.number) << 32) | place as u128);
        Start {
            instances: vec![NewInstance {
                id,
                task_id: TASKS[new.task].into(),
                workload: Workload::Local,
                inputs: Json::empty_object(),
                limits: Limits {
                    timeout: None,
                    queue_timeout: new.queue_timeout.map(Duration::from_secs),
                    max_attempts: new.attempts,
                    retry_delay: BACKOFF,
                    priority: new.priority,
                },
                labels: Labels::default(),
                run_at: (new.delay > 0).then(|| self.now.after(Duration::from_secs(new.delay))),
                retry_of: None,
            }],
            idempotency: new.key.map(|(key, fingerprint)| IdempotencyClaim {
                principal: "me".into(),
                key: key.to_string().into(),
                fingerprint: [fingerprint; 32],
            }),
        }
    }

    /// A finish as the engine makes it, which carries the ending for both values of "a stop was requested".
    fn finish(&self, instance: u64, attempt: u32, how: How, patch: &Patch, hint: Hint) -> Finish {
        let row = self.row(instance);
        let end = match how {
            How::Returned => AttemptEnd::Returned,
            How::Failed | How::FailedForGood => AttemptEnd::Failed {
                kind: ErrorKind::Exit { exit_code: 3 },
                message: "exit code 3".into(),
                permanent: how == How::FailedForGood,
            },
            How::Stopped => AttemptEnd::Stopped,
            How::Interrupted => AttemptEnd::Interrupted(Interruption::Shutdown),
        };
        let ending = |stop_requested| {
            let standing = Standing {
                attempt,
                attempts_left: row.is_some_and(|row| attempt < row.max_attempts),
                stop_requested,
                verdict: row.and_then(|row| row.verdict).map(stated),
            };
            let conclusion = conclude(&end, &standing);
            let ended = Ended::of(&end, &conclusion);
            match conclusion {
                Conclusion::Done(outcome) => {
                    Ending { error: outcome.error().cloned(), then: Then::Done(outcome), ended }
                }
                Conclusion::Again { error, backoff } => {
                    let run_at = if backoff { self.now.after(BACKOFF) } else { self.now };
                    Ending { then: Then::Again { run_at }, ended, error }
                }
                Conclusion::Nothing => panic!("only what lost its fence ends in nothing"),
            }
        };
        let expected = |row: &Row, version| Expected {
            version,
            task_id: TASKS[row.task].into(),
            started_at: row.started_at.unwrap_or(row.created_at),
        };
        Finish {
            instance,
            attempt,
            expected: match (hint, row) {
                (Hint::None, _) | (_, None) => None,
                (Hint::Right, Some(row)) => Some(expected(row, row.version)),
                (Hint::Stale, Some(row)) => Some(expected(row, row.version.saturating_sub(1))),
            },
            unless_stopped: ending(false),
            if_stopped: ending(true),
            progress: patch.progress.map(progress),
            output: patch.output.map(|output| output.map(output_json)),
            exit_code: None,
            signal: None,
        }
    }

    /// What a commit does, section by section in their documented order.
    fn commit(&mut self, batch: &Batch, ends: &[How]) {
        let finishes = batch.finishes.iter().zip(ends).map(|(finish, how)| self.finished(finish, *how)).collect();
        let reports = batch.reports.iter().map(|report| self.reported(report)).collect();
        let stops = batch.stops.iter().map(|stop| self.stopped(stop)).collect();
        let starts = batch.starts.iter().map(|start| self.started(start)).collect();
        self.answer = Answer { finishes, reports, stops, starts, ..Answer::default() };
        if batch.promote {
            self.promote();
        }
        if let Some(claims) = &batch.claims {
            self.claim(claims);
        }
        if batch.promote {
            let waiting = || self.rows.iter().filter(|row| row.status == Status::Pending);
            let due = waiting().filter(|row| !row.ready).filter_map(|row| row.run_at);
            let deadlines = waiting().filter(|row| row.attempt == 0).filter_map(|row| row.queue_deadline);
            self.answer.next_due = due.chain(deadlines).min();
        }
    }

    /// The end of the running attempt, which only that attempt can bring about.
    fn finished(&mut self, finish: &Finish, how: How) -> FinishOutcome {
        let (now, number, wrong) = (self.now, self.number, self.wrong);
        let Some(row) = self.running(finish.instance, finish.attempt) else { return FinishOutcome::Fenced };
        if let Some(progress) = &finish.progress {
            row.progress = percent(progress);
        }
        if let Some(output) = &finish.output {
            row.output = output.as_ref().map(output_number);
        }
        let stopped = row.stop.is_some();
        let next = next(how, row, stopped && wrong != Wrong::StopForgotten);
        row.end(next, how, now);
        FinishOutcome::Applied { version: row.touch(number), stopped }
    }

    fn reported(&mut self, report: &Report) -> Written {
        let number = self.number;
        let attempt = match self.wrong {
            Wrong::FenceWithoutAttempt => self.row(report.instance).map_or(0, |row| row.attempt),
            _ => report.attempt,
        };
        match self.row(report.instance) {
            None => return Written::NotFound,
            Some(row) if row.status.is_done() => return Written::Done,
            Some(_) => {}
        }
        let Some(row) = self.running(report.instance, attempt) else { return Written::Fenced };
        if let Some(progress) = &report.progress {
            row.progress = percent(progress);
        }
        if let Some(output) = &report.output {
            row.output = output.as_ref().map(output_number);
        }
        if let Some(verdict) = &report.verdict {
            row.verdict = verdict.as_ref().map(|verdict| verdict.status);
        }
        Written::Applied { version: row.touch(number) }
    }

    /// A stop ends what waits at once; what runs is told, and keeps the earliest deadline.
    fn stopped(&mut self, stop: &Stop) -> StopOutcome {
        let (now, number, wrong) = (self.now, self.number, self.wrong);
        let place = usize::try_from(stop.instance).unwrap_or(usize::MAX).wrapping_sub(1);
        let Some(row) = self.rows.get_mut(place) else { return StopOutcome::NotFound };
        if row.status.is_done() {
            return StopOutcome::Done;
        }
        if stop.only.is_some_and(|only| only != row.status) {
            return StopOutcome::Mismatch;
        }
        if row.status == Status::Pending {
            row.stop = Some((now, stop.deadline));
            row.status = Status::Cancelled;
            row.finished_at = Some(now.max(row.started_at.unwrap_or(row.created_at)));
            return StopOutcome::Cancelled { version: row.touch(number) };
        }
        match row.stop {
            Some((_, deadline)) if deadline <= stop.deadline && wrong != Wrong::DeadlinePutOff => {
                StopOutcome::Unchanged
            }
            earlier => {
                row.stop = Some((earlier.map_or(now, |(asked, _)| asked), stop.deadline));
                StopOutcome::Stopping { version: row.touch(number) }
            }
        }
    }

    fn started(&mut self, start: &Start) -> StartOutcome {
        let new = &start.instances[0];
        let number = self.rows.len() as u64 + 1;
        if let Some(claim) = &start.idempotency {
            let key = claim.key.parse().expect("keys are numbers");
            if let Some((fingerprint, numbers)) = self.keys.get(&key)
                && self.wrong != Wrong::KeyForgotten
            {
                return match *fingerprint == claim.fingerprint[0] {
                    true => StartOutcome::Replayed { numbers: numbers.clone() },
                    false => StartOutcome::KeyConflict,
                };
            }
            self.keys.insert(key, (claim.fingerprint[0], vec![number]));
        }
        let run_at = new.run_at.unwrap_or(self.now);
        self.rows.push(Row {
            number,
            task: TASKS.iter().position(|task| **task == *new.task_id).expect("one of ours"),
            max_attempts: new.limits.max_attempts,
            priority: new.limits.priority,
            status: Status::Pending,
            attempt: 0,
            version: 1,
            progress: 0,
            output: None,
            verdict: None,
            stop: None,
            run_at: Some(run_at),
            created_at: self.now,
            started_at: None,
            finished_at: None,
            error: None,
            ended: Vec::new(),
            ready: run_at <= self.now,
            queue_deadline: new.limits.queue_timeout.map(|timeout| run_at.after(timeout)),
            batch: self.number,
        });
        StartOutcome::Created { numbers: vec![number] }
    }

    /// What waited too long for its first attempt fails; what is due becomes ready, which nobody sees.
    fn promote(&mut self) {
        let (now, number, wrong) = (self.now, self.number, self.wrong);
        for row in self.rows.iter_mut().filter(|row| row.status == Status::Pending) {
            let waits = row.attempt == 0 || wrong == Wrong::QueueTimeoutOfRetries;
            if waits && row.queue_deadline.is_some_and(|deadline| deadline <= now) {
                row.status = Status::Failed;
                row.error = Some("queue_timeout");
                row.finished_at = Some(now);
                self.answer.expired.insert((row.number, row.touch(number)));
            } else if !row.ready && row.run_at.is_none_or(|run_at| run_at <= now) {
                row.ready = true;
                self.answer.promoted.insert(TASKS[row.task]);
            }
        }
    }

    /// Higher priority first, then the older, as far as there is room.
    fn claim(&mut self, claims: &Claims) {
        let (now, number, wrong) = (self.now, self.number, self.wrong);
        let mut slots = claims.local_slots;
        let mut rooms: Vec<u32> = claims.rooms.iter().map(|room| room.n).collect();
        let mut ready: Vec<&mut Row> =
            self.rows.iter_mut().filter(|row| row.status == Status::Pending && row.ready).collect();
        ready.sort_by_key(|row| (-row.priority, row.number));
        for row in ready {
            if slots == 0 || rooms[row.task] == 0 {
                continue;
            }
            slots -= 1;
            rooms[row.task] -= 1;
            row.status = Status::Running;
            row.attempt += 1;
            row.started_at = Some(now);
            row.verdict = None;
            row.output = None;
            if wrong != Wrong::RetryKeepsProgress {
                row.progress = 0;
            }
            let version = row.touch(number);
            let task_id = TASKS[row.task].into();
            self.answer.claimed.push(Claimed { instance: row.number, attempt: row.attempt, version, task_id });
        }
    }

    /// What ran when the daemon died was interrupted. The next daemon's own clock is behind the model's.
    fn settle(&mut self) {
        let number = self.number;
        for row in self.rows.iter_mut().filter(|row| row.status == Status::Running) {
            let next = next(How::Interrupted, row, row.stop.is_some());
            row.end(next, How::Interrupted, Micros(0));
            if row.status == Status::Pending {
                row.run_at = None;
                row.ready = false;
            }
            row.touch(number);
        }
    }

    fn running(&mut self, instance: u64, attempt: u32) -> Option<&mut Row> {
        let row = self.rows.get_mut(usize::try_from(instance).ok()?.checked_sub(1)?)?;
        (row.status == Status::Running && row.attempt == attempt).then_some(row)
    }
}

impl Row {
    /// Notes that a commit changed it: one version a commit.
    fn touch(&mut self, batch: u64) -> u64 {
        self.version += u64::from(self.batch != batch);
        self.batch = batch;
        self.version
    }

    fn end(&mut self, next: Next, how: How, now: Micros) {
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
fn next(how: How, row: &Row, stopped: bool) -> Next {
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

fn stated(status: VerdictStatus) -> Verdict {
    Verdict { status, message: None }
}

fn progress(percent: u8) -> Progress {
    Progress::new(f64::from(percent) / 100.0, None).expect("it is within 0 and 1")
}

fn percent(progress: &Progress) -> u8 {
    (progress.value() * 100.0).round() as u8
}

fn output_json(number: u8) -> Json {
    Json::parse(&format!("{{\"n\":{number}}}")).expect("it is JSON")
}

fn output_number(output: &Json) -> u8 {
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

//! The lifecycle of instances as a small pure model: what each commit must do to them, by the design alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use taskwright::{
    domain::{Micros, Status},
    store::{Batch, Claimed, Claims, Finish, FinishOutcome, Report, Start, StartOutcome, Stop, StopOutcome, Written},
};

use super::{
    row::{Row, next, output_number, percent},
    step::{How, Item, Step, TASKS},
};

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

    /// The instance with this number.
    pub(super) fn row(&self, number: u64) -> Option<&Row> {
        self.rows.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    fn running(&mut self, instance: u64, attempt: u32) -> Option<&mut Row> {
        let row = self.rows.get_mut(usize::try_from(instance).ok()?.checked_sub(1)?)?;
        (row.status == Status::Running && row.attempt == attempt).then_some(row)
    }
}

//! From what waits to the batch that writes it.

use std::{sync::Arc, time::Instant};

use tokio::sync::oneshot;

use super::{
    attempt::{Attempt, TakenReport},
    error::EngineError,
    images::Images,
    lanes::{DefinitionItem, FinishItem, StartItem, StopItem, Taken},
    request::ReportPatch,
};
use crate::{
    domain::LogChunk,
    store::{Batch, Expected, Finish, Report, Stop},
};

/// An end of an attempt with everything that goes into its row.
pub struct FinishUnit {
    /// As it was put in line.
    pub item: FinishItem,
    /// The reports that are folded in.
    pub report: TakenReport,
    /// What the instance is believed to be, where no stop was requested.
    pub expected: Option<Expected>,
}

/// A report on its way.
pub struct ReportUnit {
    /// Who reports.
    pub attempt: Arc<Attempt>,
    /// What.
    pub patch: ReportPatch,
    /// Who waits.
    pub waiters: Vec<oneshot::Sender<Result<u64, EngineError>>>,
}

/// A chunk of log on its way.
pub struct LogUnit {
    /// Whose.
    pub attempt: Arc<Attempt>,
    /// The lines.
    pub chunk: LogChunk,
}

/// What one commit writes, with everybody who waits for it. Each unit stands at the index of its item in the batch.
#[derive(Default)]
pub struct Units {
    /// Logs.
    pub logs: Vec<LogUnit>,
    /// Ends of attempts.
    pub finishes: Vec<FinishUnit>,
    /// Reports.
    pub reports: Vec<ReportUnit>,
    /// Stops.
    pub stops: Vec<StopItem>,
    /// Starts.
    pub starts: Vec<StartItem>,
    /// A change of definitions.
    pub definition: Option<DefinitionItem>,
}

impl Units {
    /// Takes the latest of everything that was taken. Reports that change nothing, or whose pinned version is
    /// gone, are answered here.
    pub fn gather(taken: Taken, now: Instant, images: &Images) -> Self {
        let mut units =
            Units { stops: taken.stops, starts: taken.starts, definition: taken.definition, ..Units::default() };
        for attempt in taken.logs {
            // A full buffer stands in line twice; its chunk is one.
            let is_there = units.logs.iter().any(|unit: &LogUnit| Arc::ptr_eq(&unit.attempt, &attempt));
            if !is_there && let Some(chunk) = attempt.take_log(now) {
                units.logs.push(LogUnit { attempt, chunk });
            }
        }
        for item in taken.finishes {
            // A finish takes all of its attempt's lines along: what is done has its whole log.
            let attempt = Arc::clone(&item.attempt);
            if !units.logs.iter().any(|unit| Arc::ptr_eq(&unit.attempt, &attempt))
                && let Some(chunk) = attempt.take_log(now)
            {
                units.logs.push(LogUnit { attempt: Arc::clone(&attempt), chunk });
            }
            let report = attempt.take_report(now);
            let image = images.by_number(attempt.number);
            let expected = image.filter(|image| image.stop.is_none()).and_then(|image| {
                Some(Expected {
                    version: image.version,
                    task_id: Arc::clone(&image.task_id),
                    started_at: image.started_at?,
                })
            });
            units.finishes.push(FinishUnit { item, report, expected });
        }
        for attempt in taken.reports {
            if attempt.has_ended() && units.finishes.iter().any(|unit| Arc::ptr_eq(&unit.item.attempt, &attempt)) {
                continue;
            }
            let report = attempt.take_report(now);
            let version = images.by_number(attempt.number).map(|image| image.version);
            if let (Some(pinned), Some(version)) = (report.if_version, version)
                && pinned != version
            {
                attempt.report_landed();
                for waiter in report.waiters {
                    let _ = waiter.send(Err(EngineError::VersionMismatch { version }));
                }
                continue;
            }
            if report.patch.is_empty() {
                attempt.report_landed();
                for waiter in report.waiters {
                    let _ = waiter.send(version.ok_or(EngineError::AttemptOver));
                }
                continue;
            }
            units.reports.push(ReportUnit { attempt, patch: report.patch, waiters: report.waiters });
        }
        units
    }

    /// Answers everybody who waits for it with an error; what remains is what nobody waits for.
    pub fn refuse(&mut self, error: impl Fn() -> EngineError) {
        // Whoever has gone needs no answer.
        for item in self.starts.drain(..) {
            let _ = item.reply.send(Err(error()));
        }
        for item in self.stops.drain(..) {
            let _ = item.reply.send(Err(error()));
        }
        if let Some(item) = self.definition.take() {
            let _ = item.reply.send(Err(error()));
        }
        let of_reports = self.reports.iter_mut().flat_map(|unit| unit.waiters.drain(..));
        let of_finishes = self.finishes.iter_mut().flat_map(|unit| unit.report.waiters.drain(..));
        for waiter in of_reports.chain(of_finishes) {
            let _ = waiter.send(Err(error()));
        }
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.logs.len()
            + self.finishes.len()
            + self.reports.len()
            + self.stops.len()
            + self.starts.len()
            + usize::from(self.definition.is_some())
    }

    /// How many rows they write.
    pub fn rows(&self) -> usize {
        self.len() - self.starts.len() + self.new_instances()
    }

    /// How many instances the starts make.
    pub fn new_instances(&self) -> usize {
        self.starts.iter().map(|item| item.start.instances.len()).sum()
    }

    /// Writes the items into `batch`.
    pub fn fill(&self, batch: &mut Batch) {
        batch.logs.extend(self.logs.iter().map(|unit| unit.chunk.clone()));
        batch.finishes.extend(self.finishes.iter().map(|unit| {
            let patch = &unit.report.patch;
            Finish {
                instance: unit.item.attempt.number,
                attempt: unit.item.attempt.attempt,
                expected: unit.expected.clone(),
                unless_stopped: unit.item.unless_stopped.clone(),
                if_stopped: unit.item.if_stopped.clone(),
                progress: patch.progress.clone(),
                output: unit.item.output.clone().map(Some).or_else(|| patch.output.clone()),
                exit_code: unit.item.exit_code,
                signal: unit.item.signal,
            }
        }));
        batch.reports.extend(self.reports.iter().map(|unit| Report {
            instance: unit.attempt.number,
            attempt: unit.attempt.attempt,
            progress: unit.patch.progress.clone(),
            output: unit.patch.output.clone(),
            verdict: unit.patch.verdict.clone(),
        }));
        let now = batch.now;
        batch.stops.extend(self.stops.iter().map(|item| Stop {
            instance: item.instance,
            deadline: now.after(item.grace),
            only: item.only,
        }));
        batch.starts.extend(self.starts.iter().map(|item| item.start.clone()));
        batch.definition = self.definition.as_ref().map(|item| item.change.clone());
    }

    /// Two parts of it, each smaller, in order.
    ///
    /// # Errors
    /// The units themselves, where they are one item.
    pub fn split(mut self) -> Result<(Units, Units), Box<Units>> {
        if self.len() < 2 {
            return Err(Box::new(self));
        }
        let mut rest = Units::default();
        let sections = [
            !self.logs.is_empty(),
            !self.finishes.is_empty(),
            !self.reports.is_empty(),
            !self.stops.is_empty(),
            !self.starts.is_empty(),
            self.definition.is_some(),
        ];
        if sections.iter().filter(|section| **section).count() > 1 {
            // The last section goes apart first: most often a start is the culprit. A change of definitions must
            // see the starts that were taken with it.
            if self.definition.is_some() {
                rest.definition = self.definition.take();
            } else if !self.starts.is_empty() {
                rest.starts = std::mem::take(&mut self.starts);
            } else if !self.stops.is_empty() {
                rest.stops = std::mem::take(&mut self.stops);
            } else if !self.reports.is_empty() {
                rest.reports = std::mem::take(&mut self.reports);
            } else {
                rest.finishes = std::mem::take(&mut self.finishes);
            }
        } else {
            rest.logs = halve(&mut self.logs);
            rest.finishes = halve(&mut self.finishes);
            rest.reports = halve(&mut self.reports);
            rest.stops = halve(&mut self.stops);
            rest.starts = halve(&mut self.starts);
        }
        Ok((self, rest))
    }
}

fn halve<T>(items: &mut Vec<T>) -> Vec<T> {
    let half = items.len().div_ceil(2);
    items.split_off(half)
}

//! The next image of an instance, from the last one and what a commit wrote.
//!
//! Each function does in memory what the store's statement does in the row; the store's conformance
//! suite and the tests of the whole daemon hold the two together.

use std::sync::Arc;

use crate::{
    domain::{Instance, Micros, Outcome, Phase, Progress, StopRequest, Summary},
    store::{Batch, Ending, Expired, NewInstance, Then},
};

use super::request::ReportPatch;

/// Where and when something was written.
#[derive(Clone)]
pub struct Commit {
    /// The batch's number.
    pub batch: u64,
    /// The batch's time.
    pub now: Micros,
    /// The daemon that wrote.
    pub node: Arc<str>,
}

impl From<&Batch> for Commit {
    fn from(batch: &Batch) -> Self {
        Commit { batch: batch.number, now: batch.now, node: Arc::clone(&batch.node) }
    }
}

impl Commit {
    fn stamp(&self, image: &mut Instance, version: u64) {
        image.summary.version = version;
        image.summary.updated_at = self.now;
        image.summary.batch = self.batch;
    }

    /// A new instance.
    pub fn created(&self, number: u64, new: &NewInstance) -> Instance {
        Instance {
            summary: Summary {
                id: new.id,
                number,
                task_id: Arc::clone(&new.task_id),
                workload: new.workload,
                phase: Phase::Pending,
                progress: Progress::NONE,
                attempt: 0,
                limits: new.limits.clone(),
                stop: None,
                verdict: None,
                labels: new.labels.clone(),
                run_at: new.run_at.map_or(self.now, |run_at| run_at.max(self.now)),
                created_at: self.now,
                started_at: None,
                updated_at: self.now,
                version: 1,
                retry_of: new.retry_of,
                node: None,
                batch: self.batch,
            },
            inputs: new.inputs.clone(),
            output: None,
        }
    }

    /// Its next attempt begins.
    pub fn claimed(&self, image: &mut Instance, attempt: u32, version: u64) {
        let summary = &mut image.summary;
        summary.phase = Phase::Running;
        summary.progress = Progress::NONE;
        summary.verdict = None;
        summary.attempt = attempt;
        summary.started_at = Some(self.now);
        summary.node = Some(Arc::clone(&self.node));
        image.output = None;
        self.stamp(image, version);
    }

    /// Its attempt reported.
    pub fn reported(&self, image: &mut Instance, patch: &ReportPatch, version: u64) {
        if let Some(progress) = &patch.progress {
            image.summary.progress = progress.clone();
        }
        if let Some(output) = &patch.output {
            image.output.clone_from(output);
        }
        if let Some(verdict) = &patch.verdict {
            image.summary.verdict.clone_from(verdict);
        }
        self.stamp(image, version);
    }

    /// Its attempt ended.
    pub fn finished(&self, image: &mut Instance, ending: &Ending, version: u64) {
        match &ending.then {
            Then::Done(outcome) => {
                let finished_at = image.started_at.map_or(self.now, |started_at| self.now.max(started_at));
                image.summary.phase = Phase::Done { outcome: outcome.clone(), finished_at };
            }
            Then::Again { run_at } => {
                image.summary.phase = Phase::Pending;
                image.summary.run_at = *run_at;
            }
        }
        self.stamp(image, version);
    }

    /// It was pending and was stopped.
    pub fn cancelled(&self, image: &mut Instance, deadline: Micros, version: u64) {
        let finished_at = image.started_at.map_or(self.now, |started_at| self.now.max(started_at));
        image.summary.phase = Phase::Done { outcome: Outcome::Cancelled, finished_at };
        self.stopping(image, deadline, version);
    }

    /// It is to stop.
    pub fn stopping(&self, image: &mut Instance, deadline: Micros, version: u64) {
        image.summary.stop = Some(match image.stop {
            None => StopRequest { requested_at: self.now, deadline },
            Some(stop) => StopRequest { deadline: stop.deadline.min(deadline), ..stop },
        });
        self.stamp(image, version);
    }

    /// It waited too long.
    pub fn expired(&self, image: &mut Instance, expired: &Expired) {
        let outcome = Outcome::Failed(Box::new(expired.error.clone()));
        image.summary.phase = Phase::Done { outcome, finished_at: self.now };
        self.stamp(image, expired.version);
    }
}

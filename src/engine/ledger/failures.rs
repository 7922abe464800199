//! What becomes of a batch that the store does not take.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Attempted, LAST_BACKOFF, Ledger};
use crate::{
    domain::{Micros, error::chain},
    engine::{error::EngineError, units::Units},
    store::{Batch, CommitError},
};

/// While the store fails, what could not be written is tried again so often.
const PROBE_EVERY: Duration = Duration::from_millis(500);

impl Ledger {
    /// Writes the halves of what was refused as a whole, down to the item that is the culprit.
    pub(super) async fn bisect(&mut self, units: Units, batch: &Batch, error: CommitError) -> Result<(), CommitError> {
        let mut parts = Vec::new();
        self.halve(units, error, &mut parts);
        // Claims and promotions alone were refused: not something that a later try would change at once.
        if parts.is_empty() && (batch.claims.is_some() || batch.promote) {
            tokio::time::sleep(LAST_BACKOFF).await;
        }
        while let Some(part) = parts.pop() {
            let mut batch = Batch::new(self.batch + 1, Micros::now(), Arc::clone(&self.node));
            part.fill(&mut batch);
            match self.attempt(&batch).await {
                Attempted::Committed(committed) => {
                    let landed = self.land(part, batch, *committed);
                    self.show(landed).await?;
                }
                Attempted::NotCommitted(_) => self.give_up(part).await?,
                Attempted::Fatal(error) => {
                    self.abandon(part);
                    parts.into_iter().for_each(|part| self.abandon(part));
                    return Err(error);
                }
                Attempted::Refused(error) => self.halve(part, error, &mut parts),
            }
        }
        Ok(())
    }

    /// Adds the halves of what was refused to `parts`, the first to be taken next. An item that stands alone is the
    /// culprit, and is answered.
    fn halve(&self, refused: Units, error: CommitError, parts: &mut Vec<Units>) {
        match refused.split() {
            Ok((first, second)) => parts.extend([second, first]),
            Err(culprit) => self.refuse(*culprit, &chain(&error)),
        }
    }

    /// Answers the one item that the store does not take.
    fn refuse(&self, mut culprit: Units, detail: &str) {
        tracing::error!(error = detail, "the store refused an item");
        culprit.refuse(|| EngineError::Refused { detail: detail.to_owned() });
        for unit in culprit.reports {
            unit.attempt.report_landed();
        }
        for unit in culprit.logs {
            unit.attempt.log_landed();
        }
        for unit in culprit.finishes {
            // The attempt has ended all the same: without what the store did not take.
            if let Some(item) = unit.item.without_payload() {
                self.lanes.push_finish(item);
            }
        }
    }

    /// Refuses the requests, those that wait too, and keeps what must be written in the end. Stops are tried once more by
    /// themselves: the store may keep room for them.
    pub(super) async fn give_up(&mut self, mut units: Units) -> Result<(), CommitError> {
        let (starts, stops) = self.lanes.take_requests();
        units.starts.extend(starts);
        units.stops.extend(stops);
        let stops = Units { stops: std::mem::take(&mut units.stops), ..Units::default() };
        let stopped = self.write_stops(stops).await;
        units.refuse(|| EngineError::Unavailable(None));
        for unit in units.reports {
            unit.attempt.put_back_report(unit.patch);
        }
        let mut finishes = Vec::new();
        for unit in units.finishes {
            unit.item.attempt.put_back_report(unit.report.patch);
            finishes.push(unit.item);
        }
        let mut logs = Vec::new();
        for unit in units.logs {
            unit.attempt.refuse_waiters();
            logs.push(unit.attempt);
        }
        self.lanes.restore(Instant::now() + PROBE_EVERY, finishes, logs);
        stopped
    }

    async fn write_stops(&mut self, mut stops: Units) -> Result<(), CommitError> {
        if stops.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::new(self.batch + 1, Micros::now(), Arc::clone(&self.node));
        stops.fill(&mut batch);
        match self.attempt(&batch).await {
            Attempted::Committed(committed) => {
                let landed = self.land(stops, batch, *committed);
                self.show(landed).await
            }
            Attempted::NotCommitted(_) | Attempted::Refused(_) => {
                stops.refuse(|| EngineError::Unavailable(None));
                Ok(())
            }
            Attempted::Fatal(error) => {
                self.abandon(stops);
                Err(error)
            }
        }
    }

    /// Answers everybody that nothing more will be written.
    pub(super) fn abandon(&self, mut units: Units) {
        units.refuse(|| EngineError::Unavailable(None));
    }
}

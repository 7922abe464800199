//! After a commit: shows the new images, answers every waiter, hands the claimed attempts out.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use futures_util::future::BoxFuture;

use super::{
    attempt::{Attempt, Shared},
    catalog::CurrentCatalog,
    error::EngineError,
    feed::Feed,
    images::Images,
    lanes::{StartItem, StartReply, StartWaiter, StopItem, StopReply},
    next_image::Commit,
    pool::Slot,
    run::Runner,
    running::Running,
    state::State,
    units::{FinishUnit, ReportUnit, Units},
};
use crate::{
    domain::{Instance, InstanceKey, Micros, Status, duration, error::chain},
    negative_control::NegativeControl,
    store::{
        Batch, Claimed, CommitError, Committed, FinishOutcome, LogExtent, StartOutcome, StopOutcome, Store, StoreError,
        Then, Written,
    },
};

/// How long what was claimed and must run may stay unreadable.
const READ_PATIENCE: Duration = Duration::from_secs(5);
/// The wait between two tries to read it.
const READ_AGAIN: Duration = Duration::from_millis(100);

/// What is done with what was committed.
pub struct Publisher {
    /// Read for images that are not in memory.
    pub store: Arc<dyn Store>,
    /// Where images are shown.
    pub images: Arc<Images>,
    /// Where changes are told to those who follow all of them.
    pub feed: Arc<Feed>,
    /// What runs.
    pub running: Arc<Running>,
    /// What there is to run.
    pub catalog: Arc<CurrentCatalog>,
    /// What attempts share.
    pub shared: Arc<Shared>,
    /// What was done.
    pub state: Arc<State>,
    /// Runs attempts.
    pub runner: Runner,
}

/// What was committed and is not yet shown.
pub struct Landed {
    /// What was written, with everybody who waits for it.
    pub units: Units,
    /// Where and when.
    pub commit: Commit,
    /// What became of it.
    pub committed: Committed,
    /// The slots of the claimed attempts, in their order.
    pub slots: Vec<Option<Slot>>,
}

impl Landed {
    /// Whether the next batch may be put together before `batch`, committed, is shown: it changed nothing that a batch
    /// is made from, such as the image of an instance whose attempt goes on.
    pub fn may_be_shown_later(batch: &Batch) -> bool {
        batch.reports.is_empty()
            && batch.stops.is_empty()
            && batch.logs.is_empty()
            && batch.definition.is_none()
            && batch.purge.is_none()
            && !batch.promote
    }
}

/// The images that one commit changed.
struct Changed {
    images: HashMap<u64, Arc<Instance>, RandomState>,
    missed: Vec<u64>,
}

impl Changed {
    /// Changes the image of `number`, which this commit may have changed before.
    fn update(&mut self, images: &Images, number: u64, change: impl FnOnce(&mut Instance)) -> Option<Arc<Instance>> {
        let Some(mut image) = self.images.remove(&number).or_else(|| images.by_number(number)) else {
            self.missed.push(number);
            return None;
        };
        change(Arc::make_mut(&mut image));
        self.images.insert(number, Arc::clone(&image));
        Some(image)
    }
}

impl Publisher {
    /// Publishes what became of `units`, once it is synced. Answers when the next thing that it scheduled is due.
    ///
    /// # Errors
    /// [`CommitError::Fatal`] where nobody knows whether it is on the disk, or an instance that was claimed cannot be read:
    /// whoever waits for it is refused.
    pub async fn publish(&self, landed: Landed) -> Result<Option<Micros>, CommitError> {
        let Landed { mut units, commit, mut committed, slots } = landed;
        let synced = std::mem::take(&mut committed.synced);
        if !NegativeControl::ShowBeforeSync.is_on()
            && let Err(error) = synced.wait().await
        {
            units.refuse(|| EngineError::Unavailable(None));
            return Err(error);
        }
        let mut changed = Changed { images: HashMap::default(), missed: Vec::new() };
        let mut due = Vec::new();

        let finishes: Vec<_> = units.finishes.into_iter().zip(committed.finishes).collect();
        for (unit, outcome) in &finishes {
            self.finished(&commit, &mut changed, unit, *outcome, &mut due);
        }
        let reports: Vec<_> = units.reports.into_iter().zip(committed.reports).collect();
        for (unit, outcome) in &reports {
            if let Written::Applied { version } = outcome {
                let number = unit.attempt.number;
                changed.update(&self.images, number, |image| commit.reported(image, &unit.patch, *version));
            }
        }
        let stops: Vec<_> = units.stops.into_iter().zip(committed.stops).collect();
        for (item, outcome) in &stops {
            self.stopped(&commit, &mut changed, item, *outcome);
        }
        let mut starts = Vec::with_capacity(units.starts.len());
        for (item, outcome) in units.starts.into_iter().zip(committed.starts) {
            self.started(&commit, &mut changed, &item, &outcome, &mut due);
            starts.push((item, outcome));
        }
        for expired in &committed.expired {
            self.state.pending.fetch_sub(1, Ordering::Relaxed);
            self.state.counters.failed.fetch_add(1, Ordering::Relaxed);
            changed.update(&self.images, expired.instance, |image| commit.expired(image, expired));
        }
        let attempts = self.claimed(&commit, &mut changed, &committed.claimed, slots).await?;

        // Attempts are known before their images are seen: who stops a running instance finds it.
        for (attempt, _) in &attempts {
            self.running.insert(attempt);
        }
        let images: Vec<_> = changed.images.values().cloned().collect();
        let ended = self.images.publish(commit.batch, &images, &changed.missed);
        // After them, so that no read goes back behind what was told here; before the answers, so that who follows after
        // its start is not told of it.
        self.feed.publish(&*self.store, commit.batch, &images, &changed.missed).await;
        for unit in units.logs {
            let last = unit.chunk.lines.last().map_or(0, |line| line.seq);
            unit.attempt.log_landed();
            self.images.logged(unit.attempt.number, last);
        }

        self.answer_starts(starts, ended, &changed);
        for (item, outcome) in stops {
            self.answer_stop(item, outcome, &changed);
        }
        for (unit, outcome) in reports {
            self.answer_report(unit, outcome);
        }
        for (unit, outcome) in finishes {
            self.answer_finish(unit, outcome);
        }
        self.runner.begin(attempts);
        Ok(due.into_iter().min())
    }

    fn finished(
        &self,
        commit: &Commit,
        changed: &mut Changed,
        unit: &FinishUnit,
        outcome: FinishOutcome,
        due: &mut Vec<Micros>,
    ) {
        let FinishOutcome::Applied { version, stopped } = outcome else { return };
        let ending = if stopped { &unit.item.if_stopped } else { &unit.item.unless_stopped };
        let mut patch = unit.report.patch.clone();
        if let Some(output) = &unit.item.output {
            patch.output = Some(Some(output.clone()));
        }
        changed.update(&self.images, unit.item.attempt.number, |image| {
            commit.reported(image, &patch, version);
            commit.finished(image, ending, version);
        });
        match &ending.then {
            Then::Again { run_at } => {
                self.state.pending.fetch_add(1, Ordering::Relaxed);
                due.push(*run_at);
            }
            Then::Done(outcome) => {
                let counters = &self.state.counters;
                let counter = match outcome.status() {
                    Status::Completed => &counters.completed,
                    Status::Cancelled => &counters.cancelled,
                    Status::Failed | Status::Pending | Status::Running => &counters.failed,
                };
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn stopped(&self, commit: &Commit, changed: &mut Changed, item: &StopItem, outcome: StopOutcome) {
        let deadline = commit.now.after(item.grace);
        match outcome {
            StopOutcome::Cancelled { version } => {
                self.state.pending.fetch_sub(1, Ordering::Relaxed);
                self.state.counters.cancelled.fetch_add(1, Ordering::Relaxed);
                changed.update(&self.images, item.instance, |image| commit.cancelled(image, deadline, version));
            }
            StopOutcome::Stopping { version } => {
                changed.update(&self.images, item.instance, |image| commit.stopping(image, deadline, version));
            }
            StopOutcome::Unchanged | StopOutcome::Mismatch | StopOutcome::Done | StopOutcome::NotFound => {}
        }
    }

    fn started(
        &self,
        commit: &Commit,
        changed: &mut Changed,
        item: &StartItem,
        outcome: &StartOutcome,
        due: &mut Vec<Micros>,
    ) {
        let StartOutcome::Created { numbers } = outcome else { return };
        let made = numbers.len() as u64;
        self.state.pending.fetch_add(made, Ordering::Relaxed);
        self.state.counters.started.fetch_add(made, Ordering::Relaxed);
        for (number, new) in numbers.iter().zip(&item.start.instances) {
            let image = commit.created(*number, new);
            if image.run_at > commit.now {
                due.push(image.run_at);
            }
            if let Some(queue_timeout) = image.limits.queue_timeout {
                due.push(image.run_at.after(queue_timeout));
            }
            changed.images.insert(*number, Arc::new(image));
        }
    }

    /// The attempts that begin, their images changed.
    async fn claimed(
        &self,
        commit: &Commit,
        changed: &mut Changed,
        claimed: &[Claimed],
        slots: Vec<Option<Slot>>,
    ) -> Result<Vec<(Arc<Attempt>, Slot)>, CommitError> {
        // Held from here on: an image in memory may be forgotten at any time.
        let mut absent = Vec::new();
        for claim in claimed {
            if let Entry::Vacant(vacant) = changed.images.entry(claim.instance) {
                match self.images.by_number(claim.instance) {
                    Some(image) => drop(vacant.insert(image)),
                    None => absent.push(InstanceKey::Number(claim.instance)),
                }
            }
        }
        let mut read = if absent.is_empty() { HashMap::new() } else { self.read(&absent).await? };
        let catalog = self.catalog.load();
        let mut attempts = Vec::with_capacity(claimed.len());
        for (claim, slot) in claimed.iter().zip(slots) {
            self.state.pending.fetch_sub(1, Ordering::Relaxed);
            self.state.counters.attempts.fetch_add(1, Ordering::Relaxed);
            let image = match read.remove(&claim.instance) {
                // Read after the commit: the claim is in it.
                Some(image) => {
                    changed.images.insert(claim.instance, Arc::clone(&image));
                    Some(image)
                }
                None => changed.update(&self.images, claim.instance, |image| {
                    commit.claimed(image, claim.attempt, claim.version);
                }),
            };
            // The catalog named the task in the claim, and no task goes that has an instance which runs.
            let (Some(image), Some(task), Some(slot)) = (image, catalog.get(&claim.task_id), slot) else { continue };
            let extent = if claim.attempt > 1 { self.log_extent(claim.instance).await? } else { LogExtent::default() };
            let attempt = Attempt::new(&image, Arc::clone(task), Arc::clone(&self.shared), extent);
            attempts.push((Arc::new(attempt), slot));
        }
        Ok(attempts)
    }

    /// Reads instances that are committed and must run.
    async fn read(&self, keys: &[InstanceKey]) -> Result<HashMap<u64, Arc<Instance>>, CommitError> {
        let instances = insist(|| self.store.get(keys)).await?;
        Ok(instances.into_iter().map(|image| (image.number, Arc::new(image))).collect())
    }

    async fn log_extent(&self, instance: u64) -> Result<LogExtent, CommitError> {
        insist(|| self.store.log_extent(instance)).await
    }

    /// Answers starts, and those that were held until now. Whoever has gone needs no answer.
    fn answer_starts(
        &self,
        starts: Vec<(StartItem, StartOutcome)>,
        ended: Vec<(StartWaiter, Arc<Instance>)>,
        changed: &Changed,
    ) {
        for (waiter, image) in ended {
            let _ = waiter.send(Ok(StartReply::Created(vec![image])));
        }
        for (item, outcome) in starts {
            let made = match (&outcome, &item.until_done) {
                (StartOutcome::Created { numbers }, Some(until_done)) if numbers.len() == 1 => {
                    changed.images.get(&numbers[0]).map(|image| (image, until_done))
                }
                _ => None,
            };
            let waiter = match made {
                Some((image, until_done)) => self.images.hold(image, item.reply, until_done),
                None => Some(item.reply),
            };
            if let Some(waiter) = waiter {
                let _ = waiter.send(answer_to(outcome, changed));
            }
        }
    }

    fn answer_stop(&self, item: StopItem, outcome: StopOutcome, changed: &Changed) {
        if matches!(outcome, StopOutcome::Stopping { .. } | StopOutcome::Unchanged)
            && let Some(attempt) = self.running.get(item.instance)
        {
            attempt.signal_stop(duration::deadline(Instant::now(), item.grace), !item.by_itself);
            self.runner.enforce(&attempt);
        }
        let answer = match outcome {
            StopOutcome::NotFound => Err(super::unknown(InstanceKey::Number(item.instance))),
            outcome => {
                let image =
                    changed.images.get(&item.instance).cloned().or_else(|| self.images.by_number(item.instance));
                Ok(StopReply { outcome, image })
            }
        };
        let _ = item.reply.send(answer);
    }

    fn answer_report(&self, unit: ReportUnit, outcome: Written) {
        unit.attempt.report_landed();
        let version = match outcome {
            Written::Applied { version } => Ok(version),
            Written::Fenced | Written::Done | Written::NotFound => {
                unit.attempt.signal_over();
                self.runner.enforce(&unit.attempt);
                Err(())
            }
        };
        for waiter in unit.waiters {
            let _ = waiter.send(version.map_err(|()| EngineError::AttemptOver));
        }
    }

    fn answer_finish(&self, unit: FinishUnit, outcome: FinishOutcome) {
        let attempt = &unit.item.attempt;
        attempt.report_landed();
        attempt.refuse_reports();
        let version = match outcome {
            FinishOutcome::Applied { version, .. } => Some(version),
            FinishOutcome::Fenced => None,
        };
        for waiter in unit.report.waiters {
            let _ = waiter.send(version.ok_or(EngineError::AttemptOver));
        }
        self.running.remove(attempt);
    }
}

/// Reads what an attempt that was claimed cannot begin without. A store that does not answer is asked again for a while:
/// the instance would be stranded.
async fn insist<'a, T>(read: impl Fn() -> BoxFuture<'a, Result<T, StoreError>>) -> Result<T, CommitError> {
    let began = Instant::now();
    let mut is_told = false;
    loop {
        match read().await {
            Ok(value) => return Ok(value),
            Err(error @ StoreError::Unavailable(_)) if began.elapsed() < READ_PATIENCE => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::error!(error = %chain(&error), "what was claimed cannot be read yet");
                }
                tokio::time::sleep(READ_AGAIN).await;
            }
            // The next daemon settles it.
            Err(error) => return Err(CommitError::Fatal(error.into())),
        }
    }
}

/// The answer to one start.
fn answer_to(outcome: StartOutcome, changed: &Changed) -> Result<StartReply, EngineError> {
    match outcome {
        StartOutcome::Created { numbers } => {
            Ok(StartReply::Created(numbers.iter().filter_map(|number| changed.images.get(number).cloned()).collect()))
        }
        StartOutcome::Replayed { numbers } => Ok(StartReply::Replayed(numbers)),
        StartOutcome::KeyConflict => Err(EngineError::KeyReused),
    }
}

//! The one loop through which everything is written.
//!
//! Take what waits, write it as one transaction, commit with a real sync, publish the new images,
//! answer every waiter, hand the claimed attempts to the `Runner`. While one commit is in flight the next
//! batch gathers: no timers, no added latency when idle, a cost per instance that falls as load grows.
//! Where more is waiting already, a commit is synced and shown while the store writes the next one.
//!
//! A commit fails in four ways. Not committed: the same again for some seconds, then starts and stops
//! are refused while finishes and reports stay. A row refused: the batch is halved until the culprit
//! stands alone. Unknown or fatal: nothing more is acknowledged, and the daemon ends; the next one
//! reads from the store what became of it.

mod definitions;
mod failures;

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    catalog::CurrentCatalog,
    clock::Clock,
    images::Images,
    lanes::{Lanes, PATIENCE, Waiting},
    next_image::Commit,
    pool::Pool,
    publish::{Landed, Publisher},
    retention::Retention,
    state::State,
    units::Units,
};
use crate::{
    domain::{Micros, Workload, error::chain},
    store::{Answer, Batch, Claimed, Claims, ClockSet, CommitError, Committed, Store},
};

/// How long a commit is tried again before its starts and stops are refused. With the store's own wait for a
/// lock this keeps an answer within six seconds.
const RETRY_FOR: Duration = Duration::from_millis(4500);
/// The wait between two tries: doubled from the first to the last.
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const LAST_BACKOFF: Duration = Duration::from_millis(500);
/// From so many new instances on a commit is synced while the next one is written. Where fewer come at once nothing waits
/// to be written by then most often, and a sync within the commit spares two switches between threads.
const SYNC_BESIDE_FROM: usize = 8;

/// The loop and what it needs.
pub struct Ledger {
    /// Where everything is written.
    pub store: Arc<dyn Store>,
    /// What waits.
    pub lanes: Arc<Lanes>,
    /// What is in memory.
    pub images: Arc<Images>,
    /// Who may run.
    pub pool: Arc<Pool>,
    /// What there is to run.
    pub catalog: Arc<CurrentCatalog>,
    /// What callers may ask about the engine.
    pub state: Arc<State>,
    /// What is done with what was committed.
    pub publisher: Publisher,
    /// Wakes the loop.
    pub wake: Arc<Notify>,
    /// This daemon.
    pub node: Arc<str>,
    /// The number of the last batch.
    pub batch: u64,
    /// Tasks that may have instances ready to run. A hint: too many cost a look, too few would strand work, so
    /// every way into the queue adds to it.
    pub ready: HashSet<Arc<str>>,
    /// When the next promotion is due.
    pub next_due: Option<Micros>,
    /// What is to be deleted, and when.
    pub retention: Retention,
    /// What time it is.
    pub clock: Clock,
    /// How the clock was set, as long as the store does not know.
    pub clock_sets: Vec<ClockSet>,
    /// Since when commits fail.
    pub failing: Option<Instant>,
    /// Attempts have begun that may end at once: one look soon spares each of them waking us.
    pub expects_ends: bool,
}

/// Why the loop ended.
pub enum LedgerEnd {
    /// It was asked to.
    Closed,
    /// The store failed for good.
    Fatal(CommitError),
}

enum Attempted {
    Committed(Box<Committed>),
    NotCommitted(CommitError),
    Refused(CommitError),
    Fatal(CommitError),
}

impl From<Result<Committed, CommitError>> for Attempted {
    fn from(outcome: Result<Committed, CommitError>) -> Self {
        match outcome {
            Ok(committed) => Attempted::Committed(Box::new(committed)),
            Err(error @ CommitError::NotCommitted(_)) => Attempted::NotCommitted(error),
            Err(error @ CommitError::Refused(_)) => Attempted::Refused(error),
            Err(error @ (CommitError::Unknown(_) | CommitError::Fatal(_))) => Attempted::Fatal(error),
        }
    }
}

impl Ledger {
    /// Runs until the engine closes or the store fails for good.
    pub async fn run(mut self) -> LedgerEnd {
        let mut landed: Option<Landed> = None;
        loop {
            let now = Instant::now();
            self.look_at_clock();
            if let Some(landed) =
                landed.take_if(|_| self.lanes.waiting(now) != Waiting::Now || self.state.is_draining())
                && let Err(error) = self.show(landed).await
            {
                return LedgerEnd::Fatal(error);
            }
            if landed.is_none() {
                // A drain waits for this: what a commit began is known then.
                self.state.begin_round();
            }
            if self.state.is_closing() && self.failing.is_some() {
                // What cannot be written now is settled by the next daemon.
                return LedgerEnd::Closed;
            }
            let waiting = self.lanes.waiting(now);
            let idle = waiting != Waiting::Now && !self.promotion_is_due() && self.claims().is_none();
            if landed.is_none() && self.purge_is_due(idle) {
                if let Err(error) = self.purge().await {
                    return LedgerEnd::Fatal(error);
                }
                continue;
            }
            if idle {
                if waiting == Waiting::Nothing && self.state.is_closing() {
                    return LedgerEnd::Closed;
                }
                self.wait(waiting, now).await;
                // The request that woke us is often the first of many that have come, and tokio runs us before them: without
                // this it would have a commit to itself, and all others would wait for that one's sync.
                tokio::task::yield_now().await;
                continue;
            }
            let mut units = Units::gather(self.lanes.take(now), now, &self.images);
            self.turn_back(&mut units);
            let batch = self.batch_for(&units);
            if batch.is_empty() {
                if let Some(landed) = landed.take()
                    && let Err(error) = self.show(landed).await
                {
                    return LedgerEnd::Fatal(error);
                }
                continue;
            }
            match self.write(units, batch, landed.take()).await {
                Ok(next) => landed = next,
                Err(error) => return LedgerEnd::Fatal(error),
            }
        }
    }

    fn look_at_clock(&mut self) {
        let Some(set) = self.clock.look() else { return };
        tracing::warn!(from = %set.from, to = %set.to, "the clock was set: what waits for a span of time is moved with it");
        self.clock_sets.push(set);
        // What is scheduled may be due now, or long after what was reckoned.
        self.next_due = Some(Micros(i64::MIN));
    }

    /// Sleeps until there is something to do.
    async fn wait(&mut self, waiting: Waiting, now: Instant) {
        let mut until = match waiting {
            Waiting::Now => return,
            Waiting::At(due) => Some(due),
            Waiting::Nothing => None,
        };
        if let Some(due) = self.next_due
            && !self.state.is_draining()
        {
            // The wall clock may be set while we sleep: look again once a minute while something is scheduled.
            let due = now + due.since(Micros::now()).min(Duration::from_secs(60));
            until = Some(until.map_or(due, |until| until.min(due)));
        }
        if let Some(due) = self.retention.wake()
            && self.may_purge()
        {
            // Far ahead most often, and no matter of a minute.
            let due = now + due.since(self.clock.steady()).min(Duration::from_secs(86_400));
            until = Some(until.map_or(due, |until| until.min(due)));
        }
        if std::mem::take(&mut self.expects_ends) {
            let soon = now + PATIENCE;
            until = Some(until.map_or(soon, |until| until.min(soon)));
        }
        self.lanes.sleeps_until(until);
        match until {
            None => self.wake.notified().await,
            Some(until) => {
                let _ = tokio::time::timeout_at(until.into(), self.wake.notified()).await;
            }
        }
    }

    fn promotion_is_due(&self) -> bool {
        !self.state.is_draining() && self.next_due.is_some_and(|due| due <= Micros::now())
    }

    fn may_purge(&self) -> bool {
        !self.state.is_draining() && !self.state.is_closing() && self.failing.is_none()
    }

    fn purge_is_due(&self, idle: bool) -> bool {
        self.may_purge() && self.retention.is_due(idle, self.clock.steady())
    }

    /// Deletes a little of what is kept no longer.
    async fn purge(&mut self) -> Result<(), CommitError> {
        let counters = &self.state.counters;
        match self.retention.purge(&*self.store, self.batch + 1, &self.node, self.clock.steady()).await {
            Ok(gone) => {
                self.batch += 1;
                self.images.purge(&gone);
                counters.purged.fetch_add(gone.len() as u64, Ordering::Relaxed);
                Ok(())
            }
            Err(error @ (CommitError::Unknown(_) | CommitError::Fatal(_))) => Err(error),
            Err(error @ (CommitError::NotCommitted(_) | CommitError::Refused(_))) => {
                counters.commit_failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(error = %chain(&error), "what is kept no longer could not be deleted");
                Ok(())
            }
        }
    }

    /// What may be claimed now, if anything may be ready.
    fn claims(&self) -> Option<Claims> {
        if self.state.is_draining() {
            return None;
        }
        if self.ready.is_empty() {
            self.pool.nothing_waits();
            return None;
        }
        self.pool.claims(self.ready.iter(), &self.catalog.load())
    }

    fn batch_for(&mut self, units: &Units) -> Batch {
        let mut batch = Batch::new(self.batch + 1, Micros::now(), Arc::clone(&self.node));
        units.fill(&mut batch);
        batch.expiry = batch.now.min(self.clock.steady());
        batch.promote = self.promotion_is_due();
        if batch.promote {
            batch.clock_sets.clone_from(&self.clock_sets);
        }
        for unit in &units.finishes {
            if unit.item.may_run_again() {
                self.ready.insert(unit.item.attempt.task.definition.id.shared());
            }
        }
        // Tasks of which only what this very batch starts can be ready.
        let mut fresh: Vec<Arc<str>> = Vec::new();
        for new in units.starts.iter().flat_map(|item| &item.start.instances) {
            if !self.ready.contains(&new.task_id) {
                self.ready.insert(Arc::clone(&new.task_id));
                fresh.push(Arc::clone(&new.task_id));
            }
        }
        batch.claims = self.claims();
        for room in batch.claims.iter_mut().flat_map(|claims| &mut claims.rooms) {
            room.older = !fresh.contains(&room.task_id);
        }
        if units.new_instances() >= SYNC_BESIDE_FROM && Landed::may_be_shown_later(&batch) {
            batch.answer = Answer::Written;
        }
        batch
    }

    /// Writes `units`, whatever it takes. Meanwhile `before`, the commit before it, is shown. Answers what was committed
    /// where that may be shown during the next commit.
    async fn write(
        &mut self,
        units: Units,
        batch: Batch,
        before: Option<Landed>,
    ) -> Result<Option<Landed>, CommitError> {
        let began = Instant::now();
        let mut backoff = FIRST_BACKOFF;
        let mut attempted = match before {
            None => self.attempt(&batch).await,
            Some(before) => {
                // The commit is polled first, so that the store is at work before we are.
                let (outcome, due) = tokio::join!(self.store.commit(&batch), self.publisher.publish(before));
                match due {
                    Ok(due) => self.next_due = self.next_due.into_iter().chain(due).min(),
                    Err(error) => {
                        self.abandon(units);
                        return Err(error);
                    }
                }
                outcome.into()
            }
        };
        loop {
            match attempted {
                Attempted::Committed(committed) => {
                    if self.failing.take().is_some() {
                        tracing::warn!("the store can be written again");
                    }
                    self.state.set_writable(true);
                    let patient = Landed::may_be_shown_later(&batch);
                    let landed = self.land(units, batch, *committed);
                    if patient {
                        return Ok(Some(landed));
                    }
                    self.show(landed).await?;
                    return Ok(None);
                }
                Attempted::Refused(error) => {
                    self.bisect(units, &batch, error).await?;
                    return Ok(None);
                }
                Attempted::Fatal(error) => {
                    self.abandon(units);
                    return Err(error);
                }
                Attempted::NotCommitted(error) => {
                    self.state.counters.commit_failures.fetch_add(1, Ordering::Relaxed);
                    if self.failing.is_none() && began.elapsed() + backoff < RETRY_FOR {
                        tokio::time::sleep(backoff).await;
                        backoff = (backoff * 2).min(LAST_BACKOFF);
                        attempted = self.attempt(&batch).await;
                        continue;
                    }
                    if self.failing.is_none() {
                        tracing::error!(error = %chain(&error), "the store cannot be written");
                    }
                    self.failing = Some(Instant::now());
                    self.state.set_writable(false);
                    self.give_up(units).await?;
                    // Requests are answered by one try each; this bounds how often.
                    tokio::time::sleep(FIRST_BACKOFF * 5).await;
                    return Ok(None);
                }
            }
        }
    }

    async fn attempt(&mut self, batch: &Batch) -> Attempted {
        self.store.commit(batch).await.into()
    }

    /// Takes note of what was committed: all that the next batch must know.
    fn land(&mut self, mut units: Units, batch: Batch, committed: Committed) -> Landed {
        self.batch = batch.number;
        if let Some(item) = units.definition.take() {
            self.redefine(item, committed.definition);
        }
        self.clock_sets.drain(..batch.clock_sets.len());
        self.retention.committed(self.clock.steady());
        let counters = &self.state.counters;
        counters.commits.fetch_add(1, Ordering::Relaxed);
        counters.rows.fetch_add((units.rows() + committed.claimed.len()) as u64, Ordering::Relaxed);
        if let Some(claims) = &batch.claims {
            self.note_claims(claims, &committed);
            if self.ready.is_empty() {
                // Before the claimed attempts begin, so that their ends know that nothing waits for them.
                self.pool.nothing_waits();
            }
        }
        self.ready.extend(committed.promoted.iter().cloned());
        if batch.promote {
            self.next_due = committed.next_due;
        }
        self.expects_ends |= !committed.claimed.is_empty();
        let catalog = self.catalog.load();
        let slot = |claimed: &Claimed| catalog.get(&claimed.task_id).map(|task| self.pool.take(&task.definition));
        let slots = committed.claimed.iter().map(slot).collect();
        Landed { units, commit: Commit::from(&batch), committed, slots }
    }

    /// Shows and answers what was committed, once it is synced.
    async fn show(&mut self, landed: Landed) -> Result<(), CommitError> {
        let due = self.publisher.publish(landed).await?;
        self.next_due = self.next_due.into_iter().chain(due).min();
        Ok(())
    }

    /// A task that gave less than was asked for has nothing more that is ready.
    fn note_claims(&mut self, claims: &Claims, committed: &Committed) {
        let (mut local, mut command) = (0, 0);
        for room in &claims.rooms {
            let got = committed.claimed.iter().filter(|claimed| claimed.task_id == room.task_id).count() as u32;
            match room.workload {
                Workload::Local => local += got,
                Workload::Remote => command += got,
            }
        }
        for room in &claims.rooms {
            let (used, slots) = match room.workload {
                Workload::Local => (local, claims.local_slots),
                Workload::Remote => (command, claims.command_slots),
            };
            let got = committed.claimed.iter().filter(|claimed| claimed.task_id == room.task_id).count() as u32;
            if got < room.n && used < slots {
                self.ready.remove(&room.task_id);
            }
        }
    }
}

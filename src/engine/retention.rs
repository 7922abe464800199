//! What is kept no longer, and when to look for it: a little at a time, between other work, and never by the clock
//! alone. A store with nothing to forget wakes nobody.

use std::{sync::Arc, time::Duration};

use super::catalog::CurrentCatalog;
use crate::{
    domain::{Micros, Retention as Kept, error::chain},
    store::{Batch, CommitError, Committed, Purge, PurgeTask, Purged, Store},
};

/// Instances that come of age one by one are looked for this often at most.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Tasks of which only so many instances are kept are looked at this often at most, while anything is committed.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// After something was committed, expired keys are looked for within this time.
const SWEEP_WITHIN: Duration = Duration::from_secs(3600);
/// A ledger that has committed nothing for so long is idle: between two requests of one client it is not.
const QUIET: Duration = Duration::from_millis(20);
/// So long a busy ledger puts a purge off: a purge takes a tenth of that, most often.
const PUT_OFF: Duration = Duration::from_millis(100);

/// What there is to forget.
pub struct Retention {
    kept: Kept,
    catalog: Arc<CurrentCatalog>,
    /// Tasks that are still to be looked at, with how many done instances each has.
    pass: Vec<Look>,
    /// When the next pass begins; None while nothing can come of age.
    next_pass: Option<Micros>,
    /// When a pass may have come to be needed because of the number of instances.
    next_count: Option<Micros>,
    /// When expired keys and old counters are to be swept next.
    next_sweep: Option<Micros>,
    /// Whether some task is kept by number.
    by_count: bool,
    /// The shortest age.
    shortest: Option<Duration>,
    /// When something was last deleted, or looked for.
    last: Micros,
    /// When something else was last committed.
    worked: Micros,
}

struct Look {
    task_id: Arc<str>,
    kept: Kept,
    after: u64,
}

impl Retention {
    /// Begins with a look at everything.
    pub fn new(kept: Kept, catalog: Arc<CurrentCatalog>) -> Self {
        let tasks = catalog.load();
        let all = || tasks.iter().map(|task| task.definition.retention.over(kept)).chain([kept]);
        let shortest = all().filter_map(|kept| kept.age).min();
        let by_count = all().any(|kept| kept.count.is_some());
        Retention {
            kept,
            pass: Vec::new(),
            next_pass: Some(Micros(i64::MIN)),
            next_count: None,
            next_sweep: Some(Micros(i64::MIN)),
            by_count,
            shortest,
            last: Micros(0),
            worked: Micros(0),
            catalog,
        }
    }

    /// When an idle ledger is to look again.
    pub fn wake(&self) -> Option<Micros> {
        let quiet = self.worked.after(QUIET).min(self.last.after(PUT_OFF));
        self.due().map(|due| due.max(quiet))
    }

    /// When there may be something to forget.
    fn due(&self) -> Option<Micros> {
        if !self.pass.is_empty() {
            return Some(Micros(i64::MIN));
        }
        [self.next_pass, self.next_count, self.next_sweep].into_iter().flatten().min()
    }

    /// Whether a purge is to be made now: at once where nothing else waits, else now and then. A store that is never
    /// idle must not grow for ever.
    pub fn is_due(&self, idle: bool, now: Micros) -> bool {
        let put_off = || self.last.after(PUT_OFF) > now;
        self.due().is_some_and(|due| due <= now) && ((idle && self.worked.after(QUIET) <= now) || !put_off())
    }

    /// Notes that something was committed: what is done now comes of age later.
    pub fn committed(&mut self, now: Micros) {
        self.worked = now;
        if self.next_pass.is_none()
            && let Some(shortest) = self.shortest
        {
            self.next_pass = Some(now.after(shortest));
        }
        if self.by_count && self.next_count.is_none() {
            self.next_count = Some(now.after(COUNT_EVERY));
        }
        // There may be a key now, or counters; how long they are kept is the store's.
        let sweep = now.after(SWEEP_WITHIN);
        if self.next_sweep.is_none_or(|due| due > sweep) {
            self.next_sweep = Some(sweep);
        }
    }

    /// Deletes a little by a batch of this number and time. Answers which instances are gone.
    ///
    /// # Errors
    /// Where the batch is not committed; it is tried again later.
    pub async fn purge(
        &mut self,
        store: &dyn Store,
        number: u64,
        node: &Arc<str>,
        now: Micros,
    ) -> Result<Vec<u64>, CommitError> {
        self.last = now;
        if self.wants_pass(now) {
            match store.done_by_task().await {
                Ok(tasks) => self.begin(tasks, now),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "cannot look for what is kept no longer");
                    self.put_off(now);
                }
            }
        }
        let Some(purge) = self.next(now) else { return Ok(Vec::new()) };
        let mut batch = Batch::new(number, now, Arc::clone(node));
        batch.purge = Some(purge.clone());
        match store.commit(&batch).await {
            Ok(Committed { purged, .. }) => {
                self.purged(&purge, &purged, now);
                Ok(purged.instances)
            }
            Err(error) => {
                self.put_off(now);
                Err(error)
            }
        }
    }

    /// Whether a pass is to begin, for which [`Retention::begin`] wants to know what there is.
    fn wants_pass(&self, now: Micros) -> bool {
        self.pass.is_empty() && [self.next_pass, self.next_count].into_iter().flatten().any(|due| due <= now)
    }

    /// Begins a pass over these tasks, each with the number of its done instances.
    fn begin(&mut self, tasks: Vec<(Arc<str>, u64)>, now: Micros) {
        let by_age = self.next_pass.is_some_and(|due| due <= now);
        self.next_count = None;
        if by_age {
            self.next_pass = None;
        }
        for (task_id, done) in tasks {
            let own = self.catalog.load().get(&task_id).map(|task| task.definition.retention).unwrap_or_default();
            let kept = own.over(self.kept);
            let in_excess = kept.count.is_some_and(|count| done > count);
            if in_excess || (by_age && kept.age.is_some()) {
                self.pass.push(Look { task_id, kept, after: 0 });
            }
        }
    }

    /// What to delete now.
    fn next(&self, now: Micros) -> Option<Purge> {
        let sweep = self.next_sweep.is_some_and(|due| due <= now);
        let task = self.pass.last().map(|look| PurgeTask {
            task_id: Arc::clone(&look.task_id),
            finished_before: look.kept.age.map(|age| now.before(age)),
            keep: look.kept.count,
            after: look.after,
        });
        (sweep || task.is_some()).then_some(Purge { task, sweep })
    }

    /// Notes what `purge` did.
    fn purged(&mut self, purge: &Purge, purged: &Purged, now: Micros) {
        if purge.sweep {
            let due = purged.sweep_due;
            // More of the same at once; what comes later, not by the second.
            self.next_sweep = due.map(|due| if due <= now { now } else { due.max(now.after(LOOK_EVERY)) });
        }
        if purge.task.is_none() {
            return;
        }
        let Some(look) = self.pass.last_mut() else { return };
        if let (Some(oldest), Some(age)) = (purged.oldest, look.kept.age) {
            let often = LOOK_EVERY.min((age / 10).max(COUNT_EVERY));
            let due = oldest.after(age).max(now.after(often));
            self.next_pass = Some(self.next_pass.map_or(due, |next| next.min(due)));
        }
        match purged.next {
            Some(next) => look.after = next,
            None => {
                self.pass.pop();
            }
        }
    }

    /// Notes that a purge failed: it is tried again later, from the beginning.
    fn put_off(&mut self, now: Micros) {
        self.pass.clear();
        self.next_pass = Some(now.after(LOOK_EVERY));
        self.next_count = None;
        self.next_sweep = self.next_sweep.map(|due| due.max(now.after(LOOK_EVERY)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Catalog;

    const NOW: Micros = Micros(1_700_000_000_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn retention(age: Option<Duration>, count: Option<u64>) -> Retention {
        let catalog = CurrentCatalog::new(Catalog::new(Vec::new(), Vec::new()).expect("an empty catalog"));
        Retention::new(Kept { age, count }, Arc::new(catalog))
    }

    /// Looks at these tasks, finds nothing to delete, and learns how old what stays is.
    fn look(retention: &mut Retention, tasks: &[(&str, u64)], oldest: Option<Micros>, now: Micros) -> usize {
        if retention.wants_pass(now) {
            retention.begin(tasks.iter().map(|(task_id, n)| ((*task_id).into(), *n)).collect(), now);
        }
        let mut looks = 0;
        while let Some(purge) = retention.next(now) {
            let oldest = oldest.filter(|_| purge.task.is_some());
            retention.purged(&purge, &Purged { oldest, ..Purged::default() }, now);
            looks += usize::from(purge.task.is_some());
        }
        looks
    }

    #[test]
    fn with_nothing_to_forget_nobody_is_woken() {
        let mut retention = retention(Some(DAY), None);
        assert!(retention.is_due(true, NOW));
        assert_eq!(look(&mut retention, &[], None, NOW), 0);
        assert_eq!(retention.due(), None);
        // What is committed now may be done now, and comes of age in a day; keys are looked for within the hour.
        retention.committed(NOW);
        assert_eq!((retention.next_pass, retention.due()), (Some(NOW.after(DAY)), Some(NOW.after(SWEEP_WITHIN))));
    }

    #[test]
    fn the_next_look_is_when_the_oldest_comes_of_age() {
        let mut retention = retention(Some(DAY), None);
        let oldest = NOW.before(DAY / 2);
        assert_eq!(look(&mut retention, &[("a", 3), ("b", 1)], Some(oldest), NOW), 2);
        assert_eq!(retention.due(), Some(oldest.after(DAY)));
        // Not by the second, however closely they follow each other.
        let now = oldest.after(DAY);
        assert_eq!(look(&mut retention, &[("a", 3)], Some(oldest.after(Duration::from_secs(1))), now), 1);
        assert_eq!(retention.due(), Some(now.after(LOOK_EVERY)));
    }

    #[test]
    fn a_number_is_looked_at_after_commits_and_only_of_tasks_in_excess() {
        let mut retention = retention(None, Some(5));
        assert_eq!(look(&mut retention, &[("a", 5), ("b", 6)], Some(NOW), NOW), 1);
        assert_eq!(retention.due(), None);
        retention.committed(NOW);
        assert_eq!(retention.due(), Some(NOW.after(COUNT_EVERY)));
        let now = NOW.after(COUNT_EVERY);
        assert_eq!(look(&mut retention, &[("a", 5)], None, now), 0);
        assert!(retention.due().is_some_and(|due| due > now.after(COUNT_EVERY)));
    }

    #[test]
    fn a_busy_ledger_puts_it_off_but_not_for_ever() {
        let mut retention = retention(Some(DAY), None);
        retention.last = NOW;
        assert!(retention.is_due(true, NOW));
        assert!(!retention.is_due(false, NOW));
        retention.committed(NOW);
        assert!(!retention.is_due(true, NOW));
        assert_eq!(retention.wake(), Some(NOW.after(QUIET)));
        assert!(retention.is_due(true, NOW.after(QUIET)));
        assert!(retention.is_due(false, NOW.after(PUT_OFF)));
        retention.put_off(NOW);
        assert!(!retention.is_due(true, NOW.after(PUT_OFF)));
        assert!(retention.is_due(true, NOW.after(LOOK_EVERY)));
    }
}

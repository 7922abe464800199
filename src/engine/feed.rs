//! The changes of all instances in the order of their commits: a ring of the recent ones.
//!
//! It is kept while somebody follows, and for a while after the last one left, so that whoever comes back finds what
//! was missed. At other times changes are only counted. A change that was made without an image in memory is read from
//! the store. Whoever falls behind the ring is told that something was lost, and goes on from the present.

mod followers;

use std::{
    collections::VecDeque,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use self::followers::Followers;
use crate::{
    domain::{Instance, Micros, Summary, error::chain},
    store::Store,
};

/// The most changes that are kept: more than one commit of the largest batch makes.
const MOST_CHANGES: usize = 16_384;
/// The most bytes that they may take.
const MOST_BYTES: usize = 24 << 20;
/// What a change takes beside its texts, roughly: as a value, and as what is sent.
const CHANGE_BYTES: usize = 1024;
/// How long changes are kept after the last follower has left.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// A place in the feed: after the change of this number, `boot.counter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedPosition {
    boot: u64,
    counter: u64,
}

impl fmt::Display for FeedPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.boot, self.counter)
    }
}

/// A text that is no place in any feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not of the form boot.counter")]
pub struct NoPosition;

impl FromStr for FeedPosition {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (boot, counter) = text.split_once('.').ok_or(NoPosition)?;
        let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
            true => digits.parse().map_err(|_| NoPosition),
            false => Err(NoPosition),
        };
        Ok(FeedPosition { boot: number(boot)?, counter: number(counter)? })
    }
}

/// Changes after a place that are not there any more, or never were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("changes after this place are not kept")]
pub struct Lost;

/// One committed change.
#[derive(Debug)]
pub struct Change {
    /// The place right after it.
    pub position: FeedPosition,
    /// What the instance became.
    pub summary: Summary,
    text: OnceLock<Box<[u8]>>,
}

impl Change {
    /// What is sent of it: made by the first reader for all.
    pub fn text(&self, write: impl FnOnce(&Summary) -> Vec<u8>) -> &[u8] {
        self.text.get_or_init(|| write(&self.summary).into_boxed_slice())
    }

    fn bytes(&self) -> usize {
        let labels: usize = self.summary.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
        let message = self.summary.progress.message.as_ref().map_or(0, |message| message.len());
        let error = self.summary.error().map_or(0, |error| error.message.len());
        CHANGE_BYTES + 2 * (labels + message + error + self.summary.task_id.len())
    }
}

/// The recent changes, and how many follow them.
pub struct Feed {
    boot: u64,
    ring: Mutex<Ring>,
    followers: Arc<Followers>,
}

struct Ring {
    /// The counter of the last change, kept or not.
    last: u64,
    /// The changes up to `last`, without a gap.
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    followers: usize,
    /// Until when changes are kept though nobody follows.
    keep_until: Option<Instant>,
}

impl Ring {
    /// The counter before the first change that is kept.
    fn before_first(&self) -> u64 {
        self.last - self.changes.len() as u64
    }

    fn holds(&self, counter: u64) -> bool {
        (self.before_first()..=self.last).contains(&counter)
    }

    /// Whether changes are to be kept; lets go of them once they are not.
    fn is_kept(&mut self) -> bool {
        if self.followers > 0 {
            return true;
        }
        match self.keep_until {
            Some(until) if Instant::now() < until => true,
            Some(_) => {
                self.keep_until = None;
                self.drop_changes();
                false
            }
            None => false,
        }
    }

    fn drop_changes(&mut self) {
        self.changes = VecDeque::new();
        self.bytes = 0;
    }

    fn push(&mut self, boot: u64, summary: Summary) {
        self.last += 1;
        let position = FeedPosition { boot, counter: self.last };
        let change = Change { position, summary, text: OnceLock::new() };
        self.bytes += change.bytes();
        self.changes.push_back(Arc::new(change));
        while self.changes.len() > MOST_CHANGES || self.bytes > MOST_BYTES {
            let Some(oldest) = self.changes.pop_front() else { return };
            self.bytes -= oldest.bytes();
        }
    }

    /// Notes `n` changes that nobody will see.
    fn skip(&mut self, n: usize) {
        self.last += n as u64;
        self.drop_changes();
    }
}

impl Feed {
    /// The feed of one boot of a store.
    pub fn new(boot: u64) -> Self {
        // Counted from the time, so that a place of another store, or of one that was put back from a copy and had
        // as many boots, is outside of what is kept here.
        let last = Micros::now().0.unsigned_abs();
        let ring = Ring { last, changes: VecDeque::new(), bytes: 0, followers: 0, keep_until: None };
        Feed { boot, ring: Mutex::new(ring), followers: Arc::new(Followers::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what one commit changed: `images`, and the instances `missed` of which there was none in memory. Called
    /// once a commit, in order, after the images are shown: nobody is told here what a read does not answer yet.
    pub async fn publish(&self, store: &dyn Store, batch: u64, images: &[Arc<Instance>], missed: &[u64]) {
        let n = images.len() + missed.len();
        if n == 0 {
            return;
        }
        {
            let mut ring = self.lock();
            if !ring.is_kept() {
                ring.last += n as u64;
                return;
            }
        }
        let mut summaries: Vec<Summary> = images.iter().map(|image| image.summary.clone()).collect();
        let mut complete = true;
        if !missed.is_empty() {
            match store.summaries(missed).await {
                Ok(read) => summaries.extend(read),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "changed instances cannot be read: followers are told");
                    complete = false;
                }
            }
        }
        summaries.retain(|summary| is_told_by(batch, summary));
        summaries.sort_unstable_by_key(|summary| summary.number);
        summaries.dedup_by_key(|summary| summary.number);
        let mut ring = self.lock();
        if !complete {
            ring.skip(missed.len());
        }
        for summary in summaries {
            ring.push(self.boot, summary);
        }
        let count = ring.followers;
        drop(ring);
        self.followers.tell(count);
    }

    /// Follows the feed from now on.
    pub fn follow(self: &Arc<Self>) -> FeedWatch {
        let mut ring = self.lock();
        ring.followers += 1;
        let grown = self.followers.join(ring.followers);
        FeedWatch { cursor: ring.last, grown, feed: Arc::clone(self) }
    }
}

/// Whether the commit `batch` is the one that tells of this. What was read from the store, such as an instance that was
/// claimed without an image in memory, may have been changed by the next commit already, which will tell of it.
fn is_told_by(batch: u64, summary: &Summary) -> bool {
    summary.batch <= batch
}

/// Follows the changes of all instances.
pub struct FeedWatch {
    feed: Arc<Feed>,
    /// The counter of the last change that was read.
    cursor: u64,
    grown: watch::Receiver<()>,
}

impl FeedWatch {
    /// Where it stands.
    pub fn position(&self) -> FeedPosition {
        FeedPosition { boot: self.feed.boot, counter: self.cursor }
    }

    /// Goes back to `after`, if everything since is kept.
    ///
    /// # Errors
    /// [`Lost`]; it stands where it stood.
    pub fn resume(&mut self, after: FeedPosition) -> Result<(), Lost> {
        if after.boot != self.feed.boot || !self.feed.lock().holds(after.counter) {
            return Err(Lost);
        }
        self.cursor = after.counter;
        Ok(())
    }

    /// The next changes, at most `most`; none if there are no more yet.
    ///
    /// # Errors
    /// [`Lost`] if it fell behind; it stands at the present then.
    pub fn read(&mut self, most: usize) -> Result<Vec<Arc<Change>>, Lost> {
        let ring = self.feed.lock();
        if !ring.holds(self.cursor) {
            self.cursor = ring.last;
            return Err(Lost);
        }
        let read = (self.cursor - ring.before_first()) as usize;
        let end = ring.changes.len().min(read + most);
        let changes: Vec<_> = ring.changes.range(read..end).cloned().collect();
        self.cursor += changes.len() as u64;
        Ok(changes)
    }

    /// Resolves when there may be more to read than at the last call. Cancel safe.
    pub async fn grown(&mut self) {
        // The sender lives in the feed, which self holds.
        let _ = self.grown.changed().await;
    }
}

impl Drop for FeedWatch {
    fn drop(&mut self) {
        let mut ring = self.feed.lock();
        ring.followers -= 1;
        if ring.followers == 0 {
            ring.keep_until = Some(Instant::now() + KEPT_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{Labels, instance::fixture};

    fn change(number: u64, labels: Labels) -> Summary {
        Summary { number, labels, ..fixture::pending() }
    }

    fn push(feed: &Feed, numbers: std::ops::Range<u64>) {
        let mut ring = feed.lock();
        numbers.for_each(|number| ring.push(feed.boot, change(number, Labels::default())));
    }

    fn numbers(read: Result<Vec<Arc<Change>>, Lost>) -> Result<Vec<u64>, Lost> {
        read.map(|changes| changes.iter().map(|change| change.summary.number).collect())
    }

    #[test]
    fn changes_are_read_in_order_and_resumed() {
        let feed = Arc::new(Feed::new(3));
        let mut watch = feed.follow();
        let begin = watch.position();
        push(&feed, 0..5);
        assert_eq!(numbers(watch.read(2)), Ok(vec![0, 1]));
        let middle = watch.position();
        assert_eq!(numbers(watch.read(9)), Ok(vec![2, 3, 4]));
        assert_eq!(numbers(watch.read(9)), Ok(vec![]));
        let mut other = feed.follow();
        assert_eq!(numbers(other.read(9)), Ok(vec![]));
        assert_eq!(other.resume(middle), Ok(()));
        assert_eq!(numbers(other.read(9)), Ok(vec![2, 3, 4]));
        assert_eq!(other.resume(begin), Ok(()));
        assert_eq!(numbers(other.read(1)), Ok(vec![0]));
        let foreign = [
            FeedPosition { boot: 4, ..middle },
            FeedPosition { counter: begin.counter - 1, ..begin },
            FeedPosition { counter: begin.counter + 6, ..begin },
        ];
        for position in foreign {
            assert_eq!(other.resume(position), Err(Lost), "{position}");
        }
        assert_eq!(numbers(other.read(1)), Ok(vec![1]), "a refused resumption moves nothing");
    }

    #[test]
    fn the_ring_is_bounded_by_count_and_bytes() {
        let feed = Arc::new(Feed::new(1));
        let mut watch = feed.follow();
        let begin = watch.position();
        push(&feed, 0..MOST_CHANGES as u64);
        assert_eq!(watch.read(1).map(|changes| changes.len()), Ok(1));
        push(&feed, 0..2);
        assert_eq!(numbers(watch.read(1)), Err(Lost));
        assert_eq!(numbers(watch.read(1)), Ok(vec![]));
        assert_eq!(feed.follow().resume(begin), Err(Lost));

        let label = BTreeMap::from([("k".to_owned(), "v".repeat(256))]);
        let labels = Labels::new(label).expect("valid");
        let mut ring = feed.lock();
        for number in 0..2 * MOST_CHANGES as u64 {
            ring.push(1, change(number, labels.clone()));
        }
        assert!(ring.bytes <= MOST_BYTES);
        assert_eq!(ring.bytes, ring.changes.iter().map(|change| change.bytes()).sum::<usize>());
        assert!(ring.changes.len() < MOST_CHANGES);
    }

    #[test]
    fn without_followers_changes_are_counted_and_kept_for_a_while() {
        let feed = Arc::new(Feed::new(1));
        assert!(!feed.lock().is_kept());
        let watch = feed.follow();
        let place = watch.position();
        drop(watch);
        assert!(feed.lock().is_kept());
        push(&feed, 0..1);
        assert_eq!(feed.follow().resume(place), Ok(()));
        feed.lock().keep_until = Some(Instant::now());
        assert!(!feed.lock().is_kept());
        assert_eq!(feed.follow().resume(place), Err(Lost));
    }

    #[test]
    fn what_the_next_commit_has_changed_is_told_by_that_one() {
        let read = Summary { batch: 7, ..fixture::pending() };
        assert!(!is_told_by(6, &read));
        assert!(is_told_by(7, &read));
        assert!(is_told_by(8, &read));
    }

    #[test]
    fn a_place_has_one_form() {
        for text in ["1.2", "18446744073709551615.0"] {
            assert_eq!(text.parse::<FeedPosition>().map(|position| position.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "1", ".", "1.", ".1", "1.2.3", "-1.2", "+1.2", "1.x", "1.18446744073709551616"] {
            assert_eq!(text.parse::<FeedPosition>(), Err(NoPosition), "{text}");
        }
    }

    #[test]
    fn a_change_is_written_once() {
        let feed = Arc::new(Feed::new(1));
        let mut watch = feed.follow();
        push(&feed, 0..1);
        let changes = watch.read(1).expect("kept");
        assert_eq!(changes[0].text(|summary| summary.task_id.as_bytes().to_vec()), b"a");
        assert_eq!(changes[0].text(|_| panic!("it is written already")), b"a");
    }
}

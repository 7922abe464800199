//! Wakes those who follow the feed: all at once where they are few, else a group at a time, so that requests come in
//! between.

use std::sync::{
    Arc, Weak,
    atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
    },
};

use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
};

/// So many are woken at once.
const AT_ONCE: usize = 32;
/// How many groups there are; the largest number of streams makes groups of about [`AT_ONCE`].
const GROUPS: usize = 512;

/// Those who follow, in groups.
pub(super) struct Followers {
    /// Wakes the followers of each group.
    groups: Box<[watch::Sender<()>]>,
    /// The group of the next one, modulo [`GROUPS`].
    next: AtomicUsize,
    /// Wakes the task that wakes one group after the other.
    grown: Arc<Notify>,
    /// Whether there is such a task.
    has_waker: AtomicBool,
}

impl Followers {
    pub(super) fn new() -> Self {
        Followers {
            groups: (0..GROUPS).map(|_| watch::Sender::new(())).collect(),
            next: AtomicUsize::new(0),
            grown: Arc::default(),
            has_waker: AtomicBool::new(false),
        }
    }

    /// One more, of `count` by now: what changes when the feed has grown.
    pub(super) fn join(self: &Arc<Self>, count: usize) -> watch::Receiver<()> {
        if count > AT_ONCE
            && let Ok(runtime) = Handle::try_current()
            && !self.has_waker.swap(true, SeqCst)
        {
            let waker = Waker { followers: Arc::downgrade(self), grown: Arc::clone(&self.grown) };
            runtime.spawn(waker.run());
        }
        self.groups[self.next.fetch_add(1, Relaxed) % GROUPS].subscribe()
    }

    /// Tells `count` followers that the feed has grown.
    pub(super) fn tell(&self, count: usize) {
        if count > AT_ONCE && self.has_waker.load(SeqCst) {
            self.grown.notify_one();
        } else if count > 0 {
            self.groups.iter().for_each(|group| _ = wake(group));
        }
    }
}

impl Drop for Followers {
    /// Ends the task.
    fn drop(&mut self) {
        self.grown.notify_one();
    }
}

/// Answers whether there was anybody.
fn wake(group: &watch::Sender<()>) -> bool {
    let anybody = group.receiver_count() > 0;
    if anybody {
        group.send_replace(());
    }
    anybody
}

/// Wakes one group after the other, whenever the feed has grown, until it is gone.
struct Waker {
    followers: Weak<Followers>,
    grown: Arc<Notify>,
}

impl Waker {
    async fn run(self) {
        loop {
            self.grown.notified().await;
            for group in 0..GROUPS {
                let Some(followers) = self.followers.upgrade() else { return };
                if wake(&followers.groups[group]) {
                    // Whoever was just woken goes first, and whatever else came meanwhile.
                    tokio::task::yield_now().await;
                }
            }
        }
    }
}

impl Drop for Waker {
    /// Its runtime may end first: then all are woken at once until the next one joins.
    fn drop(&mut self) {
        if let Some(followers) = self.followers.upgrade() {
            followers.has_waker.store(false, SeqCst);
            followers.groups.iter().for_each(|group| _ = wake(group));
        }
    }
}

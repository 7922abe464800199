//! The committed images of instances, and who watches them.
//!
//! Memory holds an instance while it runs here, while it is watched, and for a while after it changed,
//! bounded by bytes; everything else is read from the store. An image is replaced only after its
//! commit is synced. Whoever watches subscribes first and reads second: an entry without an image marks that
//! somebody reads the store, and a change published meanwhile makes them read again.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use foldhash::fast::RandomState;
use tokio::sync::watch;
use uuid::Uuid;

use super::lanes::{StartReply, StartWaiter};
use crate::domain::{Instance, InstanceKey, Phase};

/// What images of instances that neither run nor are watched may take. Enough to answer those who ask
/// right after a start or an end; the store answers the rest.
const RECENT_BYTES: usize = 8 << 20;

/// What an image costs beside its payloads, roughly.
const IMAGE_OVERHEAD: usize = 640;

/// The images in memory.
#[derive(Default)]
pub struct Images {
    inner: Mutex<Inner>,
    published: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<u64, Entry, RandomState>,
    numbers: HashMap<Uuid, u64, RandomState>,
    /// Changed entries in order, to be dropped when there are too many; with the bytes each was counted for.
    recent: VecDeque<(u64, usize)>,
    recent_bytes: usize,
}

#[derive(Default)]
struct Entry {
    /// None while a first watcher reads the store.
    image: Option<Arc<Instance>>,
    /// Whether a change was published that could not be applied, for want of an image.
    missed: bool,
    changes: Option<watch::Sender<Option<Arc<Instance>>>>,
    logged: Option<watch::Sender<u64>>,
    /// Who started it and is answered when it is done.
    held: Option<StartWaiter>,
}

impl Entry {
    fn is_watched(&self) -> bool {
        self.changes.as_ref().is_some_and(|sender| !sender.is_closed())
            || self.logged.as_ref().is_some_and(|sender| !sender.is_closed())
            || self.held.as_ref().is_some_and(|waiter| !waiter.is_closed())
    }

    fn runs(&self) -> bool {
        self.image.as_ref().is_some_and(|image| image.phase == Phase::Running)
    }
}

/// A subscription to one instance's images.
pub type Changes = watch::Receiver<Option<Arc<Instance>>>;

impl Images {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image of `key`, if it is in memory.
    pub fn get(&self, key: InstanceKey) -> Option<Arc<Instance>> {
        let inner = self.lock();
        inner.entries.get(&inner.number(key)?)?.image.clone()
    }

    /// The image of the instance `number`, if it is in memory.
    pub fn by_number(&self, number: u64) -> Option<Arc<Instance>> {
        self.lock().entries.get(&number)?.image.clone()
    }

    /// Subscribes to the instance `number`. The receiver holds the present image, or None where the caller must
    /// read the store and call [`Images::install`].
    pub fn subscribe(&self, number: u64) -> Changes {
        let mut inner = self.lock();
        inner.make_room_for(number);
        let entry = inner.entries.entry(number).or_default();
        let image = entry.image.clone();
        match &entry.changes {
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, receiver) = watch::channel(image);
                entry.changes = Some(sender);
                receiver
            }
        }
    }

    /// Whether anybody watches the instance `number`.
    pub fn is_watched(&self, number: u64) -> bool {
        self.lock().entries.get(&number).is_some_and(Entry::is_watched)
    }

    /// Subscribes to new lines in the log of the instance `number`.
    pub fn subscribe_log(&self, number: u64) -> watch::Receiver<u64> {
        let mut inner = self.lock();
        inner.make_room_for(number);
        let entry = inner.entries.entry(number).or_default();
        entry.logged.get_or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Puts an image that was read from the store where [`Images::subscribe`] found none. False if a change was
    /// published meanwhile: read again.
    pub fn install(&self, image: &Arc<Instance>) -> bool {
        let mut inner = self.lock();
        // The entry that the caller's subscription made is gone only if the instance is.
        let Some(entry) = inner.entries.get_mut(&image.number) else { return false };
        if entry.image.is_some() {
            return true;
        }
        if std::mem::take(&mut entry.missed) {
            return false;
        }
        entry.image = Some(Arc::clone(image));
        if let Some(sender) = &entry.changes {
            sender.send_replace(Some(Arc::clone(image)));
        }
        inner.numbers.insert(image.id, image.number);
        inner.remember(image);
        inner.forget();
        true
    }

    /// Shows committed images to everybody; `missed` are instances that changed without an image at hand. Answers who
    /// was held for one that is done now.
    pub fn publish(&self, batch: u64, images: &[Arc<Instance>], missed: &[u64]) -> Vec<(StartWaiter, Arc<Instance>)> {
        let mut answers = Vec::new();
        let mut inner = self.lock();
        for image in images {
            let entry = inner.entries.entry(image.number).or_default();
            let fresh = entry.image.replace(Arc::clone(image)).is_none();
            if let Some(sender) = &entry.changes {
                sender.send_replace(Some(Arc::clone(image)));
            }
            if image.is_done()
                && let Some(waiter) = entry.held.take()
            {
                answers.push((waiter, Arc::clone(image)));
            }
            if fresh {
                inner.numbers.insert(image.id, image.number);
            }
            if image.phase != Phase::Running {
                inner.remember(image);
            }
        }
        for number in missed {
            if let Some(entry) = inner.entries.get_mut(number) {
                entry.missed = true;
            }
        }
        inner.forget();
        drop(inner);
        // Only now: whoever waits for this number must find the images of this batch.
        self.published.send_if_modified(|published| {
            *published = batch;
            true
        });
        answers
    }

    /// Forgets instances that were deleted; who watches them sees the end.
    pub fn purge(&self, numbers: &[u64]) {
        let mut inner = self.lock();
        for number in numbers {
            if let Some(image) = inner.entries.remove(number).and_then(|entry| entry.image) {
                inner.numbers.remove(&image.id);
            }
        }
    }

    /// Keeps `waiter` until the instance of `image`, just published, is done; gives it back where it is to be answered
    /// now, because `until_done` says so or the instance is done.
    pub fn hold(&self, image: &Instance, waiter: StartWaiter, until_done: &AtomicBool) -> Option<StartWaiter> {
        let mut inner = self.lock();
        if !until_done.load(Ordering::Relaxed) || image.is_done() {
            return Some(waiter);
        }
        match inner.entries.get_mut(&image.number) {
            Some(entry) => entry.held.replace(waiter),
            // Forgotten already: nobody would find it again.
            None => Some(waiter),
        }
    }

    /// Answers whoever is held for the instance `id` with it as it is, and lets nobody be held any more.
    pub fn release(&self, id: Uuid, until_done: &AtomicBool) {
        let mut inner = self.lock();
        // Under the lock, so that a waiter is either found here or not held.
        until_done.store(false, Ordering::Relaxed);
        let Some(number) = inner.numbers.get(&id).copied() else { return };
        let Some(entry) = inner.entries.get_mut(&number) else { return };
        if let (Some(image), Some(waiter)) = (&entry.image, entry.held.take()) {
            // Whoever has gone needs no answer.
            let _ = waiter.send(Ok(StartReply::Created(vec![Arc::clone(image)])));
        }
    }

    /// Tells those who follow a log that lines up to `last` are committed.
    pub fn logged(&self, number: u64, last: u64) {
        if let Some(sender) = self.lock().entries.get(&number).and_then(|entry| entry.logged.as_ref()) {
            sender.send_replace(last);
        }
    }

    /// Resolves once the images of `batch` and all before it are published: what a reader of the store waits
    /// for, so that no answer runs ahead of another.
    pub async fn published(&self, batch: u64) {
        if *self.published.borrow() < batch {
            // The sender lives as long as self, so the wait ends by the batch alone.
            let _ = self.published.subscribe().wait_for(|published| *published >= batch).await;
        }
    }

    /// Sets where the numbers of batches begin.
    pub fn begin(&self, batch: u64) {
        self.published.send_replace(batch);
    }
}

impl Inner {
    fn number(&self, key: InstanceKey) -> Option<u64> {
        match key {
            InstanceKey::Number(number) => Some(number),
            InstanceKey::Id(id) => self.numbers.get(&id).copied(),
        }
    }

    /// Counts an entry that has no image yet, so that one that never gets any is forgotten too.
    fn make_room_for(&mut self, number: u64) {
        if !self.entries.contains_key(&number) {
            self.recent.push_back((number, IMAGE_OVERHEAD));
            self.recent_bytes += IMAGE_OVERHEAD;
        }
    }

    fn remember(&mut self, image: &Instance) {
        let bytes = IMAGE_OVERHEAD
            + image.inputs.as_str().len()
            + image.output.as_ref().map_or(0, |output| output.as_str().len());
        self.recent.push_back((image.number, bytes));
        self.recent_bytes += bytes;
    }

    fn forget(&mut self) {
        // One round over the queue at most: what is watched goes to its end and is looked at next time.
        for _ in 0..self.recent.len() {
            if self.recent_bytes <= RECENT_BYTES {
                return;
            }
            let Some((number, bytes)) = self.recent.pop_front() else { return };
            self.recent_bytes -= bytes;
            let Some(entry) = self.entries.get(&number) else { continue };
            if entry.runs() {
                continue;
            }
            if entry.is_watched() {
                // Held by a connection or stream, of which there are only so many.
                self.recent.push_back((number, 0));
                continue;
            }
            if let Some(image) = self.entries.remove(&number).and_then(|entry| entry.image) {
                self.numbers.remove(&image.id);
            }
        }
    }
}

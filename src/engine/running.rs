//! The attempts that run in this daemon, by instance.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;
use tokio::sync::Notify;

use super::attempt::Attempt;

/// From the claim to the committed finish.
#[derive(Default)]
pub struct Running {
    attempts: Mutex<HashMap<u64, Arc<Attempt>, RandomState>>,
    emptied: Notify,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Attempt>, RandomState>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an attempt. One of the same instance that has not noticed its end yet makes way.
    pub fn insert(&self, attempt: &Arc<Attempt>) {
        self.lock().insert(attempt.number, Arc::clone(attempt));
    }

    /// The running attempt of the instance `number`.
    pub fn get(&self, number: u64) -> Option<Arc<Attempt>> {
        self.lock().get(&number).cloned()
    }

    /// Removes this very attempt.
    pub fn remove(&self, attempt: &Arc<Attempt>) {
        let mut attempts = self.lock();
        if attempts.get(&attempt.number).is_some_and(|running| Arc::ptr_eq(running, attempt)) {
            attempts.remove(&attempt.number);
            if attempts.is_empty() {
                self.emptied.notify_waiters();
            }
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Attempt>> {
        self.lock().values().cloned().collect()
    }

    /// Resolves once none runs.
    pub async fn none(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            // Registered before the look, so that the last end between the two is not missed.
            emptied.as_mut().enable();
            if self.lock().is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

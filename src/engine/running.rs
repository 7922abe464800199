//! The attempts that run in this daemon, by instance.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::attempt::Attempt;

/// From the claim to the committed finish.
#[derive(Default)]
pub struct Running {
    attempts: Mutex<HashMap<u64, Arc<Attempt>>>,
    count: watch::Sender<usize>,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Attempt>>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an attempt. One of the same instance that has not noticed its end yet makes way.
    pub fn insert(&self, attempt: &Arc<Attempt>) {
        let mut attempts = self.lock();
        attempts.insert(attempt.number, Arc::clone(attempt));
        self.count.send_replace(attempts.len());
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
            self.count.send_replace(attempts.len());
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Attempt>> {
        self.lock().values().cloned().collect()
    }

    /// Resolves once none runs.
    pub async fn none(&self) {
        // The sender lives in self, which this future borrows.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }
}

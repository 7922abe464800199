//! Who may run: slots for handlers and for commands, and each task's concurrency.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

use super::{catalog::Catalog, settings::Settings};
use crate::{
    domain::{Definition, Workload},
    store::{Claims, Room},
};

/// The slots of this daemon.
pub struct Pool {
    local_slots: u32,
    command_slots: u32,
    taken: Mutex<Taken>,
    /// Whether work waits for a slot: only then is a freed one worth a wake-up of the ledger.
    wanted: AtomicBool,
    freed: Arc<Notify>,
}

#[derive(Default)]
struct Taken {
    local: u32,
    command: u32,
    by_task: HashMap<Arc<str>, u32>,
}

impl Pool {
    /// A pool with the slots of `settings`; `freed` is notified when a wanted slot becomes free.
    pub fn new(settings: &Settings, freed: Arc<Notify>) -> Self {
        Pool {
            local_slots: settings.local_slots.get(),
            command_slots: settings.command_slots.get(),
            taken: Mutex::default(),
            wanted: AtomicBool::new(false),
            freed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What may be claimed now of `tasks`; None when there is no room for any. Tasks that are not in the catalog
    /// have no room.
    pub fn claims<'a>(&self, tasks: impl Iterator<Item = &'a Arc<str>>, catalog: &Catalog) -> Option<Claims> {
        // Before the slots are counted: one freed in between must wake the ledger again.
        self.wanted.store(true, Ordering::SeqCst);
        let taken = self.lock();
        let local_slots = self.local_slots.saturating_sub(taken.local);
        let command_slots = self.command_slots.saturating_sub(taken.command);
        let mut rooms = Vec::new();
        for task_id in tasks {
            let Some(task) = catalog.get(task_id) else { continue };
            let slots = match task.definition.workload {
                Workload::Local => local_slots,
                Workload::Remote => command_slots,
            };
            let used = taken.by_task.get(task_id).copied().unwrap_or(0);
            let n = slots.min(task.definition.concurrency.map_or(u32::MAX, |most| most.saturating_sub(used)));
            if n > 0 {
                rooms.push(Room { task_id: Arc::clone(task_id), workload: task.definition.workload, n, older: true });
            }
        }
        (!rooms.is_empty()).then_some(Claims { rooms, local_slots, command_slots })
    }

    /// Whether work waits for a slot.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }

    /// Says that nothing waits for a slot.
    pub fn nothing_waits(&self) {
        self.wanted.store(false, Ordering::SeqCst);
    }

    /// Takes a slot for an instance of `definition` that was claimed.
    pub fn take(self: &Arc<Self>, definition: &Definition) -> Slot {
        let task_id = definition.id.shared();
        let mut taken = self.lock();
        match definition.workload {
            Workload::Local => taken.local += 1,
            Workload::Remote => taken.command += 1,
        }
        *taken.by_task.entry(Arc::clone(&task_id)).or_default() += 1;
        Slot { pool: Arc::clone(self), task_id, workload: definition.workload }
    }

    /// Whether as many instances of `definition` run as may.
    pub fn is_saturated(&self, definition: &Definition) -> bool {
        definition
            .concurrency
            .is_some_and(|most| self.lock().by_task.get(definition.id.as_str()).is_some_and(|used| *used >= most))
    }

    /// How many handlers and how many commands hold a slot.
    pub fn running(&self) -> (u32, u32) {
        let taken = self.lock();
        (taken.local, taken.command)
    }
}

/// A slot taken; free again when dropped.
pub struct Slot {
    pool: Arc<Pool>,
    task_id: Arc<str>,
    workload: Workload,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.pool.lock();
        match self.workload {
            Workload::Local => taken.local -= 1,
            Workload::Remote => taken.command -= 1,
        }
        if let Some(used) = taken.by_task.get_mut(&self.task_id) {
            *used -= 1;
            if *used == 0 {
                taken.by_task.remove(&self.task_id);
            }
        }
        drop(taken);
        if self.pool.wanted.load(Ordering::SeqCst) {
            self.pool.freed.notify_one();
        }
    }
}

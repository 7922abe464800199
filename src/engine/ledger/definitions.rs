//! Definitions that come and go while starts wait.
//!
//! A start was checked against the snapshot of the catalog that it holds: if the task has gone or been replaced before
//! the start is written, the ledger sends it back, and it is checked anew. A removal is refused by its own commit while
//! an instance is live. So no accepted instance is ever left without its definition.

use std::sync::Arc;

use super::Ledger;
use crate::{
    engine::{
        lanes::{DefinitionItem, StartItem, StartReply},
        units::Units,
    },
    store::{DefinitionChange, DefinitionOutcome},
};

impl Ledger {
    /// Takes a committed change of definitions over, and answers it.
    pub(super) fn redefine(&mut self, item: DefinitionItem, outcome: Option<DefinitionOutcome>) {
        let outcome = outcome.unwrap_or(DefinitionOutcome::NotFound);
        match (&item.change, outcome) {
            (_, DefinitionOutcome::InUse) => {}
            (DefinitionChange::Register(definition), _) => {
                self.catalog.replace(item.next);
                // Instances of an earlier task of this id may wait for one.
                self.ready.insert(definition.id.shared());
            }
            (DefinitionChange::Remove { id, .. }, _) => {
                self.catalog.replace(item.next);
                self.ready.remove(id);
            }
        }
        let _ = item.reply.send(Ok(outcome));
    }

    /// Sends starts back whose task is no longer the one that they were checked against.
    pub(super) fn turn_back(&self, units: &mut Units) {
        let now = self.catalog.load();
        if units.starts.iter().all(|item| Arc::ptr_eq(&item.catalog, &now)) {
            return;
        }
        let holds = |item: &StartItem| {
            item.start.instances.iter().all(|new| match (item.catalog.get(&new.task_id), now.get(&new.task_id)) {
                (Some(then), Some(now)) => Arc::ptr_eq(then, now),
                _ => false,
            })
        };
        for item in std::mem::take(&mut units.starts) {
            if holds(&item) {
                units.starts.push(item);
            } else {
                let _ = item.reply.send(Ok(StartReply::Outdated));
            }
        }
    }
}

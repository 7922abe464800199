//! Following one instance, and following one log.

use std::sync::Arc;

use tokio::sync::watch;

use super::images::Changes;
use crate::domain::Instance;

/// Follows one instance.
pub struct InstanceWatch {
    changes: Changes,
    seen: Arc<Instance>,
}

impl InstanceWatch {
    /// A watch whose channel holds an image.
    pub(super) fn new(changes: Changes, seen: Arc<Instance>) -> Self {
        InstanceWatch { changes, seen }
    }

    /// The image last returned; at first the one that was there when the watch began.
    pub fn current(&self) -> Arc<Instance> {
        Arc::clone(&self.seen)
    }

    /// The next image with a higher version than [`InstanceWatch::current`]; None after the terminal one, or when
    /// the instance was purged. Cancel safe.
    pub async fn changed(&mut self) -> Option<Arc<Instance>> {
        if self.seen.is_done() {
            return None;
        }
        let seen = self.seen.version;
        let newer = |image: &Option<Arc<Instance>>| image.as_ref().is_some_and(|image| image.version > seen);
        let image = self.changes.wait_for(newer).await.ok()?.clone()?;
        self.seen = Arc::clone(&image);
        Some(image)
    }

    /// Resolves with the terminal image. Cancel safe.
    pub async fn done(&mut self) -> Arc<Instance> {
        while self.changed().await.is_some() {}
        self.current()
    }
}

/// Follows one log.
pub struct LogWatch {
    logged: watch::Receiver<u64>,
    instance: InstanceWatch,
}

impl LogWatch {
    /// A watch of the log that `logged` tells of.
    pub(super) fn new(logged: watch::Receiver<u64>, instance: InstanceWatch) -> Self {
        LogWatch { logged, instance }
    }

    /// Resolves when lines were committed since the last call, or the instance is done (true). Once it answered
    /// true, everything is there to be read. Cancel safe.
    pub async fn changed(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = self.instance.done() => true,
            // The sender lives in the image's entry, which the instance's watch keeps.
            changed = self.logged.changed() => changed.is_err(),
        }
    }
}

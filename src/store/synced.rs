//! Whether a commit that has been written is on the disk.

use tokio::sync::oneshot;

use super::CommitError;

/// When a commit is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Answer {
    /// Once it is synced to disk.
    #[default]
    Synced,
    /// Once it is written, so that the next one can be written while it is synced. Nobody may be told of it before
    /// [`Committed::synced`](super::Committed::synced) has said that it is.
    Written,
}

/// Tells when a commit is synced to disk. The default is one that is.
#[derive(Debug, Default)]
#[must_use = "what is not synced may be lost, so nobody may be told of it"]
pub struct Synced(Option<oneshot::Receiver<Result<(), CommitError>>>);

impl Synced {
    /// Waits for what is sent there.
    pub fn later() -> (oneshot::Sender<Result<(), CommitError>>, Synced) {
        let (sender, receiver) = oneshot::channel();
        (sender, Synced(Some(receiver)))
    }

    /// Waits until it is.
    ///
    /// # Errors
    /// [`CommitError::Fatal`]: nobody knows what is on the disk.
    pub async fn wait(self) -> Result<(), CommitError> {
        match self.0 {
            None => Ok(()),
            Some(receiver) => match receiver.await {
                Ok(outcome) => outcome,
                Err(_) => Err(CommitError::Fatal("the store was closed before it had synced a commit".into())),
            },
        }
    }
}

//! Why the engine refused or could not do something. No HTTP here.

use uuid::Uuid;

use crate::{
    domain::{FieldError, Status},
    store::StoreError,
};

/// No instance has this id or number (`numerous.tasks.TaskInstanceNotFoundError`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no instance {instance_id}")]
pub struct TaskInstanceNotFoundError {
    /// As asked for.
    pub instance_id: String,
}

/// A request that the engine did not carry out. It changed nothing, but for [`EngineError::EndedFirst`], and for an
/// [`EngineError::Unavailable`] that came while it was being written: then nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No definition has this id or name.
    #[error("there is no task `{task}`{hint}")]
    UnknownTask {
        /// As asked for.
        task: String,
        /// "; did you mean …" or the list of tasks.
        hint: String,
    },
    /// No instance has this id or number.
    #[error(transparent)]
    UnknownInstance(#[from] TaskInstanceNotFoundError),
    /// The id or name of a definition is that of another one.
    #[error("`{name}` is the id or name of the task `{by}`: choose another")]
    DefinitionTaken {
        /// The id or name.
        name: String,
        /// The other one, and where it comes from.
        by: String,
    },
    /// Another definition is registered under this id.
    #[error("`{id}` is registered already, and is not the same: remove it first, or choose another id")]
    DefinitionDiffers {
        /// The id.
        id: String,
    },
    /// The definition is not a registered one.
    #[error("the task `{definition}` cannot be removed: only what was registered over HTTP can")]
    DefinitionFixed {
        /// Its id, and where it comes from.
        definition: String,
    },
    /// Instances of the definition are not done.
    #[error("instances of `{id}` are pending or running: stop them (POST /v1/instances/stop), or wait for their end")]
    DefinitionInUse {
        /// The definition.
        id: String,
    },
    /// The inputs do not satisfy the task.
    #[error("the inputs are not valid for the task `{task_id}`")]
    InvalidInputs {
        /// The task.
        task_id: String,
        /// What is wrong; pointers are relative to the inputs.
        errors: Vec<FieldError>,
    },
    /// The options make no sense together or for this task.
    #[error("the options are not valid")]
    InvalidOptions {
        /// What is wrong; each pointer is `/` and the option's name.
        errors: Vec<FieldError>,
    },
    /// Items of a batch are not valid.
    #[error("the batch has items that are not valid")]
    InvalidBatch {
        /// What is wrong; pointers begin `/instances/N`, at most 100.
        errors: Vec<FieldError>,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used before for another request: use a new key")]
    KeyReused,
    /// There is no room for another pending instance.
    #[error("the queue is full: {pending} instances are pending, limits.pending allows {limit}")]
    QueueFull {
        /// How many are pending.
        pending: u64,
        /// How many may be.
        limit: u64,
    },
    /// The daemon takes no new work.
    #[error("the daemon is shutting down and takes no new work")]
    Draining,
    /// The server ended while the caller waited for the end of an instance. That is in the store, and the next start
    /// settles it.
    #[error("the server ended before the instance {instance_id} did: the next start on this store goes on with it")]
    EndedFirst {
        /// The instance.
        instance_id: Uuid,
    },
    /// The store cannot be written now, or answered a read with an error.
    #[error("the store is not available now")]
    Unavailable(#[source] Option<StoreError>),
    /// The store holds something that cannot be read: another try finds the same.
    #[error("what was asked for cannot be read")]
    Unreadable(#[source] StoreError),
    /// The store refused this very item: a defect.
    #[error("the store refused the write: {detail}")]
    Refused {
        /// What it said.
        detail: String,
    },
    /// Only a done instance can be run again.
    #[error("the instance is {status}; only a done one can be run again")]
    NotDone {
        /// What it is.
        status: Status,
    },
    /// The attempt that reports is no longer the one that counts.
    #[error("the attempt is over: another one has begun, or the instance is done")]
    AttemptOver,
    /// No attempt is running that could report.
    #[error("the instance is pending; only a running attempt can report")]
    AttemptNotRunning,
    /// The version is not the one the caller pinned.
    #[error("the instance is at version {version}, not at the one in If-Match")]
    VersionMismatch {
        /// The version it has.
        version: u64,
    },
    /// The output was refused.
    #[error("the output is not valid")]
    InvalidOutput {
        /// What is wrong; pointers are relative to the output.
        errors: Vec<FieldError>,
    },
}

//! How much the engine may run and keep.

use std::{num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use crate::domain::{
    Retention,
    bounds::{LONGEST, LONGEST_GRACE, duration_fault},
    size::ByteSize,
};

/// The engine's part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The name of this daemon (`server.node`).
    pub node: Arc<str>,
    /// How many handlers may run at once (`worker.local_slots`).
    pub local_slots: NonZeroU32,
    /// How many commands may run at once (`worker.command_slots`).
    pub command_slots: NonZeroU32,
    /// The time between a stop and its deadline (`worker.stop_grace`).
    pub stop_grace: Duration,
    /// How long a drain lets an only attempt run (`server.drain`).
    pub drain: Duration,
    /// How long after that everything is ended (`server.drain_grace`).
    pub drain_grace: Duration,
    /// The most pending instances (`limits.pending`).
    pub pending: u64,
    /// The largest output (`limits.output`).
    pub output: ByteSize,
    /// The most log text of one instance (`limits.log`).
    pub log: ByteSize,
    /// Whether commands may be registered while it runs (`definitions.remote`).
    pub remote_definitions: bool,
    /// Where commands are started that were registered: as configured ones, in the folder of the configuration file.
    pub directory: PathBuf,
    /// How long done instances are kept of tasks that say nothing of it (`[retention]`).
    pub retention: Retention,
    /// What the clients of `numerous` are told (`[numerous]`).
    pub numerous: Numerous,
}

/// The one organization and the one deployment that the clients of `numerous` see, where an app is not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Numerous {
    /// The organization's id and slug; None answers with what was asked for.
    pub organization: Option<Arc<str>>,
    /// The deployment of tasks without an app; None answers with what was asked for.
    pub deployment: Option<Arc<str>>,
}

/// A setting that is too much or too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {detail}")]
pub struct InvalidSetting {
    /// Its name in the configuration.
    pub setting: &'static str,
    /// What is wrong with it.
    pub detail: &'static str,
}

impl Settings {
    /// Refuses what a configuration file could not say: settings made in code have passed no reader.
    ///
    /// # Errors
    /// [`InvalidSetting`], the first.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let at_most = |duration: Duration, longest, detail| (duration > longest).then_some(detail);
        let faults = [
            ("worker.stop_grace", at_most(self.stop_grace, LONGEST_GRACE, "must be at most 1 hour")),
            ("server.drain", at_most(self.drain, LONGEST, "must be at most 365 days")),
            ("server.drain_grace", at_most(self.drain_grace, LONGEST, "must be at most 365 days")),
            ("retention.age", self.retention.age.and_then(duration_fault)),
            ("retention.count", (self.retention.count == Some(0)).then_some("must be at least 1")),
        ];
        let fault = faults.into_iter().find_map(|(setting, fault)| Some(InvalidSetting { setting, detail: fault? }));
        fault.map_or(Ok(()), Err)
    }
}

impl Numerous {
    /// What stands where a name is needed and nobody has given one.
    pub const UNNAMED: &str = "taskwright";
}

impl Default for Settings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        Settings {
            node: Arc::from("localhost"),
            local_slots: NonZeroU32::new(256).expect("not zero"),
            command_slots: NonZeroU32::new(cores.saturating_mul(2)).unwrap_or(NonZeroU32::MIN),
            stop_grace: Duration::from_secs(10),
            drain: Duration::from_secs(25),
            drain_grace: Duration::from_secs(5),
            pending: 1_000_000,
            output: ByteSize::mib(1),
            log: ByteSize::mib(16),
            remote_definitions: false,
            directory: PathBuf::from("/"),
            retention: Retention::default(),
            numerous: Numerous::default(),
        }
    }
}

//! What a task, an instance and an attempt are: plain values and pure functions.
//!
//! No async, no I/O, no SQL and no HTTP live here. Everything else in the crate imports this
//! module; it imports nothing of the crate.

pub mod attempt_end;
pub mod bounds;
pub mod cursor;
pub mod definition;
pub mod duration;
pub mod error;
pub mod free_text;
pub mod histogram;
pub mod instance;
pub mod json;
pub mod key;
pub mod labels;
pub mod log;
pub mod query;
pub mod retention;
pub mod size;
pub mod stats;
pub mod status;
pub mod suggest;
pub mod time;
pub mod variables;

pub use attempt_end::{AttemptEnd, Conclusion, Ended, Standing, conclude};
pub use definition::{Definition, DefinitionId, Source};
pub use error::{ErrorKind, FieldError, InstanceError, Interruption};
pub use histogram::Histogram;
pub use instance::{
    Attempt, Instance, Limits, Outcome, PendingReason, Phase, Progress, StopRequest, Summary, Verdict, VerdictStatus,
    Workload,
};
pub use json::Json;
pub use key::InstanceKey;
pub use labels::Labels;
pub use log::{LogChunk, LogLine, LogQuery, LogWindow, Stream};
pub use query::{InstanceQuery, LabelFilter, Page};
pub use retention::{Retention, RetentionOptions};
pub use stats::{Happened, Stats, StatsQuery};
pub use status::Status;
pub use time::Micros;

//! What clients asked for and were told, through whatever faults, and whether the daemon kept its word.
//!
//! A [`Load`] drives a mix of starts, batches, stops, reports and retries against a daemon that may die and come back
//! elsewhere. What it asks and what it hears is a history on the disk, one synced line each, so that it outlives
//! whatever the test does to the daemon. Commands write to a log of their own when an attempt begins and ends
//! ([`Workplace`]). When all is settled, [`Load::end`] compares the history, that log and the instances as they are then,
//! and says what is wrong.
//!
//! ```ignore
//! let place = Workplace::new();
//! let mut server = TestServer::with_config(&place.config("")).await;
//! let load = Load::begin(&server.url(""), &place, Mix { seed, ..Mix::default() });
//! server.kill9();                       // with `load.fault("…")` before it
//! server.restart().await;
//! load.follow(&server.url(""));
//! let findings = load.end().await;      // waits until all is done
//! findings.hold();
//! server.fsck();
//! ```

mod attempts;
mod check;
mod check_tests;
mod client;
mod event;
mod feed;
mod findings;
mod last;
mod load;
mod recorder;

pub use attempts::Workplace;
pub use check::Violation;
pub use findings::Findings;
pub use load::{Load, Mix};

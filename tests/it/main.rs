//! Everything that is tested through real processes, real sockets and real databases.
#![allow(missing_docs, clippy::unwrap_used)]

mod handlers;
mod layers;
mod ledger;
mod plugin;
mod process;
mod support;

//! Everything that is tested through real processes, real sockets and real databases.
#![allow(missing_docs, clippy::unwrap_used)]

mod cli;
mod config;
mod layers;
mod ledger;
mod process;
mod serve;
mod support;

//! Everything that is tested through real processes, real sockets and real databases.
#![allow(missing_docs, clippy::unwrap_used)]

mod auth;
mod backup;
mod cli;
mod commands;
mod config;
mod contract;
mod errors;
mod events;
mod handlers;
mod invariants;
mod layers;
mod ledger;
mod lifecycle;
mod limits;
mod openapi;
mod plugin;
mod process;
mod retention;
mod serve;
mod stats;
mod store;
mod support;

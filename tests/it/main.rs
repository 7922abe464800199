//! Everything that is tested through real processes, real sockets and real databases.
#![allow(missing_docs, clippy::unwrap_used)]

mod auth;
mod backup;
mod cli;
mod client_verbs;
mod commands;
mod config;
mod contract;
mod curl;
mod dashboard;
mod definitions;
mod docs;
mod embed;
mod errors;
mod events;
mod feed;
mod handlers;
mod invariants;
mod layers;
mod ledger;
mod lifecycle;
mod limits;
mod numerous;
mod openapi;
mod operator;
mod plugin;
mod process;
mod remote;
mod retention;
mod serve;
mod stats;
mod stop_filter;
mod store;
#[path = "../support/mod.rs"]
mod support;

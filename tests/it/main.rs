//! Everything that is tested through real processes, real sockets and real databases.
#![allow(missing_docs, clippy::unwrap_used)]

mod layers;
mod ledger;
mod openapi;
mod process;
mod support;

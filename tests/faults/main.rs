//! What faults cannot break: crashes, power cuts, full disks, jumping clocks, hostile clients. Each test ends with `fsck`
//! and the history checker, and has a negative control: a setting or behaviour known to be bad, which it must catch.
#![allow(missing_docs, clippy::unwrap_used)]

mod hostile;
mod lane;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the other test binary uses the rest")]
mod support;

//! What faults cannot break: crashes, power cuts, full disks, jumping clocks, hostile clients. Each test ends with `fsck`
//! and the history checker, and has a negative control: a setting or behaviour known to be bad, which it must catch.
#![allow(missing_docs, clippy::unwrap_used)]

mod cgroups;
mod children;
mod clock;
mod crash;
mod disk;
mod drain;
mod fence;
mod history;
mod hostile;
mod lane;
mod load;
mod model;
mod mounts;
mod poison;
mod races;
mod random;
mod resources;
#[path = "../it/store/scene.rs"]
#[allow(dead_code, reason = "the other test binary uses the rest")]
mod scene;
mod starvation;
mod strace;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "the other test binary uses the rest")]
mod support;
mod usage;

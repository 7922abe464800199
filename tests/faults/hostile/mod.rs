//! Clients that mean harm, or do not know what they do: nothing of it may let them in, mislead the daemon, hold it up, or
//! tell them what is not theirs.

mod access;
#[path = "../../it/contract/api.rs"]
#[allow(dead_code, reason = "the other test binary uses the rest")]
mod api;
mod bombs;
mod injection;
mod limits;
mod names;
mod paths;
mod raw;
mod secrets;
mod slow;
mod wire;

use sha2::{Digest, Sha256};

use crate::support::server::TestServer;

/// The block of a token whose text is `tw_NAME`, for the configuration.
fn token(name: &str, scope: &str) -> String {
    let hash = hex(&Sha256::digest(format!("tw_{name}")));
    format!("[[tokens]]\nname = \"{name}\"\nsha256 = \"{hash}\"\nscopes = [\"{scope}\"]\n")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What must hold of a daemon after whatever was done to it.
async fn assert_well(server: &TestServer) {
    let alive = server.client().get(server.url("/livez")).send().await.expect("an answer");
    assert_eq!(alive.status(), 200);
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
    server.fsck();
}

/// How many files the daemon has open.
fn open_files(server: &TestServer) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid().as_raw_nonzero())).expect("its descriptors").count()
}

/// The most memory that the daemon has had, in MiB.
fn peak_memory(server: &TestServer) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_nonzero())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

/// How much of the cores the daemon has used.
fn spent(server: &TestServer) -> std::time::Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid().as_raw_nonzero())).expect("its times");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = [11, 12].map(|field: usize| fields[field].parse::<u64>().unwrap()).iter().sum();
    std::time::Duration::from_millis(ticks * 10)
}

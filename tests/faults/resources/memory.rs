//! 256 MiB for the daemon and all it starts, whatever its tasks print or take.

use serde_json::json;

use crate::{
    cgroups::Cgroup,
    lane,
    support::server::{Surroundings, TestServer},
    usage::peak_memory,
};

fn small() -> Cgroup {
    Cgroup::new("memory", &[("memory.limit_in_bytes", "memory.max", "268435456")])
}

#[tokio::test]
async fn a_flood_of_output_is_cut_at_its_limit_and_takes_no_memory() {
    if !lane::is_privileged() {
        return;
    }
    let flood = flood("1MiB", lane::count(300, 10_000)).await;
    assert!(flood.first > 1, "nothing was cut");
    assert!(flood.last > 1_000_000, "it ends with line {}", flood.last);
    assert!(flood.kept <= 1 << 20, "{} bytes are kept", flood.kept);
    assert!(flood.peak < 128 << 20, "{} MiB", flood.peak >> 20);
}

/// The control: a log that is not cut at 1 MiB is noticed.
#[tokio::test]
async fn control_a_log_that_is_kept_is_noticed() {
    if lane::is_privileged() {
        let flood = flood("64MiB", 20).await;
        assert!(flood.first == 1 && flood.kept > 1 << 20, "{} bytes from line {}", flood.kept, flood.first);
    }
}

/// What was kept of a log, and what that took.
struct Flood {
    /// The number of the first line that is left.
    first: u64,
    /// The number of the last line.
    last: u64,
    /// Bytes of the whole log.
    kept: usize,
    /// The most memory that the daemon had, in bytes.
    peak: u64,
}

/// Floods a log of which so much is kept, in 256 MiB.
async fn flood(kept: &str, megabytes: u32) -> Flood {
    let group = small();
    let config = format!(
        "[limits]\nlog = \"{kept}\"\n[[tasks]]\nname = \"flood\"\n\
         command = [\"sh\", \"-c\", \"yes 'a line that nobody will ever read to its end' | head -c {megabytes}M\"]\n"
    );
    let surroundings = Surroundings { through: group.through(), ..Surroundings::default() };
    let mut server = TestServer::within(&config, &[], surroundings).await;
    server.start_task("flood", json!({})).await;
    // Ten gigabytes take longer than anything else that tests wait for: a minute, and several beside other tests.
    let mut done = json!(null);
    for _ in 0..10 {
        done = server.get_json("/v1/instances/1?wait=60").await;
        if done["status"] != "running" {
            break;
        }
    }
    assert_eq!(done["status"], "completed", "{done}");
    let (first, last, kept) = kept_of_the_log(&server).await;
    let peak = peak_memory(server.pid());
    println!("{megabytes} MB of output: {} MiB at most", peak >> 20);
    assert!(server.stop().await.success());
    server.fsck();
    Flood { first, last, kept, peak }
}

/// The numbers of the first line that is left of the first instance's log and of the last, and how many bytes of text are
/// left.
async fn kept_of_the_log(server: &TestServer) -> (u64, u64, usize) {
    let (mut first, mut kept, mut from) = (None, 0, 1);
    loop {
        let page = server.get_json(&format!("/v1/instances/1/logs?from={from}&limit=10000")).await;
        let lines = page["lines"].as_array().unwrap();
        for line in lines {
            let seq = line["seq"].as_u64().unwrap();
            first.get_or_insert(seq);
            kept += line["text"].as_str().unwrap().len();
            from = seq + 1;
        }
        if lines.len() < 10_000 {
            return (first.expect("a line"), from - 1, kept);
        }
    }
}

#[tokio::test]
async fn a_task_that_takes_all_memory_dies_and_the_daemon_lives() {
    if !lane::is_privileged() {
        return;
    }
    let group = small();
    let config = "[[tasks]]\nname = \"glutton\"\nmax_attempts = 2\nretry_delay = \"100ms\"\n\
        command = [\"python3\", \"-c\", \"x = bytearray(1 << 30); print(len(x))\"]\n";
    let surroundings = Surroundings { through: group.through(), ..Surroundings::default() };
    let mut server = TestServer::within(config, &[], surroundings).await;
    let pid = server.pid();
    server.start_task("glutton", json!({})).await;
    let done = server.wait_done(1).await;
    assert_eq!((&done["status"], &done["error"]["signal"]), (&json!("failed"), &json!(9)), "{done}");
    assert_eq!(server.pid(), pid);
    server.start_task("sleep", json!({"seconds": 0})).await;
    assert_eq!(server.wait_done(2).await["status"], "completed");
    assert!(server.stop().await.success());
    server.fsck();
}

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
    let (group, megabytes) = (small(), lane::count(300, 10_000));
    let config = format!(
        "[limits]\nlog = \"1MiB\"\n[[tasks]]\nname = \"flood\"\n\
         command = [\"sh\", \"-c\", \"yes 'a line that nobody will ever read to its end' | head -c {megabytes}M\"]\n"
    );
    let surroundings = Surroundings { through: group.through(), ..Surroundings::default() };
    let mut server = TestServer::within(&config, &[], surroundings).await;
    server.start_task("flood", json!({})).await;
    // Ten gigabytes take longer than anything else that tests wait for.
    let mut done = json!(null);
    for _ in 0..3 {
        done = server.get_json("/v1/instances/1?wait=60").await;
    }
    assert_eq!(done["status"], "completed", "{done}");
    let log = server.get_json("/v1/instances/1/logs?limit=10000").await;
    let first = log["lines"].as_array().unwrap().iter().filter_map(|line| line["seq"].as_u64()).min().unwrap();
    assert!(first > 1_000_000, "it begins with line {first}");
    let text = server.client().get(server.url("/v1/instances/1/logs"));
    let text = text.header("accept", "text/plain").send().await.unwrap().text().await.unwrap();
    assert!(text.len() <= 1 << 20, "{} bytes are kept", text.len());
    let peak = peak_memory(server.pid());
    println!("{megabytes} MB of output: {} MiB at most", peak >> 20);
    assert!(peak < 128 << 20, "{} MiB", peak >> 20);
    assert!(server.stop().await.success());
    server.fsck();
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

//! A task that forks without end, in a group that allows only so many processes.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{
    cgroups::Cgroup,
    lane,
    support::{
        server::{Surroundings, TestServer},
        wait_for, wait_within,
    },
};

const CONFIG: &str = "[[tasks]]\nname = \"bomb\"\ntimeout = \"3s\"\n\
    command = [\"bash\", \"-c\", \"bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done\"]\n\
    [[tasks]]\nname = \"true\"\ncommand = [\"true\"]\n";

/// The control: what is left of a bomb of which only the first process is killed is noticed.
#[tokio::test]
async fn control_what_a_fork_bomb_leaves_is_noticed() {
    if !lane::is_privileged() {
        return;
    }
    let group = Cgroup::new("pids", &[("pids.max", "pids.max", "150")]);
    let surroundings = Surroundings { through: group.through(), ..Surroundings::default() };
    let server = TestServer::within(CONFIG, &[("TASKWRIGHT_CONTROL", "kill-leader-only")], surroundings).await;
    let before = group.processes().len();
    let bomb = server.start_task("bomb", json!({})).await;
    server.wait_done(&bomb["number"]).await;
    let gone = wait_within(Duration::from_secs(2), async || (group.processes().len() <= before).then_some(())).await;
    assert_eq!(gone, None, "nothing was left");
    // What it left goes on forking: it ends with its group, and the daemon with it.
    drop(group);
}

#[tokio::test]
async fn a_fork_bomb_fails_its_attempt_and_leaves_nothing() {
    if !lane::is_privileged() {
        return;
    }
    let group = Cgroup::new("pids", &[("pids.max", "pids.max", "150")]);
    let surroundings = Surroundings { through: group.through(), ..Surroundings::default() };
    let mut server = TestServer::within(CONFIG, &[], surroundings).await;
    server.start_task("true", json!({})).await;
    server.wait_done(1).await;
    let before = group.processes().len();
    for round in 0..lane::count(2, 10) {
        let bomb = server.start_task("bomb", json!({})).await;
        server.wait_running(&bomb["number"]).await;
        wait_for("the group to be full", async || (group.processes().len() > 80).then_some(())).await;
        // The daemon is in the same group: it cannot have another thread or process either.
        let began = Instant::now();
        let handler = server.start_task("sleep", json!({"seconds": 0})).await;
        assert_eq!(server.wait_done(&handler["number"]).await["status"], "completed");
        let command = server.start_task("true", json!({})).await;
        server.get_json("/v1/instances?limit=5").await;
        server.get_json(&format!("/v1/instances/{}/logs", bomb["number"])).await;
        println!("round {round}: {} processes, requests took {:?}", group.processes().len(), began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        let done = server.wait_done(&bomb["number"]).await;
        assert_eq!(done["status"], "failed", "{done}");
        let command = server.wait_done(&command["number"]).await;
        assert!(command["status"] == "completed" || command["error"]["kind"] == "spawn", "{command}");
        wait_for("all of it to be gone", async || (group.processes().len() <= before).then_some(())).await;
    }
    let after = server.start_task("true", json!({})).await;
    assert_eq!(server.wait_done(&after["number"]).await["status"], "completed");
    assert!(!server.stderr().contains("panicked"), "{}", server.stderr());
    assert!(server.stop().await.success());
    server.fsck();
}

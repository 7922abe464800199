//! Nothing piles up, and what an earlier daemon left is found.

use taskwright::process::{Exit, kill_leftovers};

use super::{Shop, children, end, living, new_tag, open_fds, wait_for};

#[tokio::test]
async fn three_hundred_runs_leave_no_zombie_and_no_descriptor() {
    let shop = Shop::open().await;
    let spawner = shop.spawner.pid();
    let us = std::process::id() as i32;
    assert_eq!(shop.exit(&["true"]).await, Exit::Code(0));
    wait_for("the first is reaped", || children(spawner).is_empty()).await;
    let before = (open_fds(us), open_fds(spawner));
    for round in 0..30 {
        let mut running = Vec::new();
        for n in 0..10 {
            let script = if n == 0 { "sleep 1000 & exit 1" } else { "exit 1" };
            let (spawner, command) = (shop.spawner.clone(), shop.command(&["sh", "-c", script]));
            running.push(tokio::spawn(async move { end(spawner.spawn(command).await.expect("starts")).await.0 }));
        }
        for run in running {
            assert_eq!(run.await.expect("no panic"), Exit::Code(1), "round {round}");
        }
    }
    wait_for("no child is left", || children(spawner).is_empty()).await;
    wait_for("no descriptor is left", || (open_fds(us), open_fds(spawner)) == before).await;
    assert_eq!(shop.living(), [0_i32; 0]);
}

#[tokio::test]
async fn leftovers_are_found_by_their_mark_and_killed() {
    let tag = new_tag();
    let strangers = new_tag();
    for mark in [&tag, &strangers] {
        let status = std::process::Command::new("sh")
            .args(["-c", "for i in 1 2 3; do setsid sleep 1000 >/dev/null 2>&1 & done"])
            .env("TASKWRIGHT_STORE", mark)
            .status();
        assert!(status.expect("sh is there").success());
        wait_for("they live", || living(mark).len() == 3).await;
    }
    assert_eq!(kill_leftovers(&tag).expect("killed"), 3);
    assert_eq!((living(&tag).len(), living(&strangers).len()), (0, 3));
    assert_eq!(kill_leftovers(&tag).expect("nothing to do"), 0);
    // A mark that only begins alike is another's.
    assert_eq!(kill_leftovers(&strangers[..strangers.len() - 1]).expect("nothing to do"), 0);
    assert_eq!(kill_leftovers(&strangers).expect("killed"), 3);
}

//! Daemon, spawner and supervisor die, in every order.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use taskwright::process::{Exit, SpawnError, Spawner};

use super::{Shop, children, end, living, new_tag, parent, signal, stat, wait_for, within};

/// The daemon that `a_killed_daemon_leaves_nothing` kills: that test runs this one in a process of its own.
#[tokio::test]
#[ignore = "a part of another test"]
async fn host() {
    let Ok(tag) = std::env::var("HOST_TAG") else {
        return;
    };
    let shop = Shop { tag, ..Shop::open().await };
    let script = "trap '' TERM; setsid sh -c 'sleep 1000 & sleep 1000' & (sleep 1000 &) ; echo ready; sleep 1000";
    let _first = shop.ready(script).await;
    let _second = shop.ready(script).await;
    eprintln!("spawner {}", shop.spawner.pid());
    std::future::pending::<()>().await;
}

/// Killed at the latest when the test ends.
struct Host(Child);

impl Drop for Host {
    fn drop(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("reaped");
    }
}

#[tokio::test]
async fn a_killed_daemon_leaves_nothing() {
    let tag = new_tag();
    let mut host = std::process::Command::new(std::env::current_exe().expect("this binary"));
    host.args(["--exact", "process::deaths::host", "--ignored", "--nocapture"])
        .env("HOST_TAG", &tag)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut host = Host(host.spawn().expect("it starts"));
    let lines = BufReader::new(host.0.stderr.take().expect("piped")).lines();
    let spawner: i32 = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("spawner ")?.parse().ok())
        .expect("the host speaks");
    let supervisors = children(spawner);
    assert_eq!(supervisors.len(), 2);
    wait_for("both families live", || living(&tag).len() >= 10).await;

    let killed = Instant::now();
    drop(host);
    wait_for("all are gone", || {
        living(&tag).is_empty()
            && supervisors.iter().chain([&spawner]).all(|pid| stat(*pid, 0).is_none_or(|state| state == "Z"))
    })
    .await;
    assert!(killed.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_killed_spawner_loses_its_commands_and_is_replaced() {
    let shop = Shop::open().await;
    let mut first = shop.ready("setsid sleep 1000 & echo ready; sleep 1000").await;
    let mut second = shop.ready("echo ready; sleep 1000").await;
    let spawner = shop.spawner.pid();
    signal(spawner, "KILL");
    assert_eq!(within(first.wait()).await, Exit::Lost);
    assert_eq!(within(second.wait()).await, Exit::Lost);
    assert_eq!(shop.living(), [0_i32; 0]);

    assert_eq!(shop.exit(&["sh", "-c", "exit 4"]).await, Exit::Code(4));
    assert_ne!(shop.spawner.pid(), spawner);
    assert_eq!(stat(spawner, 0), None, "the dead one is reaped");
}

#[tokio::test]
async fn a_killed_supervisor_leaves_nothing_and_disturbs_nobody() {
    let shop = Shop::open().await;
    let other = shop.ready("echo ready; kill -STOP $$").await;
    wait_for("it stands still", || stat(other.pid(), 0).as_deref() == Some("T")).await;
    let others = shop.living();
    assert_eq!(others, [other.pid()]);
    for script in [
        "setsid sleep 1000 & echo ready; sleep 1000",
        "setsid sh -c 'sleep 1000 & sleep 1000' & echo ready; kill -9 $PPID; sleep 1000",
        "setsid sleep 1000 & echo ready; kill -STOP $PPID; sleep 1000",
    ] {
        let mut process = shop.ready(script).await;
        if !script.contains("PPID") {
            signal(parent(process.pid()), "KILL");
        }
        assert_eq!(within(process.wait()).await, Exit::Lost);
        assert_eq!(shop.living(), others, "{script}");
    }
    other.kill();
    assert_eq!((end(other).await.0, shop.living()), (Exit::Signal(9), vec![]));
}

#[tokio::test]
async fn supervisor_and_spawner_killed_at_once_leave_nothing() {
    let shop = Shop::open().await;
    let mut process = shop.ready("sleep 1000 & echo ready; sleep 1000").await;
    let supervisor = parent(process.pid());
    // Standing still, the supervisor cannot notice the spawner's end.
    signal(shop.spawner.pid(), "STOP");
    signal(supervisor, "KILL");
    signal(shop.spawner.pid(), "KILL");
    assert_eq!(within(process.wait()).await, Exit::Lost);
    assert_eq!(shop.living(), [0_i32; 0]);
}

/// Stops the spawner and its supervisor.
const STOP_BOTH: &str = "read -r stat </proc/$PPID/stat; set -- $stat; kill -STOP $4 $PPID";

#[tokio::test]
async fn a_program_that_stops_its_supervisor_and_the_spawner_at_once_does_not_get_away() {
    let shop = Shop::open().await;
    let mut process = shop.start(&["sh", "-c", &format!("{STOP_BOTH}; sleep 600 & exec sleep 600")]).await;
    assert_eq!(
        within(process.wait()).await,
        Exit::Lost,
        "nobody said that it began, and it is not said that it did not"
    );
    assert_eq!(shop.living(), [0_i32; 0]);
    assert_eq!(shop.exit(&["sh", "-c", "exit 4"]).await, Exit::Code(4));
}

#[tokio::test]
async fn a_program_that_stops_its_supervisor_and_the_spawner_can_be_killed() {
    let shop = Shop::open().await;
    let mut process = shop.ready(&format!("sleep 600 & sleep 0.1; {STOP_BOTH}; echo ready; sleep 600")).await;
    assert_ne!(process.pid(), 0, "it had begun before");
    process.kill();
    assert_eq!(within(process.wait()).await, Exit::Lost);
    assert_eq!(shop.living(), [0_i32; 0]);
}

#[tokio::test]
async fn shutdown_ends_everything_and_refuses_more() {
    let shop = Shop::open().await;
    let process = shop.ready("setsid sleep 1000 & echo ready; sleep 1000").await;
    let spawner = shop.spawner.pid();
    drop(process);
    within(shop.spawner.shutdown()).await;
    assert_eq!((shop.living(), stat(spawner, 0)), (vec![], None));
    let refused = shop.spawner.spawn(shop.command(&["true"])).await;
    assert!(matches!(refused, Err(SpawnError::Spawner { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_binary_that_is_no_spawner_is_refused() {
    for other in ["/bin/true", "/no/such/binary"] {
        assert!(Spawner::start(Path::new(other)).await.is_err(), "{other}");
    }
}

#[tokio::test]
async fn a_stopped_spawner_is_replaced() {
    let shop = Shop::open().await;
    let stopped = shop.spawner.pid();
    signal(stopped, "STOP");
    assert_eq!(shop.exit(&["sh", "-c", "exit 4"]).await, Exit::Code(4));
    assert_ne!(shop.spawner.pid(), stopped);
    assert_eq!(stat(stopped, 0), None);
}

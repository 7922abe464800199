//! R12: a program ends while it is killed.

use std::{fs, path::Path, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use taskwright::process::{Command, Exit, Process, Spawner};
use tokio::time::timeout;

use super::{dither, fails_under};
use crate::{
    lane,
    random::Random,
    support::{
        server::{BINARY, processes_with},
        wait_for,
    },
};

const PATIENCE: Duration = Duration::from_secs(10);

/// A spawner, and what it starts marked. Dropped, whatever is left of that is killed.
struct Shop {
    spawner: Spawner,
    mark: String,
}

impl Shop {
    async fn open() -> Shop {
        let spawner = Spawner::start(Path::new(BINARY)).await.expect("the spawner starts");
        Shop { spawner, mark: format!("race-{}", uuid::Uuid::now_v7()) }
    }

    async fn start(&self, line: &str) -> Process {
        let command = Command {
            argv: ["sh", "-c", line].map(Into::into).into(),
            env: vec![
                ("PATH".into(), std::env::var_os("PATH").expect("tests have a PATH")),
                ("TASKWRIGHT_STORE".into(), self.mark.clone().into()),
            ],
            directory: "/tmp".into(),
        };
        self.spawner.spawn(command).await.expect("the program starts")
    }

    fn living(&self) -> Vec<i32> {
        let zombie = |pid: &i32| {
            fs::read_to_string(format!("/proc/{pid}/stat"))
                .is_ok_and(|line| line.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
        };
        processes_with(&format!("TASKWRIGHT_STORE={}", self.mark)).into_iter().filter(|pid| !zombie(pid)).collect()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        for pid in self.living() {
            let _ = kill_process(Pid::from_raw(pid).expect("a process"), Signal::KILL);
        }
    }
}

async fn exits_and_kills(times: u32) -> Result<(), String> {
    let shop = Shop::open().await;
    let mut random = Random::new(lane::seed("exits_and_kills"));
    // Whom nobody kills.
    let bystander = shop.start("exec sleep 600").await;
    let mut ends = [0, 0];
    for turn in 0..times {
        // One in four leaves somebody behind, who must not outlive it. One that ends within the moment that a start waits for
        // could not be killed.
        let line = if turn % 4 == 0 { "setsid sleep 600 & sleep 0.01; exit 7" } else { "sleep 0.01; exit 7" };
        let mut process = shop.start(line).await;
        dither(random.next(), Duration::from_millis(10)).await;
        match turn % 3 {
            0 => process.kill(),
            1 => process.terminate(),
            _ => {
                process.terminate();
                process.kill();
            }
        }
        let exit = timeout(PATIENCE, process.wait()).await.map_err(|_| format!("turn {turn}: it does not end"))?;
        match exit {
            Exit::Code(7) => ends[0] += 1,
            Exit::Signal(9 | 15) => ends[1] += 1,
            other => return Err(format!("turn {turn}: {other:?}")),
        }
        if turn % 16 == 0 || turn + 1 == times {
            let living = shop.living();
            if living != [bystander.pid()] {
                return Err(format!("turn {turn}: {living:?} live, beside the bystander {}", bystander.pid()));
            }
        }
    }
    println!("{} exited, {} were killed", ends[0], ends[1]);
    assert!(times < 100 || ends.iter().all(|count| *count > 0), "it was no race: {ends:?}");
    bystander.kill();
    drop(bystander);
    wait_for("the end of all", async || shop.living().is_empty().then_some(())).await;
    shop.spawner.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn r12_an_exit_and_a_kill() {
    exits_and_kills(lane::count(300, 10_000)).await.unwrap();
}

/// What the control runs.
#[tokio::test]
#[ignore = "run by control_r12_a_kill_of_the_leader_alone_is_found"]
async fn exits_and_kills_under_a_control() {
    exits_and_kills(33).await.unwrap();
}

#[test]
fn control_r12_a_kill_of_the_leader_alone_is_found() {
    let (failed, printed) = fails_under("kill-leader-only", "races::kills::exits_and_kills_under_a_control");
    assert!(failed && printed.contains("live, beside the bystander"), "{printed}");
}

//! Handlers that block their threads, in every slot: all else is as fast as before.

use std::{
    num::NonZeroU32,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use serde_json::json;
use taskwright::{Server, ServerHandle, TaskController, domain::Status};
use tokio::runtime::Runtime;

use super::probe::Probe;
use crate::{lane, support::wait_for};

/// How many handlers run at once, and all of them block.
const SLOTS: u32 = 64;

/// What blocked threads wait at.
#[derive(Default, Clone)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn wait(&self) {
        let (open, opened) = &*self.0;
        drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

/// A server with a runtime of its own, as the daemon has it: one thread on a machine with two cores. Dropped, it lets
/// go whoever waits at the gate.
struct Place {
    runtime: Option<Runtime>,
    tasks: ServerHandle,
    gate: Gate,
}

impl Place {
    async fn new() -> Place {
        let gate = Gate::default();
        let (asleep, threaded) = (gate.clone(), gate.clone());
        let server = Server::temporary()
            .listen("127.0.0.1:0".parse().unwrap())
            .local_slots(NonZeroU32::new(SLOTS).unwrap())
            .stop_grace(Duration::from_millis(200))
            .register_fn("blocks", move |_: (), _: TaskController| {
                let gate = asleep.clone();
                async move {
                    gate.wait();
                    Ok(())
                }
            })
            .register_fn("blocks a thread of its own", move |_: (), task: TaskController| {
                let gate = threaded.clone();
                async move {
                    task.blocking(move |_| gate.wait()).await;
                    Ok(())
                }
            })
            .register_fn("waits", |_: (), task: TaskController| async move {
                task.stopped().await;
                Ok(())
            });
        let start = || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let tasks = runtime.block_on(server.start()).unwrap();
            (runtime, tasks)
        };
        let (runtime, tasks) = std::thread::scope(|scope| scope.spawn(start).join().unwrap());
        Place { runtime: Some(runtime), tasks, gate }
    }

    fn probe(&self) -> Probe {
        Probe { task: "waits", inputs: json!({}), ..Probe::new(&self.tasks.url().unwrap()) }
    }

    async fn running(&self, task: &str) -> usize {
        let all = self.tasks.list_task_instances(task).await.unwrap();
        let mut running = 0;
        for one in all {
            running += usize::from(one.get_status().await.unwrap() == Status::Running);
        }
        running
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.open();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[tokio::test]
async fn handlers_that_block_every_slot_hold_up_nothing_else() {
    let place = Place::new().await;
    let time = Duration::from_secs(lane::count(5, 60).into());
    let before = place.probe().ask_calm(Duration::from_secs(5)).await;
    for one in place.tasks.list_task_instances("waits").await.unwrap() {
        // Those that the probe did not come to stop.
        _ = one.stop().await;
    }
    let mut blocking = Vec::new();
    for n in 0..SLOTS {
        // The last ones, so that all have begun: those before them block the threads on which handlers begin.
        let task = if n < SLOTS - 16 { "blocks a thread of its own" } else { "blocks" };
        blocking.push(place.tasks.run_task(task, json!({})).await.unwrap());
    }
    wait_for("every slot to be taken", async || {
        let running = place.running("blocks").await + place.running("blocks a thread of its own").await;
        (running == SLOTS as usize).then_some(())
    })
    .await;
    let during = place.probe().ask_for(time).await;
    println!("before: {}\nfor {time:?} beside {SLOTS} that block: {}", before.figures(), during.figures());
    let faults = during.slower(&before);
    assert!(faults.is_empty(), "{faults:#?}");

    // They end when they are stopped, though their threads do not.
    let began = Instant::now();
    for one in &blocking {
        one.stop().await.unwrap();
    }
    for one in &blocking {
        _ = one.wait_for_completion().await;
        assert_eq!(one.get_status().await.unwrap(), Status::Cancelled);
    }
    println!("all were stopped after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    place.gate.open();
    let after = place.tasks.run_task("waits", json!({})).await.unwrap();
    wait_for("a slot", async || (after.get_status().await.unwrap() == Status::Running).then_some(())).await;
    place.tasks.shutdown().await.unwrap();
}

/// Negative control: handlers on the threads of HTTP, which block now and then, are noticed.
#[tokio::test]
async fn control_handlers_on_the_threads_of_http_are_noticed() {
    let place = Place::new().await;
    let before = place.probe().ask_calm(Duration::from_secs(2)).await;
    let runtime = place.runtime.as_ref().unwrap().handle().clone();
    let blocking = runtime.spawn(async {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let during = place.probe().ask_for(Duration::from_secs(4)).await;
    blocking.abort();
    println!("beside one that blocks: {}", during.figures());
    assert!(!during.slower(&before).is_empty());
}

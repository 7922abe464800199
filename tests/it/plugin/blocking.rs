//! Work that blocks its thread, through the controller's door.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::json;
use taskwright::{
    TaskController, TaskError,
    domain::{ErrorKind, Status},
    testing,
};

use crate::support::wait_for;

#[tokio::test]
async fn blocking_work_reports_and_answers() {
    async fn handler(_: (), task: TaskController) -> Result<usize, TaskError> {
        let thread = std::thread::current().id();
        task.blocking(move |task| {
            assert_ne!(std::thread::current().id(), thread);
            task.set_progress(0.5)?;
            task.log("from the thread");
            Ok(41 + 1)
        })
        .await
    }
    let run = testing::run_fn(handler).await;
    assert_eq!((run.status(), run.result()), (Status::Completed, json!(42)));
    assert_eq!((run.progress(), run.logs()), (vec![0.5], &["from the thread".to_owned()][..]));
}

#[tokio::test]
async fn a_panic_on_the_thread_is_a_panic_of_the_handler_with_its_place() {
    async fn handler(_: (), task: TaskController) -> Result<(), TaskError> {
        task.blocking(|_| panic!("out of {}", "luck")).await
    }
    let run = testing::run_fn(handler).await;
    let error = run.error().expect("it failed");
    assert_eq!(error.message, "out of luck");
    let ErrorKind::Panic { location: Some(location) } = &error.kind else { panic!("{error:?}") };
    assert!(location.contains("blocking.rs:"), "{location}");
}

#[tokio::test]
async fn the_number_of_threads_is_bounded() {
    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    async fn handler(_: (), task: TaskController) -> Result<usize, TaskError> {
        let works = (0..20).map(|_| {
            task.blocking(|_| {
                MOST.fetch_max(NOW.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(2));
                NOW.fetch_sub(1, Ordering::SeqCst);
                1
            })
        });
        Ok(join_all(works).await.into_iter().sum())
    }
    let run = testing::run_fn(handler).await;
    assert_eq!(run.result(), json!(20));
    assert!(MOST.load(Ordering::SeqCst) <= 2, "{MOST:?} at once");
}

/// A closure cannot be killed: it runs on, learns that it is over, and keeps its place until it has returned.
#[tokio::test]
async fn work_whose_handler_was_dropped_goes_on_and_keeps_its_place_until_it_returns() {
    let (leave, left) = mpsc::channel::<()>();
    let left = Arc::new(Mutex::new(left));
    let over = Arc::new(AtomicUsize::new(0));
    let witness = Arc::clone(&over);
    let run = testing::run_fn(move |_: (), task: TaskController| {
        let (left, over) = (Arc::clone(&left), Arc::clone(&over));
        async move {
            let first = task.blocking({
                let over = Arc::clone(&over);
                move |task| {
                    task.request_stop();
                    let _ = left.lock().unwrap().recv();
                    over.fetch_add(
                        usize::from(task.should_stop() && task.set_progress(0.5).is_err()),
                        Ordering::SeqCst,
                    );
                }
            });
            first.await;
            Ok(())
        }
    })
    .grace(Duration::ZERO)
    .await;
    assert_eq!(run.status(), Status::Cancelled);
    assert_eq!(witness.load(Ordering::SeqCst), 0, "the closure still runs");
    leave.send(()).expect("it still runs");
    wait_for("the end of the closure", async || (witness.load(Ordering::SeqCst) == 1).then_some(())).await;
}

//! How a program ends, and what signals do to it.

use std::time::Duration;

use taskwright::process::Exit;
use tokio::io::AsyncReadExt as _;

use super::{Shop, end, stat, wait_for, within};

#[tokio::test]
async fn exit_codes_come_through() {
    let shop = Shop::open().await;
    for code in [0, 1, 2, 3, 42, 64, 126, 127, 128, 130, 137, 143, 200, 254, 255] {
        let script = format!("exit {code}");
        assert_eq!(shop.exit(&["sh", "-c", &script]).await, Exit::Code(code));
    }
}

#[tokio::test]
async fn signals_come_through() {
    let shop = Shop::open().await;
    for number in [1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15, 24, 31] {
        let script = format!("ulimit -c 0; kill -{number} $$");
        assert_eq!(shop.exit(&["sh", "-c", &script]).await, Exit::Signal(number));
    }
}

#[tokio::test]
async fn both_streams_arrive_and_stdin_is_empty() {
    let shop = Shop::open().await;
    let process = shop.start(&["sh", "-c", "echo out; echo err >&2; cat"]).await;
    let expected = (Exit::Code(0), "out\n".to_owned(), "err\n".to_owned());
    assert_eq!(end(process).await, expected);
}

#[tokio::test]
async fn the_end_can_be_asked_for_again_and_waiting_can_be_given_up() {
    let shop = Shop::open().await;
    let mut process = shop.ready("echo ready; sleep 1000").await;
    for _ in 0..3 {
        let early = tokio::time::timeout(Duration::from_millis(5), process.wait()).await;
        assert!(early.is_err());
    }
    process.terminate();
    assert_eq!(within(process.wait()).await, Exit::Signal(15));
    process.terminate();
    process.kill();
    assert_eq!(within(process.wait()).await, Exit::Signal(15));
}

#[tokio::test]
async fn terminate_reaches_the_whole_process_group() {
    let shop = Shop::open().await;
    let process = shop.ready("(trap 'echo inner; exit' TERM; echo ready; sleep 1000 & wait) & wait").await;
    process.terminate();
    let (exit, stdout, _) = end(process).await;
    assert_eq!((exit, shop.living()), (Exit::Signal(15), vec![]));
    // The leader's end kills the rest, so the inner one may or may not have come to its word.
    assert!(stdout.is_empty() || stdout == "inner\n");
}

#[tokio::test]
async fn a_program_that_ignores_terminate_is_killed() {
    let shop = Shop::open().await;
    let mut process = shop.ready("trap 'echo caught' TERM; echo ready; while :; do sleep 0.02; done").await;
    process.terminate();
    let mut word = [0; 7];
    let stdout = process.stdout.as_mut().expect("there");
    within(stdout.read_exact(&mut word)).await.expect("it speaks");
    assert_eq!(&word, b"caught\n");
    assert!(!shop.living().is_empty());
    process.kill();
    assert_eq!((end(process).await.0, shop.living()), (Exit::Signal(9), vec![]));
}

#[tokio::test]
async fn a_program_that_caught_terminate_exits_as_it_likes() {
    let shop = Shop::open().await;
    let process = shop.ready("trap 'exit 7' TERM; echo ready; sleep 1000 & wait").await;
    process.terminate();
    assert_eq!((end(process).await.0, shop.living()), (Exit::Code(7), vec![]));
}

#[tokio::test]
async fn terminate_also_ends_a_program_that_stands_still() {
    let shop = Shop::open().await;
    let process = shop.ready("trap 'exit 7' TERM; echo ready; kill -STOP $$; sleep 1000").await;
    wait_for("it stands still", || stat(process.pid(), 0).as_deref() == Some("T")).await;
    process.terminate();
    assert_eq!((end(process).await.0, shop.living()), (Exit::Code(7), vec![]));
}

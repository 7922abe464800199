//! Logs.

use taskwright::{
    domain::{LogChunk, LogLine, LogQuery, LogWindow, Stream},
    store::LogExtent,
};

use super::scene::*;

async fn read(scene: &Scene, query: LogQuery) -> Vec<LogLine> {
    scene.store.logs(&query).await.expect("it reads")
}

async fn seqs(scene: &Scene, query: LogQuery) -> Vec<u64> {
    read(scene, query).await.iter().map(|line| line.seq).collect()
}

fn from(instance: u64, seq: u64, limit: usize) -> LogQuery {
    LogQuery { instance, window: LogWindow::From(seq), limit, ..LogQuery::default() }
}

fn tail(instance: u64, limit: usize) -> LogQuery {
    LogQuery { instance, window: LogWindow::Tail, limit, ..LogQuery::default() }
}

/// Thirty lines of one instance, in chunks of three, beside those of another.
async fn thirty_lines(scene: &Scene) -> u64 {
    let number = scene.running(new("a")).await;
    let other = scene.running(new("a")).await;
    for chunk_of in 0..10 {
        let first = chunk_of * 3 + 1;
        scene
            .commit(|batch| {
                batch.logs = vec![
                    chunk(other, first, Stream::Stderr, &["other", "other", "other"]),
                    chunk(number, first, Stream::Stdout, &["one", "two", "three"]),
                ];
            })
            .await;
    }
    number
}

pub async fn lines_come_back_in_order(scene: &Scene) {
    let number = scene.running(retried("a")).await;
    let now = scene.now();
    scene.commit(|batch| batch.finishes.push(finish_as(number, 1, again(now, error("no", 1))))).await;
    assert_eq!(scene.claim("a", 1).await, [number]);
    let version = scene.get(number).await.version;
    let mut first = chunk(number, 1, Stream::Stdout, &["plain", "", "\"quoted\" \\ é \u{1F980} \u{1}", "\u{FFFD}"]);
    first.lines[1].stream = Stream::Stderr;
    first.lines[2].stream = Stream::Task;
    first.lines[3].stream = Stream::System;
    first.lines[3].attempt = 2;
    let long = "x".repeat(16 * 1024);
    let second = chunk(number, 5, Stream::Stdout, &[&long]);
    let all: Vec<LogLine> = first.lines.iter().chain(&second.lines).cloned().collect();
    scene.commit(|batch| batch.logs = vec![first, second]).await;
    assert_eq!(read(scene, from(number, 1, 100)).await, all);
    let bytes = all.iter().map(|line| line.text.len() as u64).sum();
    let extent = scene.store.log_extent(number).await.expect("it reads");
    assert_eq!(extent, LogExtent { last: 5, first: 1, bytes, dropped: 0 });
    assert_eq!(scene.get(number).await.version, version, "a line is no change of the instance");
}

pub async fn a_window_begins_anywhere(scene: &Scene) {
    let number = thirty_lines(scene).await;
    assert_eq!(seqs(scene, from(number, 1, 100)).await, (1..=30).collect::<Vec<_>>());
    assert_eq!(seqs(scene, from(number, 0, 2)).await, [1, 2]);
    assert_eq!(seqs(scene, from(number, 5, 4)).await, [5, 6, 7, 8]);
    assert_eq!(seqs(scene, from(number, 30, 4)).await, [30]);
    assert_eq!(seqs(scene, from(number, 31, 4)).await, [0; 0]);
    assert_eq!(seqs(scene, from(number, u64::MAX, 4)).await, [0; 0]);
}

pub async fn the_tail_reads_backwards(scene: &Scene) {
    let number = thirty_lines(scene).await;
    assert_eq!(seqs(scene, tail(number, 4)).await, [27, 28, 29, 30]);
    assert_eq!(seqs(scene, tail(number, 100)).await, (1..=30).collect::<Vec<_>>());
}

pub async fn lines_are_filtered(scene: &Scene) {
    let number = thirty_lines(scene).await;
    scene.commit(|batch| batch.logs.push(chunk(number, 31, Stream::Stderr, &["Two", "a%o", "a_o"]))).await;
    let grep = |text: &str, query| LogQuery { grep: Some(text.into()), ..query };
    assert_eq!(seqs(scene, grep("two", tail(number, 2))).await, [26, 29]);
    assert_eq!(seqs(scene, grep("two", from(number, 6, 2))).await, [8, 11]);
    assert_eq!(seqs(scene, grep("a%o", from(number, 1, 9))).await, [32], "it is a literal text");
    assert_eq!(seqs(scene, grep("wo", from(number, 27, 9))).await, [29, 31]);
    let of = |stream, query| LogQuery { stream: Some(stream), ..query };
    assert_eq!(seqs(scene, of(Stream::Stderr, from(number, 1, 9))).await, [31, 32, 33]);
    assert_eq!(seqs(scene, of(Stream::Stderr, tail(number, 1))).await, [33]);
    assert_eq!(seqs(scene, grep("wo", of(Stream::Stderr, tail(number, 9)))).await, [31]);
    assert_eq!(seqs(scene, of(Stream::System, tail(number, 9))).await, [0; 0]);
}

pub async fn a_trimmed_log_says_so(scene: &Scene) {
    let number = thirty_lines(scene).await;
    // Whole chunks go: the one that holds line 8 stays.
    let trims = LogChunk { keep_from: 8, dropped: 12_345, ..chunk(number, 31, Stream::Stdout, &["last"]) };
    scene.commit(|batch| batch.logs.push(trims)).await;
    let extent = scene.store.log_extent(number).await.expect("it reads");
    assert_eq!((extent.first, extent.last, extent.dropped), (7, 31, 12_345));
    let lines = read(scene, from(number, 1, 3)).await;
    assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), [6, 7, 8]);
    assert_eq!(lines[0].stream, Stream::System);
    assert_eq!(lines[0].text, "12,345 lines dropped here: the log is over limits.log");
    assert_eq!(seqs(scene, from(number, 7, 2)).await, [7, 8]);
    assert_eq!(seqs(scene, from(number, 6, 1)).await, [6]);
    assert_eq!(seqs(scene, tail(number, 25)).await, (7..=31).collect::<Vec<_>>());
    assert_eq!(seqs(scene, tail(number, 100)).await, (6..=31).collect::<Vec<_>>());
    let system = LogQuery { stream: Some(Stream::System), ..tail(number, 9) };
    assert_eq!(seqs(scene, system).await, [6]);
}

pub async fn lines_that_never_came_are_counted(scene: &Scene) {
    let number = scene.running(new("a")).await;
    scene.commit(|batch| batch.logs.push(chunk(number, 1, Stream::Stdout, &["a", "b"]))).await;
    let after = LogChunk { dropped: 7, ..chunk(number, 10, Stream::Stdout, &["c"]) };
    scene.commit(|batch| batch.logs.push(after)).await;
    let lines = read(scene, from(number, 1, 9)).await;
    assert_eq!(lines.iter().map(|line| line.seq).collect::<Vec<_>>(), [1, 2, 9, 10]);
    assert!(lines[2].text.starts_with("7 lines dropped"), "{}", lines[2].text);
    assert_eq!(seqs(scene, tail(number, 2)).await, [9, 10]);
    assert_eq!(seqs(scene, from(number, 3, 9)).await, [9, 10]);
    // The next chunks keep what is known of the losses.
    scene.commit(|batch| batch.logs.push(chunk(number, 11, Stream::Stdout, &["d"]))).await;
    assert_eq!(scene.store.log_extent(number).await.expect("it reads").dropped, 7);
}

pub async fn a_log_of_nobody_is_dropped(scene: &Scene) {
    scene.commit(|batch| batch.logs.push(chunk(999, 1, Stream::Stdout, &["lost"]))).await;
    assert_eq!(read(scene, from(999, 1, 9)).await, []);
}

pub async fn an_empty_log_is_empty(scene: &Scene) {
    let number = scene.running(new("a")).await;
    assert_eq!(read(scene, tail(number, 9)).await, []);
    assert_eq!(scene.store.log_extent(number).await.expect("it reads"), LogExtent::default());
}

//! Thousands who follow all changes, a tenth of whom never read: all others are served as before.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use memchr::memmem;
use rustix::process::Signal;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    runtime::Runtime,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::probe::Probe;
use crate::{
    lane,
    support::{server::TestServer, wait_for},
    usage::{memory, open_files},
};

const ASK: &[u8] = b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// A label of the last start, which whoever follows must come to see.
const MARK: &str = "the-last-one-of-all";
/// What a stream may take of the daemon's memory.
const MOST_MEMORY: u64 = 32 << 10;
/// Whoever takes nothing for 30 s is cut off, by the documents.
const CUT_AFTER: Duration = Duration::from_secs(30);

/// What the readers saw.
#[derive(Default)]
struct Seen {
    ready: AtomicUsize,
    marks: AtomicUsize,
    resyncs: AtomicUsize,
    ended: AtomicUsize,
}

/// Streams that are read, on a thread of their own.
struct Readers {
    runtime: Option<Runtime>,
    seen: Arc<Seen>,
}

impl Readers {
    async fn new(server: &TestServer, many: usize) -> Readers {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let seen = Arc::new(Seen::default());
        for n in 0..many {
            let (address, seen) = (server.address().to_owned(), Arc::clone(&seen));
            runtime.spawn(async move {
                // Not all in one moment: a queue of connections is shorter than that.
                sleep(Duration::from_millis(n as u64)).await;
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(ASK).await.unwrap();
                read(stream, &seen).await;
                seen.ended.fetch_add(1, SeqCst);
            });
        }
        let readers = Readers { runtime: Some(runtime), seen };
        patiently("every stream", || readers.seen.ready.load(SeqCst) == many).await;
        readers
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Reads to the end and counts what matters.
async fn read(mut stream: TcpStream, seen: &Seen) {
    let words = [("event: ready", &seen.ready), (MARK, &seen.marks), ("event: resync", &seen.resyncs)];
    let words = words.map(|(word, count)| (memmem::Finder::new(word), count));
    // What the end of one read may share with the next.
    const OVERLAP: usize = 24;
    let mut bytes = [0; 4096];
    let mut kept = 0;
    while let Ok(read) = stream.read(&mut bytes[kept..]).await
        && read > 0
    {
        let end = kept + read;
        for (word, count) in &words {
            let length = word.needle().len();
            // What ends in the part that was kept was counted before.
            let found = word.find_iter(&bytes[..end]).filter(|at| at + length > kept).count();
            count.fetch_add(found, SeqCst);
        }
        let keep = end.min(OVERLAP);
        bytes.copy_within(end - keep..end, 0);
        kept = keep;
    }
}

/// Waits longer than `wait_for` does: thousands take their time.
async fn patiently(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not come within 120 s");
        sleep(Duration::from_millis(20)).await;
    }
}

/// So many streams that nobody reads.
async fn stalled(server: &TestServer, many: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..many {
        let socket = TcpSocket::new_v4().unwrap();
        // Small segments and a small buffer, so that little waits in the kernel.
        socket.set_recv_buffer_size(4096).unwrap();
        socket2::SockRef::from(&socket).set_tcp_mss(536).unwrap();
        let mut stream = socket.connect(server.address().parse().unwrap()).await.unwrap();
        stream.write_all(ASK).await.unwrap();
        streams.push(stream);
    }
    streams
}

/// Starts ten instances now and then, for so long: more than a stalled stream's kernel takes.
async fn changes(server: &TestServer, time: Duration, pause: Duration) -> u32 {
    let item = json!({"task_id": "sleep", "inputs": {"seconds": 0}, "labels": {"padding": "x".repeat(200)}});
    let (began, mut started) = (Instant::now(), 0);
    while began.elapsed() < time {
        let batch = json!({"instances": vec![&item; 10]});
        let answer = server.client().post(server.url("/v1/instances/batch")).json(&batch).send().await.unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
        started += 10;
        sleep(pause).await;
    }
    started
}

async fn daemon(many: u32) -> TestServer {
    let config = format!("[server]\nmax_connections = {}\n[limits]\nstreams = {many}\n", many + 200);
    let mut server = TestServer::with_config(&config).await;
    // The memory that anything takes at first is not that of streams.
    changes(&server, Duration::from_secs(1), Duration::from_millis(50)).await;
    server.wait_done(10).await;
    assert_eq!(server.has_ended(), None);
    server
}

#[tokio::test]
async fn streams_of_which_a_tenth_stall_hold_up_nothing() {
    let many = lane::count(500, 10_000);
    let server = daemon(many).await;
    // A hundred starts at least: of fewer the p99 is the longest, and the thousand that stall are cut at one moment.
    let probe = Probe { round: u64::from(lane::count(20, 100)), ..Probe::new(&server.url("")) };
    let pause = Duration::from_millis(lane::count(200, 2_000).into());
    let time = Duration::from_secs(lane::count(20, 120).into());
    let alone = Readers::new(&server, 1).await;
    let (_, before) = probe.ask_calm_beside(changes(&server, time / 2, pause)).await;
    let (memory_before, files_before) = (memory(server.pid()), open_files(server.pid()));

    let stalling = many as usize / 10;
    let reading = many as usize - stalling - 1;
    let readers = Readers::new(&server, reading).await;
    let stalled = stalled(&server, stalling).await;
    let (started, during) = probe.ask_beside(changes(&server, time, pause)).await;
    let with = memory(server.pid());
    let each = with.saturating_sub(memory_before) / u64::from(many);
    println!(
        "before: {}\nbeside {many} streams, {stalling} stalled, {started} starts: {}",
        before.figures(),
        during.figures()
    );
    println!("{each} bytes a stream: {} MiB before, {} MiB with them", memory_before >> 20, with >> 20);
    let faults = during.faults(&before);
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(each < MOST_MEMORY, "{each} bytes a stream");

    // Whoever reads has seen everything.
    let last = json!({"task_id": "sleep", "inputs": {"seconds": 0}, "labels": {"mark": MARK}});
    let last = server.client().post(server.url("/v1/instances")).json(&last).send().await.unwrap();
    assert_eq!(last.status(), 201);
    let marked = Instant::now();
    // It is told twice: it begins, and it ends.
    patiently("the last change", || readers.seen.marks.load(SeqCst) >= 2 * reading).await;
    println!("the last change came to all within {:?}", marked.elapsed());
    assert!(marked.elapsed() < Duration::from_secs(5), "{:?}", marked.elapsed());
    assert_eq!((readers.seen.ended.load(SeqCst), readers.seen.resyncs.load(SeqCst)), (0, 0));

    // Whoever does not is cut off.
    is_cut(&server, files_before + reading, CUT_AFTER + Duration::from_secs(10)).await.unwrap();
    assert_eq!(readers.seen.ended.load(SeqCst), 0);
    drop((stalled, readers, alone));
    patiently("the descriptors", || open_files(server.pid()) <= files_before + 8).await;
    // Of many streams' memory most goes back; what is left of it serves those who come next.
    if many >= 10_000 {
        let most = memory_before + (with - memory_before) / 2;
        patiently("the memory", || memory(server.pid()) <= most).await;
    }
    let left = memory(server.pid());
    let readers = Readers::new(&server, many as usize).await;
    changes(&server, time / 4, pause).await;
    let again = memory(server.pid());
    println!("{} MiB after all have left, {} MiB with as many again", left >> 20, again >> 20);
    assert!(again <= with + with / 10, "{again} bytes in place of {with}");
    drop(readers);
    server.fsck();
}

/// Waits until the daemon has no more files open than that, and little more.
async fn is_cut(server: &TestServer, files: usize, within: Duration) -> Result<(), String> {
    let cut = async {
        while open_files(server.pid()) > files + 8 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(within, cut).await.map_err(|_| format!("{} are open, {files} should be", open_files(server.pid())))
}

/// Negative control: streams that are not cut off, and a daemon that stands still now and then, are noticed.
#[tokio::test]
async fn control_streams_that_stay_and_pauses_are_noticed() {
    let server = daemon(100).await;
    let files = open_files(server.pid());
    let readers = Readers::new(&server, 50).await;
    is_cut(&server, files, Duration::from_secs(2)).await.unwrap_err();
    let probe = Probe { round: 20, ..Probe::new(&server.url("")) };
    let before = probe.ask_calm(Duration::from_secs(2)).await;
    let pauses = async {
        for _ in 0..3 {
            server.signal(Signal::STOP);
            sleep(Duration::from_secs(1)).await;
            server.signal(Signal::CONT);
            sleep(Duration::from_secs(1)).await;
        }
    };
    let ((), during) = probe.ask_beside(pauses).await;
    println!("with pauses: {}", during.figures());
    assert!(!during.faults(&before).is_empty());
    assert_eq!(readers.seen.ended.load(SeqCst), 0);
}

/// Negative control: a daemon of which each stream holds what it was sent would be noticed.
#[tokio::test]
async fn control_a_stream_that_takes_memory_is_noticed() {
    let server = TestServer::with_config("[limits]\nbody = \"1 MiB\"\n").await;
    server.get_json("/v1/stats").await;
    let before = memory(server.pid());
    let mut uploads = JoinSet::new();
    for _ in 0..50 {
        let address = server.address().to_owned();
        uploads.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head = "POST /v1/instances HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 200000\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&[b' '; 190_000]).await.unwrap();
            stream
        });
    }
    let held = uploads.join_all().await;
    wait_for("the memory", async || ((memory(server.pid()) - before) / 50 >= MOST_MEMORY).then_some(())).await;
    drop(held);
}

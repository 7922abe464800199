//! Clients that take their time, many at once: each is cut off when the documents say, and nobody else notices them.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use super::{api::Api, assert_well, open_files};
use crate::support::{server::TestServer, wait_for};

/// How a client is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It says nothing.
    Silent,
    /// It sends its head a byte at a time.
    DripsItsHead,
    /// It sends its body a byte at a time.
    DripsItsBody,
    /// It asks for much, and reads a byte a second of it.
    ReadsSlowly,
}
use Kind::{DripsItsBody, DripsItsHead, ReadsSlowly, Silent};

const KINDS: [Kind; 4] = [Silent, DripsItsHead, DripsItsBody, ReadsSlowly];

impl Kind {
    /// When it is cut off, by the documents.
    fn deadline(self) -> Duration {
        Duration::from_secs(match self {
            Silent => 5,
            DripsItsHead => 10,
            DripsItsBody | ReadsSlowly => 30,
        })
    }
}

/// How much later than that is too late, on a machine that has other work.
const LATE: Duration = Duration::from_secs(10);

/// Behaves so until it is cut off, and answers after how long; None if that was too late.
async fn behave(kind: Kind, address: &str) -> Option<Duration> {
    let socket = TcpSocket::new_v4().expect("a socket");
    if kind == ReadsSlowly {
        // What waits in the kernel was taken, as the daemon sees it: with small segments that is 100 kB in place of 3 MB.
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        socket2::SockRef::from(&socket).set_tcp_mss(536).expect("small segments");
    }
    let began = Instant::now();
    let stream = socket.connect(address.parse().expect("an address")).await.expect("a connection");
    let (mut read, mut write) = stream.into_split();
    let mut answer = Vec::new();
    let cut = async {
        match kind {
            Silent => _ = read.read_to_end(&mut answer).await,
            DripsItsHead | DripsItsBody => {
                if kind == DripsItsBody {
                    let head = "POST /v1/definitions/sleep/instances HTTP/1.1\r\nHost: localhost\r\n\
                                Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n";
                    write.write_all(head.as_bytes()).await.expect("a head is taken");
                } else {
                    write.write_all(b"GET /livez HTTP/1.1\r\nX: ").await.expect("a beginning is taken");
                }
                let drip = async {
                    while write.write_all(b" ").await.is_ok() {
                        sleep(Duration::from_millis(500)).await;
                    }
                    std::future::pending().await
                };
                tokio::select! { _ = read.read_to_end(&mut answer) => {}, () = drip => {} }
            }
            ReadsSlowly => {
                let ask = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
                write.write_all(ask.repeat(4).as_bytes()).await.expect("requests are taken");
                let mut byte = [0];
                // A further request tells when nobody is there to take it.
                while read.read_exact(&mut byte).await.is_ok() && write.write_all(ask.as_bytes()).await.is_ok() {
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    };
    timeout(kind.deadline() + LATE, cut).await.ok().map(|()| began.elapsed())
}

/// So many of each kind at once; those that were not cut off when they should have been.
async fn attack(address: &str, each: usize) -> Vec<String> {
    let clients = KINDS.into_iter().flat_map(|kind| std::iter::repeat_n(kind, each)).enumerate();
    let clients = clients.map(async |(n, kind)| {
        // Not all in one moment: a queue of connections is shorter than that.
        sleep(Duration::from_millis(n as u64 % 250 * 12)).await;
        match behave(kind, address).await {
            None => Some(format!("{kind:?}: not cut off after {:?}", kind.deadline() + LATE)),
            Some(after) if after + Duration::from_millis(500) < kind.deadline() => {
                Some(format!("{kind:?}: cut off after {after:?} already"))
            }
            Some(_) => None,
        }
    });
    join_all(clients).await.into_iter().flatten().collect()
}

/// What a client like any other meets.
struct Service {
    requests: usize,
    failures: Vec<String>,
    p99: Duration,
}

impl Service {
    fn is_good(&self) -> bool {
        self.failures.is_empty() && self.p99 < Duration::from_millis(100)
    }
}

/// Starts tasks and reads them, on connections old and new, until `attack` is over.
async fn serve_beside<T>(server: &TestServer, attack: impl Future<Output = T>) -> (T, Service) {
    let client = || reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).build().expect("a client");
    let mut times = Vec::new();
    let mut failures = Vec::new();
    let kept = client();
    let usual = async {
        for n in 0_u32.. {
            let client = if n % 4 == 0 { client() } else { kept.clone() };
            let began = Instant::now();
            let answer = match n % 2 {
                0 => client
                    .post(server.url("/v1/instances"))
                    .json(&serde_json::json!({"task_id": "sleep", "inputs": {"seconds": 0}})),
                _ => client.get(server.url("/v1/instances?limit=5")),
            };
            match answer.send().await {
                Ok(answer) if answer.status().is_success() => _ = answer.bytes().await,
                other => failures.push(format!("after {:?}: {other:?}", began.elapsed())),
            }
            times.push(began.elapsed());
            sleep(Duration::from_millis(20)).await;
        }
    };
    let outcome = tokio::select! { outcome = attack => outcome, () = usual => unreachable!("it never ends") };
    times.sort();
    let p99 = times[(times.len() * 99).div_ceil(100) - 1];
    (outcome, Service { requests: times.len(), failures, p99 })
}

#[tokio::test]
async fn hostile_a_thousand_slow_clients_are_cut_off_and_hold_nobody_up() {
    let api = Api::start().await;
    api.get("/livez").await;
    let before = open_files(&api.server);
    let (found, service) = serve_beside(&api.server, attack(api.server.address(), 250)).await;
    println!(
        "{} requests beside 1,000 slow clients: p99 {:?}, {} failed",
        service.requests,
        service.p99,
        service.failures.len()
    );
    println!("the daemon took {:?} of a core", super::spent(&api.server));
    let mut kinds = BTreeMap::<_, u32>::new();
    for found in &found {
        *kinds.entry(found).or_default() += 1;
    }
    assert!(found.is_empty(), "{} of 1,000: {kinds:#?}", found.len());
    assert!(service.requests > 500 && service.is_good(), "p99 {:?}, failures {:?}", service.p99, service.failures);
    wait_for("the descriptors", async || (open_files(&api.server) <= before + 8).then_some(())).await;
    assert_well(&api.server).await;
}

/// Negative control: a server that keeps everybody is noticed for each kind.
#[tokio::test]
async fn hostile_control_slow_clients_that_are_kept_are_noticed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let sink = tokio::spawn(async move {
        let keep = async |mut stream: TcpStream| {
            let mut bytes = [0; 4096];
            while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                // A reader gets something to read, for as long as it likes.
                if bytes.starts_with(b"GET /openapi") && stream.write_all(&[b'x'; 100]).await.is_err() {
                    return;
                }
            }
        };
        loop {
            tokio::spawn(keep(listener.accept().await.unwrap().0));
        }
    });
    let found = attack(&address, 2).await;
    sink.abort();
    assert_eq!(found.len(), 8, "{found:#?}");
    assert!(found.iter().all(|found| found.contains("not cut off")), "{found:#?}");
}

/// Negative control: a daemon whose connections are all taken keeps others waiting, which is noticed.
#[tokio::test]
async fn hostile_control_a_client_that_is_held_up_is_noticed() {
    let api = Api::with_config("[server]\nmax_connections = 4\n").await;
    let silent = async {
        sleep(Duration::from_millis(100)).await;
        join_all((0..16).map(|_| behave(Silent, api.server.address()))).await
    };
    let (_, service) = serve_beside(&api.server, silent).await;
    assert!(!service.is_good(), "p99 {:?}", service.p99);
}

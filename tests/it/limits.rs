//! What one peer can make the daemon do, spoken over a bare socket where a client library would not.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{contract::Api, support::wait_for};

async fn connect(api: &Api) -> TcpStream {
    TcpStream::connect(api.server.address()).await.unwrap()
}

/// Sends bytes and reads until the daemon closes, or for so long.
async fn exchange(api: &Api, bytes: &[u8], patience: Duration) -> String {
    let mut stream = connect(api).await;
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(patience, stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}

const PATIENCE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_long_target_is_told_and_a_long_head_closed() {
    let api = Api::start().await;
    let get = |n: usize| format!("GET /{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "x".repeat(n));
    assert!(exchange(&api, get(8191).as_bytes(), PATIENCE).await.starts_with("HTTP/1.1 404"));
    let long = exchange(&api, get(8192).as_bytes(), PATIENCE).await;
    assert!(long.starts_with("HTTP/1.1 414") && long.contains("uri-too-long"), "{long}");

    let headers = |n: usize| {
        let many: String = (0..n).map(|n| format!("X-{n}: y\r\n")).collect();
        format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{many}\r\n")
    };
    assert!(exchange(&api, headers(98).as_bytes(), PATIENCE).await.starts_with("HTTP/1.1 200"));
    let many = exchange(&api, headers(99).as_bytes(), PATIENCE).await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    let big = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "y".repeat(17 * 1024));
    let big = exchange(&api, big.as_bytes(), PATIENCE).await;
    assert!(big.starts_with("HTTP/1.1 431") && big.ends_with("\r\n\r\n"), "{big}");
}

#[tokio::test]
async fn a_body_is_bounded_declared_or_not() {
    let api = Api::with_config("[limits]\nbody = \"1KiB\"\nbatch_body = \"2KiB\"\n").await;
    let body = format!("{{\"seconds\":0{}}}", " ".repeat(1024));
    let declared = api.post("/v1/definitions/sleep/instances", &body).await;
    assert_eq!((declared.status, declared.problem().as_str()), (413, "body-too-large"));
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let head = "POST /v1/definitions/sleep/instances HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let chunked = format!("{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{chunk}");
    let answer = exchange(&api, chunked.as_bytes(), PATIENCE).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let batch =
        format!("{{\"instances\":[{{\"task_id\":\"sleep\",\"inputs\":{{\"seconds\":0}}}}]{}}}", " ".repeat(1024));
    assert_eq!(api.post("/v1/instances/batch", &batch).await.status, 201);
    let fits = format!("{{\"seconds\":0{}}}", " ".repeat(1024 - 13));
    assert_eq!(fits.len(), 1024);
    assert_eq!(api.post("/v1/definitions/sleep/instances", &fits).await.status, 201);
}

#[tokio::test]
async fn a_client_that_still_sends_reads_its_refusal() {
    let api = Api::start().await;
    let mut stream = connect(&api).await;
    let size = 4 << 20;
    let head = format!(
        "POST /v1/definitions/sleep/instances HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; size]).await.unwrap();
    let mut answer = vec![0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn of_a_refused_body_only_so_much_is_read() {
    let api = Api::start().await;
    let head = |size: usize| {
        format!(
            "POST /v1/definitions/sleep/instances HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
        )
    };
    // As fast as it goes: the rest of a gigabyte is not taken.
    let mut stream = connect(&api).await;
    stream.write_all(head(1 << 30).as_bytes()).await.unwrap();
    let piece = vec![b' '; 64 * 1024];
    let mut sent = 0;
    let begun = Instant::now();
    while let Ok(Ok(())) = timeout(PATIENCE, stream.write_all(&piece)).await {
        sent += piece.len();
        assert!(sent < 48 << 20, "{sent} bytes were taken");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());

    // And one that trickles is not waited for.
    let mut stream = connect(&api).await;
    stream.write_all(head(1 << 30).as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let begun = Instant::now();
    let mut answer = Vec::new();
    tokio::select! {
        read = timeout(Duration::from_secs(10), read.read_to_end(&mut answer)) => {
            assert!(read.is_ok(), "the connection is still open");
        }
        () = async {
            while write.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            std::future::pending().await
        } => {}
    }
    assert!(answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
    assert!((Duration::from_millis(900)..Duration::from_secs(5)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn requests_that_two_readers_could_take_two_ways_get_one_answer() {
    let api = Api::start().await;
    let start =
        "POST /v1/definitions/sleep/instances HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let smuggled = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for lengths in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Transfer-Encoding : chunked\r\n",
        " Content-Length: 5\r\n",
    ] {
        let text = exchange(&api, format!("{start}{lengths}\r\n0\r\n\r\n{smuggled}").as_bytes(), PATIENCE).await;
        assert!(answers(&text) <= 1, "{lengths:?}: {text}");
    }
    for head in ["GET /livez HTTP/1.1\r\n\r\n", "GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"] {
        let answer = exchange(&api, head.as_bytes(), Duration::from_millis(300)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "health is exempt: {answer}");
        let answer = exchange(&api, head.replace("/livez", "/").as_bytes(), Duration::from_millis(300)).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
}

#[tokio::test]
async fn a_silent_peer_is_let_go() {
    let api = Api::start().await;
    let begun = Instant::now();
    let silent = exchange(&api, b"", Duration::from_secs(20));
    let dripping = exchange(&api, b"GET /livez HT", Duration::from_secs(20));
    let (silent, dripping) =
        tokio::join!(async { (silent.await, begun.elapsed()) }, async { (dripping.await, begun.elapsed()) });
    assert_eq!((silent.0.as_str(), dripping.0.as_str()), ("", ""));
    assert!((4..8).contains(&silent.1.as_secs()), "{:?}", silent.1);
    assert!((9..13).contains(&dripping.1.as_secs()), "{:?}", dripping.1);
}

#[tokio::test]
async fn a_trickling_body_and_a_reader_that_takes_nothing_are_let_go() {
    let api = Api::start().await;
    let trickle = async {
        let begun = Instant::now();
        let mut stream = connect(&api).await;
        let head = "POST /v1/definitions/sleep/instances HTTP/1.1\r\nHost: localhost\r\n\
                    Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let mut answer = Vec::new();
        tokio::select! {
            _ = read.read_to_end(&mut answer) => {}
            () = async {
                while write.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                std::future::pending().await
            } => {}
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body-timeout"), "{answer}");
        begun.elapsed()
    };
    let deaf = async {
        let mut stream = connect(&api).await;
        let ask = "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(400);
        stream.write_all(ask.as_bytes()).await.unwrap();
        // Long enough for the daemon to give up on a full socket.
        tokio::time::sleep(Duration::from_secs(36)).await;
        let mut answer = Vec::new();
        _ = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the daemon has closed the connection");
        answers(&String::from_utf8_lossy(&answer))
    };
    let (trickled, answered) = tokio::join!(trickle, deaf);
    assert!((29..33).contains(&trickled.as_secs()), "{trickled:?}");
    assert!((1..400).contains(&answered), "{answered} of 400 were answered");
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let api = Api::start().await;
    let two = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2);
    let text = exchange(&api, two.as_bytes(), Duration::from_millis(500)).await;
    assert_eq!(answers(&text), 2, "{text}");
}

#[tokio::test]
async fn beyond_the_limit_nobody_is_accepted() {
    let api = Api::with_config("[server]\nmax_connections = 2\n").await;
    let first = connect(&api).await;
    let _second = connect(&api).await;
    let mut third = connect(&api).await;
    third.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    assert!(timeout(Duration::from_millis(500), third.read_exact(&mut answer)).await.is_err(), "it was accepted");
    drop(first);
    timeout(PATIENCE, third.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn deep_and_long_json_is_refused_fast() {
    let api = Api::start().await;
    let deep = "[".repeat(100_000);
    let number = format!("{{\"seconds\":{}}}", "9".repeat(1_000_000));
    let keys: String = (0..80_000).map(|n| format!("\"{n}\":1,")).collect();
    for body in [deep, number, format!("{{{keys}\"seconds\":-1}}")] {
        let begun = Instant::now();
        let answer = api.post("/v1/definitions/sleep/instances", &body).await;
        assert!((400..500).contains(&answer.status), "{}", answer.status);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    let nested = |depth: usize| format!("{{\"seconds\":0,\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(api.post("/v1/definitions/sleep/instances", &nested(64)).await.status, 400);
    assert_ne!(api.post("/v1/definitions/sleep/instances", &nested(63)).await.status, 400);
}

#[tokio::test]
async fn streams_are_counted() {
    let api = Api::with_config("[limits]\nstreams = 1\n").await;
    let id = api.sleep(60.0).await;
    let url = api.server.url(&format!("/v1/instances/{id}/events"));
    let open = api.server.client().get(&url).send().await.unwrap();
    assert_eq!(open.status(), 200);
    for path in [format!("/v1/instances/{id}/events"), format!("/v1/instances/{id}/logs?follow")] {
        let refused = api.get(&path).await;
        assert_eq!((refused.status, refused.problem().as_str()), (503, "too-many-streams"));
    }
    drop(open);
    wait_for("a place for a stream", async || {
        let answer = api.server.client().get(&url).send().await.unwrap();
        (answer.status() == 200).then_some(())
    })
    .await;
}

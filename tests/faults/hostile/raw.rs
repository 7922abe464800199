//! Requests that two readers could take two ways, and bytes that are no request at all.
//!
//! A proxy in front of the daemon may see one request where the daemon sees two, or the other way round: then one
//! client's bytes become another's request. So whatever is ambiguous is refused or answered once, and the connection is
//! closed.

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    api::Api,
    assert_well,
    wire::{self, Exchange},
};
use crate::support::wait_for;

/// What may become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    /// Nobody can know what it means: refused, or answered once, and then the connection closes.
    Close,
    /// Its end is beyond doubt, so the connection may stay: refused, or answered once.
    Stay,
}
use May::{Close, Stay};

/// What follows each request, and must not be taken for another one.
const SMUGGLED: &str = "GET /v1/instances HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A start with these headers, this body and a smuggled request after it.
fn start(headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /v1/definitions/sleep/instances HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

fn smuggling(headers: &str, body: &str) -> Vec<u8> {
    start(headers, &format!("{body}{SMUGGLED}"))
}

fn get(headers: &str) -> Vec<u8> {
    format!("GET /v1/instances HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").into_bytes()
}

fn chunked(body: &str) -> Vec<u8> {
    start("Transfer-Encoding: chunked\r\n", body)
}

const INPUTS: &str = "{\"seconds\":0}";

#[allow(clippy::too_many_lines, reason = "it is a table")]
fn corpus() -> Vec<(&'static str, Vec<u8>, May)> {
    let whole = format!("d\r\n{INPUTS}\r\n0\r\n\r\n");
    let many = |n: usize| (0..n).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    let mut cases = vec![
        // Content-Length against Transfer-Encoding.
        ("CL.TE", smuggling("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", &whole), Close),
        ("TE.CL", smuggling("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", &whole), Close),
        ("CL.0 with chunks", smuggling("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), Close),
        (
            "CL of the smuggled request",
            smuggling("Content-Length: 55\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            Close,
        ),
        ("GET with both", smuggling_get("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), Close),
        ("TE in HTTP/1.0", old("Transfer-Encoding: chunked\r\n", &whole), Close),
        (
            "both in HTTP/1.0",
            old("Content-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n", &whole),
            Close,
        ),
        // Transfer-Encoding that one reader understands and another does not.
        ("TE.TE identity last", smuggling("Transfer-Encoding: chunked, identity\r\n", &whole), Close),
        ("TE.TE two lines", smuggling("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", &whole), Close),
        ("TE.TE cow", smuggling("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n", &whole), Close),
        ("TE unknown", smuggling("Transfer-Encoding: xchunked\r\n", &whole), Close),
        ("TE empty", smuggling("Transfer-Encoding:\r\n", &whole), Close),
        ("TE quoted", smuggling("Transfer-Encoding: \"chunked\"\r\n", &whole), Close),
        ("TE with a parameter", smuggling("Transfer-Encoding: chunked;a=b\r\n", &whole), Close),
        ("TE behind a vertical tab", smuggling("Transfer-Encoding: \x0bchunked\r\n", &whole), Close),
        ("TE before a vertical tab", smuggling("Transfer-Encoding: chunked\x0b\r\n", &whole), Close),
        ("TE behind NUL", smuggling("Transfer-Encoding: \0chunked\r\n", &whole), Close),
        ("TE with a space before the colon", smuggling("Transfer-Encoding : chunked\r\n", &whole), Close),
        ("TE with a tab before the colon", smuggling("Transfer-Encoding\t: chunked\r\n", &whole), Close),
        ("TE folded", smuggling("Transfer-Encoding:\r\n chunked\r\n", &whole), Close),
        ("TE folded with a tab", smuggling("Transfer-Encoding:\r\n\tchunked\r\n", &whole), Close),
        ("TE hidden in a value by bare LF", smuggling("X: y\nTransfer-Encoding: chunked\r\n", &whole), Close),
        ("TE hidden in a value by bare CR", smuggling("X: y\rTransfer-Encoding: chunked\r\n", &whole), Close),
        ("TE on the first line with a space", smuggling(" Transfer-Encoding: chunked\r\n", &whole), Close),
        ("TE with a non-ASCII letter", smuggling("Transfer-Encoding: chun\u{212a}ed\r\n", &whole), Close),
        ("TE gzip, chunked", smuggling("Transfer-Encoding: gzip, chunked\r\n", &whole), Close),
        ("TE chunked, chunked", smuggling("Transfer-Encoding: chunked, chunked\r\n", &whole), Close),
        // Content-Length in more ways than one.
        ("two lengths", smuggling("Content-Length: 5\r\nContent-Length: 6\r\n", "AAAAA"), Close),
        ("two lengths in one line", smuggling("Content-Length: 5, 6\r\n", "AAAAA"), Close),
        ("the same length twice in one line", smuggling("Content-Length: 13, 13\r\n", INPUTS), Close),
        ("negative length", smuggling("Content-Length: -1\r\n", ""), Close),
        ("length with a plus", smuggling("Content-Length: +13\r\n", INPUTS), Close),
        ("hexadecimal length", smuggling("Content-Length: 0xd\r\n", INPUTS), Close),
        ("length with an exponent", smuggling("Content-Length: 1e1\r\n", INPUTS), Close),
        ("length with a point", smuggling("Content-Length: 13.0\r\n", INPUTS), Close),
        ("empty length", smuggling("Content-Length:\r\n", ""), Close),
        ("length with a space inside", smuggling("Content-Length: 1 3\r\n", INPUTS), Close),
        ("length that overflows 64 bits", smuggling("Content-Length: 18446744073709551616\r\n", INPUTS), Close),
        ("length of 2^64-1", smuggling("Content-Length: 18446744073709551615\r\n", INPUTS), Close),
        ("length in another script", smuggling("Content-Length: \u{661}\u{663}\r\n", INPUTS), Close),
        ("length with a space before the colon", smuggling("Content-Length : 13\r\n", INPUTS), Close),
        ("length folded", smuggling("Content-Length:\r\n 13\r\n", INPUTS), Close),
        ("length with an underscore only", start("Content_Length: 13\r\n", ""), Stay),
        // Chunks.
        ("chunk size with a sign", chunked(&format!("+d\r\n{INPUTS}\r\n0\r\n\r\n{SMUGGLED}")), Close),
        ("chunk size with a minus", chunked(&format!("-1\r\n{INPUTS}\r\n0\r\n\r\n{SMUGGLED}")), Close),
        ("chunk size with 0x", chunked(&format!("0xd\r\n{INPUTS}\r\n0\r\n\r\n{SMUGGLED}")), Close),
        (
            "chunk size that overflows",
            chunked(&format!("10000000000000000d\r\n{INPUTS}\r\n0\r\n\r\n{SMUGGLED}")),
            Close,
        ),
        ("chunk size that is no number", chunked(&format!("seven\r\n{INPUTS}\r\n0\r\n\r\n{SMUGGLED}")), Close),
        ("empty chunk size", chunked(&format!("\r\n{INPUTS}\r\n0\r\n\r\n{SMUGGLED}")), Close),
        ("chunk size smaller than the chunk", chunked(&format!("3\r\n{INPUTS}\r\n0\r\n\r\n{SMUGGLED}")), Close),
        ("chunk without its line break", chunked(&format!("d\r\n{INPUTS}XX0\r\n\r\n{SMUGGLED}")), Close),
        ("chunk ended by bare LF", chunked(&format!("d\n{INPUTS}\n0\n\n{SMUGGLED}")), Close),
        ("chunk size ended by bare CR", chunked(&format!("d\r{INPUTS}\r\n0\r\n\r\n{SMUGGLED}")), Close),
        ("NUL in a chunk size", chunked(&format!("d\0\r\n{INPUTS}\r\n0\r\n\r\n{SMUGGLED}")), Close),
        ("space in a chunk size", chunked(&format!("0 d\r\n{INPUTS}\r\n0\r\n\r\n{SMUGGLED}")), Close),
        ("bare LF in a chunk extension", chunked(&format!("d;a\nb\r\n{INPUTS}\r\n0\r\n\r\n{SMUGGLED}")), Close),
        ("huge chunk extension", chunked(&format!("d;{}\r\n{INPUTS}\r\n0\r\n\r\n", "a".repeat(64 << 10))), Close),
        (
            "many chunk extensions",
            chunked(&format!("{}0\r\n\r\n", format!("1;{}\r\n \r\n", "a".repeat(1000)).repeat(100))),
            Close,
        ),
        ("huge trailers", chunked(&format!("d\r\n{INPUTS}\r\n0\r\nX: {}\r\n\r\n", "y".repeat(64 << 10))), Close),
        ("many trailers", chunked(&format!("d\r\n{INPUTS}\r\n0\r\n{}\r\n", many(1000))), Close),
        ("trailer that is none", chunked(&format!("d\r\n{INPUTS}\r\n0\r\nno trailer\r\n\r\n")), Close),
        ("forbidden trailer", chunked(&format!("d\r\n{INPUTS}\r\n0\r\nContent-Length: 5\r\n\r\n")), Stay),
        // Heads.
        ("no Host", b"GET /v1/instances HTTP/1.1\r\n\r\n".to_vec(), Stay),
        ("two Hosts", get("Host: localhost\r\n"), Stay),
        ("Host folded", b"GET /v1/instances HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n".to_vec(), Close),
        ("Host with a path", b"GET /v1/instances HTTP/1.1\r\nHost: localhost/evil\r\n\r\n".to_vec(), Stay),
        ("Host with user", b"GET /v1/instances HTTP/1.1\r\nHost: localhost@evil.test\r\n\r\n".to_vec(), Stay),
        ("obs-fold", get("X: a\r\n b\r\n"), Close),
        ("obs-fold on the first header", b"GET /v1/instances HTTP/1.1\r\n Host: localhost\r\n\r\n".to_vec(), Close),
        ("bare LF throughout", b"GET /v1/instances HTTP/1.1\nHost: localhost\n\n".to_vec(), Close),
        ("bare CR throughout", b"GET /v1/instances HTTP/1.1\rHost: localhost\r\r".to_vec(), Close),
        ("bare CR in a value", get("X: a\rb\r\n"), Close),
        ("NUL in a value", get("X: a\0b\r\n"), Close),
        ("NUL in a name", get("X\0: a\r\n"), Close),
        ("NUL in the target", b"GET /v1/\0 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Close),
        ("NUL in the method", b"G\0T / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Close),
        ("header without a colon", get("nonsense\r\n"), Close),
        ("header without a name", get(": nonsense\r\n"), Close),
        ("header with an empty line's LF", get("X: y\r\n\n"), Stay),
        ("non-ASCII header name", get("X-\u{e9}: y\r\n"), Close),
        ("huge value", get(&format!("X: {}\r\n", "y".repeat(1 << 20))), Close),
        ("huge name", get(&format!("{}: y\r\n", "X".repeat(1 << 20))), Close),
        ("too many headers", get(&many(5000)), Close),
        ("a head without end", format!("GET /v1/instances HTTP/1.1\r\n{}", many(10_000)).into_bytes(), Close),
        (
            "huge target",
            format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(1 << 20)).into_bytes(),
            Close,
        ),
        ("huge method", format!("{} / HTTP/1.1\r\nHost: localhost\r\n\r\n", "M".repeat(1 << 20)).into_bytes(), Close),
        // Request lines.
        ("absolute form", b"GET http://localhost/v1/instances HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Stay),
        (
            "absolute form of elsewhere",
            b"GET http://evil.test/v1/instances HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            Stay,
        ),
        (
            "absolute form with user",
            b"GET http://a:b@localhost/v1/instances HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            Stay,
        ),
        ("absolute form of a file", b"GET file:///etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Close),
        ("CONNECT", b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n".to_vec(), Stay),
        ("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Stay),
        ("authority form", b"GET localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Stay),
        ("target without a slash", b"GET v1/instances HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Close),
        ("target with a space", b"GET /v1/ instances HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Close),
        ("target with a fragment", b"GET /v1/instances#a HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Stay),
        ("target with raw bytes", b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Close),
        ("two spaces", b"GET  /v1/instances  HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Close),
        ("tabs in place of spaces", b"GET\t/v1/instances\tHTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Close),
        ("no version", b"GET /v1/instances\r\nHost: localhost\r\n\r\n".to_vec(), Close),
        ("HTTP/0.9", b"GET /v1/instances\r\n".to_vec(), Close),
        ("HTTP/1.2", b"GET /v1/instances HTTP/1.2\r\nHost: localhost\r\n\r\n".to_vec(), Close),
        ("HTTP/2.0", b"GET /v1/instances HTTP/2.0\r\nHost: localhost\r\n\r\n".to_vec(), Close),
        ("HTTP/11", b"GET /v1/instances HTTP/11\r\nHost: localhost\r\n\r\n".to_vec(), Close),
        ("http/1.1", b"GET /v1/instances http/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Close),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), Close),
        (
            "an upgrade to HTTP/2",
            get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
            Stay,
        ),
        (
            "an upgrade to WebSocket",
            get(
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            ),
            Stay,
        ),
        ("a TLS hello", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\0\0\0\0\0\0\0\0\0".to_vec(), Close),
        ("an SSH banner", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), Close),
        ("zeros", vec![0; 64 << 10], Close),
        ("ones", vec![0xff; 64 << 10], Close),
        ("expectation nobody meets", start("Content-Length: 13\r\nExpect: 200-maybe\r\n", INPUTS), Stay),
        ("method that is none", b"G(T / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Close),
    ];
    let line_breaks = "\r\n".repeat(40_000).into_bytes();
    cases.push(("line breaks only", line_breaks, Close));
    cases
}

fn smuggling_get(headers: &str, body: &str) -> Vec<u8> {
    [get(headers), body.as_bytes().to_vec(), SMUGGLED.as_bytes().to_vec()].concat()
}

fn old(headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /v1/definitions/sleep/instances HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}\r\n{body}{SMUGGLED}"
    )
    .into_bytes()
}

/// What is wrong with how a case was answered.
fn judge(may: May, seen: &Exchange) -> Option<String> {
    let statuses: Vec<u16> = wire::statuses(&seen.bytes).into_iter().filter(|status| *status != 100).collect();
    if statuses.len() > 1 {
        return Some(format!("{} answers: {statuses:?}", statuses.len()));
    }
    if let Some(status) = statuses.first()
        && !matches!(status, 200..500)
    {
        return Some(format!("answered {status}"));
    }
    if may == Close && !seen.closed {
        return Some(format!("answered {statuses:?} and kept the connection"));
    }
    if may == Stay && statuses.is_empty() {
        return Some("no answer to a request whose end is beyond doubt".to_owned());
    }
    None
}

async fn run(address: &str) -> Vec<String> {
    let cases = corpus();
    assert!(cases.len() >= 60, "{}", cases.len());
    let seen = cases.iter().map(async |(name, bytes, may)| {
        let seen = wire::exchange(address, bytes, wire::PATIENCE).await;
        judge(*may, &seen)
            .map(|wrong| format!("{name}: {wrong}\n  {}", seen.text().chars().take(300).collect::<String>()))
    });
    join_all(seen).await.into_iter().flatten().collect()
}

#[tokio::test]
async fn hostile_what_could_be_read_two_ways_is_answered_once() {
    let api = Api::start().await;
    api.get("/livez").await;
    let before = super::open_files(&api.server);
    let found = run(api.server.address()).await;
    assert!(found.is_empty(), "{} cases:\n{}", found.len(), found.join("\n"));
    wait_for("the descriptors", async || (super::open_files(&api.server) <= before + 1).then_some(())).await;
    let id = api.sleep(0.0).await;
    api.server.wait_done(id).await;
    assert_well(&api.server).await;
}

/// Each request cut off at every byte, and each byte of a good one replaced: never a 5xx, never two answers.
#[tokio::test]
async fn hostile_a_request_cut_or_changed_anywhere_does_no_harm() {
    let api = Api::start().await;
    let good = start("Content-Length: 13\r\nConnection: close\r\n", INPUTS);
    let address = api.server.address();
    let seed = crate::lane::seed("hostile_a_request_cut_or_changed_anywhere_does_no_harm");
    let mut state = seed | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut cases: Vec<Vec<u8>> = (0..good.len()).map(|end| good[..end].to_vec()).collect();
    for at in 0..good.len() {
        for _ in 0..crate::lane::count(4, 40) {
            let mut changed = good.clone();
            changed[at] = random() as u8;
            cases.push(changed);
        }
    }
    for some in cases.chunks(64) {
        let found = join_all(some.iter().map(async |bytes| {
            let seen = half_closed(address, bytes).await;
            let statuses = wire::statuses(&seen);
            let fine = statuses.len() <= 1 && statuses.iter().all(|status| matches!(status, 200..500));
            (!fine).then(|| format!("{statuses:?}: {}", String::from_utf8_lossy(bytes)))
        }))
        .await;
        let found: Vec<_> = found.into_iter().flatten().collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
    assert_well(&api.server).await;
}

/// Sends bytes and then says that no more will come.
async fn half_closed(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    _ = stream.write_all(bytes).await;
    _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(wire::PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "kept after the end of {:?}", String::from_utf8_lossy(bytes));
    answer
}

/// Negative control: a reader that takes each `HTTP/1.1` it finds for a request, one that fails, and one that keeps
/// every connection.
#[tokio::test]
async fn hostile_control_a_reader_that_is_taken_in_is_noticed() {
    let smuggling = corpus().iter().filter(|(_, bytes, _)| bytes.ends_with(SMUGGLED.as_bytes())).count();
    let whole = corpus().len();
    type Naive = fn(&[u8]) -> (usize, &'static str);
    let naive: [(Naive, usize); 3] = [
        (|bytes| (bytes.windows(9).filter(|nine| nine == b"HTTP/1.1\r").count(), "200 OK"), smuggling - 2),
        (|_| (1, "500 Internal Server Error"), whole),
        (|_| (1, "200 OK"), corpus().iter().filter(|(_, _, may)| *may == Close).count()),
    ];
    for (answers, least) in naive {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serve = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut bytes = vec![0; 64 << 10];
                    let read = stream.read(&mut bytes).await.unwrap_or(0);
                    let (count, status) = answers(&bytes[..read]);
                    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").repeat(count);
                    _ = stream.write_all(answer.as_bytes()).await;
                    while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
                });
            }
        });
        let found = run(&address).await;
        serve.abort();
        assert!(found.len() >= least, "{} of {least}:\n{}", found.len(), found.join("\n"));
    }
}

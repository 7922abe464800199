//! JSON that is small to send and dear to read, or that two readers read two ways: refused at once, in little memory.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use taskwright::axum::body::Bytes;
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::{api::Api, assert_well, peak_memory, token};

/// What a small bomb may take, from the request to the refusal.
const AT_ONCE: Duration = Duration::from_millis(50);
/// Up to this size it is small.
const SMALL: usize = 128 << 10;
/// How much of a core a large one may take, in a build without optimisation.
const SOON: Duration = Duration::from_secs(10);
/// The longest refusal: it may quote what was sent, and not all of it.
const LONGEST_REFUSAL: usize = 256 << 10;

fn members(count: usize) -> String {
    let mut text = String::with_capacity(count * 12);
    for n in 0..count {
        _ = write!(text, "\"k{n}\":1,");
    }
    text
}

/// JSON that must be refused wherever it is sent.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("100,000 arrays", "[".repeat(100_000).into_bytes()),
        ("100,000 arrays, closed", ("[".repeat(50_000) + &"]".repeat(50_000)).into_bytes()),
        ("100,000 objects", "{\"a\":".repeat(20_000).into_bytes()),
        ("arrays in the inputs", format!("{{\"task_id\":\"sleep\",\"inputs\":{}", "[".repeat(100_000)).into_bytes()),
        ("objects and arrays by turns", "[{\"a\":".repeat(16_000).into_bytes()),
        ("one level too deep", format!("{{\"seconds\":{}0{}}}", "[".repeat(64), "]".repeat(64)).into_bytes()),
        ("a key twice", text(r#"{"seconds":0,"seconds":0}"#)),
        ("a key twice, once escaped", text(r#"{"seconds":0,"\u0073econds":0}"#)),
        ("a key twice, deep down", text(r#"{"seconds":0,"a":[{"b":{"c":1,"c":2}}]}"#)),
        ("an empty key twice", text(r#"{"":0,"":0}"#)),
        ("a key ten thousand times", format!("{{{}\"a\":1}}", "\"a\":1,".repeat(10_000)).into_bytes()),
        ("a lone high surrogate", text(r#"{"seconds":"\ud800"}"#)),
        ("a lone low surrogate", text(r#"{"seconds":"\udc00"}"#)),
        ("surrogates in the wrong order", text(r#"{"seconds":"\udc00\ud800"}"#)),
        ("a lone surrogate as a key", text(r#"{"\ud800":0}"#)),
        ("NUL in a text", text(r#"{"seconds":"\u0000"}"#)),
        ("NUL in a key", text(r#"{"\u0000":0}"#)),
        ("a raw NUL", text("{\"seconds\":\0}")),
        ("a raw control character", text("{\"a\":\"\x01\"}")),
        ("a raw line break in a text", text("{\"a\":\"\n\"}")),
        ("bad UTF-8", b"{\"a\":\"\xff\xfe\"}".to_vec()),
        ("overlong UTF-8", b"{\"a\":\"\xc0\xaf\"}".to_vec()),
        ("a surrogate in UTF-8", b"{\"a\":\"\xed\xa0\x80\"}".to_vec()),
        ("a character beyond Unicode", b"{\"a\":\"\xf5\x80\x80\x80\"}".to_vec()),
        ("UTF-16", "{\"seconds\":0}".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("a byte order mark", text("\u{feff}{\"seconds\":0}")),
        ("NaN", text(r#"{"seconds":NaN}"#)),
        ("Infinity", text(r#"{"seconds":Infinity}"#)),
        ("-Infinity", text(r#"{"seconds":-Infinity}"#)),
        ("a leading zero", text(r#"{"seconds":01}"#)),
        ("a leading plus", text(r#"{"seconds":+1}"#)),
        ("a hexadecimal number", text(r#"{"seconds":0x1}"#)),
        ("a number that ends in a point", text(r#"{"seconds":1.}"#)),
        ("a trailing comma", text(r#"{"seconds":0,}"#)),
        ("single quotes", text("{'seconds':0}")),
        ("a comment", text("{\"seconds\":0/*x*/}")),
        ("two values", text(r#"{"seconds":0}{"seconds":0}"#)),
        ("rubbish behind", text(r#"{"seconds":0} x"#)),
        ("cut off", text(r#"{"seconds":"#)),
        ("nothing but white space", " ".repeat(100_000).into_bytes()),
        ("a text that never ends", format!("{{\"a\":\"{}", "x".repeat(100_000)).into_bytes()),
        ("a text of escapes that never ends", format!("{{\"a\":\"{}", "\\u0041".repeat(16_000)).into_bytes()),
        ("a million keys", format!("{{{}\"k0\":1}}", members(1_000_000)).into_bytes()),
        ("a number of ten megabytes, then rubbish", format!("{{\"seconds\":{}x}}", "9".repeat(10 << 20)).into_bytes()),
    ]
}

/// JSON that can be read, and that `sleep` and a report of progress cannot take.
fn unfit() -> Vec<(&'static str, Vec<u8>)> {
    let numbers = [
        ("1e999", "1e999".to_owned()),
        ("-1e999", "-1e999".to_owned()),
        ("an exponent beyond every integer", format!("1e{}", "9".repeat(1000))),
        ("a number of 100 kB", "9".repeat(100_000)),
        ("2^64", "18446744073709551616".to_owned()),
        ("a fraction of 100 kB", format!("-0.{}", "1".repeat(100_000))),
    ];
    let numbers = numbers.map(|(name, number)| (name, format!("{{\"seconds\":{number},\"progress\":{number}}}")));
    let texts = [
        ("50,000 keys", format!("{{{}\"seconds\":-1,\"progress\":-1}}", members(50_000))),
        ("keys that nearly collide", {
            let keys: String = (0..10_000)
                .map(|n| format!("\"{}\":{n},", format!("{n:014b}").replace('0', "Aa").replace('1', "BB")))
                .collect();
            format!("{{{keys}\"seconds\":-1,\"progress\":-1}}")
        }),
        ("a key of a megabyte", format!("{{\"{}\":1,\"seconds\":-1,\"progress\":-1}}", "timeout".repeat(149_000))),
        ("a thousand keys of a kilobyte", {
            let keys: String = (0..1000).map(|n| format!("\"{n:01000}\":1,")).collect();
            format!("{{{keys}\"seconds\":-1,\"progress\":-1}}")
        }),
        ("a task's name of a megabyte", format!("{{\"task_id\":\"{}\",\"seconds\":-1}}", "sleep".repeat(200_000))),
        ("a task's name of 100 kB", format!("{{\"task_id\":\"{}\",\"seconds\":-1}}", "x".repeat(100_000))),
    ];
    numbers.into_iter().chain(texts).map(|(name, text)| (name, text.into_bytes())).collect()
}

/// Every route that reads JSON.
const ROUTES: [(&str, &str); 10] = [
    ("POST", "/v1/definitions/sleep/instances"),
    ("POST", "/v1/instances"),
    ("POST", "/v1/instances/batch"),
    ("POST", "/v1/instances/stop"),
    ("POST", "/v1/instances/1/retry"),
    ("PUT", "/v1/instances/1/progress"),
    ("PUT", "/v1/instances/1/output"),
    ("PUT", "/v1/instances/1/status"),
    ("POST", "/v1/instances/1/logs"),
    ("PUT", "/v1/definitions/made"),
];

/// Sends it, and says what is wrong with the answer. `spent` tells how much of the cores the server has used so far.
async fn judge(
    url: &str,
    spent: impl Fn() -> Duration,
    to: (&str, &str),
    (name, bomb): (&str, &[u8]),
) -> Option<String> {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let (method, path) = to;
    let (mut wall, mut cores) = (Duration::MAX, Duration::MAX);
    // A machine that does something else meanwhile is no fault of the daemon: the best of ten counts.
    for _ in 0..10 {
        let (began, before) = (Instant::now(), spent());
        let request = client.request(method.parse().expect("a method"), format!("{url}{path}")).bearer_auth("tw_admin");
        let answer =
            request.header("content-type", "application/json").body(bomb.to_vec()).send().await.expect("an answer");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.expect("a body");
        (wall, cores) = (wall.min(began.elapsed()), cores.min(spent() - before));
        let is_problem = headers.get("content-type").is_some_and(|kind| kind == "application/problem+json");
        if !(400..500).contains(&status) || !is_problem || text.len() > LONGEST_REFUSAL {
            let start: String = text.chars().take(200).collect();
            return Some(format!("{name} at {method} {path}: {status}, {} bytes: {start}", text.len()));
        }
        if if bomb.len() <= SMALL { wall < AT_ONCE } else { cores < SOON } {
            return None;
        }
    }
    Some(format!("{name} at {method} {path}: refused after {wall:?}, {cores:?} of a core"))
}

async fn scene(limits: &str) -> Api {
    let config = format!("{}[definitions]\nremote = true\n{limits}", token("admin", "admin"));
    let mut api = Api::with_config(&config).await;
    api.token = Some("tw_admin".to_owned());
    api.sleep(600.0).await;
    api
}

/// How much the daemon's memory may grow, in MiB: some copies of the largest body, for each of those that come at once.
const MORE_MEMORY: u64 = 256;

/// Sends each of these twice at once to the route that takes the largest ones; the most memory that the daemon ever had, in MiB.
async fn memory_of_a_storm(api: &Api, bombs: Vec<Vec<u8>>) -> u64 {
    for bomb in bombs {
        let bomb = Bytes::from(bomb);
        let send = async || {
            let request = api.server.client().post(api.server.url("/v1/instances/batch")).bearer_auth("tw_admin");
            let answer = request.header("content-type", "application/json").body(bomb.clone()).send().await;
            let status = answer.expect("an answer").status().as_u16();
            assert!((400..500).contains(&status), "{status}");
        };
        tokio::join!(send(), send());
    }
    peak_memory(&api.server)
}

/// Bodies as large as a batch may be.
fn largest() -> Vec<Vec<u8>> {
    let bytes = 16 << 20;
    vec![
        "[".repeat(bytes - 1).into_bytes(),
        format!("{{\"instances\":[{}0]}}", "0,".repeat(bytes / 2 - 20)).into_bytes(),
        format!("{{\"instances\":\"{}\"}}", "\\u0041".repeat(bytes / 6 - 10)).into_bytes(),
        format!("{{\"{}\":0}}", "instances".repeat(bytes / 9 - 10)).into_bytes(),
    ]
}

#[tokio::test]
async fn hostile_json_bombs_are_refused_at_once_in_little_memory() {
    let api = scene("").await;
    let url = api.server.url("");
    let before = peak_memory(&api.server);
    let mut found = Vec::new();
    for (name, bomb) in bombs() {
        for (method, path) in ROUTES {
            // Of what is larger than a body may be only a batch is read.
            if bomb.len() > 2 << 20 && !path.starts_with("/v1/instances/batch") && path != "/v1/instances" {
                continue;
            }
            found.extend(judge(&url, || super::spent(&api.server), (method, path), (name, &bomb)).await);
        }
    }
    for (name, bomb) in unfit() {
        for (method, path) in ROUTES {
            // An output is anybody's own: numbers are kept as their text there.
            if !path.ends_with("/output") {
                found.extend(judge(&url, || super::spent(&api.server), (method, path), (name, &bomb)).await);
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    let more = memory_of_a_storm(&api, largest()).await - before;
    println!("all of it took {more} MiB");
    assert!(more < MORE_MEMORY, "{more} MiB");
    let list = api.get("/v1/instances").await.json();
    assert_eq!(list["instances"].as_array().unwrap().len(), 1, "something was started");
    let instance = api.get("/v1/instances/1").await.json();
    let reported = (&instance["status"], &instance["message"], &instance["output"], &instance["stop_requested_at"]);
    assert_eq!(reported, (&json!("running"), &Value::Null, &Value::Null, &Value::Null), "something was reported");
    api.delete("/v1/instances/1?force&wait").await;
    assert_well(&api.server).await;
}

/// Negative control: what is accepted, or refused too late, is noticed; so is memory without a bound.
#[tokio::test]
async fn hostile_control_a_bomb_that_goes_off_is_noticed() {
    let api = scene("[limits]\nbatch_body = \"256 MiB\"\n").await;
    let good = br#"{"seconds":0}"#;
    let before = peak_memory(&api.server);
    let accepted = judge(
        &api.server.url(""),
        || super::spent(&api.server),
        ("POST", "/v1/definitions/sleep/instances"),
        ("good", good),
    )
    .await;
    assert!(accepted.is_some_and(|found| found.contains("201")));
    let slow = judge(&slow_server().await, || Duration::ZERO, ("POST", "/"), ("slow", b"")).await;
    assert!(slow.is_some_and(|found| found.contains("refused after")));
    let more = memory_of_a_storm(&api, vec![vec![b'['; 200 << 20]]).await - before;
    assert!(more >= MORE_MEMORY, "{more} MiB");
}

/// A server that refuses everything, and takes its time.
async fn slow_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::time::sleep(2 * AT_ONCE).await;
            let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\nContent-Length: 2\r\n";
            _ = stream.write_all(format!("{head}Connection: close\r\n\r\n{{}}").as_bytes()).await;
        }
    });
    url
}

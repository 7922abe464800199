//! HTTP over a bare socket, for what no client library would send.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long to wait for the end of a connection.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// What came back.
pub struct Exchange {
    pub bytes: Vec<u8>,
    /// Whether the other side closed the connection.
    pub closed: bool,
}

impl Exchange {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Sends bytes and reads until the other side closes, or for so long.
pub async fn exchange(address: &str, bytes: &[u8], patience: Duration) -> Exchange {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut read, mut write) = stream.into_split();
    let mut answer = Vec::new();
    let talk = async {
        // What is refused may not be read to its end.
        let send = async { _ = write.write_all(bytes).await };
        let receive = async { _ = read.read_to_end(&mut answer).await };
        tokio::join!(send, receive);
    };
    let closed = timeout(patience, talk).await.is_ok();
    Exchange { bytes: answer, closed }
}

/// The status of each answer in `bytes`, one after the other. What is no answer counts as status 0.
pub fn statuses(mut bytes: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !bytes.is_empty() {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            statuses.push(0);
            break;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.strip_prefix("http/1.").and_then(|rest| rest.get(2..5)?.parse().ok()).unwrap_or(0);
        statuses.push(status);
        let length = |line: &str| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok();
        bytes = &bytes[end + 4..];
        bytes = match head.lines().find_map(length) {
            Some(length) if status != 304 => bytes.get(length..).unwrap_or_default(),
            _ if head.contains("transfer-encoding: chunked") => {
                let end = bytes.windows(5).position(|five| five == b"0\r\n\r\n").map_or(bytes.len(), |end| end + 5);
                &bytes[end..]
            }
            _ => bytes,
        };
    }
    statuses
}

#[test]
fn hostile_answers_are_counted() {
    assert_eq!(statuses(b""), [0_u16; 0]);
    assert_eq!(
        statuses(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"),
        [200, 404]
    );
    assert_eq!(
        statuses(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nHTTP/1.1 400 Bad\r\n\r\n"),
        [200, 400]
    );
    assert_eq!(statuses(b"nonsense"), [0]);
}

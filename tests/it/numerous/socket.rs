//! `GET /query`: logs over a WebSocket, for the command line and for others.

use std::{fs, process::Output, time::Duration};

use futures_util::{SinkExt, StreamExt};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderName},
};

use super::package::{daemon_with, program};
use crate::support::server::TestServer;

/// A task whose second line comes when there is a file `go`.
const LINES: &str = "[[tasks]]\nname = \"lines\"\n\
    command = [\"sh\", \"-c\", \"echo one; while [ ! -e go ]; do sleep 0.02; done; echo é two; echo three\"]\n";

const SUBSCRIPTION: &str = "subscription($id: ID!, $tail: Int, $follow: Boolean!) { \
    taskInstanceLogs(input: {taskInstanceID: $id, tail: $tail, follow: $follow}) { timestamp text } }";

/// A connection, seen from a client.
struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Opens one. Answers the subprotocol too, or the status and problem of a refusal.
    async fn open(
        server: &TestServer,
        protocols: Option<&str>,
        headers: &[(&'static str, &str)],
    ) -> Result<(Socket, String), (u16, String)> {
        let mut request = format!("ws://{}/query", server.address()).into_client_request().unwrap();
        for (name, value) in headers.iter().copied().chain(protocols.map(|offer| ("sec-websocket-protocol", offer))) {
            request.headers_mut().insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        let stream = TcpStream::connect(server.address()).await.unwrap();
        match client_async(request, stream).await {
            Ok((socket, answer)) => {
                let chosen = answer.headers()["sec-websocket-protocol"].to_str().unwrap().to_owned();
                Ok((Socket(socket), chosen))
            }
            Err(Error::Http(answer)) => {
                let problem: Value = serde_json::from_slice(answer.body().as_deref().unwrap_or_default()).unwrap();
                Err((answer.status().as_u16(), problem["type"].as_str().unwrap().to_owned()))
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens one, and introduces itself.
    async fn introduced(server: &TestServer, protocol: &str) -> Socket {
        let (mut socket, chosen) = Socket::open(server, Some(protocol), &[]).await.unwrap();
        assert_eq!(chosen, protocol);
        socket.say(json!({"type": "connection_init"})).await;
        assert_eq!(socket.hear().await, json!({"type": "connection_ack"}));
        socket
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message; a close is its code.
    async fn hear(&mut self) -> Value {
        loop {
            let message = timeout(Duration::from_secs(20), self.0.next()).await.expect("a message in time");
            match message.expect("a message").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => return u16::from(frame.expect("a code").code).into(),
                _ => {}
            }
        }
    }

    async fn subscribe(&mut self, kind: &str, id: &str, query: &str, variables: Value) {
        self.say(json!({"id": id, "type": kind, "payload": {"query": query, "variables": variables}})).await;
    }

    /// The texts of a log, to its completion.
    async fn texts(&mut self, id: &str) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let message = self.hear().await;
            assert_eq!(message["id"], id, "{message}");
            if message["type"] == "complete" {
                return texts;
            }
            let entry = &message["payload"]["data"]["taskInstanceLogs"];
            assert!(entry["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{message}");
            texts.push(entry["text"].as_str().unwrap().to_owned());
        }
    }
}

/// An instance of [`LINES`] that has printed all it will.
async fn done(server: &TestServer) -> String {
    fs::write(server.folder().join("go"), "").unwrap();
    let id = server.start_task("lines", json!({})).await["id"].as_str().unwrap().to_owned();
    server.wait_done(&id).await;
    id
}

/// An instance of [`LINES`] that has printed its first line.
async fn waiting(server: &TestServer) -> String {
    let id = server.start_task("lines", json!({})).await["id"].as_str().unwrap().to_owned();
    let logs = format!("/v1/instances/{id}/logs");
    crate::support::wait_for("the first line", async || {
        (server.get_json(&logs).await["lines"].as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    id
}

fn logs(server: &TestServer, id: &str, options: &[&str]) -> Output {
    let mut command = program(server, "numerous");
    command.env("NUMEROUS_GRAPHQL_HTTP_URL", server.url("/query")).env("NUMEROUS_ACCESS_TOKEN", "any");
    command.env("NUMEROUS_GRAPHQL_WS_URL", server.url("/query").replace("http:", "ws:"));
    command.args(["task", "instance", "logs", id]).args(options).output().expect("the command line runs")
}

fn lines(output: &Output) -> Vec<String> {
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    // It says other things too: that there is no keyring, thanks for using it.
    let is_ours = |line: &&str| ["one", "é two", "three"].iter().any(|text| line.ends_with(text));
    said.lines().filter(is_ours).map(|line| line.trim_start_matches("\u{1b}[0m").to_owned()).collect()
}

#[tokio::test]
async fn numerous_task_instance_logs() {
    let server = daemon_with(LINES).await;
    let id = done(&server).await;
    assert_eq!(lines(&logs(&server, &id, &["--follow=false"])), ["one", "é two", "three"]);
    assert_eq!(lines(&logs(&server, &id, &["--follow=false", "--tail", "2"])), ["é two", "three"]);
    assert_eq!(lines(&logs(&server, &id, &[])), ["one", "é two", "three"], "it ends, for the instance has");
    let stamped = lines(&logs(&server, &id, &["--timestamps", "--tail=1"]));
    let date = server.get(&id).await["finished_at"].as_str().unwrap()[..10].to_owned();
    assert!(stamped.len() == 1 && stamped[0].ends_with("three") && stamped[0].contains(&date), "{stamped:?}");
    // The command line says nothing of an error here, but it ends.
    for _ in 0..3 {
        assert_eq!(lines(&logs(&server, "00000000-0000-7000-8000-000000000000", &[])), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numerous_task_instance_logs_are_followed_to_the_end() {
    let server = daemon_with(LINES).await;
    let id = waiting(&server).await;
    assert_eq!(lines(&logs(&server, &id, &["--follow=false"])), ["one"], "what there is");
    let said = tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let follower = scope.spawn(|| logs(&server, &id, &["--follow"]));
            fs::write(server.folder().join("go"), "").unwrap();
            follower.join().unwrap()
        })
    });
    assert_eq!(lines(&said), ["one", "é two", "three"]);
}

#[tokio::test]
async fn what_was_chosen_is_spoken() {
    let server = TestServer::with(LINES, &[]).await;
    let id = done(&server).await;
    for (offer, chosen, subscribe, next) in [
        ("graphql-ws", "graphql-ws", "start", "data"),
        ("graphql-transport-ws", "graphql-transport-ws", "subscribe", "next"),
        ("graphql-ws, graphql-transport-ws", "graphql-transport-ws", "subscribe", "next"),
        ("other, graphql-ws", "graphql-ws", "start", "data"),
    ] {
        let (mut socket, answer) = Socket::open(&server, Some(offer), &[]).await.unwrap();
        assert_eq!(answer, chosen, "{offer}");
        socket.say(json!({"type": "connection_init", "payload": {}})).await;
        assert_eq!(socket.hear().await, json!({"type": "connection_ack"}));
        socket.subscribe(subscribe, "1", SUBSCRIPTION, json!({"id": id, "tail": 1, "follow": false})).await;
        let message = socket.hear().await;
        assert_eq!((&message["type"], &message["id"]), (&json!(next), &json!("1")), "{offer}: {message}");
        assert_eq!(message["payload"]["data"]["taskInstanceLogs"]["text"], "three");
        assert_eq!(socket.hear().await, json!({"type": "complete", "id": "1"}));
    }
    for (offer, status) in [(None, 400), (Some("other"), 400)] {
        let refused = Socket::open(&server, offer, &[]).await.err().expect("a refusal");
        assert_eq!(refused, (status, "/problems/malformed-request".to_owned()), "{offer:?}");
    }
}

#[tokio::test]
async fn one_connection_carries_several_subscriptions() {
    let server = TestServer::with(LINES, &[]).await;
    let id = waiting(&server).await;
    let mut socket = Socket::introduced(&server, "graphql-transport-ws").await;
    let follow = json!({"id": id, "tail": null, "follow": true});
    for n in 1..=8 {
        socket.subscribe("subscribe", &n.to_string(), SUBSCRIPTION, follow.clone()).await;
        assert_eq!(socket.hear().await["payload"]["data"]["taskInstanceLogs"]["text"], "one");
    }
    socket.subscribe("subscribe", "9", SUBSCRIPTION, follow.clone()).await;
    let refused = socket.hear().await;
    assert!(refused["payload"]["errors"][0]["message"].as_str().unwrap().contains("at most 8"), "{refused}");
    assert_eq!(socket.hear().await, json!({"type": "complete", "id": "9"}));
    // Who ends one has room for another.
    for n in 2..=8 {
        socket.say(json!({"type": "complete", "id": n.to_string()})).await;
        assert_eq!(socket.hear().await, json!({"type": "complete", "id": n.to_string()}));
    }
    socket.subscribe("subscribe", "10", SUBSCRIPTION, follow.clone()).await;
    assert_eq!(socket.hear().await["payload"]["data"]["taskInstanceLogs"]["text"], "one");
    socket.say(json!({"type": "complete", "id": "10"})).await;
    assert_eq!(socket.hear().await, json!({"type": "complete", "id": "10"}));
    fs::write(server.folder().join("go"), "").unwrap();
    assert_eq!(socket.texts("1").await, ["é two", "three"]);
    socket.say(json!({"type": "ping"})).await;
    assert_eq!(socket.hear().await["type"], "pong");
}

#[tokio::test]
async fn what_is_wrong_with_a_subscription_is_told_and_the_connection_goes_on() {
    let server = TestServer::with(LINES, &[]).await;
    let id = done(&server).await;
    let mut socket = Socket::introduced(&server, "graphql-transport-ws").await;
    let variables = json!({"id": id, "tail": -1, "follow": false});
    let unknown = json!({"id": "00000000-0000-7000-8000-000000000000", "tail": null, "follow": false});
    let aliases = (0..17).map(|n| format!("a{n}: __typename ")).collect::<String>();
    for (query, variables, said) in [
        (SUBSCRIPTION, variables, "`tail` is negative"),
        (SUBSCRIPTION, unknown, "task instance not found"),
        (SUBSCRIPTION, json!({}), "id"),
        ("{ __typename }", json!({}), "send queries and mutations by POST"),
        ("query Q { __typename }", json!({}), "by POST"),
        ("mutation M { taskStop(taskInstanceID: \"1\") { taskInstanceID } }", json!({}), "by POST"),
        ("subscription { a: __typename b: __typename }", json!({}), "one field"),
        ("subscription { ...F } fragment F on Subscription { __typename }", json!({}), "one field"),
        ("mutation { taskStop(taskInstanceID: \"1\") { taskInstanceID } }", json!({}), "by POST"),
        (&format!("subscription {{ {aliases} }}"), json!({}), "17 aliases"),
        ("subscription {", json!({}), ""),
    ] {
        socket.subscribe("subscribe", "x", query, variables).await;
        let message = socket.hear().await;
        let error = message["payload"]["errors"][0]["message"].as_str().unwrap_or_else(|| panic!("{message}"));
        assert!(error.contains(said), "{query}: {error}");
        assert_eq!(socket.hear().await, json!({"type": "complete", "id": "x"}));
    }
    socket.subscribe("subscribe", "y", SUBSCRIPTION, json!({"id": id, "tail": 0, "follow": true})).await;
    assert_eq!(socket.texts("y").await, ["one", "é two", "three"]);
    // What is no message ends it.
    socket.0.send(Message::text("{")).await.unwrap();
    assert_eq!(socket.hear().await, 4400);
}

#[tokio::test]
async fn a_socket_needs_a_token_and_no_foreign_page() {
    let token = |name: &str, scopes: &str| {
        let hash: String = Sha256::digest(format!("tw_{name}")).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("[[tokens]]\nname = \"{name}\"\nsha256 = \"{hash}\"\nscopes = [{scopes}]\n")
    };
    let config = LINES.to_owned() + &token("reader", "\"read\"");
    let server = TestServer::with(&config, &[]).await;
    let offer = Some("graphql-transport-ws");
    let refused = async |headers: &[(&'static str, &str)]| Socket::open(&server, offer, headers).await.err();
    assert_eq!(refused(&[("authorization", "Bearer wrong")]).await, Some((401, "/problems/unauthorized".to_owned())));
    let foreign = Some((403, "/problems/foreign-origin".to_owned()));
    for origin in ["http://evil.test", "null"] {
        assert_eq!(refused(&[("authorization", "Bearer tw_reader"), ("origin", origin)]).await, foreign, "{origin}");
    }

    // Before it has said who it is nothing is told.
    let (mut socket, _) = Socket::open(&server, offer, &[]).await.unwrap();
    socket.subscribe("subscribe", "1", SUBSCRIPTION, json!({"id": "1", "tail": null, "follow": false})).await;
    assert_eq!(socket.hear().await, 4401);
    for payload in [json!(null), json!({"Authorization": "Bearer wrong"}), json!({"token": "tw_reader"})] {
        let (mut socket, _) = Socket::open(&server, offer, &[]).await.unwrap();
        socket.say(json!({"type": "connection_init", "payload": payload})).await;
        assert_eq!(socket.hear().await, 4403, "{payload}");
    }
    let own = format!("http://{}", server.address());
    let by_header = [("authorization", "Bearer tw_reader"), ("origin", own.as_str())];
    for (headers, payload) in [
        (&by_header[..], json!(null)),
        (&[], json!({"Authorization": "Bearer tw_reader"})),
        (&[], json!({"headers": {"authorization": "Bearer tw_reader"}})),
    ] {
        let (mut socket, _) = Socket::open(&server, offer, headers).await.unwrap();
        socket.say(json!({"type": "connection_init", "payload": payload})).await;
        assert_eq!(socket.hear().await, json!({"type": "connection_ack"}), "{payload}");
    }
}

#[tokio::test]
async fn connections_and_what_they_begin_are_bounded() {
    let server = TestServer::with(&format!("[limits]\nstreams = 1\n{LINES}"), &[]).await;
    let id = waiting(&server).await;
    let mut socket = Socket::introduced(&server, "graphql-transport-ws").await;
    let refused = Socket::open(&server, Some("graphql-ws"), &[]).await.err().expect("a refusal");
    assert_eq!(refused, (503, "/problems/too-many-streams".to_owned()), "as long as the first is open");
    for n in 0..200 {
        let start = json!({"id": n.to_string(), "type": "subscribe", "payload": {"query": "{ __typename }"}});
        if socket.0.feed(Message::text(start.to_string())).await.is_err() {
            break;
        }
    }
    // It may have been cut before all was written.
    let _ = socket.0.flush().await;
    let code = loop {
        let message = socket.hear().await;
        if message.is_number() {
            break message;
        }
    };
    assert_eq!(code, 4429);
    crate::support::wait_for("room for another", async || Socket::open(&server, Some("graphql-ws"), &[]).await.ok())
        .await;
    assert_eq!(server.get(&id).await["status"], "running");
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused_as_such() {
    let server = TestServer::with(LINES, &[]).await;
    for protocol in ["graphql-transport-ws", "graphql-ws"] {
        let mut socket = Socket::introduced(&server, protocol).await;
        let long = json!({"type": "ping", "payload": {"text": "x".repeat(128 << 10)}});
        // Only its head need be taken.
        let _ = socket.0.feed(Message::text(long.to_string())).await;
        let _ = socket.0.flush().await;
        assert_eq!(socket.hear().await, 1009, "{protocol}");
    }
}

#[tokio::test]
async fn a_socket_ends_with_the_server() {
    let mut server = TestServer::with(LINES, &[]).await;
    let mut socket = Socket::introduced(&server, "graphql-ws").await;
    server.signal(Signal::TERM);
    assert_eq!(socket.hear().await, 1001);
    assert!(server.ended().await.success());
}

//! More clients than descriptors: whoever comes waits, and is let in once others go.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    support::{
        server::{Surroundings, TestServer},
        wait_for,
    },
    usage::cpu_time,
};

const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Clients that stay, and how many of them are answered at once.
async fn two_hundred_clients(server: &TestServer) -> (Vec<TcpStream>, usize) {
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut client = TcpStream::connect(server.address()).await.unwrap();
        client.write_all(REQUEST).await.unwrap();
        clients.push(client);
    }
    let mut answered = 0;
    for client in &mut clients {
        let mut answer = [0; 12];
        if timeout(Duration::from_millis(20), client.read_exact(&mut answer)).await.is_ok_and(|read| read.is_ok()) {
            assert_eq!(&answer, b"HTTP/1.1 200");
            answered += 1;
        }
    }
    (clients, answered)
}

/// The control: a daemon that has descriptors enough lets nobody wait, so the bound above is met by their lack alone.
#[tokio::test]
async fn control_with_descriptors_enough_nobody_waits() {
    let server = TestServer::start().await;
    let (_clients, answered) = two_hundred_clients(&server).await;
    assert!(answered >= 64, "{answered} were answered");
}

#[tokio::test]
async fn with_64_descriptors_200_clients_get_their_turn() {
    let config = "[[tasks]]\nname = \"true\"\ncommand = [\"true\"]\n";
    let surroundings =
        Surroundings { through: ["prlimit", "--nofile=64"].map(str::to_owned).to_vec(), ..Surroundings::default() };
    let mut server = TestServer::within(config, &[], surroundings).await;
    let later = server.start_task("true", json!({})).await;
    server.wait_done(&later["number"]).await;
    let scheduled = json!({"task_id": "true", "inputs": {}, "delay": 2});
    let scheduled = server.client().post(server.url("/v1/instances")).json(&scheduled).send().await.unwrap();
    assert_eq!(scheduled.status(), 201, "{}", scheduled.text().await.unwrap());

    let (clients, answered) = two_hundred_clients(&server).await;
    assert!((10..64).contains(&answered), "{answered} were answered");
    // It waits for descriptors, and does not ask for them all the time.
    let (began, before) = (Instant::now(), cpu_time(server.pid()));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let used = cpu_time(server.pid()) - before;
    println!("{answered} of 200 answered at once; {used:?} of processor time in {:?}", began.elapsed());
    assert!(used < began.elapsed() / 4, "{used:?} in {:?}", began.elapsed());

    drop(clients);
    let freed = Instant::now();
    wait_for("an answer", async || {
        let answer = server.client().get(server.url("/livez")).timeout(Duration::from_secs(1)).send().await;
        answer.is_ok_and(|answer| answer.status() == 200).then_some(())
    })
    .await;
    assert!(freed.elapsed() < Duration::from_secs(5), "{:?}", freed.elapsed());
    // The command that was due meanwhile has ended, whether it found descriptors or not.
    let met = server.wait_done(2).await;
    assert!(met["status"] == "completed" || met["error"]["kind"] == "spawn", "{met}");
    // As soon as it has noticed that all of them are gone, commands run again.
    wait_for("a command that runs", async || {
        let after = server.start_task("true", json!({})).await;
        (server.wait_done(&after["number"]).await["status"] == "completed").then_some(())
    })
    .await;
    assert!(server.stop().await.success());
    server.fsck();
}

//! Whoever waits goes on through the death of the daemon, and loses nothing.

use std::{
    fs,
    io::{self, Read},
    net::{Shutdown, TcpListener, TcpStream},
};

use super::{Shell, TASKS, begun};
use crate::support::server::TestServer;

/// Kills the daemon and starts it again where it was.
async fn kill_and_restart(server: &mut TestServer) {
    server.stay();
    server.kill9();
    // Long enough for whoever waits to find nobody there.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    server.restart().await;
}

#[tokio::test]
async fn wait_and_watch_go_on_through_a_killed_daemon() {
    let mut server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    shell.run("start gate --max-attempts 2").ended(0);
    begun(&server, 1).await;
    let waiting = shell.begin("wait 1 --json");
    let any = shell.begin("wait 1 --any");
    let watching = shell.begin("watch 1");
    for verb in [&waiting, &any, &watching] {
        verb.settled().await;
    }
    kill_and_restart(&mut server).await;
    begun(&server, 1).await;
    fs::write(server.folder().join("go"), "").unwrap();
    let waited = waiting.end().await.ended(0);
    assert_eq!(waited.json()["status"], "completed");
    assert_eq!(waited.json()["attempt"], 2);
    let away = |err: &str| err.lines().filter(|line| line.contains("is away")).count();
    assert_eq!(away(&waited.err), 1, "{waited:?}");
    any.end().await.ended(0);
    let watched = watching.end().await.ended(0);
    assert!(watched.out.lines().last().unwrap().contains("\tcompleted\tgate\t"), "{watched:?}");
}

#[tokio::test]
async fn run_and_logs_lose_no_line_through_a_killed_daemon() {
    let config = r#"
[[tasks]]
name = "counts"
command = ["sh", "-c", "for n in 1 2 3 4 5 6 7 8 9; do echo $PPID line $n; done; while [ ! -e go ]; do sleep 0.02; done; for n in a b c; do echo line $n; done"]
"#;
    let mut server = TestServer::with_config(config).await;
    let shell = Shell::at(&server);
    let running = shell.begin("run counts --max-attempts 2");
    begun(&server, 1).await;
    let following = shell.begin("logs -f 1");
    crate::support::wait_for("the lines of the first attempt", async || {
        let log = server.get_json("/v1/instances/1/logs").await;
        (log["lines"].as_array()?.len() >= 9).then_some(())
    })
    .await;
    following.settled().await;
    running.settled().await;
    kill_and_restart(&mut server).await;
    begun(&server, 1).await;
    fs::write(server.folder().join("go"), "").unwrap();
    let ran = running.end().await.ended(0);
    let followed = following.end().await.ended(0);
    let log = server.get_json("/v1/instances/1/logs").await;
    let stored: Vec<_> =
        log["lines"].as_array().unwrap().iter().map(|line| line["text"].as_str().unwrap().to_owned()).collect();
    assert!(stored.len() >= 21, "both attempts are in the log: {stored:#?}");
    assert_eq!(ran.out.lines().collect::<Vec<_>>(), stored, "{ran:?}");
    assert_eq!(followed.out.lines().collect::<Vec<_>>(), stored, "{followed:?}");
    assert_eq!(ran.err.lines().filter(|line| line.contains("is away")).count(), 1, "{ran:?}");
}

#[tokio::test]
async fn a_daemon_that_ends_in_good_order_is_waited_for_too() {
    let mut server = TestServer::with_config(&format!("server.drain = '0s'\nserver.drain_grace = '0s'\n{TASKS}")).await;
    let shell = Shell::at(&server);
    let running = shell.begin("run gate --max-attempts 2");
    begun(&server, 1).await;
    running.settled().await;
    server.stay();
    assert!(server.stop().await.success());
    server.restart().await;
    fs::write(server.folder().join("go"), "").unwrap();
    let ran = running.end().await.ended(0);
    assert!(ran.out.ends_with("opened\n"), "{ran:?}");
}

#[tokio::test]
async fn a_daemon_that_never_was_is_not_waited_for() {
    let shell = Shell::alone();
    for line in ["wait 1", "run sleep", "logs -f 1", "watch", "ps", "stop 1"] {
        let said = shell.run(line).ended(69);
        assert_eq!(said.err, "taskwright: no daemon at http://127.0.0.1:8080 (default). Start one: taskwright serve\n");
    }
}

/// Passes everything on to `server`, but drops the connection in place of the first answer.
fn lossy_proxy(server: &TestServer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, upstream) = (format!("http://{}", listener.local_addr().unwrap()), server.address().to_owned());
    std::thread::spawn(move || {
        for (n, client) in listener.incoming().enumerate() {
            let (mut client, mut daemon) = (client.unwrap(), TcpStream::connect(&upstream).unwrap());
            let (mut from, mut to) = (client.try_clone().unwrap(), daemon.try_clone().unwrap());
            std::thread::spawn(move || io::copy(&mut from, &mut to));
            if n == 0 {
                // The daemon has answered, so it has been done.
                let _ = daemon.read(&mut [0; 1]).unwrap();
                client.shutdown(Shutdown::Both).unwrap();
            } else {
                std::thread::spawn(move || io::copy(&mut daemon, &mut client));
            }
        }
    });
    url
}

#[tokio::test]
async fn a_start_whose_answer_was_lost_starts_once() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    for (n, verb) in ["start greet --wait", "run greet"].into_iter().enumerate() {
        let said = shell.run(&format!("{verb} --url {}", lossy_proxy(&server))).ended(0);
        assert!(said.err.contains("is away") && said.err.contains("is back"), "{said:?}");
        let list = server.get_json("/v1/instances").await;
        assert_eq!(list["instances"].as_array().unwrap().len(), n + 1, "{list}");
    }
}

#[tokio::test]
async fn a_stop_that_ctrl_c_asks_for_outlasts_a_killed_daemon() {
    let mut server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    let running = shell.begin("run gate --max-attempts 2 --stop-on-interrupt");
    begun(&server, 1).await;
    running.settled().await;
    server.stay();
    server.kill9();
    running.interrupt();
    server.restart().await;
    running.end().await.ended(130);
    assert_eq!(server.get(1).await["status"], "cancelled");
}

#[tokio::test]
async fn what_answers_and_is_no_daemon_is_called_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        _ = stream.read(&mut head).unwrap();
        io::Write::write_all(&mut stream, b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone").unwrap();
    });
    let said = Shell::alone().run(&format!("status 1 --url http://{address}")).ended(69);
    assert!(said.err.contains("no taskwright"), "{said:?}");
    other.join().unwrap();
}

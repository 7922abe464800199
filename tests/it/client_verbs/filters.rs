//! Stop and retry: many at a time.

use serde_json::json;

use super::{Shell, TASKS, begun};
use crate::support::server::TestServer;

#[tokio::test]
async fn a_stop_by_filter_is_refused_where_nobody_can_be_asked() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    for label in ["a", "a", "b"] {
        shell.run(&format!("start gate --delay 1h --label kind:{label}")).ended(0);
    }
    let refused = shell.run("stop --task gate").ended(2);
    assert_eq!(refused.err, "taskwright: Stop 3 instances? There is no terminal to ask on: give -y\n");
    assert_eq!(shell.run("stop --task gate --label kind:a -y").ended(0).out, "2\t2\t0\n");
    assert_eq!(shell.run("stop --all -y --json").ended(0).json(), json!({"matched": 1, "cancelled": 1, "stopping": 0}));
    assert_eq!(shell.run("stop --all").ended(0).out, "", "nothing is left to be asked about");
    shell.run("stop").ended(2);
    shell.run("stop 1 --all").ended(2);
    shell.run("stop --status completed -y").ended(2);
    shell.run("start gate").ended(0);
    begun(&server, 4).await;
    shell.run("stop --status running --before 1h -y").ended(0);
    assert_eq!(server.get(4).await["stop_requested_at"], json!(null), "it is younger");
    shell.run("stop --status running -y --force --wait --timeout 20s").ended(0);
    assert_eq!(server.get(4).await["status"], "cancelled");
}

#[tokio::test]
async fn ids_come_from_stdin_and_one_that_is_unknown_stops_no_other() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    let mut ids = String::new();
    for _ in 0..3 {
        ids.push_str(&shell.run("start gate --delay 1h -q").ended(0).out);
    }
    let some = shell.run_with("stop 99 -", &ids).ended(4);
    assert!(some.err.contains("there is no instance `99`"), "{some:?}");
    assert_eq!(some.out.lines().count(), 3, "{some:?}");
    assert_eq!(shell.run_with("wait -", &ids).ended(3).out.lines().count(), 3);
    shell.run_with("stop -", "").ended(0);
    let listed = shell.run("ps -aq").ended(0);
    shell.run_with("status - -o none", &listed.out).ended(0);
}

#[tokio::test]
async fn a_retry_may_change_inputs() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    shell.run("start resize width=3 name=x --wait").ended(0);
    let again = shell.run("retry @ --set width=4 --wait --json").ended(0).json();
    assert_eq!(again["inputs"], json!({"name": "x", "width": 4}));
    assert_eq!(again["retry_of"], server.get(1).await["id"]);
    shell.run("retry 1 --set widht=4").ended(2);
    shell.run("retry 1 --set width=0").ended(5);
    let same = shell.run("retry 1").ended(0);
    assert!(same.out.starts_with("started 3  "), "{same:?}");
    shell.run("wait @").ended(0);
}

#[tokio::test]
async fn a_retry_by_filter_takes_each_once() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    for _ in 0..3 {
        shell.run("start fail --wait").ended(1);
    }
    assert!(shell.run("retry --failed --since 1h").ended(2).err.contains("Retry 3 instances?"));
    shell.run("retry --task fail").ended(2);
    let first = shell.run("retry --failed --since 1h --task fail -y --wait").ended(1);
    assert_eq!(first.out.lines().filter(|line| line.starts_with("started ")).count(), 3, "{first:?}");
    // The three are still failed ones; what they became is retried, not they.
    let second = shell.run("retry --failed -y").ended(0);
    assert_eq!(second.out.lines().count(), 3, "{second:?}");
    assert_eq!(second.err.lines().filter(|line| line.contains("was retried already")).count(), 3, "{second:?}");
    assert_eq!(shell.run("retry --cancelled -y").ended(0).err, "taskwright: nothing matches\n");
}

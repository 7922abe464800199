//! Exit codes: one rule for every verb.

use std::fs;

use super::{Shell, TASKS, begun};
use crate::support::server::TestServer;

/// `Bearer` of a token whose hash is configured.
const TOKEN: &str = "tw_0123456789012345678901234567890123456789012";

#[tokio::test]
async fn a_verb_that_waits_exits_by_how_the_task_ended() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    for waits in ["run NAME", "start NAME --wait", "start -q NAME --wait"] {
        let said = |task: &str| shell.run(&waits.replace("NAME", task));
        said("greet").ended(0);
        let failed = said("fail").ended(1);
        assert!(failed.err.contains("failed: it is broken (exit)"), "{failed:?}");
    }
    assert_eq!(server.get(2).await["status"], "failed");
    shell.run("wait 1").ended(0);
    shell.run("wait 2").ended(1);
    shell.run("watch 2").ended(1);
    // Of several, the first in the order given that did not complete.
    shell.run("start gate -q --delay 1h").ended(0);
    shell.run("stop @").ended(0);
    let both = shell.run("wait 1 @ 2").ended(3);
    assert_eq!(both.out.lines().count(), 3, "{both:?}");
    shell.run("wait 2 @").ended(1);
    shell.run("watch 1 @ 2").ended(3);
    shell.run("retry @ --wait=100ms").ended(124);
    shell.run("stop @ --wait").ended(0);
}

#[tokio::test]
async fn what_cannot_be_done_has_a_code_of_its_own() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    for (line, code, said) in [
        ("start", 2, "required"),
        ("start resize widht=3", 2, "has no input `widht`; did you mean `width`?"),
        ("start resize width", 2, "write KEY=VALUE"),
        ("start resize width=wide", 5, "/inputs/width"),
        ("start resize", 5, "width"),
        ("start greeet", 4, "did you mean `greet`?"),
        ("status 77", 4, "there is no instance `77`"),
        ("logs 77", 4, "there is no instance `77`"),
        ("logs -f 77", 4, "there is no instance `77`"),
        ("wait 77", 4, "there is no instance `77`"),
        ("watch 77", 4, "there is no instance `77`"),
        ("stop 77", 4, "there is no instance `77`"),
        ("retry 77", 4, "there is no instance `77`"),
        ("open --print 77", 4, "there is no instance `77`"),
        ("status nonsense", 4, "there is no instance `nonsense`"),
        ("status @", 4, "nothing was started here"),
        ("wait 1 --timeout soon", 2, "--timeout"),
        ("ps --since yesterday", 2, "--since"),
        ("ps --status done", 2, "--status"),
        ("tasks greeet", 4, "did you mean `greet`?"),
        ("stop --task greeet -y", 4, "did you mean `greet`?"),
        ("retry --failed --task greeet -y", 4, "did you mean `greet`?"),
        ("watch --task greeet", 4, "did you mean `greet`?"),
    ] {
        let ended = shell.run(line).ended(code);
        assert!(ended.err.contains(said), "{line}: {ended:?}");
        assert_eq!(ended.out, "", "{line}");
    }
    let nul = shell.home().join("nul");
    std::fs::write(&nul, "a\0b").unwrap();
    let refused = shell.run(&format!("start resize width=3 name=@{}", nul.display())).ended(2);
    assert!(refused.err.contains("holds a NUL character"), "{refused:?}");
    let spaced = shell.command("api GET").arg("/v1/definitions/a b").output().unwrap();
    assert_eq!(spaced.status.code(), Some(2), "{spaced:?}");
    assert!(String::from_utf8_lossy(&spaced.stderr).contains("%20"), "{spaced:?}");
    // A shell's variable that is not set.
    for verb in ["status", "stop", "logs", "wait"] {
        let mut empty = shell.command(verb);
        let output = empty.arg("").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{verb}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("the ID is empty"), "{verb}: {output:?}");
    }
    // What a start that went wrong hands on in a pipe.
    assert!(shell.run_with("wait -", "").ended(2).err.contains("no ids"));
    // A conflict: what is not done is not retried.
    shell.run("start gate -q").ended(0);
    let conflict = shell.run("retry @").ended(5);
    assert!(!conflict.err.is_empty(), "{conflict:?}");
    shell.run("wait @ --timeout 50ms").ended(124);
    shell.run("run gate --timeout 50ms").ended(124);
    shell.run("watch @ --timeout 50ms").ended(124);
    assert_eq!(server.get(1).await["status"], "running", "the task goes on");
    // What is done needs no time.
    shell.run("start greet --wait -q").ended(0);
    shell.run("wait 3 --timeout 0").ended(0);
    shell.run("stop 3 --wait --timeout 0").ended(0);
    shell.run("wait 1 3 --any --timeout 0").ended(0);
    shell.run("wait 1 --timeout 0").ended(124);
    shell.run("stop --all -y --force --wait").ended(0);
}

#[tokio::test]
async fn a_daemon_that_wants_a_token_says_where_to_put_it() {
    let config = format!("{TASKS}\n[[tokens]]\nname = 'ci'\nsha256 = '{}'\nscopes = ['read']\n", sha256(TOKEN));
    let server = TestServer::with_config(&config).await;
    let shell = Shell::at(&server);
    let refused = shell.run("ps").ended(5);
    assert!(refused.err.contains("TASKWRIGHT_TOKEN"), "{refused:?}");
    shell.run(&format!("ps --token {TOKEN}")).ended(0);
    let forbidden = shell.run(&format!("start greet --token {TOKEN}")).ended(5);
    assert!(forbidden.err.contains("run"), "{forbidden:?}");
    let mut by_variable = shell.command("ps");
    assert!(by_variable.env("TASKWRIGHT_TOKEN", TOKEN).status().unwrap().success());
    // From the file, where a name is given.
    let folder = shell.home().join("config/taskwright");
    fs::create_dir_all(&folder).unwrap();
    let file = format!("[servers.here]\nurl = '{}'\ntoken_file = 'ci.token'\n", server.url(""));
    fs::write(folder.join("client.toml"), file).unwrap();
    fs::write(folder.join("ci.token"), format!("{TOKEN}\n")).unwrap();
    shell.run("ps --server here").ended(0);
    let unknown = shell.run("ps --server her").ended(2);
    assert!(unknown.err.contains("did you mean `here`?") || unknown.err.contains("known is here"), "{unknown:?}");
}

#[tokio::test]
async fn ctrl_c_exits_130_and_the_task_goes_on() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    let started = shell.run("start gate -q").ended(0).out.trim().to_owned();
    server.wait_running(&started).await;
    for line in ["wait 1", "logs -f 1", "watch 1", "run gate"] {
        let running = shell.begin(line);
        if line == "run gate" {
            begun(&server, 2).await;
        }
        running.ready().await;
        running.interrupt();
        let ended = running.end().await.ended(130);
        if line == "run gate" {
            assert!(ended.err.contains("goes on") && ended.err.contains("taskwright stop 2"), "{ended:?}");
        }
    }
    assert_eq!(server.get(1).await["status"], "running");
    assert_eq!(server.get(2).await["status"], "running");
    let stopping = shell.begin("run gate --stop-on-interrupt");
    begun(&server, 3).await;
    stopping.ready().await;
    stopping.interrupt();
    stopping.end().await.ended(130);
    assert_eq!(server.get(3).await["status"], "cancelled");
    shell.run("stop --all -y --force --wait").ended(0);
}

fn sha256(text: &str) -> String {
    use std::{io::Write, process::Stdio};
    let mut child =
        std::process::Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

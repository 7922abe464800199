//! Commands as processes: they end as they say, and nothing of them is left, whoever dies first.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use taskwright::process::{Command, Exit, Process, SpawnError, Spawner, kill_leftovers};
use tokio::io::AsyncReadExt as _;

const BINARY: &str = env!("CARGO_BIN_EXE_taskwright");

/// A spawner, and a mark in the environment of all that it starts.
struct Shop {
    spawner: Spawner,
    tag: String,
}

impl Shop {
    async fn open() -> Shop {
        let spawner = Spawner::start(Path::new(BINARY))
            .await
            .expect("the spawner starts");
        Shop {
            spawner,
            tag: new_tag(),
        }
    }

    fn command(&self, argv: &[&str]) -> Command {
        Command {
            argv: argv.iter().map(Into::into).collect(),
            env: vec![
                (
                    "PATH".into(),
                    std::env::var_os("PATH").expect("tests have a PATH"),
                ),
                ("TASKWRIGHT_STORE".into(), self.tag.clone().into()),
            ],
            directory: "/tmp".into(),
        }
    }

    async fn start(&self, argv: &[&str]) -> Process {
        self.spawner
            .spawn(self.command(argv))
            .await
            .expect("the program starts")
    }

    /// Starts a shell script and returns when it has printed "ready".
    async fn ready(&self, script: &str) -> Process {
        let mut process = self.start(&["sh", "-c", script]).await;
        let stdout = process.stdout.as_mut().expect("not taken yet");
        let mut text = Vec::new();
        while !text.ends_with(b"ready\n") {
            assert_ne!(
                stdout.read_buf(&mut text).await.expect("readable"),
                0,
                "it ended before it was ready"
            );
        }
        process
    }

    async fn exit(&self, argv: &[&str]) -> Exit {
        end(self.start(argv).await).await.0
    }

    async fn output(&self, argv: &[&str]) -> String {
        let (exit, stdout, _) = end(self.start(argv).await).await;
        assert_eq!(exit, Exit::Code(0));
        stdout
    }

    fn living(&self) -> Vec<i32> {
        living(&self.tag)
    }
}

/// The end and both streams. They must end too: a process that is gone holds no pipe.
async fn end(mut process: Process) -> (Exit, String, String) {
    let (mut stdout, mut stderr) = (String::new(), String::new());
    let mut streams = (
        process.stdout.take().expect("there"),
        process.stderr.take().expect("there"),
    );
    let all = async {
        tokio::join!(
            process.wait(),
            streams.0.read_to_string(&mut stdout),
            streams.1.read_to_string(&mut stderr)
        )
    };
    let (exit, first, second) = within(all).await;
    first.and(second).expect("both streams are text");
    (exit, stdout, stderr)
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("in time")
}

async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn new_tag() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "test-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// All processes that carry the mark in their environment.
fn living(tag: &str) -> Vec<i32> {
    let mark = format!("TASKWRIGHT_STORE={tag}");
    all_pids()
        .into_iter()
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark.as_bytes())
        })
        .collect()
}

fn all_pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("Linux");
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// A field of `/proc/PID/stat` behind the name: 0 the state, 1 the parent.
fn stat(pid: i32, field: usize) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(
        text.rsplit_once(')')?
            .1
            .split_whitespace()
            .nth(field)?
            .to_owned(),
    )
}

fn parent(pid: i32) -> i32 {
    stat(pid, 1)
        .and_then(|text| text.parse().ok())
        .expect("it lives")
}

fn children(pid: i32) -> Vec<i32> {
    all_pids()
        .into_iter()
        .filter(|child| stat(*child, 1).is_some_and(|text| text == pid.to_string()))
        .collect()
}

fn signal(pid: i32, name: &str) {
    let sent = std::process::Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status();
    assert!(sent.expect("kill is there").success(), "SIG{name} to {pid}");
}

fn open_fds(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn exit_codes_come_through() {
    let shop = Shop::open().await;
    for code in [
        0, 1, 2, 3, 42, 64, 126, 127, 128, 130, 137, 143, 200, 254, 255,
    ] {
        let script = format!("exit {code}");
        assert_eq!(shop.exit(&["sh", "-c", &script]).await, Exit::Code(code));
    }
}

#[tokio::test]
async fn signals_come_through() {
    let shop = Shop::open().await;
    for number in [1, 2, 3, 4, 6, 8, 9, 10, 11, 12, 13, 14, 15, 24, 31] {
        let script = format!("ulimit -c 0; kill -{number} $$");
        assert_eq!(
            shop.exit(&["sh", "-c", &script]).await,
            Exit::Signal(number)
        );
    }
}

#[tokio::test]
async fn both_streams_arrive_and_stdin_is_empty() {
    let shop = Shop::open().await;
    let process = shop
        .start(&["sh", "-c", "echo out; echo err >&2; cat"])
        .await;
    let expected = (Exit::Code(0), "out\n".to_owned(), "err\n".to_owned());
    assert_eq!(end(process).await, expected);
}

#[tokio::test]
async fn the_end_can_be_asked_for_again_and_waiting_can_be_given_up() {
    let shop = Shop::open().await;
    let mut process = shop.ready("echo ready; sleep 1000").await;
    for _ in 0..3 {
        let early = tokio::time::timeout(Duration::from_millis(5), process.wait()).await;
        assert!(early.is_err());
    }
    process.terminate();
    assert_eq!(within(process.wait()).await, Exit::Signal(15));
    process.terminate();
    process.kill();
    assert_eq!(within(process.wait()).await, Exit::Signal(15));
}

#[tokio::test]
async fn terminate_reaches_the_whole_process_group() {
    let shop = Shop::open().await;
    let process = shop
        .ready("(trap 'echo inner; exit' TERM; echo ready; sleep 1000 & wait) & wait")
        .await;
    process.terminate();
    let (exit, stdout, _) = end(process).await;
    assert_eq!((exit, shop.living()), (Exit::Signal(15), vec![]));
    // The leader's end kills the rest, so the inner one may or may not have come to its word.
    assert!(stdout.is_empty() || stdout == "inner\n");
}

#[tokio::test]
async fn a_program_that_ignores_terminate_is_killed() {
    let shop = Shop::open().await;
    let mut process = shop
        .ready("trap 'echo caught' TERM; echo ready; while :; do sleep 0.02; done")
        .await;
    process.terminate();
    let mut word = [0; 7];
    let stdout = process.stdout.as_mut().expect("there");
    within(stdout.read_exact(&mut word))
        .await
        .expect("it speaks");
    assert_eq!(&word, b"caught\n");
    assert!(!shop.living().is_empty());
    process.kill();
    assert_eq!(
        (end(process).await.0, shop.living()),
        (Exit::Signal(9), vec![])
    );
}

#[tokio::test]
async fn a_program_that_caught_terminate_exits_as_it_likes() {
    let shop = Shop::open().await;
    let process = shop
        .ready("trap 'exit 7' TERM; echo ready; sleep 1000 & wait")
        .await;
    process.terminate();
    assert_eq!(
        (end(process).await.0, shop.living()),
        (Exit::Code(7), vec![])
    );
}

#[tokio::test]
async fn nothing_is_left_of_a_program_that_exits_and_the_code_stands() {
    let shop = Shop::open().await;
    let zoo = [
        ("a child that holds the pipes", "sleep 1000 & exit 3"),
        ("a session of its own", "setsid sleep 1000 & exit 3"),
        (
            "a daemon by double fork",
            "(setsid sh -c 'sleep 1000 & sleep 1000 &' &) ; exit 3",
        ),
        (
            "a child that ignores everything",
            "(trap '' TERM HUP INT; sleep 1000) & exit 3",
        ),
        ("a stopped child", "sleep 1000 & kill -STOP $!; exit 3"),
        ("closed streams", "exec >&- 2>&-; sleep 1000 & exit 3"),
        (
            "a long chain",
            "sh -c 'sh -c \"sh -c \\\"sleep 1000 & sleep 1000\\\" & sleep 1000\" & sleep 1000' & exit 3",
        ),
    ];
    for (what, script) in zoo {
        let (exit, ..) = end(shop.start(&["sh", "-c", script]).await).await;
        assert_eq!((exit, shop.living()), (Exit::Code(3), vec![]), "{what}");
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_program_that_is_killed() {
    let shop = Shop::open().await;
    let zoo = [
        (
            "a session of its own",
            "setsid sleep 1000 & echo ready; sleep 1000",
        ),
        (
            "a daemon by double fork",
            "(setsid sh -c 'sleep 1000 &' &); echo ready; sleep 1000",
        ),
        ("closed streams", "echo ready; exec >&- 2>&-; sleep 1000"),
    ];
    for (what, script) in zoo {
        let process = shop.ready(script).await;
        process.kill();
        assert_eq!(
            (end(process).await.0, shop.living()),
            (Exit::Signal(9), vec![]),
            "{what}"
        );
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_dropped_command() {
    let shop = Shop::open().await;
    let process = shop
        .ready("setsid sleep 1000 & echo ready; sleep 1000")
        .await;
    assert!(!shop.living().is_empty());
    drop(process);
    wait_for("all are gone", || shop.living().is_empty()).await;
}

#[tokio::test]
async fn a_process_outside_the_supervisor_is_seen_to_live() {
    // The control of all checks here: what nobody supervises is found by them.
    let tag = new_tag();
    let status = std::process::Command::new("sh")
        .args(["-c", "setsid sleep 1000 >/dev/null 2>&1 &"])
        .env("TASKWRIGHT_STORE", &tag)
        .status();
    assert!(status.expect("sh is there").success());
    wait_for("the orphan lives", || living(&tag).len() == 1).await;
    signal(living(&tag)[0], "KILL");
    wait_for("the orphan is gone", || living(&tag).is_empty()).await;
}

#[tokio::test]
async fn two_hundred_children_die_together() {
    let shop = Shop::open().await;
    let script = "i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; echo ready; wait";
    let process = shop.ready(script).await;
    assert!(shop.living().len() > 200);
    process.kill();
    assert_eq!(
        (end(process).await.0, shop.living()),
        (Exit::Signal(9), vec![])
    );
}

/// Processes that fork and exit for ever, so that none of them lives long enough to be met twice.
const COMETS: &str = "
import os, sys
for _ in range(4):
    if os.fork() == 0:
        while True:
            if os.fork():
                os._exit(0)
            NEW_SESSION
print('ready', flush=True)
END
";

async fn comets(new_session: &str, end_of_leader: &str, expected: Exit) {
    let shop = Shop::open().await;
    let script = COMETS
        .replace("NEW_SESSION", new_session)
        .replace("END", end_of_leader);
    let mut command = shop.command(&["python3", "-S", "-c", &script]);
    command.argv[0] = python();
    let mut process = shop.spawner.spawn(command).await.expect("python3 starts");
    let mut word = [0; 6];
    let stdout = process.stdout.as_mut().expect("there");
    within(stdout.read_exact(&mut word))
        .await
        .expect("it is ready");
    if expected == Exit::Signal(9) {
        process.kill();
    }
    assert_eq!((end(process).await.0, shop.living()), (expected, vec![]));
}

/// The interpreter itself: a wrapper script would add its own processes.
fn python() -> OsString {
    let found = std::process::Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output();
    String::from_utf8(found.expect("python3 is there").stdout)
        .expect("a path")
        .trim()
        .into()
}

#[tokio::test]
async fn processes_that_fork_and_exit_for_ever_are_caught() {
    comets(
        "pass",
        "os.wait(); __import__('time').sleep(1000)",
        Exit::Signal(9),
    )
    .await;
    comets("pass", "os._exit(0)", Exit::Code(0)).await;
}

#[tokio::test]
async fn processes_that_change_their_session_with_each_fork_are_caught() {
    comets(
        "os.setsid()",
        "__import__('time').sleep(1000)",
        Exit::Signal(9),
    )
    .await;
    comets("os.setsid()", "os._exit(0)", Exit::Code(0)).await;
}

#[tokio::test]
async fn a_program_starts_clean() {
    let shop = Shop::open().await;
    let mut command = shop.command(&["env"]);
    command.env.push(("EMPTY".into(), "".into()));
    let process = shop.spawner.spawn(command.clone()).await.expect("starts");
    let mut lines: Vec<String> = end(process).await.1.lines().map(str::to_owned).collect();
    let mut expected: Vec<String> = command
        .env
        .iter()
        .map(|(name, value)| format!("{}={}", name.display(), value.display()))
        .collect();
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected, "the environment is exactly the given one");

    // `ls` has its three streams and the folder that it reads.
    assert_eq!(shop.output(&["ls", "/proc/self/fd"]).await, "0\n1\n2\n3\n");
    let status = shop.output(&["cat", "/proc/self/status"]).await;
    let value = |name: &str| {
        let line = status
            .lines()
            .find(|line| line.starts_with(name))
            .expect("in status(5)");
        line.split_whitespace().nth(1).expect("a value").to_owned()
    };
    assert_eq!(value("SigBlk:"), "0000000000000000");
    assert_eq!(value("SigIgn:"), "0000000000000000");
    assert_eq!(value("NoNewPrivs:"), "1");
    assert_eq!(shop.output(&["pwd"]).await, "/tmp\n");

    let process = shop.ready("echo ready; sleep 1000").await;
    assert_eq!(
        stat(process.pid(), 2),
        Some(process.pid().to_string()),
        "a process group of its own"
    );
}

#[tokio::test]
async fn arguments_arrive_byte_by_byte() {
    let shop = Shop::open().await;
    let odd = [
        "",
        " ",
        "a b",
        "$(id)",
        "`id`",
        ";",
        "--",
        "-n",
        "*",
        "\"'\\",
        "ä\u{1}\n",
    ];
    let mut argv = vec!["printf", "%s|"];
    argv.extend(odd);
    assert_eq!(
        shop.output(&argv).await,
        odd.map(|text| format!("{text}|")).concat()
    );
}

#[tokio::test]
async fn large_environments_arrive_and_larger_ones_are_refused() {
    let shop = Shop::open().await;
    let mut command = shop.command(&["sh", "-c", "echo ${#DATA}"]);
    for n in 0..10 {
        command
            .env
            .push((format!("DATA{n}").into(), "x".repeat(100_000).into()));
    }
    command
        .env
        .push(("DATA".into(), "x".repeat(100_000).into()));
    let process = shop.spawner.spawn(command.clone()).await.expect("starts");
    assert_eq!(
        end(process).await,
        (Exit::Code(0), "100000\n".to_owned(), String::new())
    );

    for size in [200_000, 9_000_000] {
        command.env.push(("DATA".into(), "x".repeat(size).into()));
        let refused = shop.spawner.spawn(command.clone()).await;
        assert!(
            matches!(refused, Err(SpawnError::TooLarge { .. })),
            "{size}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let shop = Shop::open().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str, mode| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        path.to_str().expect("text").to_owned()
    };
    let plain = file("plain", "#!/bin/sh\n", 0o644);
    let orphan = file("orphan", "#!/no/such/interpreter\n", 0o755);
    let garbage = file("garbage", "\u{1}\u{2}", 0o755);
    let refusal = async |command: Command| {
        shop.spawner
            .spawn(command)
            .await
            .expect_err("it cannot start")
    };

    for missing in [
        "no-such-program",
        "/no/such/program",
        "./no-such-program",
        "",
    ] {
        let error = refusal(shop.command(&[missing])).await;
        assert!(
            matches!(&error, SpawnError::NotFound { program, .. } if *program == missing),
            "{error:?}"
        );
    }
    for closed in [plain.as_str(), garbage.as_str(), "/tmp"] {
        let error = refusal(shop.command(&[closed])).await;
        assert!(
            matches!(&error, SpawnError::NotExecutable { program, .. } if *program == closed),
            "{error:?}"
        );
    }
    let error = refusal(shop.command(&[&orphan])).await;
    assert!(
        matches!(error, SpawnError::NoInterpreter { .. }),
        "{error:?}"
    );
    for directory in ["/no/such/directory", plain.as_str()] {
        let error = refusal(Command {
            directory: directory.into(),
            ..shop.command(&["true"])
        })
        .await;
        assert!(matches!(error, SpawnError::Directory { .. }), "{error:?}");
    }
    let error = refusal(shop.command(&["echo", "a\0b"])).await;
    assert!(matches!(error, SpawnError::Malformed { .. }), "{error:?}");
    let error = refusal(shop.command(&[])).await;
    assert!(matches!(error, SpawnError::Malformed { .. }), "{error:?}");
    assert_eq!(shop.living(), []);
}

#[tokio::test]
async fn programs_are_found_on_the_commands_own_path() {
    let shop = Shop::open().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("only-here");
    fs::write(&path, "#!/bin/sh\necho found\n").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
    let mut command = shop.command(&["only-here"]);
    assert!(matches!(
        shop.spawner.spawn(command.clone()).await,
        Err(SpawnError::NotFound { .. })
    ));

    command.env[0].1 = format!("/no/such/folder:{}", folder.path().display()).into();
    let process = shop.spawner.spawn(command.clone()).await.expect("found");
    assert_eq!(end(process).await.1, "found\n");

    command.argv[0] = "./only-here".into();
    command.directory = folder.path().into();
    let process = shop.spawner.spawn(command).await.expect("found");
    assert_eq!(end(process).await.1, "found\n");
}

/// The daemon that `a_killed_daemon_leaves_nothing` kills: that test runs this one in a process of its own.
#[tokio::test]
#[ignore = "a part of another test"]
async fn host() {
    let Ok(tag) = std::env::var("HOST_TAG") else {
        return;
    };
    let shop = Shop {
        tag,
        ..Shop::open().await
    };
    let script = "trap '' TERM; setsid sh -c 'sleep 1000 & sleep 1000' & (sleep 1000 &) ; echo ready; sleep 1000";
    let _first = shop.ready(script).await;
    let _second = shop.ready(script).await;
    eprintln!("spawner {}", shop.spawner.pid());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_daemon_leaves_nothing() {
    let tag = new_tag();
    let mut host = std::process::Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "process::host", "--ignored", "--nocapture"])
        .env("HOST_TAG", &tag)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(host.stderr.take().expect("piped")).lines();
    let spawner: i32 = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("spawner ")?.parse().ok())
        .expect("the host speaks");
    let supervisors = children(spawner);
    assert_eq!(supervisors.len(), 2);
    assert!(living(&tag).len() > 8, "the host itself and two families");

    let killed = Instant::now();
    host.kill().expect("killed");
    host.wait().expect("reaped");
    wait_for("all are gone", || {
        living(&tag).is_empty()
            && supervisors
                .iter()
                .chain([&spawner])
                .all(|pid| stat(*pid, 0).is_none_or(|state| state == "Z"))
    })
    .await;
    assert!(killed.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_killed_spawner_loses_its_commands_and_is_replaced() {
    let shop = Shop::open().await;
    let mut first = shop
        .ready("setsid sleep 1000 & echo ready; sleep 1000")
        .await;
    let mut second = shop.ready("echo ready; sleep 1000").await;
    let spawner = shop.spawner.pid();
    signal(spawner, "KILL");
    assert_eq!(within(first.wait()).await, Exit::Lost);
    assert_eq!(within(second.wait()).await, Exit::Lost);
    assert_eq!(shop.living(), []);

    assert_eq!(shop.exit(&["sh", "-c", "exit 4"]).await, Exit::Code(4));
    assert_ne!(shop.spawner.pid(), spawner);
    assert_eq!(stat(spawner, 0), None, "the dead one is reaped");
}

#[tokio::test]
async fn a_killed_supervisor_leaves_nothing_and_disturbs_nobody() {
    let shop = Shop::open().await;
    let other = shop.ready("echo ready; sleep 1000").await;
    let others = shop.living();
    for script in [
        "setsid sleep 1000 & echo ready; sleep 1000",
        "setsid sh -c 'sleep 1000 & sleep 1000' & echo ready; kill -9 $PPID; sleep 1000",
        "setsid sleep 1000 & echo ready; kill -STOP $PPID; sleep 1000",
    ] {
        let mut process = shop.ready(script).await;
        if !script.contains("PPID") {
            signal(parent(process.pid()), "KILL");
        }
        assert_eq!(within(process.wait()).await, Exit::Lost);
        assert_eq!(shop.living(), others, "{script}");
    }
    other.kill();
    assert_eq!(
        (end(other).await.0, shop.living()),
        (Exit::Signal(9), vec![])
    );
}

#[tokio::test]
async fn supervisor_and_spawner_killed_at_once_leave_nothing() {
    let shop = Shop::open().await;
    let mut process = shop.ready("sleep 1000 & echo ready; sleep 1000").await;
    let supervisor = parent(process.pid());
    // Standing still, the supervisor cannot notice the spawner's end.
    signal(shop.spawner.pid(), "STOP");
    signal(supervisor, "KILL");
    signal(shop.spawner.pid(), "KILL");
    assert_eq!(within(process.wait()).await, Exit::Lost);
    assert_eq!(shop.living(), []);
}

#[tokio::test]
async fn shutdown_ends_everything_and_refuses_more() {
    let shop = Shop::open().await;
    let process = shop
        .ready("setsid sleep 1000 & echo ready; sleep 1000")
        .await;
    let spawner = shop.spawner.pid();
    drop(process);
    within(shop.spawner.shutdown()).await;
    assert_eq!((shop.living(), stat(spawner, 0)), (vec![], None));
    let refused = shop.spawner.spawn(shop.command(&["true"])).await;
    assert!(
        matches!(refused, Err(SpawnError::Spawner { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_binary_that_is_no_spawner_is_refused() {
    for other in ["/bin/true", "/bin/cat", "/no/such/binary"] {
        assert!(Spawner::start(Path::new(other)).await.is_err(), "{other}");
    }
}

#[tokio::test]
async fn three_hundred_runs_leave_no_zombie_and_no_descriptor() {
    let shop = Shop::open().await;
    let spawner = shop.spawner.pid();
    let us = std::process::id() as i32;
    assert_eq!(shop.exit(&["true"]).await, Exit::Code(0));
    wait_for("the first is reaped", || children(spawner).is_empty()).await;
    let before = (open_fds(us), open_fds(spawner));
    for round in 0..30 {
        let mut running = Vec::new();
        for n in 0..10 {
            let script = if n == 0 {
                "sleep 1000 & exit 1"
            } else {
                "exit 1"
            };
            let (spawner, command) = (shop.spawner.clone(), shop.command(&["sh", "-c", script]));
            running.push(tokio::spawn(async move {
                end(spawner.spawn(command).await.expect("starts")).await.0
            }));
        }
        for run in running {
            assert_eq!(run.await.expect("no panic"), Exit::Code(1), "round {round}");
        }
    }
    wait_for("no child is left", || children(spawner).is_empty()).await;
    wait_for("no descriptor is left", || {
        (open_fds(us), open_fds(spawner)) == before
    })
    .await;
    assert_eq!(shop.living(), []);
}

#[tokio::test]
async fn leftovers_are_found_by_their_mark_and_killed() {
    let tag = new_tag();
    let strangers = new_tag();
    for mark in [&tag, &strangers] {
        let status = std::process::Command::new("sh")
            .args([
                "-c",
                "for i in 1 2 3; do setsid sleep 1000 >/dev/null 2>&1 & done",
            ])
            .env("TASKWRIGHT_STORE", mark)
            .status();
        assert!(status.expect("sh is there").success());
        wait_for("they live", || living(mark).len() == 3).await;
    }
    assert_eq!(kill_leftovers(&tag).expect("killed"), 3);
    assert_eq!((living(&tag).len(), living(&strangers).len()), (0, 3));
    assert_eq!(kill_leftovers(&tag).expect("nothing to do"), 0);
    // A mark that only begins alike is another's.
    assert_eq!(
        kill_leftovers(&strangers[..strangers.len() - 1]).expect("nothing to do"),
        0
    );
    assert_eq!(kill_leftovers(&strangers).expect("killed"), 3);
}

#[tokio::test]
#[ignore = "a measurement: cargo nextest run --release --run-ignored all -E 'test(half_the_rate)' --no-capture"]
async fn starting_commands_has_half_the_rate_of_a_bare_loop() {
    const RUNS: u32 = 1000;
    let shop = Shop::open().await;
    let (mut best_bare, mut best_ours) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        let begin = Instant::now();
        for _ in 0..RUNS {
            let mut command = std::process::Command::new("/bin/true");
            command
                .env_clear()
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let child = command.spawn().expect("starts");
            assert!(child.wait_with_output().expect("ends").status.success());
        }
        best_bare = best_bare.min(begin.elapsed() / RUNS);
        let begin = Instant::now();
        for _ in 0..RUNS {
            assert_eq!(shop.exit(&["/bin/true"]).await, Exit::Code(0));
        }
        best_ours = best_ours.min(begin.elapsed() / RUNS);
    }
    eprintln!("bare {best_bare:?}, with a supervisor {best_ours:?}");
    assert!(best_ours < 2 * best_bare);
}

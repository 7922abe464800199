//! What a program starts with, and why it may not start.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use taskwright::process::{Command, Exit, SpawnError};

use super::{Shop, children, end, signal, stat, wait_for, within};

#[tokio::test]
async fn a_program_starts_clean() {
    let shop = Shop::open().await;
    let mut command = shop.command(&["env"]);
    command.env.push(("EMPTY".into(), "".into()));
    let process = shop.spawner.spawn(command.clone()).await.expect("starts");
    let mut lines: Vec<String> = end(process).await.1.lines().map(str::to_owned).collect();
    let mut expected: Vec<String> =
        command.env.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect();
    lines.sort();
    expected.sort();
    assert_eq!(lines, expected, "the environment is exactly the given one");

    // `ls` has its three streams and the folder that it reads.
    assert_eq!(shop.output(&["ls", "/proc/self/fd"]).await, "0\n1\n2\n3\n");
    let status = shop.output(&["cat", "/proc/self/status"]).await;
    let value = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect("in status(5)");
        line.split_whitespace().nth(1).expect("a value").to_owned()
    };
    assert_eq!(value("SigBlk:"), "0000000000000000");
    assert_eq!(value("SigIgn:"), "0000000000000000");
    assert_eq!(value("NoNewPrivs:"), "1");
    assert_eq!(shop.output(&["pwd"]).await, "/tmp\n");

    let process = shop.ready("echo ready; sleep 1000").await;
    assert_eq!(stat(process.pid(), 2), Some(process.pid().to_string()), "a process group of its own");
}

#[tokio::test]
async fn one_supervisor_serves_one_command_after_another() {
    let shop = Shop::open().await;
    let parent = async || shop.output(&["sh", "-c", "echo $PPID"]).await;
    let first = parent().await;
    assert_eq!(parent().await, first, "it was free at once");

    // Asked for after the program has ended, and before anybody has heard of that.
    let mut early = shop.ready("echo ready; sleep 0.05").await;
    wait_for("it has ended", || stat(early.pid(), 0).is_none()).await;
    early.terminate();
    assert_eq!(within(early.wait()).await, Exit::Code(0));
    let next = shop.start(&["sh", "-c", "trap 'exit 9' TERM; echo $PPID; sleep 0.1"]).await;
    assert_eq!(end(next).await, (Exit::Code(0), first.clone(), String::new()), "the signal was meant for another");

    let killed: i32 = first.trim().parse().expect("a number");
    signal(killed, "KILL");
    assert_ne!(parent().await, first, "one that died while it had nothing to do is no loss");

    let doomed = shop.ready("echo ready; sleep 1000").await;
    let supervisor = super::parent(doomed.pid());
    doomed.kill();
    end(doomed).await;
    assert_ne!(parent().await.trim(), supervisor.to_string(), "what was killed takes its supervisor along");
    let spawner = shop.spawner.pid();
    wait_for("those without a command are let go", || children(spawner).is_empty()).await;
}

#[tokio::test]
async fn arguments_arrive_byte_by_byte() {
    let shop = Shop::open().await;
    let odd = ["", " ", "a b", "$(id)", "`id`", ";", "--", "-n", "*", "\"'\\", "ä\u{1}\n"];
    let mut argv = vec!["printf", "%s|"];
    argv.extend(odd);
    assert_eq!(shop.output(&argv).await, odd.map(|text| format!("{text}|")).concat());
}

#[tokio::test]
async fn large_environments_arrive_and_larger_ones_are_refused() {
    let shop = Shop::open().await;
    let mut command = shop.command(&["sh", "-c", "echo ${#DATA}"]);
    for n in 0..10 {
        command.env.push((format!("DATA{n}").into(), "x".repeat(100_000).into()));
    }
    command.env.push(("DATA".into(), "x".repeat(100_000).into()));
    let process = shop.spawner.spawn(command.clone()).await.expect("starts");
    assert_eq!(end(process).await, (Exit::Code(0), "100000\n".to_owned(), String::new()));

    for size in [200_000, 9_000_000] {
        command.env.push(("DATA".into(), "x".repeat(size).into()));
        let refused = shop.spawner.spawn(command.clone()).await;
        assert!(matches!(refused, Err(SpawnError::TooLarge { .. })), "{size}: {refused:?}");
    }
}

#[tokio::test]
async fn a_command_arrives_whole_on_either_side_of_the_longest_record() {
    let shop = Shop::open().await;
    let around = 32 * 1024 - 2048;
    for size in [around, around + 1024, around + 2048, around + 4096] {
        let mut command = shop.command(&["sh", "-c", "echo ${#DATA}"]);
        command.env.push(("DATA".into(), "x".repeat(size).into()));
        let process = shop.spawner.spawn(command).await.expect("starts");
        assert_eq!(end(process).await, (Exit::Code(0), format!("{size}\n"), String::new()));
    }
}

#[tokio::test]
async fn a_start_that_is_given_up_leaves_nothing() {
    let shop = Shop::open().await;
    for given_up_after in (0..12).map(Duration::from_millis) {
        let start = shop.spawner.spawn(shop.command(&["sh", "-c", "setsid sleep 600 & sleep 600"]));
        let _ = tokio::time::timeout(given_up_after, start).await;
        wait_for("all are gone", || shop.living().is_empty()).await;
    }
    assert_eq!(shop.exit(&["sh", "-c", "exit 4"]).await, Exit::Code(4));
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
    let refusal = async |command: Command| shop.spawner.spawn(command).await.expect_err("it cannot start");

    for missing in ["no-such-program", "/no/such/program", "./no-such-program", ""] {
        let error = refusal(shop.command(&[missing])).await;
        assert!(matches!(&error, SpawnError::NotFound { program, .. } if *program == missing), "{error:?}");
    }
    for closed in [plain.as_str(), garbage.as_str(), "/tmp"] {
        let error = refusal(shop.command(&[closed])).await;
        assert!(matches!(&error, SpawnError::NotExecutable { program, .. } if *program == closed), "{error:?}");
    }
    let error = refusal(shop.command(&[&orphan])).await;
    assert!(matches!(error, SpawnError::NoInterpreter { .. }), "{error:?}");
    for directory in ["/no/such/directory", plain.as_str()] {
        let error = refusal(Command { directory: directory.into(), ..shop.command(&["true"]) }).await;
        assert!(matches!(error, SpawnError::Directory { .. }), "{error:?}");
    }
    let error = refusal(shop.command(&["echo", "a\0b"])).await;
    assert!(matches!(error, SpawnError::Malformed { .. }), "{error:?}");
    let error = refusal(shop.command(&[])).await;
    assert!(matches!(error, SpawnError::Malformed { .. }), "{error:?}");
    assert_eq!(shop.living(), [0_i32; 0]);
}

#[tokio::test]
async fn programs_are_found_on_the_commands_own_path() {
    let shop = Shop::open().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("only-here");
    fs::write(&path, "#!/bin/sh\necho found\n").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
    let mut command = shop.command(&["only-here"]);
    assert!(matches!(shop.spawner.spawn(command.clone()).await, Err(SpawnError::NotFound { .. })));

    let circle = folder.path().join("circle");
    std::os::unix::fs::symlink(&circle, &circle).expect("a link");
    let (circle, there) = (circle.display(), folder.path().display());
    command.env[0].1 = format!("/no/such/folder:{circle}:/dev/null:{there}").into();
    let process = shop.spawner.spawn(command.clone()).await.expect("found");
    assert_eq!(end(process).await.1, "found\n");

    command.argv[0] = "./only-here".into();
    command.directory = folder.path().into();
    let process = shop.spawner.spawn(command).await.expect("found");
    assert_eq!(end(process).await.1, "found\n");
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
            command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
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

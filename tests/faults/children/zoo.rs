//! F11: programs that misbehave in every way that is known, and what is said of each.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use taskwright::{
    domain::{ErrorKind, InstanceKey, Json},
    engine::{Catalog, CommandTask, Engine, Parts, Settings, StartOptions, StartRequest},
    store::sqlite::{Settings as SqliteSettings, SqliteStore},
};

use super::{
    long_time,
    processes::{Footprint, Undertaker, of_attempts, spawner},
    run, shell, stop,
};
use crate::{
    lane,
    support::server::{BINARY, TestServer},
};

/// How many run at once.
const KEEPERS: u32 = 8;

/// What an animal does, and how it must end: status, and the kind of its error.
struct Animal {
    name: &'static str,
    task: String,
    ends: Ends,
}

enum Ends {
    /// By itself.
    As(&'static str, Option<&'static str>),
    /// Only when it is stopped, `cancelled`.
    ByStop,
}

/// One that ends by itself.
fn ends(name: &'static str, line: &str, status: &'static str, kind: Option<&'static str>) -> Animal {
    Animal { name, task: shell(name, line, ""), ends: Ends::As(status, kind) }
}

/// One that has to be stopped, and to be killed.
fn stays(name: &'static str, line: &str) -> Animal {
    Animal { name, task: shell(name, line, ""), ends: Ends::ByStop }
}

fn program(name: &'static str, argv: &str) -> Animal {
    let task = format!("[[tasks]]\nname = \"{name}\"\ncommand = {argv}\n");
    Animal { name, task, ends: Ends::As("failed", Some("spawn")) }
}

/// Those that can be run again and again.
fn zoo() -> Vec<Animal> {
    let long = long_time();
    let line = |line: &str| line.replace("LONG", &long);
    vec![
        ends("well", "echo well", "completed", None),
        stays("deaf", &line("trap '' TERM; sleep LONG")),
        stays("deaf-family", &line("trap '' TERM HUP INT; setsid sleep LONG & (sleep LONG &) ; sleep LONG")),
        stays("stands-still", "kill -STOP $$; sleep 0.1"),
        ends("session", &line("setsid sleep LONG & exit 0"), "completed", None),
        ends("double-fork", &line("(setsid sh -c 'sleep LONG & exit 0' &) ; exit 0"), "completed", None),
        ends("other-environment", &line("env -i setsid sleep LONG & exit 0"), "completed", None),
        ends("closes-streams", "exec >&- 2>&-; sleep 0.02; exit 0", "completed", None),
        ends("holds-the-pipe", &line("sleep LONG & echo held"), "completed", None),
        ends("zombies", "for i in 1 2 3 4 5; do true & done; exec sleep 0.05", "completed", None),
        ends("no-newline", "printf 'no end'", "completed", None),
        ends("half-a-value", "printf '{\"a\": [1, 2' >$TASKWRIGHT_OUTPUT_FILE", "failed", Some("output")),
        ends("reads", "cat", "completed", None),
        ends("nowhere", "mkdir d$$ && cd d$$ && rmdir ../d$$ && sh -c 'exit 0'", "completed", None),
        ends("kills-itself", "kill -9 $$", "failed", Some("signal")),
        ends("kills-its-group", "kill -TERM 0; sleep 1", "failed", Some("signal")),
        ends("kills-supervisor", &line("setsid sleep LONG & kill -9 $PPID; sleep LONG"), "failed", Some("interrupted")),
        ends(
            "stops-supervisor",
            &line("setsid sleep LONG & kill -STOP $PPID; sleep LONG"),
            "failed",
            Some("interrupted"),
        ),
        program("missing", "[\"no-such-program-anywhere\"]"),
        program("missing-path", "[\"./no/such/program\"]"),
        program("not-executable", "[\"./plain.txt\"]"),
        program("a-folder", "[\"/\"]"),
        program("no-interpreter", "[\"./lost.sh\"]"),
        program("no-program", "[\"./garbage\"]"),
    ]
}

/// Files that the zoo's commands name.
fn furnish(server: &TestServer) {
    let file = |name: &str, text: &str, mode| {
        let path = server.folder().join(name);
        fs::write(&path, text).expect("a file can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode can be set");
    };
    file("plain.txt", "#!/bin/sh\n", 0o644);
    file("lost.sh", "#!/no/such/interpreter\n", 0o755);
    file("garbage", "\u{1}\u{2}\u{3}", 0o755);
}

fn config(animals: &[Animal]) -> String {
    let tasks: String = animals.iter().map(|animal| &*animal.task).collect();
    format!("[worker]\ncommand_slots = {KEEPERS}\n{tasks}")
}

impl Animal {
    /// Runs it once and says what is wrong with its end.
    async fn visit(&self, server: &TestServer) -> Result<(), String> {
        let (instance, status, kind) = match self.ends {
            Ends::As(status, kind) => (run(server, self.name, &json!({})).await, status, kind),
            Ends::ByStop => {
                let started = server.start_task(self.name, json!({})).await;
                (stop(server, &started, Duration::from_millis(30)).await, "cancelled", None)
            }
        };
        match (instance["status"].as_str(), instance["error"]["kind"].as_str()) == (Some(status), kind) {
            true => Ok(()),
            false => Err(format!("{}: {status} and {kind:?} expected, got {instance}", self.name)),
        }
    }
}

/// Runs each in turn, `runs` in all and several at once.
async fn visit(server: &TestServer, animals: &[Animal], runs: u32) -> Result<(), String> {
    let next = AtomicU32::new(0);
    let keeper = || async {
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            if turn >= runs {
                return Ok(());
            }
            animals[turn as usize % animals.len()].visit(server).await?;
        }
    };
    join_all((0..KEEPERS).map(|_| keeper())).await.into_iter().collect()
}

#[tokio::test]
async fn nothing_is_left_of_the_zoo() {
    let animals = zoo();
    let server = TestServer::with_config(&config(&animals)).await;
    furnish(&server);
    // What comes with the first use of anything is there from now on.
    visit(&server, &animals, animals.len() as u32).await.unwrap();
    let before = Footprint::of(&server).await;
    visit(&server, &animals, lane::count(300, 10_000)).await.unwrap();
    before.growth(&server).await.unwrap();
    server.fsck();
}

#[tokio::test]
async fn control_survivors_of_a_kill_of_the_leader_alone_are_found() {
    let animals: Vec<_> =
        zoo().into_iter().filter(|animal| animal.name == "session" || animal.name == "well").collect();
    let server = TestServer::with(&config(&animals), &[("TASKWRIGHT_CONTROL", "kill-leader-only")]).await;
    let _undertaker = Undertaker::of(&server);
    let before = Footprint::of(&server).await;
    visit(&server, &animals, 4).await.unwrap();
    let found = before.growth(&server).await;
    assert!(found.as_ref().is_err_and(|what| what.contains("of attempts: [")), "{found:?}");
}

#[tokio::test]
async fn every_exit_code_is_told() {
    let config = shell("exits", "exit $(tr -dc 0-9 <$TASKWRIGHT_INPUT_FILE)", "");
    let server = TestServer::with_config(&format!("[worker]\ncommand_slots = {KEEPERS}\n{config}")).await;
    let codes: Vec<u32> = (0..256).collect();
    for codes in codes.chunks(KEEPERS as usize) {
        let inputs: Vec<Value> = codes.iter().map(|code| json!({ "code": code })).collect();
        let instances = join_all(inputs.iter().map(|inputs| run(&server, "exits", inputs))).await;
        for (code, instance) in codes.iter().zip(instances) {
            let attempt =
                &server.get_json(&format!("/v1/instances/{}/attempts", instance["number"])).await["attempts"][0];
            assert_eq!(attempt["exit_code"], *code, "{attempt}");
            if *code == 0 {
                assert_eq!((&instance["status"], &instance["error"]), (&json!("completed"), &Value::Null));
            } else {
                assert_eq!(instance["status"], "failed");
                let error = &instance["error"];
                assert_eq!((&error["kind"], &error["exit_code"]), (&json!("exit"), &json!(code)), "{error}");
            }
        }
    }
    server.fsck();
}

/// What a signal does to a program that does nothing about it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Default {
    Ends,
    StandsStill,
    Nothing,
}

#[tokio::test]
async fn every_signal_is_told() {
    let line = "ulimit -c 0; kill -$(tr -dc 0-9 <$TASKWRIGHT_INPUT_FILE) $$; exit 0";
    let server = TestServer::with_config(&shell("signals", line, "")).await;
    for signal in 1..=64 {
        let default = match signal {
            libc_signals::STOP | libc_signals::TSTP | libc_signals::TTIN | libc_signals::TTOU => Default::StandsStill,
            libc_signals::CHLD | libc_signals::CONT | libc_signals::URG | libc_signals::WINCH => Default::Nothing,
            _ => Default::Ends,
        };
        let inputs = json!({ "signal": signal });
        let instance = match default {
            Default::StandsStill => {
                let started = server.start_task("signals", inputs).await;
                server.wait_running(&started["number"]).await;
                stop(&server, &started, Duration::from_millis(50)).await
            }
            _ => run(&server, "signals", &inputs).await,
        };
        let error = &instance["error"];
        let told = (instance["status"].as_str(), error["kind"].as_str(), error["signal"].as_i64());
        let expected = match default {
            Default::StandsStill => (Some("cancelled"), None, None),
            Default::Nothing => (Some("completed"), None, None),
            Default::Ends => (Some("failed"), Some("signal"), Some(signal)),
        };
        assert_eq!(told, expected, "signal {signal}: {instance}");
        if default == Default::Ends {
            let name = error["signal_name"].as_str().expect("a name");
            assert!(name.starts_with("SIG") && !name.contains("+-"), "signal {signal}: {name}");
        }
    }
    server.fsck();
}

/// The numbers of signals on Linux, where a program survives them by default.
mod libc_signals {
    pub const CHLD: i64 = 17;
    pub const CONT: i64 = 18;
    pub const STOP: i64 = 19;
    pub const TSTP: i64 = 20;
    pub const TTIN: i64 = 21;
    pub const TTOU: i64 = 22;
    pub const URG: i64 = 23;
    pub const WINCH: i64 = 28;
}

#[tokio::test]
async fn a_flood_of_output_is_bounded() {
    let bytes = u64::from(lane::count(300, 10_000)) * 1_000_000;
    let config = "[limits]\nlog = \"1 MiB\"\n".to_owned()
        + &shell(
            "floods",
            &format!("yes $(head -c 2000 /dev/zero | tr '\\0' x) | head -c {bytes}; echo; echo the end"),
            "",
        )
        + &shell("one-line", &format!("tr '\\0' x </dev/zero | head -c {}; exit 4", bytes / 4), "");
    let server = TestServer::with_config(&config).await;
    for (task, status) in [("floods", "completed"), ("one-line", "failed")] {
        let instance = server.start_task(task, json!({})).await;
        // Ten gigabytes take longer than one wait.
        let done = loop {
            let path = format!("/v1/instances/{}?wait=60", instance["number"]);
            let instance = server.get_json(&path).await;
            if instance["finished_at"].is_string() {
                break instance;
            }
        };
        assert_eq!(done["status"], status, "{done}");
        let logs = async |query: &str| server.get_json(&format!("/v1/instances/{}/logs{query}", done["number"])).await;
        let page = logs("?limit=10000").await;
        let lines = page["lines"].as_array().expect("lines");
        let kept: usize = lines.iter().map(|line| line["text"].as_str().map_or(0, str::len)).sum();
        assert!(kept < 2_500_000, "{task}: {kept} bytes are kept");
        if task == "floods" {
            assert_eq!(logs("?tail=1").await["lines"][0]["text"], "the end");
        }
    }
    let pid = server.pid().as_raw_nonzero();
    let memory = fs::read_to_string(format!("/proc/{pid}/status")).expect("a status");
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak < 150_000, "the daemon grew to {peak} kB");
    server.fsck();
}

#[tokio::test]
async fn a_program_that_kills_the_spawner_is_interrupted_and_the_next_one_runs() {
    let line = format!("setsid sleep {0} & kill -9 $(cut -d' ' -f4 /proc/$PPID/stat); sleep {0}", long_time());
    let server = TestServer::with_config(&(shell("kills-spawner", &line, "") + &shell("well", "exit 0", ""))).await;
    let before = spawner(&server);
    for _ in 0..lane::count(3, 100) {
        let instance = run(&server, "kills-spawner", &json!({})).await;
        let error = &instance["error"];
        assert_eq!((&error["kind"], &error["reason"]), (&json!("interrupted"), &json!("crash")), "{instance}");
        assert_eq!(run(&server, "well", &json!({})).await["status"], "completed");
    }
    assert_ne!(spawner(&server), before);
    // The new one is as good as the old one was.
    let footprint = Footprint::of(&server).await;
    run(&server, "well", &json!({})).await;
    footprint.growth(&server).await.unwrap();
    server.fsck();
}

#[tokio::test]
async fn a_program_that_ignores_its_timeout_is_killed() {
    let line = format!("trap '' TERM; setsid sleep {0} & sleep {0}", long_time());
    let server = TestServer::with_config(&shell("late", &line, "timeout = \"200ms\"")).await;
    let before = Footprint::of(&server).await;
    let instance = run(&server, "late", &json!({})).await;
    assert_eq!((&instance["status"], &instance["error"]["kind"]), (&json!("failed"), &json!("timeout")));
    before.growth(&server).await.unwrap();
    server.fsck();
}

#[tokio::test]
async fn a_command_without_its_folder_does_not_start() {
    let (folder, gone) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut task = CommandTask::new("homeless", ["true"]).expect("a command");
    task.directory = gone.path().to_owned();
    let store = SqliteStore::open(SqliteSettings::at(folder.path().join("taskwright.db"))).await.expect("it opens");
    let engine = Engine::open(Parts {
        settings: Settings::default(),
        store: Arc::new(store),
        catalog: Catalog::new(Vec::new(), vec![task]).expect("a catalog"),
        program: BINARY.into(),
        url: String::new(),
    })
    .await
    .expect("it opens");
    let start = || async {
        let request =
            StartRequest { task: "homeless".into(), inputs: Json::empty_object(), options: StartOptions::default() };
        let started = engine.start(request, None).await.expect("it starts");
        engine
            .wait_done(InstanceKey::Number(started.instance.number), Duration::from_secs(20))
            .await
            .expect("it is there")
    };
    assert!(start().await.error().is_none());
    drop(gone);
    let instance = start().await;
    let error = instance.error().expect("it fails");
    assert_eq!(error.kind, ErrorKind::Spawn { program: "true".into() });
    assert!(error.message.contains("working directory"), "{}", error.message);
    engine.drain().await;
    engine.close().await;
}

#[tokio::test]
async fn a_program_that_kills_supervisor_and_spawner_is_found_by_its_environment() {
    // In one breath, so that neither can see to what the other leaves. The last one has a session of its own.
    let line = format!(
        "setsid sleep {0} & (setsid sleep {0} &); s=$(cut -d' ' -f4 /proc/$PPID/stat); kill -STOP $s $PPID; \
         kill -9 $s $PPID; exec setsid sleep {0}",
        long_time()
    );
    let config = shell("kills", &line, "max_attempts = 2") + &shell("well", "exit 0", "");
    let server = TestServer::with_config(&config).await;
    let _undertaker = Undertaker::of(&server);
    for _ in 0..lane::count(3, 50) {
        let instance = run(&server, "kills", &json!({})).await;
        let error = &instance["error"];
        assert_eq!((&error["kind"], &instance["attempt"]), (&json!("interrupted"), &json!(2)), "{instance}");
        assert_eq!(of_attempts(&server), [0_i32; 0]);
        assert_eq!(run(&server, "well", &json!({})).await["status"], "completed");
    }
    server.fsck();
}

//! The configuration: what is read from where, what wins, what is refused and how it is said.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Output, time::Duration};

use taskwright::{
    config::{Config, Sources, keys},
    domain::{Retention, size::ByteSize},
};
use tempfile::tempdir;

use super::support::server::{command, run, write};

const EXAMPLE: &str = include_str!("../../config.example.toml");

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Loads this text as the configuration file, with these variables.
fn load(toml: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempdir().unwrap();
    let file = write(folder.path(), "config.toml", toml);
    let sources = Sources {
        file: Some(file.clone()),
        variables: variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        ..Sources::default()
    };
    let shown = file.display().to_string();
    Config::load(&sources).map_err(|error| error.to_string().replace(&shown, "FILE"))
}

fn refusal(toml: &str) -> String {
    load(toml, &[]).expect_err(toml)
}

#[test]
fn the_example_says_the_defaults() {
    let example = load(EXAMPLE, &[]).unwrap();
    let mut default = load("", &[]).unwrap();
    default.file = example.file.clone();
    default.engine.directory = example.engine.directory.clone();
    assert_eq!(example.handlers.len(), 1, "the example shows the settings of a handler");
    default.handlers = example.handlers.clone();
    assert_eq!(example, default);
}

/// The example with the comment signs before its keys and tables taken away.
fn uncommented() -> String {
    let looks_like_a_key = |line: &str| {
        line.starts_with("[[")
            || line
                .split_once(" = ")
                .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'))
    };
    let bare = |line: &str| line.trim_start_matches(['#', ' ']).to_owned();
    EXAMPLE
        .lines()
        .map(|line| if looks_like_a_key(&bare(line)) { bare(line) } else { line.to_owned() } + "\n")
        .collect()
}

#[test]
fn the_example_has_every_key() {
    let text = uncommented();
    let table: toml::Table = text.parse().unwrap();
    for (section, known) in keys::SECTIONS {
        let written: Vec<&str> = table[*section].as_table().unwrap().keys().map(String::as_str).collect();
        let mut known: Vec<&str> = known.iter().map(|(key, _)| *key).collect();
        known.sort_unstable();
        assert_eq!(written, known, "[{section}]");
    }
    for (list, known) in [("tokens", keys::TOKEN), ("tasks", keys::TASK)] {
        let written: Vec<&str> = table[list][0].as_table().unwrap().keys().map(String::as_str).collect();
        let mut known = known.to_vec();
        known.sort_unstable();
        assert_eq!(written, known, "[[{list}]]");
    }
    let config = load(&text, &[]).expect("what the example shows is right");
    assert_eq!((config.tokens.len(), config.tasks.len()), (1, 1));
}

#[test]
fn every_key_is_read() {
    let config = load(
        r#"
        server = { listen = "[::1]:9000", hosts = ["tasks.example", "b:81"], base_path = "/tasks/v", max_connections = 7, drain = "1m", drain_grace = 0, node = "n" }
        database = { url = "sqlite:///srv/x.db", synchronous = "normal" }
        worker = { local_slots = 1, command_slots = 2, stop_grace = 1.5 }
        limits = { body = 10, batch_body = "2 KiB", pending = 3, output = "1 GiB", log = "4KiB", streams = 5 }
        definitions = { remote = true }
        retention = { age = "90d", count = 5 }
        log = { format = "json", level = "warn,taskwright::http=debug" }
        "#,
        &[],
    )
    .unwrap();
    assert_eq!(config.listen.to_string(), "[::1]:9000");
    assert_eq!((config.hosts.len(), config.base_path.as_str(), config.max_connections), (2, "/tasks/v", 7));
    assert_eq!(config.store.path, Path::new("/srv/x.db"));
    assert_eq!((config.body, config.batch_body, config.streams), (ByteSize(10), ByteSize(2048), 5));
    let engine = &config.engine;
    let days = |days: u64| Some(Duration::from_secs(days * 86_400));
    assert_eq!(engine.retention, Retention { age: days(90), count: Some(5) });
    let text = "[retention]\nage = 'forever'\n[[tasks]]\nname = 'a'\ncommand = 'true'\nretention = { count = 7 }";
    let kept = load(text, &[("TASKWRIGHT_RETENTION__COUNT", "9")]).unwrap();
    assert_eq!(kept.engine.retention, Retention { age: None, count: Some(9) });
    let own = kept.tasks[0].definition.retention.over(kept.engine.retention);
    assert_eq!(own, Retention { age: None, count: Some(7) });
    assert_eq!(load("", &[]).unwrap().engine.retention, Retention { age: days(30), count: None });
    assert_eq!((engine.drain, engine.drain_grace), (Duration::from_secs(60), Duration::ZERO));
    assert_eq!((engine.local_slots.get(), engine.command_slots.get(), engine.pending), (1, 2, 3));
    assert_eq!((engine.stop_grace, &*engine.node), (Duration::from_millis(1500), "n"));
    assert_eq!((engine.output, engine.log), (ByteSize(1 << 30), ByteSize(4096)));
    assert!(engine.remote_definitions);
    assert_eq!(&engine.directory, config.file.as_ref().unwrap().parent().unwrap());
}

#[test]
fn a_command_is_a_list_or_split_as_a_shell_splits_words() {
    let config = load(
        r#"
        [[tasks]]
        name = "Task Test"
        command = "sh -c 'echo \"$0\"' a\\ b"
        env = { A = "1" }
        timeout = "10m"
        input_schema = { type = "object", required = ["n"] }
        [[tasks]]
        name = "b"
        command = ["x", ""]
        inputs = "file"
        "#,
        &[],
    )
    .unwrap();
    let [first, second] = config.tasks.as_slice() else { panic!("{config:?}") };
    assert_eq!(first.definition.id.as_str(), "Task Test");
    assert_eq!(first.definition.command.as_deref().unwrap(), ["sh", "-c", "echo \"$0\"", "a b"]);
    assert_eq!(first.definition.timeout, Some(Duration::from_secs(600)));
    let schema = first.definition.input_schema.as_ref().unwrap();
    assert_eq!(schema.as_str(), r#"{"required":["n"],"type":"object"}"#);
    assert_eq!(second.definition.command.as_deref().unwrap(), ["x", ""]);
    assert_eq!(&first.directory, config.file.as_ref().unwrap().parent().unwrap());
}

#[test]
fn variables_win_over_the_file_and_name_themselves() {
    let toml = "server.node = 'file'\nworker.local_slots = 1\n[handlers.my-own]\na = 1";
    let folder = tempdir().unwrap();
    let secret = write(
        folder.path(),
        "tokens",
        "[[tokens]]\nname = 'ci'\nsha256 = \"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"\nscopes = ['run']\n",
    );
    let node = write(folder.path(), "node", "from a file\n");
    let config = load(
        toml,
        &[
            ("TASKWRIGHT_SERVER__NODE_FILE", node.to_str().unwrap()),
            ("TASKWRIGHT_WORKER__LOCAL_SLOTS", "64"),
            ("TASKWRIGHT_SERVER__HOSTS", "['a', 'b']"),
            ("TASKWRIGHT_SERVER__DRAIN", "7"),
            ("TASKWRIGHT_HANDLERS__MY_OWN__A", "[2]"),
            ("TASKWRIGHT_HANDLERS__MY_OWN__B", "text"),
            ("TASKWRIGHT__TOKENS_FILE", secret.to_str().unwrap()),
            ("TASKWRIGHT__TASKS", "[{ name = 't', command = 'true' }]"),
            // Without a double underscore it is not for us.
            ("TASKWRIGHT_TOKEN", "tw_x"),
            ("TASKWRIGHT_NOTHING", "x"),
        ],
    )
    .unwrap();
    assert_eq!(&*config.engine.node, "from a file");
    assert_eq!((config.engine.local_slots.get(), config.engine.drain), (64, Duration::from_secs(7)));
    assert_eq!(config.hosts, ["a", "b"]);
    assert_eq!(config.handlers["my-own"]["a"].as_array().unwrap().len(), 1);
    assert_eq!(config.handlers["my-own"]["b"].as_str(), Some("text"));
    assert_eq!((config.tokens[0].name.as_str(), config.tokens[0].sha256[1]), ("ci", 0x11));
    assert_eq!(config.tasks.len(), 1);

    for (name, value, said) in [
        ("TASKWRIGHT_SEVER__LISTEN", "x", "did you mean `TASKWRIGHT_SERVER__LISTEN`?"),
        ("TASKWRIGHT_SERVER__LISTN", "x", "did you mean `TASKWRIGHT_SERVER__LISTEN`?"),
        ("TASKWRIGHT_FOO__BAR", "x", "; it is TASKWRIGHT_SECTION__KEY for a key of the configuration file"),
        ("TASKWRIGHT__TOKEN", "x", "did you mean `TASKWRIGHT__TOKENS`?"),
        ("TASKWRIGHT_SERVER__LISTEN", "here", "TASKWRIGHT_SERVER__LISTEN: `here` is no address"),
        ("TASKWRIGHT_WORKER__LOCAL_SLOTS", "many", "TASKWRIGHT_WORKER__LOCAL_SLOTS: "),
        ("TASKWRIGHT_WORKER__LOCAL_SLOTS", "'4'", "must be a whole number from 1 to 100000, not a text"),
        ("TASKWRIGHT__TASKS", "[{ name = 't' }]", "TASKWRIGHT__TASKS: tasks[0].command: is missing"),
        ("TASKWRIGHT_SERVER__NODE_FILE", "/nowhere/at/all", "cannot read /nowhere/at/all"),
    ] {
        let error = load("", &[(name, value)]).expect_err(name);
        assert!(error.contains(said), "{name}: {error}");
    }
    let twice = [("TASKWRIGHT_SERVER__NODE", "a"), ("TASKWRIGHT_SERVER__NODE_FILE", node.to_str().unwrap())];
    assert!(load("", &twice).expect_err("both").contains("sets the same key"));
}

#[test]
fn each_fault_is_named_with_its_place_and_the_remedy() {
    let token = |rest: &str| format!("[[tokens]]\nname = 'a'\nsha256 = '{}'\nscopes = ['run']\n{rest}", "0".repeat(64));
    let task = |rest: &str| format!("[[tasks]]\nname = 'a'\ncommand = 'true'\n{rest}");
    for (toml, said) in [
        ("servr.listen = 'x'".to_owned(), "FILE: `servr` is not known; did you mean `server`?"),
        ("definitions.remot = true".into(), "FILE: definitions: `remot` is not known; did you mean `remote`?"),
        ("definitions.remote = 'yes'".into(), "FILE: definitions.remote: must be true or false, not a text"),
        ("retention.ages = '30d'".into(), "FILE: retention: `ages` is not known; did you mean `age`?"),
        ("retention.age = 0".into(), "FILE: retention.age: must be a duration above 0 up to 365 d"),
        ("retention.age = '2y'".into(), "FILE: retention.age: must be a duration above 0 up to 365 d"),
        ("retention.count = 0".into(), "FILE: retention.count: must be a whole number from 1"),
        ("retention.count = true".into(), "FILE: retention.count: invalid type: boolean"),
        ("server.listne = 'x'".into(), "FILE: server: `listne` is not known; did you mean `listen`?"),
        (task("timout = 3"), "FILE: tasks[0]: `timout` is not known; did you mean `timeout`?"),
        (task("retention = { count = -3 }"), "FILE: tasks[0].retention.count: must be a whole number from 1"),
        (task("retention = { ago = 3 }"), "unknown field `ago`, expected `age` or `count`"),
        (task("retention = '30d'"), "FILE: tasks[0].retention: invalid type: string"),
        (token("scope = 1"), "FILE: tokens[0]: `scope` is not known; did you mean `scopes`?"),
        ("server = 3".into(), "FILE: server: must be a table: write [server]"),
        ("tasks = 3".into(), "FILE: tasks: must be a list of tables: write [[tasks]]"),
        ("handlers.sleep = 3".into(), "handlers.sleep: must be a table"),
        ("a = \n".into(), "FILE:1:"),
        ("[server]\nnode = 'a'\nnode = 'b'".into(), "FILE:3:"),
        ("server.listen = 8080".into(), "FILE: server.listen: must be a text in quotes, not a whole number"),
        ("server.listen = '127.0.0.1'".into(), "write ADDRESS:PORT, such as 127.0.0.1:8080"),
        ("server.hosts = ['https://a']".into(), "server.hosts: `https://a` is no host"),
        ("server.hosts = ['a/b']".into(), "`a/b` is no host"),
        ("server.base_path = 'tasks'".into(), "server.base_path: `tasks` is no path: write /prefix"),
        ("server.base_path = '/tasks/'".into(), "is no path"),
        ("server.base_path = '/a/../b'".into(), "is no path"),
        ("server.max_connections = 0".into(), "is 0; it must be a whole number from 1 to 1000000"),
        ("server.drain = -1".into(), "server.drain: -1 is no duration"),
        ("server.drain = '366d'".into(), "must be at most 365 d"),
        ("server.node = ''".into(), "server.node: must be 1 to 253 characters"),
        ("worker.stop_grace = '2h'".into(), "must be at most 1 h"),
        ("worker.local_slots = 0".into(), "worker.local_slots: is 0; it must be"),
        ("worker.command_slots = 1.5".into(), "not a number with a decimal point"),
        (
            "database.url = 'mysql://x'".into(),
            "database.url: `mysql://x` is not understood: write sqlite:///absolute/path.db",
        ),
        (
            "database.url = 'postgres://u:sec/r@et@h/db?sslkey=secret'".into(),
            "database.url: `postgres://(hidden)@h/db?(hidden)` is not understood",
        ),
        ("database.synchronous = 'ful'".into(), "`ful` is not known; did you mean `full`?"),
        ("limits.body = '1 MB'".into(), "limits.body: `1 MB` is no size"),
        ("limits.output = 0".into(), "must be more than 0"),
        ("log.format = 'xml'".into(), "log.format: `xml` is not known; known are auto, text, json"),
        ("log.level = 'loud'".into(), "log.level: `loud` is no level"),
        ("[[tokens]]\nname = 'a'".into(), "tokens[0].sha256: is missing"),
        (
            "[[tokens]]\nname = 'a'\nsha256 = 'tw_secret'".into(),
            "must be the SHA-256 of the token, 64 hexadecimal digits",
        ),
        (token("").replace("['run']", "[]"), "tokens[0].scopes: must name at least one of read, run, admin"),
        (token("").replace("['run']", "['write']"), "`write` is no scope"),
        (token(&token("")), "tokens[1].name: `a` is also the name of tokens[0]: rename one"),
        (token(&token("").replace("'a'", "'b'")), "tokens[1].sha256: is also that of tokens[0]"),
        ("[[tasks]]\nname = 'a'".into(), "tasks[0].command: is missing"),
        ("[[tasks]]\ncommand = 'a'".into(), "tasks[0].name: is missing"),
        (task("").replace("'a'", "'a/b'"), "`a/b` can be no task id"),
        (task("").replace("'true'", "[]"), "tasks[0].command: names no program"),
        (task("").replace("'true'", "\"echo 'a\""), "has a quote that is not closed"),
        (task("").replace("'true'", "[\"a\\u0000b\"]"), "must not hold a NUL character"),
        (task("env = { A = 1 }"), "tasks[0].env.A: must be a text in quotes"),
        (task("env = { 'A=B' = 'x' }"), "can be no variable's name"),
        (task("env = { A = \"\\u0000\" }"), "must not hold a NUL character"),
        (task("env = { TASKWRIGHT_TOKEN = 'x' }"), "tasks[0].env.TASKWRIGHT_TOKEN: is set by the daemon"),
        (task("timeout = 0"), "tasks[0].timeout: must be more than 0"),
        (task("timeout = '1 week'"), "is no duration"),
        (task("max_attempts = 0"), "must be a whole number from 1 to 1000"),
        (task("max_attempts = 1001"), "is 1001; it must be a whole number from 1 to 1000"),
        (task("concurrency = 0"), "tasks[0].concurrency: is 0"),
        (task("inputs = 'files'"), "`files` is not known; did you mean `file`?"),
        (task("input_schema = 'x'"), "must be a JSON Schema as a table"),
        (task("output_schema = { const = 2020-01-01 }"), "holds a date or time"),
    ] {
        let error = refusal(&toml);
        assert!(error.contains(said), "{toml}\nsaid: {error}\nnot: {said}");
        assert!(!error.contains('\n'), "{error}");
        assert!(!error.contains("tw_secret"), "a secret is repeated: {error}");
    }
}

#[test]
fn secrets_are_not_in_its_debug_form() {
    let toml = "[[tokens]]\nname = 'ci'\nsha256 = 'abababababababababababababababababababababababababababababababab'\nscopes = ['run']\n[[tasks]]\nname = 't'\ncommand = 'true'\nenv = { PASSWORD = 'hunter2' }\n[handlers.own]\nkey = 'hunter3'";
    let debug = format!("{:?}", load(toml, &[]).unwrap());
    assert!(debug.contains("ci"), "{debug}");
    for secret in ["171", "abab", "hunter2", "hunter3"] {
        assert!(!debug.contains(secret), "{secret} in {debug}");
    }
}

#[test]
fn a_user_and_root_find_their_own_places() {
    let folder = tempdir().unwrap();
    let home = folder.path();
    fs::create_dir_all(home.join(".config/taskwright")).unwrap();
    write(&home.join(".config/taskwright"), "config.toml", "server.node = 'home'");
    let load = |root: bool, variables: &[(&str, &Path)]| {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Config::load(&Sources { variables, root, ..Sources::default() }).unwrap()
    };
    let config = load(false, &[("HOME", home)]);
    assert_eq!(&*config.engine.node, "home");
    assert_eq!(config.store.path, home.join(".local/state/taskwright/taskwright.db"));
    let config =
        load(false, &[("HOME", home), ("XDG_STATE_HOME", Path::new("/x")), ("XDG_CONFIG_HOME", Path::new("/none"))]);
    assert_eq!((config.file, config.store.path.as_path()), (None, Path::new("/x/taskwright/taskwright.db")));
    assert_eq!(load(true, &[]).store.path, Path::new("/var/lib/taskwright/taskwright.db"));
    let unit = load(true, &[("STATE_DIRECTORY", Path::new("/var/lib/private/t:/other"))]);
    assert_eq!(unit.store.path, Path::new("/var/lib/private/t/taskwright.db"));
    let chosen = write(home, "other.toml", "server.node = 'chosen'");
    assert_eq!(&*load(false, &[("HOME", home), ("TASKWRIGHT_CONFIG", &chosen)]).engine.node, "chosen");
}

/// Asserts that it was refused with 78 and one line that holds `said`.
fn assert_refused(output: &Output, said: &str) {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{error}");
    assert!(error.contains(said), "{error}\nnot: {said}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn a_file_that_cannot_be_trusted_or_read_is_refused() {
    let folder = tempdir().unwrap();
    let file = write(folder.path(), "config.toml", "");
    let path = file.to_str().unwrap();
    for verb in [&["serve", "--config", path][..], &["config", "check", "--config", path]] {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o602)).unwrap();
        assert_refused(&run(verb), "can be written by everybody: run chmod o-w");
    }
    for missing in ["/nowhere/config.toml", folder.path().to_str().unwrap()] {
        assert_refused(&run(&["config", "check", "--config", missing]), &format!("cannot read {missing}: "));
    }
    fs::write(&file, b"a = '\xff'").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_refused(&run(&["config", "check", "--config", path]), "cannot read");
}

#[test]
fn another_address_needs_a_token() {
    let folder = tempdir().unwrap();
    let database = format!("sqlite://{}/t.db", folder.path().display());
    let file = write(folder.path(), "config.toml", "");
    let config = file.to_str().unwrap();
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "10.0.0.1:8080", "[2001:db8::1]:80", "[::ffff:10.0.0.1]:80"] {
        let by_flag = run(&["serve", "--config", config, "--database", &database, "--listen", listen]);
        assert_refused(&by_flag, "add a token to the configuration, or listen on 127.0.0.1");
        let by_variable =
            command().args(["config", "check", "--config", config]).env("TASKWRIGHT_SERVER__LISTEN", listen).output();
        assert_refused(&by_variable.unwrap(), "which other machines reach");
    }
    assert!(!folder.path().join("t.db").exists(), "a refused start leaves no store");
    for listen in ["127.0.0.1:0", "127.9.9.9:0", "[::1]:0", "localhost:0", "[::ffff:127.0.0.1]:0"] {
        let checked =
            command().args(["config", "check", "--config", config]).env("TASKWRIGHT_SERVER__LISTEN", listen).output();
        assert!(checked.unwrap().status.success(), "{listen}");
    }
    let tokens = format!("[{{ name = 'a', sha256 = '{}', scopes = ['run'] }}]", "1".repeat(64));
    let mut checked = command();
    checked.args(["config", "check", "--config", config]);
    checked.env("TASKWRIGHT_SERVER__LISTEN", "0.0.0.0:80").env("TASKWRIGHT__TOKENS", tokens);
    assert!(checked.output().unwrap().status.success());
}

#[test]
fn tasks_that_cannot_stand_together_are_refused() {
    let folder = tempdir().unwrap();
    for (toml, said) in [
        (
            "[[tasks]]\nname='a'\ncommand='x'\n[[tasks]]\nname='a'\ncommand='y'",
            "have the same id or name `a`: rename one",
        ),
        ("[[tasks]]\nname='sleep'\ncommand='x'", "have the same id or name `sleep`"),
        (
            "[[tasks]]\nname='a'\ncommand='x'\ninput_schema={type=3}",
            "input_schema of task `a` is not a valid JSON Schema",
        ),
        ("[handlers.checksums]\nroots=[]", "did you mean `checksum`?"),
        ("[handlers.checksum]\nroot=[]", "did you mean `roots`?"),
    ] {
        let file = write(folder.path(), "config.toml", toml);
        assert_refused(&run(&["config", "check", "--config", file.to_str().unwrap()]), said);
    }
}

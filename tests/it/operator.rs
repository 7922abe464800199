//! What an operator asks: a new token, and what the configuration comes to.

use std::fs;

use serde_json::{Value, json};
use tempfile::tempdir;

use super::{
    cli::{assert_ended, text},
    support::server::{TestServer, command, run, write},
};

const SECRETS: &str = "\
[server]
drain = '1m'
[log]
level = 'warn'
[[tokens]]
name = 'a \"b\"'
sha256 = 'abababababababababababababababababababababababababababababababab'
scopes = ['run']
[[tokens]]
name = 'c'
sha256 = 'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd'
scopes = ['read', 'admin']
[[tasks]]
name = 'Task Test'
command = 'true --flag'
env = { PASSWORD = 'hunter2' }
input_schema = { type = 'object', properties = { a = { type = 'integer' } } }
[handlers.checksum]
roots = ['/srv']
";

#[tokio::test]
async fn a_token_works_once_its_block_is_configured() {
    let made = run(&["token", "create", "ci \"one\"", "--scopes", "run,read,run"]);
    let (token, block) = (text(&made.stdout), text(&made.stderr));
    assert!(made.status.success(), "{block}");
    let token = token.strip_suffix('\n').unwrap();
    assert!(
        token
            .strip_prefix("tw_")
            .is_some_and(|secret| secret.len() == 43
                && secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')),
        "{token}"
    );
    assert!(block.contains("[[tokens]]\nname = 'ci \"one\"'\nsha256 = \"") && !block.contains(token), "{block}");
    assert!(block.ends_with("scopes = [\"run\", \"read\"]\n"), "{block}");
    assert_ne!(text(&run(&["token", "create", "ci", "--scopes", "run"]).stdout).trim_end(), token);

    let server = TestServer::with_config(&block).await;
    let start = |token: Option<String>| {
        let request = server
            .client()
            .post(server.url("/v1/instances"))
            .json(&json!({"task_id": "sleep", "inputs": {"seconds": 0}}));
        let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
        async { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(start(Some(token.to_owned())).await, 201);
    assert_eq!(start(Some(token.to_uppercase())).await, 401);
    assert_eq!(start(None).await, 401);
    let mut again = command();
    again.args(["token", "create", "ci \"one\"", "--scopes", "run", "--config"]).arg(server.config());
    assert_ended(&again.output().unwrap(), 2, "has a token `ci \"one\"` already");
}

#[test]
fn what_makes_no_token_is_refused() {
    let create = |name: &str, scopes: &str| run(&["token", "create", name, "--scopes", scopes]);
    assert_ended(&create("ci", "rnu"), 2, "--scopes: `rnu` is no scope; did you mean `run`?");
    assert_ended(&create("ci", ""), 2, "`` is no scope");
    assert_ended(&create("", "run"), 2, "the name of a token must be 1 to 128 characters");
    assert_ended(&create("a\nb", "run"), 2, "without control characters");
    assert_eq!(run(&["token", "create", "ci"]).status.code(), Some(2));
    let folder = tempdir().unwrap();
    let broken = write(folder.path(), "config.toml", "[server]\nlisten = 1");
    let asked = command().args(["token", "create", "ci", "--scopes", "run", "--config"]).arg(&broken).output().unwrap();
    assert_ended(&asked, 78, "server.listen");
    // Who did not ask for a file gets a token whatever there is.
    let mut unasked = command();
    unasked.env("TASKWRIGHT_CONFIG", &broken).args(["token", "create", "ci", "--scopes", "run"]);
    assert!(unasked.output().unwrap().status.success());
}

#[test]
fn config_show_says_where_each_value_comes_from() {
    let folder = tempdir().unwrap();
    let file = write(folder.path(), "config.toml", SECRETS);
    let node = write(folder.path(), "node", "from-a-file\n");
    let mut show = command();
    show.args(["config", "show", "--origin", "--listen", "127.0.0.1:9", "--config"]).arg(&file);
    show.env("TASKWRIGHT_WORKER__LOCAL_SLOTS", "7").env("TASKWRIGHT_SERVER__NODE_FILE", &node);
    show.env("TASKWRIGHT_SERVER__LISTEN", "127.0.0.1:8");
    let output = show.output().unwrap();
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let line = |start: &str| {
        let line = shown.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start}\n{shown}"));
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let path = file.display();
    assert_eq!(line("listen"), "listen = \"127.0.0.1:9\" # --listen");
    assert_eq!(line("local_slots"), "local_slots = 7 # TASKWRIGHT_WORKER__LOCAL_SLOTS");
    assert_eq!(line("node"), "node = \"from-a-file\" # TASKWRIGHT_SERVER__NODE_FILE");
    assert_eq!(line("drain ="), format!("drain = \"1m\" # {path}"));
    assert_eq!(line("drain_grace"), "drain_grace = \"5s\" # default");
    assert_eq!(line("body"), "body = \"1 MiB\" # default");
    assert_eq!(line("command ="), format!("command = \"true --flag\" # {path}"));
    assert_eq!(line("max_attempts"), "max_attempts = 1 # default");
    assert_eq!(line("env"), format!("env = {{ PASSWORD = \"(hidden)\" }} # {path}"));
    assert_eq!(line("roots"), format!("roots = [\"/srv\"] # {path}"));
    for secret in ["abab", "cdcd", "hunter2"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }

    let json = show.args(["-o", "json"]).output().unwrap();
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["server"]["listen"], json!({"value": "127.0.0.1:9", "origin": "--listen"}));
    assert_eq!(json["tokens"][1]["sha256"]["value"], "(hidden)");
    assert_eq!(json["handlers"]["checksum"]["roots"]["value"], json!(["/srv"]));
}

#[test]
fn config_check_counts_what_there_is() {
    let folder = tempdir().unwrap();
    let hash = "ab".repeat(32);
    let token = format!("[[tokens]]\nname = 'a'\nsha256 = '{hash}'\nscopes = ['run']\n");
    for (toml, counted) in [("", "2 tasks, 0 tokens"), (token.as_str(), "2 tasks, 1 token")] {
        let file = write(folder.path(), "config.toml", toml);
        let output = command().args(["config", "check", "--config"]).arg(&file).output().unwrap();
        assert!(text(&output.stdout).ends_with(&format!(": valid; {counted}\n")), "{}", text(&output.stdout));
    }
}

#[test]
fn what_config_show_prints_is_a_configuration() {
    let folder = tempdir().unwrap();
    for (n, toml) in ["", SECRETS, "[server]\nlisten = '0.0.0.0:8080'\n[[tokens]]\nname = 'a'\nsha256 = 'abababababababababababababababababababababababababababababababab'\nscopes = ['run']"].iter().enumerate() {
        let file = write(folder.path(), &format!("{n}.toml"), toml);
        let show = |file: &std::path::Path, more: &[&str]| {
            let output = command().args(["config", "show", "--config"]).arg(file).args(more).output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            text(&output.stdout)
        };
        let shown = show(&file, &[]);
        assert!(!shown.contains("# default"), "{shown}");
        let again = write(folder.path(), "shown.toml", &shown);
        let check = command().args(["config", "check", "--config"]).arg(&again).output().unwrap();
        assert!(check.status.success(), "{}\n{shown}", text(&check.stderr));
        // The stand-ins too are shown as what they stand for.
        let rid = |shown: String| shown.replace("0000000000000001", "").replace("0000000000000002", "");
        assert_eq!(rid(show(&again, &[])), rid(shown.clone()), "it says the same again");
        fs::write(&again, show(&file, &["--origin"])).unwrap();
        assert!(command().args(["config", "check", "--config"]).arg(&again).output().unwrap().status.success());
        let json: Value = serde_json::from_str(&show(&file, &["-o", "json"])).unwrap();
        assert_eq!(json["limits"]["pending"], 1_000_000);
    }
    let broken = write(folder.path(), "broken.toml", "[server]\nlsten = ''");
    let output = command().args(["config", "show", "--config"]).arg(&broken).output().unwrap();
    assert_ended(&output, 78, "did you mean `listen`?");
}

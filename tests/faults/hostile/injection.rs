//! Arguments, inputs and variables that a shell would take for more than text: they arrive byte for byte.

use std::path::Path;

use serde_json::{Value, json};

use super::{api::Api, assert_well, hex, token};
use crate::{
    lane,
    support::server::{run, write},
};

const DUMP: &str = include_str!("dump.py");

/// What means something to some program on the way. `MARK` becomes the path of a file that must not be made.
const NASTY: &[&str] = &[
    "",
    " ",
    "\t",
    "\n",
    "\r\n",
    "'",
    "\"",
    "`",
    "\\",
    "\\\\",
    "$",
    "$$",
    "$0",
    "$HOME",
    "${HOME}",
    "${IFS}",
    "$TASKWRIGHT_TOKEN",
    "%s%s%n",
    "%PATH%",
    "~",
    "*",
    "?",
    "[a-z]",
    "{a,b}",
    "!",
    "!!",
    "#",
    "# not a comment",
    "&",
    "|",
    ";",
    "<",
    ">",
    "(",
    ")",
    "-",
    "--",
    "-c",
    "-e",
    "-rf",
    "--help",
    "--version",
    "--config=/etc/passwd",
    "-\u{2010}",
    "=",
    "a=b",
    "LD_PRELOAD=/tmp/x.so",
    "; touch MARK",
    ";touch MARK;",
    "| touch MARK",
    "|| touch MARK",
    "& touch MARK &",
    "&& touch MARK",
    "$(touch MARK)",
    "\"$(touch MARK)\"",
    "'$(touch MARK)'",
    "'; touch MARK; '",
    "\"; touch MARK; \"",
    "`touch MARK`",
    "\ntouch MARK\n",
    "\r\ntouch MARK\r\n",
    "$(touch${IFS}MARK)",
    "{touch,MARK}",
    "<(touch MARK)",
    "> MARK",
    ">> MARK",
    "2> MARK",
    "$((`touch MARK`))",
    "a\\\ntouch MARK",
    "\x1b]0;title\x07",
    "\x1b[2J",
    "\x08\x08",
    "\x7f",
    "\x01",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "\u{202e}reversed",
    "\u{200b}",
    "\u{feff}",
    "\u{fffd}",
    "\u{10ffff}",
    "e\u{301}",
    "\u{e9}",
    "\u{1f469}\u{200d}\u{1f4bb}",
    "../../etc/passwd",
    "/etc/passwd",
    "file:///etc/passwd",
    "{{7*7}}",
    "${jndi:ldap://localhost/x}",
    "<script>alert(1)</script>",
    "' OR '1'='1",
    "'; DROP TABLE instances; --",
    "null",
    "true",
    "{}",
    "[]",
    "\\0",
    "\\x00",
    "%00",
    "\\u0000",
];

/// So many texts: each of the nasty ones, and others made of several of them.
fn texts(count: usize, seed: u64, mark: &Path) -> Vec<String> {
    let mut state = seed | 1;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mark = mark.to_str().expect("a text");
    let mut texts: Vec<String> = NASTY.iter().map(|text| (*text).to_owned()).collect();
    texts.push("x".repeat(100_000));
    texts.push("-".repeat(10_000));
    texts.push("'\"".repeat(10_000));
    while texts.len() < count {
        let mut text = String::new();
        for _ in 0..=random(5) {
            text += NASTY[random(NASTY.len())];
            if random(4) == 0 {
                text.push(char::from_u32(1 + random(0x2fff) as u32).unwrap_or('x'));
            }
        }
        texts.push(text);
    }
    texts.truncate(count);
    texts.into_iter().map(|text| text.replace("MARK", mark)).collect()
}

/// Texts a definition or an instance may hold at once.
const AT_ONCE: usize = 250;

async fn scene(more: &str) -> Api {
    let config = format!("[definitions]\nremote = true\n{}{more}", token("admin", "admin"));
    let mut api = Api::with_config(&config).await;
    api.token = Some("tw_admin".to_owned());
    write(api.server.folder(), "dump.py", DUMP);
    api
}

/// Registers a command, runs it with these inputs, and answers what it found.
async fn found_by(api: &Api, command: &Value, inputs: &Value) -> Value {
    let made = api.put("/v1/definitions/dump", &json!({ "command": command }).to_string()).await;
    assert!(matches!(made.status, 200 | 201), "{}", made.text);
    let answer = api.post("/v1/definitions/dump/instances?wait", &inputs.to_string()).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    let instance = answer.json();
    assert_eq!(api.delete("/v1/definitions/dump").await.status, 204);
    instance
}

fn hexed(texts: &[String]) -> Value {
    texts.iter().map(|text| Value::from(hex(text.as_bytes()))).collect()
}

/// The texts that did not arrive as they were sent.
fn changed(arrived: &Value, sent: &[String]) -> Vec<String> {
    let arrived = arrived.as_array().cloned().unwrap_or_default();
    let mut changed: Vec<String> = sent
        .iter()
        .enumerate()
        .filter(|(n, text)| arrived.get(*n) != Some(&hex(text.as_bytes()).into()))
        .map(|(_, text)| text.clone())
        .collect();
    if arrived.len() != sent.len() {
        changed.push(format!("{} arrived, {} were sent", arrived.len(), sent.len()));
    }
    changed
}

/// As a shell would have to be told a text.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[tokio::test]
async fn hostile_five_thousand_arguments_arrive_byte_for_byte() {
    let api = scene("").await;
    let mark = api.server.folder().join("mark");
    let all = texts(5000, lane::seed("hostile_five_thousand_arguments_arrive_byte_for_byte"), &mark);
    for some in all.chunks(AT_ONCE) {
        let mut command = vec!["python3".to_owned(), "dump.py".to_owned()];
        command.extend_from_slice(some);
        // The same texts as inputs, at most what an environment holds.
        let texts: Vec<String> = some.iter().filter(|text| text.len() < 10_000).cloned().collect();
        let instance = found_by(&api, &json!(command), &json!({ "texts": texts })).await;
        assert_eq!(instance["status"], "completed", "{}", instance["error"]);
        let output = &instance["output"];
        assert_eq!(changed(&output["arguments"], some), [""; 0]);
        assert_eq!(changed(&output["texts"], &texts), [""; 0]);
        assert_eq!(output["same"], true, "the file and the environment differ");
        assert_eq!(instance["inputs"], json!({ "texts": texts }));
    }
    // A command in one text is split as a shell would, and by no shell.
    let short: Vec<String> = all.iter().filter(|text| text.len() < 1000).take(1000).cloned().collect();
    for some in short.chunks(AT_ONCE) {
        let line = format!("python3 dump.py {}", some.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(" "));
        let instance = found_by(&api, &json!(line), &json!({})).await;
        assert_eq!(changed(&instance["output"]["arguments"], some), [""; 0]);
    }
    assert!(!mark.exists(), "an argument was run");
    assert_well(&api.server).await;
}

#[tokio::test]
async fn hostile_variables_and_the_configurations_arguments_arrive_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let seed = lane::seed("hostile_variables_and_the_configurations_arguments_arrive_byte_for_byte");
    let all: Vec<String> = texts(400, seed, &mark).into_iter().filter(|text| text.len() < 5000).collect();
    let text = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let arguments: Vec<String> = all.iter().map(|argument| text(argument)).collect();
    let variables: Vec<String> = all.iter().enumerate().map(|(n, value)| format!("E_{n} = {}", text(value))).collect();
    let task = format!(
        "[[tasks]]\nname = \"dump-configured\"\ncommand = [\"python3\", \"dump.py\", {}]\nenv = {{ {} }}\n",
        arguments.join(", "),
        variables.join(", ")
    );
    let api = scene(&task).await;
    let instance = api.post("/v1/definitions/dump-configured/instances?wait", "{}").await.json();
    assert_eq!(instance["status"], "completed", "{}", instance["error"]);
    assert_eq!(changed(&instance["output"]["arguments"], &all), [""; 0]);
    let found: Vec<String> = (0..all.len())
        .map(|n| instance["output"]["environment"][format!("E_{n}")].as_str().unwrap_or("none").to_owned())
        .collect();
    assert_eq!(json!(found), hexed(&all));
    assert!(!mark.exists(), "a text was run");
    assert_well(&api.server).await;
}

#[tokio::test]
async fn hostile_what_no_program_can_be_given_is_refused_or_fails() {
    let api = scene("").await;
    // A NUL ends every argument: by the contract no JSON may hold one.
    for command in [r#"["true","a\u0000b"]"#, r#"["tr\u0000ue"]"#, r#""true a\u0000b""#] {
        let answer = api.put("/v1/definitions/nul", &format!("{{\"command\":{command}}}")).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
    }
    for (n, task) in [
        r#"command = ["true", "a\u0000b"]"#,
        r#"command = "true a\u0000b""#,
        "command = [\"true\"]\nenv = { A = \"b\\u0000c\" }",
        "command = [\"true\"]\nenv = { \"A\\u0000\" = \"b\" }",
        "command = [\"true\"]\nenv = { \"A=B\" = \"c\" }",
        "command = []",
        "command = \"\"",
        "command = \"true 'unfinished\"",
    ]
    .iter()
    .enumerate()
    {
        let file = write(api.server.folder(), &format!("{n}.toml"), &format!("[[tasks]]\nname = \"x\"\n{task}\n"));
        let output = run(&["config", "check", "--config", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(78), "{task}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for command in [
        json!([]),
        json!(""),
        json!([""]),
        json!(["true", 1]),
        json!({"a": "b"}),
        json!("true 'unfinished"),
        json!(null),
    ] {
        let answer = api.put("/v1/definitions/none", &json!({ "command": command }).to_string()).await;
        assert_eq!(answer.status, 422, "{command}: {}", answer.text);
    }
    // One longer than Linux takes: the instance says so, and nothing else happens.
    let longest = 128 << 10;
    for (length, status) in [(longest - 1, "completed"), (longest, "failed")] {
        let instance = found_by(&api, &json!(["true", "x".repeat(length)]), &json!({})).await;
        assert_eq!(instance["status"], status, "{length}: {}", instance["error"]);
        if status == "failed" {
            assert_eq!(instance["error"]["kind"], "spawn");
        }
    }
    assert_well(&api.server).await;
}

/// Negative control: the same texts through a shell are run and changed, which is noticed.
#[tokio::test]
async fn hostile_control_a_shell_in_between_is_noticed() {
    let api = scene("").await;
    let mark = api.server.folder().join("mark");
    let mut were_changed = 0;
    for text in texts(NASTY.len(), 1, &mark).into_iter().filter(|text| text.contains("touch")) {
        let line = format!("python3 dump.py {text}");
        let instance = found_by(&api, &json!(["sh", "-c", line]), &json!({})).await;
        were_changed += usize::from(!changed(&instance["output"]["arguments"], &[text]).is_empty());
    }
    assert!(mark.exists(), "nothing was run");
    assert!(were_changed > 10, "{were_changed}");
}

//! Twenty small tasks in the package's local mode and here: what a program sees of each, side by side in
//! `docs/numerous.md`. `UPDATE_DOCS=1` writes the table anew. Every difference has its reason here.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::Value;

use super::package::{daemon_with, environment, printed, programs};
use crate::support::server::TestServer;

const BEGIN: &str = "<!-- side by side -->\n";
const END: &str = "<!-- end -->\n";

const RETURNS: &str = "Local mode forgets what a function returns; here it is `output.result`, as on the platform.";
const ERRORS: &str = "The platform's API has no error: the package raises nothing. REST has it as `error`.";
const STATUS: &str = "The package's own controller refuses it on a platform: the function fails.";
const INNER: &str = "Inside a task of a platform the package calls the function itself.";
const KILLED: &str = "A stop is SIGTERM to the program, which local mode has no means for.";
const QUEUE: &str = "Local mode ignores a stop of what waits; here it is cancelled and never runs.";

/// Why a task is seen otherwise here.
const REASONS: [(&str, &str); 10] = [
    ("returns_a_number", RETURNS),
    ("sets_its_output_and_returns", RETURNS),
    ("sets_progress_too_high", ERRORS),
    ("raises", ERRORS),
    ("sets_its_output_and_raises", ERRORS),
    ("sets_its_status", STATUS),
    ("calls_another_task", INNER),
    ("stops_itself_and_raises", ERRORS),
    ("ignores_a_stop", KILLED),
    ("waits_in_the_queue", QUEUE),
];

/// The names of the tasks, in their order.
fn tasks() -> Vec<&'static str> {
    let program = include_str!("twenty.py");
    program.lines().filter_map(|line| line.strip_prefix("def ")?.split('(').next()).collect()
}

/// What the program has seen of each task's end.
fn seen(server: &TestServer, on_a_platform: bool) -> BTreeMap<String, Value> {
    for (name, text) in [("twenty.py", include_str!("twenty.py")), ("side_by_side.py", include_str!("side_by_side.py"))]
    {
        fs::write(server.folder().join(name), text).expect("a program can be written");
    }
    let mut python = Command::new(programs().join("python3"));
    environment(server, &mut python);
    if on_a_platform {
        python.env("NUMEROUS_EXECUTOR", "NUMEROUS_PLATFORM_EXECUTOR").env("NUMEROUS_API_URL", server.url("/query"));
        python.env("NUMEROUS_API_ACCESS_TOKEN", "any").env("NUMEROUS_ORGANIZATION_ID", "organization");
        python.env("NUMEROUS_DEPLOYMENT_ID", "deployment");
    }
    let output = printed(&python.arg("side_by_side.py").output().expect("Python runs"));
    serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// An end in a cell of the table.
fn cell(end: &Value) -> String {
    let mut cell = end["status"].as_str().expect("a status").to_owned();
    if end["progress"] != 0.0 {
        cell += &format!(", {} %", end["progress"].as_f64().expect("a number") * 100.0);
    }
    if end["output"] != Value::Null {
        cell += &format!(", `{}`", end["output"].to_string().replace('|', "\\|"));
    }
    if let Some(error) = end["raised"].as_str() {
        cell += &format!(", raises `{error}`");
    }
    cell
}

#[tokio::test(flavor = "multi_thread")]
async fn numerous_side_by_side_with_local_mode() {
    let tasks = tasks();
    assert_eq!(tasks.len(), 20);
    let configured =
        tasks.iter().map(|name| format!("[[tasks]]\nname = \"{name}\"\ncommand = \"numerous-executor twenty.py\"\n"));
    let server = daemon_with(&format!("[worker]\ncommand_slots = 4\n{}", configured.collect::<String>())).await;
    let (local, here) = tokio::task::block_in_place(|| (seen(&server, false), seen(&server, true)));
    let reasons = BTreeMap::from(REASONS);
    let mut table = "| task | local mode | Taskwright | why it differs |\n|---|---|---|---|\n".to_owned();
    for name in tasks {
        let (local, here) = (cell(&local[name]), cell(&here[name]));
        let reason = reasons.get(name).copied().unwrap_or_default();
        assert_eq!(local != here, !reason.is_empty(), "{name}: {local} and {here}: {reason:?}");
        table += &format!("| `{name}` | {local} | {} | {reason} |\n", if local == here { "the same" } else { &here });
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/numerous.md");
    let page = fs::read_to_string(&path).expect("the page is there");
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the table");
    let (written, after) = rest.split_once(END).expect("the table ends");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("the page can be written");
    } else {
        assert_eq!(written, table, "UPDATE_DOCS=1 writes it anew");
    }
}

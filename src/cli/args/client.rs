//! The verbs of a client: what they take and what `--help` teaches of them.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum, ValueHint};
use clap_complete::{ArgValueCandidates, Shell};

use crate::cli::candidates;

const WAITING: &str = "\
Exit codes:
  0    it completed
  1    it failed
  2    the command line is wrong, or an input has no such key
  3    it was cancelled
  4    there is no such task or instance
  5    the daemon refused: a token, an input that does not fit the schema, a conflict
  69   no daemon answers, or it cannot do it now
  124  the time was over; the task goes on
  130  interrupted with Ctrl-C; the task goes on";

const PLAIN: &str = "\
Exit codes:
  0    done
  2    the command line is wrong
  4    there is no such task or instance
  5    the daemon refused
  69   no daemon answers, or it cannot do it now";

macro_rules! help {
    ($codes:expr $(; also $more:literal)?, $($example:expr),+) => {{
        const HELP: &[&str] = &[$codes, $("\n\n", $more,)? "\n\nExamples:", $("\n  ", $example),+];
        HELP.concat()
    }};
}

/// Which daemon, and how to print.
#[derive(Args, Clone)]
#[command(next_help_heading = "Daemon and output")]
pub(in crate::cli) struct Common {
    /// The daemon [env: TASKWRIGHT_URL] [default: client.toml, then a daemon of yours that runs here, then
    /// http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub url: Option<String>,
    /// Speak as the bearer of this token [env: TASKWRIGHT_TOKEN]
    #[arg(long, value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// The daemon of this name in ~/.config/taskwright/client.toml
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    pub server: Option<String>,
    /// Print a table, the daemon's own JSON, JSON a line, only ids, or nothing
    #[arg(long, short, value_enum, value_name = "FORM", default_value_t = Format::Table)]
    pub output: Format,
    /// The same as --output json
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
    /// The same as --output id
    #[arg(long, short, conflicts_with_all = ["output", "json"])]
    pub quiet: bool,
    /// Colour: on a terminal unless NO_COLOR is set, always, or never
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Colour::Auto)]
    pub color: Colour,
}

/// What is printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    Table,
    Json,
    Jsonl,
    Id,
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Colour {
    Auto,
    Always,
    Never,
}

/// What a task works on.
#[derive(Args, Clone, Default)]
pub(in crate::cli) struct Inputs {
    /// Inputs: KEY=VALUE typed by the task's schema, KEY:=JSON, KEY=@FILE, KEY:=@FILE
    #[arg(value_name = "KEY=VALUE")]
    pub pairs: Vec<String>,
    /// All inputs as a JSON object; KEY=VALUE then replaces members of it
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub inputs: Option<String>,
}

/// What replaces the definition's values.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "In place of the task's own")]
pub(in crate::cli) struct StartOptions {
    /// Set a label; may be repeated
    #[arg(long, value_name = "KEY:VALUE")]
    pub label: Vec<String>,
    /// Higher runs first
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// The most attempts
    #[arg(long, value_name = "NUMBER")]
    pub max_attempts: Option<u32>,
    /// The delay before a second attempt; doubled before each further one
    #[arg(long, value_name = "DURATION")]
    pub retry_delay: Option<String>,
    /// The longest an attempt may run
    #[arg(long, value_name = "DURATION")]
    pub task_timeout: Option<String>,
    /// The longest it may wait for its first attempt
    #[arg(long, value_name = "DURATION")]
    pub queue_timeout: Option<String>,
    /// Not before so long from now
    #[arg(long, value_name = "DURATION", conflicts_with = "run_at")]
    pub delay: Option<String>,
    /// Not before this time, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub run_at: Option<String>,
    /// The Idempotency-Key: a second start with it is the first one [default: a new one]
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}

#[derive(Args)]
#[command(after_help = help!(
    WAITING,
    "taskwright start sleep seconds=60",
    "id=$(taskwright start -q sleep seconds=60)",
    "taskwright start count-words path=/etc/services --label team:docs --wait",
    "taskwright start sleep --inputs '{\"seconds\":3}' --dry-run"
))]
pub(in crate::cli) struct Start {
    /// The task: its id or name
    #[arg(add = ArgValueCandidates::new(candidates::tasks))]
    pub task: String,
    #[command(flatten)]
    pub inputs: Inputs,
    /// Wait until it is done, or for so long; then exit by how it ended
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "forever")]
    pub wait: Option<String>,
    /// Only check: exits 0 if it could be started
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    #[command(flatten)]
    pub options: StartOptions,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
#[command(after_help = help!(
    WAITING,
    "taskwright run sleep seconds=3",
    "taskwright run checksum path=. > log.txt",
    "taskwright run nightly-report --timeout 30m --stop-on-interrupt",
    "taskwright run count-words path=/etc/services --json | jq .result"
))]
pub(in crate::cli) struct Run {
    /// The task: its id or name
    #[arg(add = ArgValueCandidates::new(candidates::tasks))]
    pub task: String,
    #[command(flatten)]
    pub inputs: Inputs,
    /// Watch no longer than this: exit 124, and the task goes on
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// Ctrl-C, SIGTERM and --timeout stop the task too, and wait for its end
    #[arg(long)]
    pub stop_on_interrupt: bool,
    /// Write the time before each line of the log
    #[arg(long, short)]
    pub timestamps: bool,
    /// Only check: exits 0 if it could be started
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub options: StartOptions,
    #[command(flatten)]
    pub common: Common,
}

/// Which instances a list shows.
#[derive(Args, Clone, Default)]
pub(in crate::cli) struct Which {
    /// Only of this task
    #[arg(long, value_name = "TASK", add = ArgValueCandidates::new(candidates::tasks))]
    pub task: Option<String>,
    /// Only with this label, or with any value of it; repeated: with all of them
    #[arg(long, value_name = "KEY[:VALUE]")]
    pub label: Vec<String>,
    /// Only started since then: a duration ago such as 1h, or a time
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub since: Option<String>,
}

#[derive(Args)]
#[command(after_help = help!(
    PLAIN,
    "taskwright ps",
    "taskwright ps -a --since 1h",
    "taskwright ps --status failed --task checksum -n 5",
    "taskwright ps -q --label team:docs | taskwright stop -"
))]
pub(in crate::cli) struct Ps {
    /// Also those that are done
    #[arg(long, short)]
    pub all: bool,
    /// Only in one of these: pending, running, completed, failed, cancelled
    #[arg(long, value_name = "STATUS", value_delimiter = ',', add = ArgValueCandidates::new(candidates::statuses))]
    pub status: Vec<String>,
    #[command(flatten)]
    pub which: Which,
    /// At most so many, the newest
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub number: u64,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
#[command(after_help = help!(
    PLAIN,
    "taskwright status 12",
    "taskwright status @",
    "taskwright status 12 --json | jq .output"
))]
pub(in crate::cli) struct Status {
    /// Its number or UUID; @ is the one last started here
    #[arg(value_name = "ID", required = true, add = ArgValueCandidates::new(candidates::any_instances))]
    pub ids: Vec<String>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
#[command(after_help = help!(
    PLAIN,
    "taskwright logs 12",
    "taskwright logs -f -n 20 @",
    "taskwright logs 12 --stderr --grep error",
    "taskwright logs 12 -o jsonl | jq -r .text"
))]
pub(in crate::cli) struct Logs {
    /// Its number or UUID; @ is the one last started here
    #[arg(value_name = "ID", add = ArgValueCandidates::new(candidates::any_instances))]
    pub id: String,
    /// Go on with lines as they come, to the end of the instance; exits 0 however it ended
    #[arg(long, short)]
    pub follow: bool,
    /// Only the last so many lines
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub number: Option<u64>,
    /// Write the time before each line
    #[arg(long, short)]
    pub timestamps: bool,
    /// Only what a command wrote to stderr
    #[arg(long)]
    pub stderr: bool,
    /// Only lines with this text
    #[arg(long, value_name = "TEXT")]
    pub grep: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
#[command(after_help = help!(
    WAITING; also "Of several, the first in the order given that did not complete decides.",
    "taskwright wait 12",
    "taskwright wait 12 13 14 --timeout 10m",
    "taskwright start -q sleep seconds=5 | taskwright wait -"
))]
pub(in crate::cli) struct Wait {
    /// Numbers or UUIDs; - reads them from stdin, @ is the one last started here
    #[arg(value_name = "ID", required = true, add = ArgValueCandidates::new(candidates::live_instances))]
    pub ids: Vec<String>,
    /// Until one of them is done, and exit by how that one ended
    #[arg(long)]
    pub any: bool,
    /// No longer than this: exit 124
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
#[command(after_help = help!(
    WAITING; also "Without ids it goes on until Ctrl-C. Of several, the first in the order given that did not complete decides.",
    "taskwright watch",
    "taskwright watch 12 13",
    "taskwright watch --task checksum -o jsonl"
))]
pub(in crate::cli) struct Watch {
    /// Numbers or UUIDs, and end when they are done; - reads them from stdin, @ is the one last started here
    #[arg(value_name = "ID", conflicts_with_all = ["task", "label", "since"],
          add = ArgValueCandidates::new(candidates::live_instances))]
    pub ids: Vec<String>,
    #[command(flatten)]
    pub which: Which,
    /// No longer than this: exit 124
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
#[command(
    group = ArgGroup::new("meant").required(true).multiple(true),
    after_help = help!(
        "\
Exit codes:
  0    the stop was asked for; with --wait: they have ended
  2    the command line is wrong, or nobody could be asked and -y was not given
  4    there is no such task or instance
  5    the daemon refused
  69   no daemon answers, or it cannot do it now
  124  --timeout passed before they ended
  130  interrupted with Ctrl-C",
        "taskwright stop 12",
        "taskwright stop @ --force --wait",
        "taskwright stop --task checksum --status pending",
        "taskwright stop --all -y"
    )
)]
pub(in crate::cli) struct Stop {
    /// Numbers or UUIDs; - reads them from stdin, @ is the one last started here
    #[arg(value_name = "ID", group = "meant", conflicts_with_all = ["all", "task", "status", "label", "before"],
          add = ArgValueCandidates::new(candidates::live_instances))]
    pub ids: Vec<String>,
    /// Everything that is not done
    #[arg(long, group = "meant", conflicts_with_all = ["task", "status", "label", "before"])]
    pub all: bool,
    /// All of this task
    #[arg(long, group = "meant", value_name = "TASK", add = ArgValueCandidates::new(candidates::tasks))]
    pub task: Option<String>,
    /// All that are pending, or running
    #[arg(long, group = "meant", value_name = "STATUS", value_delimiter = ',', value_parser = ["pending", "running"])]
    pub status: Vec<String>,
    /// All with this label; repeated: with all of them
    #[arg(long, group = "meant", value_name = "KEY:VALUE")]
    pub label: Vec<String>,
    /// All started before then: a duration ago such as 1h, or a time
    #[arg(long, group = "meant", value_name = "WHEN", allow_hyphen_values = true)]
    pub before: Option<String>,
    /// How long they may take to end by themselves [default: as configured, 10s]
    #[arg(long, value_name = "DURATION", conflicts_with = "force")]
    pub grace: Option<String>,
    /// At once, with no grace
    #[arg(long)]
    pub force: bool,
    /// Wait until they have ended
    #[arg(long, short)]
    pub wait: bool,
    /// With --wait no longer than this: exit 124
    #[arg(long, value_name = "DURATION", requires = "wait")]
    pub timeout: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
#[command(
    group = ArgGroup::new("meant").required(true).multiple(true),
    after_help = help!(
        WAITING,
        "taskwright retry 12",
        "taskwright retry 12 --set seconds=5 --wait",
        "taskwright retry --failed --since 1h",
        "taskwright retry --failed --task checksum -y -q"
    )
)]
pub(in crate::cli) struct Retry {
    /// Numbers or UUIDs; - reads them from stdin, @ is the one last started here
    #[arg(value_name = "ID", group = "meant", conflicts_with_all = ["failed", "cancelled", "task", "label", "since"],
          add = ArgValueCandidates::new(candidates::done_instances))]
    pub ids: Vec<String>,
    /// All that failed; each once a day, however often this is said
    #[arg(long, group = "meant")]
    pub failed: bool,
    /// All that were cancelled, likewise
    #[arg(long, group = "meant")]
    pub cancelled: bool,
    #[command(flatten)]
    pub which: Which,
    /// Replace an input, written as for start; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Wait until they are done, or for so long; then exit by how they ended
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "forever")]
    pub wait: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
#[command(after_help = help!(PLAIN, "taskwright tasks", "taskwright tasks checksum", "taskwright tasks sleep --json | jq .input_schema"))]
pub(in crate::cli) struct Tasks {
    /// Show this one: its inputs, and a command to start it
    #[arg(value_name = "TASK", add = ArgValueCandidates::new(candidates::tasks))]
    pub task: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
#[command(after_help = help!(PLAIN, "taskwright open", "taskwright open 12", "taskwright open @ --print"))]
pub(in crate::cli) struct Open {
    /// The page of this instance: its number or UUID; @ is the one last started here
    #[arg(value_name = "ID", add = ArgValueCandidates::new(candidates::any_instances))]
    pub id: Option<String>,
    /// Only print the address
    #[arg(long)]
    pub print: bool,
    #[command(flatten)]
    pub common: Common,
}

#[derive(Args)]
#[command(after_help = help!(
    "\
Exit codes:
  0   answered with 2xx or 3xx
  2   400: the request cannot be read
  4   404
  5   another 4xx: 401, 403, 409, 422
  69  5xx, or no daemon answers",
    "taskwright api GET /v1/instances",
    "taskwright api POST '/v1/definitions/sleep/instances?wait=10' -d '{\"seconds\":3}'",
    "taskwright api GET /v1/events -H 'Accept: application/x-ndjson'",
    "taskwright api DELETE /v1/instances/12 -i"
))]
pub(in crate::cli) struct Api {
    /// GET, POST, PUT, DELETE
    #[arg(value_name = "METHOD")]
    pub method: String,
    /// The path, with its query
    #[arg(value_name = "PATH")]
    pub path: String,
    /// The body, sent as JSON unless a header says otherwise
    #[arg(long, short, value_name = "JSON|@FILE|-")]
    pub data: Option<String>,
    /// Send this header; may be repeated
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// Print the status and the headers before the body
    #[arg(long, short)]
    pub include: bool,
    #[command(flatten)]
    pub daemon: Daemon,
}

/// Which daemon, where what is printed is its own.
#[derive(Args, Clone)]
#[command(next_help_heading = "Daemon")]
pub(in crate::cli) struct Daemon {
    /// The daemon [env: TASKWRIGHT_URL] [default: client.toml, then a daemon of yours that runs here, then
    /// http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub url: Option<String>,
    /// Speak as the bearer of this token [env: TASKWRIGHT_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// The daemon of this name in ~/.config/taskwright/client.toml
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    pub server: Option<String>,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  taskwright completions bash > ~/.local/share/bash-completion/completions/taskwright
  taskwright completions zsh > ~/.zfunc/_taskwright
  taskwright completions fish > ~/.config/fish/completions/taskwright.fish")]
pub(in crate::cli) struct Completions {
    /// For this shell
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  taskwright man | man -l -
  taskwright man run | man -l -
  taskwright man --dir /usr/local/share/man/man1")]
pub(in crate::cli) struct Man {
    /// The page of this verb; without one, that of taskwright
    #[arg(value_name = "VERB")]
    pub verb: Vec<String>,
    /// Write every page into this folder
    #[arg(long, value_name = "FOLDER", conflicts_with = "verb", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
}

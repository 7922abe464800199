//! The verbs that make instances: `start`, `run`, `retry`.

use clap::{ArgGroup, Args};
use clap_complete::ArgValueCandidates;

use super::{Common, WAITING, Which};
use crate::cli::client::candidates;

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

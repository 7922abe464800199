//! The verbs that look and wait: `ps`, `status`, `logs`, `wait`, `watch`, `tasks`.

use clap::Args;
use clap_complete::ArgValueCandidates;

use super::{Common, PLAIN, WAITING, Which};
use crate::cli::client::candidates;

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
#[command(after_help = help!(PLAIN, "taskwright tasks", "taskwright tasks checksum", "taskwright tasks sleep --json | jq .input_schema"))]
pub(in crate::cli) struct Tasks {
    /// Show this one: its inputs, and a command to start it
    #[arg(value_name = "TASK", add = ArgValueCandidates::new(candidates::tasks))]
    pub task: Option<String>,
    #[command(flatten)]
    pub common: Common,
}

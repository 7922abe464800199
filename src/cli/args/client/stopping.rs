//! The verb that ends instances: `stop`.

use clap::{ArgGroup, Args};
use clap_complete::ArgValueCandidates;

use super::Common;
use crate::cli::client::candidates;

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

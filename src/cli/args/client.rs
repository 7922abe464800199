//! The verbs of a client: what they take and what `--help` teaches of them.

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use clap_complete::ArgValueCandidates;

use crate::cli::client::candidates;

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

mod reading;
mod starting;
mod stopping;

pub(in crate::cli) use reading::{Logs, Ps, Status, Tasks, Wait, Watch};
pub(in crate::cli) use starting::{Inputs, Retry, Run, Start, StartOptions};
pub(in crate::cli) use stopping::Stop;

#[derive(Subcommand)]
pub(in crate::cli) enum ClientVerb {
    /// Start a task, and say its number and id.
    Start(Start),
    /// Start a task, follow it, and exit by how it ended.
    ///
    /// The log goes to stdout, progress to stderr, and the result follows at the end. Ctrl-C stops watching; the task goes
    /// on. With --json the log goes to stderr, and stdout gets the done instance alone. It goes on through a restart of
    /// the daemon, and no line of the log is lost.
    Run(Run),
    /// List the instances that are not done, or all that match.
    ///
    /// Into a pipe it prints tabs between: number, id, status, task, progress, created_at, started_at, finished_at,
    /// labels, message.
    Ps(Ps),
    /// Show instances in full, with their attempts and the end of their logs.
    Status(Status),
    /// Print the log of an instance.
    ///
    /// Into a pipe lines go as they are. A terminal gets their colours, and no other control characters.
    Logs(Logs),
    /// Wait until instances are done, and exit by how they ended.
    ///
    /// It waits through a restart of the daemon, for up to five minutes without one.
    Wait(Wait),
    /// Watch instances and their progress as a live table.
    ///
    /// Without a terminal it prints a line for each change, with tabs between: time, number, status, task, progress,
    /// message.
    Watch(Watch),
    /// Stop instances, by id or all that match.
    ///
    /// Their records stay.
    /// A pending one is cancelled at once. One that runs is asked to end, and after its grace it is made to.
    Stop(Stop),
    /// Run done instances again as new ones, by id or all that match.
    Retry(Retry),
    /// List the tasks, or show one with its inputs and a command to start it.
    Tasks(Tasks),
    /// Open the dashboard, or the page of an instance.
    ///
    /// Prints the address, and opens it where there is a desktop.
    Open(Open),
    /// Send a request, and print the answer as it is.
    Api(Api),
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

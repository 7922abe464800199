//! `taskwright report`: what a program that runs as a task may say.

use clap::{Args, Subcommand};

use crate::domain::variables;

pub(super) const REPORT_HELP: &str = "\
Example, a shell script as a task:
  for part in 0.25 0.50 0.75 1.00; do
    convert_part $part
    taskwright report progress $part \"up to $part\"
    taskwright report should-stop > /dev/null && exit 1
  done
  taskwright report output '{\"parts\":4}'";

#[derive(Args)]
pub(in crate::cli) struct Report {
    /// The daemon. Set for every command that runs as a task.
    #[arg(long, env = variables::URL, value_name = "URL", global = true)]
    pub url: Option<String>,
    /// The instance. Set for every command that runs as a task.
    #[arg(long, env = variables::INSTANCE, value_name = "ID", global = true)]
    pub instance: Option<String>,
    #[command(subcommand)]
    pub verb: ReportVerb,
}

#[derive(Subcommand)]
pub(in crate::cli) enum ReportVerb {
    /// Set the progress, from 0.0 to 1.0, and a message.
    #[command(allow_negative_numbers = true)]
    Progress {
        #[arg(value_name = "VALUE")]
        value: f64,
        #[arg(value_name = "MESSAGE")]
        message: Option<String>,
    },
    /// Set the output, a JSON object, part-way too.
    Output {
        /// The object, or - to read it from stdin.
        #[arg(value_name = "JSON")]
        json: String,
    },
    /// State how this attempt ends. It takes effect when the program has ended; `running` takes it back.
    Status {
        #[arg(value_name = "STATUS", value_parser = ["completed", "failed", "cancelled", "running"])]
        status: String,
        /// Why it failed.
        #[arg(value_name = "MESSAGE")]
        message: Option<String>,
    },
    /// Print true if the attempt should end, else false. Exits 0 for true and 1 for false.
    ShouldStop,
    /// Add a line to the log; several words make one line.
    Log {
        #[arg(value_name = "TEXT", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        text: Vec<String>,
    },
}

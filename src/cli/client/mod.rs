//! The verbs of a client. Each has a file of its own, and a [`session`]: the daemon that is meant, and how to print.

mod absence;
mod api;
pub(super) mod candidates;
mod confirm;
mod exit_code;
mod feed;
mod ids;
mod inputs;
mod last_started;
mod log_lines;
mod logs;
mod open;
mod outcome;
mod output;
mod progress;
mod ps;
mod retry;
mod run;
mod session;
mod start;
mod status;
mod stop;
mod table;
mod tasks;
mod times;
mod typing;
mod wait;
mod watch;

use super::{args::client::ClientVerb, failure::Failure};

pub(super) fn run(verb: ClientVerb) -> Result<(), Failure> {
    match verb {
        ClientVerb::Start(start) => start::run(start),
        ClientVerb::Run(run) => run::run(run),
        ClientVerb::Ps(ps) => ps::run(ps),
        ClientVerb::Status(status) => status::run(status),
        ClientVerb::Logs(logs) => logs::run(logs),
        ClientVerb::Wait(wait) => wait::run(wait),
        ClientVerb::Watch(watch) => watch::run(watch),
        ClientVerb::Stop(stop) => stop::run(stop),
        ClientVerb::Retry(retry) => retry::run(retry),
        ClientVerb::Tasks(tasks) => tasks::run(tasks),
        ClientVerb::Open(open) => open::run(open),
        ClientVerb::Api(api) => api::run(api),
    }
}

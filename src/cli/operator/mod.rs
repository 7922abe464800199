//! The verbs of an operator: the daemon itself, and what is asked beside it.

mod backup;
mod config;
mod demo;
mod fsck;
mod healthcheck;
mod openapi;
mod serve;
mod telemetry;
mod token;

use super::{
    Program,
    args::operator::{ConfigVerb, OperatorVerb, TokenVerb},
    failure::Failure,
};

pub(super) fn run(program: Program<'_>, verb: OperatorVerb) -> Result<(), Failure> {
    match verb {
        OperatorVerb::Serve(serve) => serve::run(program, serve),
        OperatorVerb::Config(ConfigVerb::Check(file)) => config::check(program, file),
        OperatorVerb::Config(ConfigVerb::Show(shown)) => config::show(shown),
        OperatorVerb::Token(TokenVerb::Create(create)) => token::create(create),
        OperatorVerb::Openapi(openapi) => openapi::run(&openapi),
        OperatorVerb::Healthcheck(healthcheck) => healthcheck::run(healthcheck),
        OperatorVerb::Fsck(fsck) => fsck::run(program, fsck),
        OperatorVerb::Backup(backup) => backup::run(backup),
    }
}

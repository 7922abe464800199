//! `report`: the controller for shell scripts that run as tasks.

use std::io::Read;

use super::{
    args::report::{Report, ReportVerb},
    failure::{FAILURE, Failure, REFUSED, UNAVAILABLE, USAGE},
    print, runtime,
};
use crate::{
    client::{
        AttemptClient, Client, ClientError,
        environment::{INSTANCE, MissingVariable, TOKEN, URL, given},
    },
    domain::{Json, error::chain},
};

pub(super) fn run(report: Report) -> Result<(), Failure> {
    let missing = |name: &'static str, flag: &str| {
        Failure::new(USAGE, format!("{}; elsewhere give {flag}", MissingVariable { name }))
    };
    let url = given(report.url).ok_or_else(|| missing(URL, "--url"))?;
    let instance = given(report.instance).ok_or_else(|| missing(INSTANCE, "--instance"))?;
    let mut client = Client::new(&url).map_err(failed)?;
    if let Some(token) = given(std::env::var(TOKEN).ok()) {
        client = client.with_token(&token).map_err(failed)?;
    }
    runtime()?.block_on(send(&AttemptClient::new(client, &instance), report.verb))
}

async fn send(attempt: &AttemptClient, verb: ReportVerb) -> Result<(), Failure> {
    match verb {
        ReportVerb::Progress { value, .. } if !value.is_finite() => {
            return Err(Failure::new(USAGE, format!("{value} is no progress: give a number from 0.0 to 1.0")));
        }
        ReportVerb::Progress { value, message } => attempt.progress(value, message.as_deref()).await.map_err(failed)?,
        ReportVerb::Output { json } => attempt.output(&output(json)?).await.map_err(failed)?,
        ReportVerb::Status { status, message } => attempt.status(&status, message.as_deref()).await.map_err(failed)?,
        ReportVerb::ShouldStop => return should_stop(attempt).await,
        ReportVerb::Log { text } => attempt.log([text.join(" ").as_str()]).await.map_err(failed)?,
    };
    Ok(())
}

/// The text as given, checked here so that a slip of the pen is named before anything is sent.
fn output(json: String) -> Result<Json, Failure> {
    let text = if json == "-" {
        let mut text = String::new();
        let read = std::io::stdin().lock().read_to_string(&mut text);
        read.map_err(|error| Failure::new(FAILURE, format!("cannot read the output from stdin: {error}")))?;
        text
    } else {
        json
    };
    match Json::parse(&text) {
        Ok(json) if json.is_object() || json.is_null() => Ok(json),
        Ok(_) => Err(Failure::new(USAGE, "the output must be a JSON object, such as '{\"result\":1}'")),
        Err(error) => Err(Failure::new(USAGE, format!("the output is no JSON: {error}"))),
    }
}

async fn should_stop(attempt: &AttemptClient) -> Result<(), Failure> {
    let stop = match attempt.log([]).await {
        Ok(receipt) => receipt.should_stop,
        // Whoever is late has nothing left to do.
        Err(ClientError::Refused(refusal)) if refusal.is_late() => true,
        Err(error) => return Err(failed(error)),
    };
    print::line(if stop { "true" } else { "false" })?;
    if stop { Ok(()) } else { Err(Failure::silent(FAILURE)) }
}

fn failed(error: ClientError) -> Failure {
    match &error {
        ClientError::Url { .. } | ClientError::Token => Failure::of(USAGE, &error),
        ClientError::Refused(_) => Failure::of(REFUSED, &error),
        ClientError::Unreachable { .. } => {
            Failure::new(UNAVAILABLE, format!("{}; start one with: taskwright serve", chain(&error)))
        }
        ClientError::Timeout { .. } | ClientError::Broken { .. } | ClientError::Answer { .. } => {
            Failure::of(UNAVAILABLE, &error)
        }
    }
}

//! `report`: the controller for shell scripts that run as tasks.

use std::io::Read;

use serde_json::json;

use super::{
    args::{Report, ReportVerb},
    failure::{FAILURE, Failure, USAGE},
    print, runtime,
};
use crate::{
    client::{Client, ClientError},
    domain::Json,
};

pub(super) fn run(report: Report) -> Result<(), Failure> {
    let missing = |name: &str, flag: &str| {
        let message =
            format!("{name} is not set: report works inside a command that runs as a task; elsewhere give {flag}");
        Failure::new(USAGE, message)
    };
    let given = |value: Option<String>| value.filter(|value| !value.is_empty());
    let url = given(report.url).ok_or_else(|| missing("TASKWRIGHT_URL", "--url"))?;
    let instance = given(report.instance).ok_or_else(|| missing("NUMEROUS_TASK_INSTANCE_ID", "--instance"))?;
    let mut client = Client::new(&url)?;
    if let Some(token) = given(std::env::var("TASKWRIGHT_TOKEN").ok()) {
        client = client.with_token(&token)?;
    }
    runtime()?.block_on(send(&client, &instance, report.verb))
}

async fn send(client: &Client, instance: &str, verb: ReportVerb) -> Result<(), Failure> {
    let (part, body) = match verb {
        ReportVerb::Progress { value, .. } if !value.is_finite() => {
            return Err(Failure::new(USAGE, format!("{value} is no progress: give a number from 0.0 to 1.0")));
        }
        ReportVerb::Progress { value, message } => {
            ("progress", json!({ "progress": value, "message": message }).to_string())
        }
        ReportVerb::Output { json } => ("output", output(json)?),
        ReportVerb::Status { status, message } => {
            ("status", json!({ "status": status, "message": message }).to_string())
        }
        ReportVerb::ShouldStop => return should_stop(client, instance).await,
        ReportVerb::Log { text } => {
            let line = text.join(" ");
            client.log(instance, &[&line]).await?;
            return Ok(());
        }
    };
    client.report(instance, part, body).await?;
    Ok(())
}

/// The text as given, checked here so that a slip of the pen is named before anything is sent.
fn output(json: String) -> Result<String, Failure> {
    let text = if json == "-" {
        let mut text = String::new();
        let read = std::io::stdin().lock().read_to_string(&mut text);
        read.map_err(|error| Failure::new(FAILURE, format!("cannot read the output from stdin: {error}")))?;
        text
    } else {
        json
    };
    match Json::parse(&text) {
        Ok(json) if json.is_object() || json.is_null() => Ok(json.as_str().to_owned()),
        Ok(_) => Err(Failure::new(USAGE, "the output must be a JSON object, such as '{\"result\":1}'")),
        Err(error) => Err(Failure::new(USAGE, format!("the output is no JSON: {error}"))),
    }
}

async fn should_stop(client: &Client, instance: &str) -> Result<(), Failure> {
    let stop = match client.log(instance, &[]).await {
        Ok(receipt) => receipt.should_stop,
        // Whoever is late has nothing left to do.
        Err(ClientError::Refused(refusal)) if refusal.is_late() => true,
        Err(error) => return Err(error.into()),
    };
    print::line(if stop { "true" } else { "false" })?;
    if stop { Ok(()) } else { Err(Failure::silent(FAILURE)) }
}

//! `PUT …/progress`, `…/output`, `…/status` and `POST …/logs`: the controller for code outside the daemon.

use ::http::StatusCode;
use serde_json::value::RawValue;

use super::{
    Response,
    accept::Media,
    body,
    call::Call,
    fields::{self, Fields},
    preconditions,
    problem::{Fault, Problem},
    render, reply,
};
use crate::{
    domain::{InstanceKey, Json, Progress, Status, Stream, Verdict, VerdictStatus, instance::LONGEST_MESSAGE},
    engine::{NewLine, Receipt, ReportPatch},
};

/// The most lines of one request.
const MOST_LINES: usize = 1000;

/// `{"progress":0.5,"message":"half"}`
pub async fn progress(call: &mut Call) -> Result<Response, Problem> {
    report(call, read_progress).await
}

/// What a report of progress says.
pub fn read_progress(raw: &RawValue, faults: &mut Vec<Fault>) -> Option<ReportPatch> {
    let fields = Fields::of(raw, "", &["progress", "message"], faults)?;
    let value = fields.number("progress", faults);
    if fields.raw("progress").is_none() {
        faults.push(fields.fault("progress", "is missing: a number from 0.0 to 1.0"));
    }
    let message = fields.string("message", faults);
    let progress = Progress::new(value?, message.as_deref());
    let faulty = if matches!(progress, Err(crate::domain::instance::InvalidProgress::MessageTooLong(_))) {
        "message"
    } else {
        "progress"
    };
    progress
        .map(|progress| ReportPatch { progress: Some(progress), ..ReportPatch::default() })
        .map_err(|error| faults.push(fields.fault(faulty, error.to_string())))
        .ok()
}

/// An object, or `null` to clear it.
pub async fn output(call: &mut Call) -> Result<Response, Problem> {
    report(call, read_output).await
}

/// What a report of an output says.
pub fn read_output(raw: &RawValue, faults: &mut Vec<Fault>) -> Option<ReportPatch> {
    let output = match raw.get() {
        "null" => None,
        text if text.starts_with('{') => Some(Json::from(raw.to_owned())),
        _ => {
            let detail = format!("the output must be an object or null, not {}", fields::kind(raw));
            faults.push(Fault::at("", detail));
            return None;
        }
    };
    Some(ReportPatch { output: Some(output), ..ReportPatch::default() })
}

/// `{"status":"failed","message":"why"}`
pub async fn status(call: &mut Call) -> Result<Response, Problem> {
    report(call, read_status).await
}

/// What a report of a verdict says.
pub fn read_status(raw: &RawValue, faults: &mut Vec<Fault>) -> Option<ReportPatch> {
    let fields = Fields::of(raw, "", &["status", "message"], faults)?;
    let word = fields.string("status", faults);
    if fields.raw("status").is_none() {
        faults.push(fields.fault("status", "is missing: running, completed, failed or cancelled"));
    }
    let message = fields.string("message", faults);
    if let Some(message) = &message
        && message.len() > LONGEST_MESSAGE
    {
        faults.push(fields.fault("message", format!("must be at most {LONGEST_MESSAGE} bytes long")));
    }
    let status = match word?.parse::<Status>() {
        Ok(Status::Running) => None,
        Ok(Status::Completed) => Some(VerdictStatus::Completed),
        Ok(Status::Failed) => Some(VerdictStatus::Failed),
        Ok(Status::Cancelled) => Some(VerdictStatus::Cancelled),
        Ok(Status::Pending) | Err(_) => {
            faults.push(fields.fault("status", "must be running, completed, failed or cancelled"));
            return None;
        }
    };
    let verdict = status.map(|status| Verdict { status, message: message.map(Into::into) });
    Some(ReportPatch { verdict: Some(verdict), ..ReportPatch::default() })
}

/// `{"lines":[{"text":"…","stream":"task"}]}`
pub async fn logs(call: &mut Call) -> Result<Response, Problem> {
    let (key, pinned, lines) = read(call, lines).await?;
    call.check_pinned(key, pinned).await?;
    let receipt = call.engine().append_log(key, call.principal.writer(), lines).await?;
    Ok(answer(&receipt))
}

async fn report(
    call: &mut Call,
    patch: impl FnOnce(&RawValue, &mut Vec<Fault>) -> Option<ReportPatch>,
) -> Result<Response, Problem> {
    let (key, pinned, patch) = read(call, patch).await?;
    let receipt = call.engine().report(key, call.principal.writer(), pinned, patch).await?;
    Ok(answer(&receipt))
}

/// What every report reads: the instance, the version pinned, and what `parse` makes of the body.
async fn read<T>(
    call: &mut Call,
    parse: impl FnOnce(&RawValue, &mut Vec<Fault>) -> Option<T>,
) -> Result<(InstanceKey, Option<u64>, T), Problem> {
    let limit = call.app.settings().body.bytes();
    body::check(call, limit)?;
    let bytes = body::read(call, limit).await?;
    let text = body::text(&bytes)?;
    call.query(&[])?;
    let pinned = preconditions::pinned(call.headers())?;
    let key = call.key()?;
    call.accept_for(key, &[Media::Json]).await?;
    let mut faults = Vec::new();
    match parse(body::raw(&text)?, &mut faults) {
        Some(parsed) if faults.is_empty() => Ok((key, pinned, parsed)),
        _ => Err(call.unless_missing(key, Problem::invalid(faults)).await),
    }
}

/// What a report of log lines says.
pub fn lines(raw: &RawValue, faults: &mut Vec<Fault>) -> Option<Vec<NewLine>> {
    let fields = Fields::of(raw, "", &["lines"], faults)?;
    let Some(list) = fields.raw("lines") else {
        faults.push(fields.fault("lines", "is missing: list the lines"));
        return None;
    };
    let items = match serde_json::from_str::<Vec<&RawValue>>(list.get()) {
        Ok(items) if items.len() <= MOST_LINES => items,
        Ok(items) => {
            faults.push(fields.fault("lines", format!("must have at most {MOST_LINES} items, not {}", items.len())));
            return None;
        }
        Err(_) => {
            faults.push(fields.fault("lines", format!("must be an array, not {}", fields::kind(list))));
            return None;
        }
    };
    let mut lines = Vec::with_capacity(items.len());
    for (n, item) in items.into_iter().enumerate() {
        let at = format!("/lines/{n}");
        let Some(fields) = Fields::of(item, &at, &["text", "stream"], faults) else { continue };
        let text = fields.string("text", faults);
        if fields.raw("text").is_none() {
            faults.push(fields.fault("text", "is missing"));
        }
        let stream = match fields.string("stream", faults) {
            None => Stream::Task,
            Some(word) => match word.parse() {
                // What the daemon itself says must not be forged.
                Ok(stream) if stream != Stream::System => stream,
                _ => {
                    faults.push(fields.fault("stream", "must be task, stdout or stderr"));
                    continue;
                }
            },
        };
        lines.extend(text.map(|text| NewLine { stream, text: text.into_owned() }));
    }
    Some(lines)
}

fn answer(receipt: &Receipt) -> Response {
    reply::fresh(StatusCode::OK, Media::Json, reply::json(|out| render::value(out, receipt)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<NewLine>, usize> {
        let raw = RawValue::from_string(text.to_owned()).expect("JSON");
        let mut faults = Vec::new();
        match lines(&raw, &mut faults) {
            Some(lines) if faults.is_empty() => Ok(lines),
            _ => Err(faults.len()),
        }
    }

    #[test]
    fn lines_are_the_tasks_own_unless_they_say_otherwise() {
        let lines = read(r#"{"lines":[{"text":"a\nb"},{"text":"c","stream":"stderr"}]}"#).expect("valid");
        assert_eq!(lines[0], NewLine { stream: Stream::Task, text: "a\nb".into() });
        assert_eq!(lines[1].stream, Stream::Stderr);
    }

    #[test]
    fn what_is_wrong_with_lines_is_told_for_each() {
        assert_eq!(read(r#"{"lines":[{"text":1},{"stream":"system","text":"x"},{}, 3]}"#), Err(4));
        assert_eq!(read(r#"{"lines":[]}"#), Ok(Vec::new()), "only to learn whether to stop");
        for bad in [r#"{"lines":{}}"#, "{}", "[]"] {
            assert_eq!(read(bad), Err(1), "{bad}");
        }
        let many = format!("{{\"lines\":[{}]}}", vec![r#"{"text":""}"#; 1001].join(","));
        assert_eq!(read(&many), Err(1));
    }
}

//! `status`: one instance in full.

use serde::Deserialize;

use super::{
    ids,
    log_lines::{self, Style},
    outcome::{self, Shown},
    output, ps,
    session::{Session, Several},
    table::{self, People},
    times,
};
use crate::{
    cli::{
        ansi,
        args::client::{Format, Status},
        failure::Failure,
        print,
    },
    client::{AttemptImage, Image, LogSlice},
};

/// How much of the log is shown.
const LAST_LINES: u64 = 10;

pub(super) fn run(status: Status) -> Result<(), Failure> {
    let session = Session::open(&status.common)?;
    let ids = ids::all(&session, &status.ids)?;
    session.run(async {
        let mut several = Several::default();
        for (n, id) in ids.iter().enumerate() {
            if n > 0 && session.output.is_table() {
                print::line("")?;
            }
            match show(&session, id).await {
                Err(failure) if ids.len() > 1 => several.went_wrong(&session, id, failure)?,
                shown => shown?,
            }
        }
        several.end()
    })
}

async fn show(session: &Session, id: &str) -> Result<(), Failure> {
    let shown = outcome::now(session, id).await?;
    match session.output.format {
        Format::Table => in_full(session, &shown).await,
        Format::Json | Format::Jsonl => output::stream(shown.answer.text().as_bytes()).map(drop),
        Format::Id => print::line(&shown.image.id.to_string()),
        Format::None => Ok(()),
    }
}

async fn in_full(session: &Session, shown: &Shown) -> Result<(), Failure> {
    let Shown { image, .. } = shown;
    let id = image.id.to_string();
    let people = session.output.is_terminal;
    let mut text = String::new();
    for (name, value) in facts(image, people) {
        let value = ansi::plain(&value);
        text.push_str(&if people { format!("{name:<12} {value}\n") } else { format!("{name}\t{value}\n") });
    }
    output::stream(text.as_bytes())?;
    attempts(session, &id).await?;
    let slice = LogSlice { tail: Some(LAST_LINES), ..LogSlice::default() };
    let (_, page) = log_lines::page(session, &id, &slice).await?;
    if !page.lines.is_empty() && people {
        print::line("\nThe end of its log")?;
    }
    let style = Style { timestamps: people, as_json: false, to_stderr: false };
    for line in &page.lines {
        style.print_led_by(session, if people { "  " } else { "log\t" }, line.get())?;
    }
    Ok(())
}

fn facts(image: &Image, people: bool) -> Vec<(&'static str, String)> {
    let time = |time: crate::domain::Micros| {
        if people { format!("{time} ({})", times::ago(time)) } else { time.to_string() }
    };
    let error = image.error.as_ref().map(|error| format!("{} ({})", error.message, error.kind));
    let raw = |raw: &Option<Box<serde_json::value::RawValue>>| raw.as_ref().map(|raw| raw.get().to_owned());
    let progress = match people {
        true => Some(ps::progress(image)).filter(|progress| !progress.is_empty()),
        false => Some(image.progress.to_string()),
    };
    let all = [
        ("number", Some(image.number.to_string())),
        ("id", Some(image.id.to_string())),
        ("task", Some(image.task_id.clone())),
        ("status", Some(image.status.to_string())),
        ("waits for", image.pending_reason.clone()),
        ("progress", progress),
        ("message", image.message.clone()),
        ("attempt", Some(format!("{} of {}", image.attempt, image.max_attempts))),
        ("created", Some(time(image.created_at))),
        ("runs from", image.started_at.is_none().then(|| time(image.run_at))),
        ("started", image.started_at.map(time)),
        ("finished", image.finished_at.map(time)),
        ("ran", times::ran(image).filter(|_| people).map(times::span)),
        ("stop asked", image.stop_requested_at.map(time)),
        ("node", image.node.clone()),
        ("priority", Some(image.priority.to_string()).filter(|_| image.priority != 0)),
        ("labels", Some(ps::labels(image)).filter(|labels| !labels.is_empty())),
        ("retry of", image.retry_of.map(|id| id.to_string())),
        ("inputs", raw(&image.inputs)),
        ("output", raw(&image.output)),
        ("error", error),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

async fn attempts(session: &Session, id: &str) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Attempts {
        attempts: Vec<AttemptImage>,
    }
    let answer = session.client.attempts(id).await.map_err(|error| session.failure(&error))?;
    let Attempts { attempts } = answer.read().map_err(|error| session.failure(&error))?;
    if attempts.is_empty() {
        return Ok(());
    }
    let ended = |attempt: &AttemptImage| attempt.ended.clone().unwrap_or_else(|| "running".to_owned());
    let why = |attempt: &AttemptImage| {
        let exit = attempt.exit_code.map(|code| format!("exit code {code}"));
        let signal = attempt.signal.map(|signal| format!("signal {signal}"));
        let error = attempt.error.as_ref().map(|error| error.message.clone());
        error.or(exit).or(signal).unwrap_or_default()
    };
    if session.output.is_terminal {
        print::line("\nAttempts")?;
        let mut people = People::new(session.output, &["", "ENDED", "BEGAN", "RAN", "NODE", "WHY"]);
        for attempt in &attempts {
            let end = attempt.finished_at.unwrap_or_else(crate::domain::Micros::now);
            people.row(
                [
                    attempt.attempt.to_string(),
                    ended(attempt),
                    times::ago(attempt.started_at),
                    times::span(end.since(attempt.started_at)),
                    attempt.node.clone().unwrap_or_default(),
                    why(attempt),
                ]
                .map(|text| (text, None)),
            );
        }
        return people.print();
    }
    let row = |attempt: &AttemptImage| {
        let finished = attempt.finished_at.map(|time| time.to_string()).unwrap_or_default();
        let node = attempt.node.clone().unwrap_or_default();
        let cells = [
            "attempt".to_owned(),
            attempt.attempt.to_string(),
            ended(attempt),
            attempt.started_at.to_string(),
            finished,
            node,
            why(attempt),
        ];
        table::row(&cells)
    };
    output::stream(attempts.iter().map(row).collect::<String>().as_bytes()).map(drop)
}

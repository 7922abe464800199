//! `ps`: the instances that live, or all that match.

use comfy_table::Color;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    output::{self, Output},
    session::Session,
    table::{self, People},
    times,
};
use crate::{
    cli::{
        args::client::{Format, Ps},
        failure::{Failure, USAGE},
    },
    client::{Filter, Image},
    domain::Status,
};

/// The most that one answer of a daemon holds.
const PAGE: u64 = 500;

/// A page of instances, each as it came.
#[derive(Deserialize)]
pub(super) struct Page {
    pub instances: Vec<Box<RawValue>>,
    pub next_cursor: Option<String>,
}

pub(super) fn run(ps: Ps) -> Result<(), Failure> {
    for word in &ps.status {
        word.parse::<Status>().map_err(|error| Failure::new(USAGE, format!("--status: {error}")))?;
    }
    let session = Session::open(&ps.common)?;
    let shown = match (ps.status.is_empty(), ps.all) {
        (false, _) => ps.status.clone(),
        (true, true) => Vec::new(),
        (true, false) => live(),
    };
    let filter = ps.which.filter(shown)?;
    let hides_done = ps.status.is_empty() && !ps.all;
    session.run(async {
        let (count, more) = list(&session, &filter, ps.number).await?;
        let hidden = if hides_done { hidden(&session, &filter).await? } else { Hidden::default() };
        if session.output.format == Format::None {
            return Ok(());
        }
        if count == 0 && session.output.is_table() && session.output.is_terminal {
            session.say(if hides_done { "nothing is pending or running" } else { "nothing matches" });
        }
        if more {
            session.say(&format!("taskwright: only the newest {count} are shown: -n shows more"));
        }
        match hidden {
            Hidden { count: 0, .. } => {}
            Hidden { count, more } => {
                let more = if more { "more than " } else { "" };
                let are = if count == 1 { "done one is" } else { "done ones are" };
                session.say(&format!("taskwright: {more}{count} {are} hidden: -a shows them"));
            }
        }
        Ok(())
    })
}

/// The statuses of what is not done.
pub(super) fn live() -> Vec<String> {
    Status::ALL.iter().filter(|status| !status.is_done()).map(Status::to_string).collect()
}

fn done() -> Vec<String> {
    Status::ALL.iter().filter(|status| status.is_done()).map(Status::to_string).collect()
}

#[derive(Default)]
struct Hidden {
    count: u64,
    more: bool,
}

/// How many done ones match besides. Without labels and times they are counted already; else a page says.
async fn hidden(session: &Session, filter: &Filter) -> Result<Hidden, Failure> {
    if filter.labels.is_empty() && filter.created_after.is_none() {
        #[derive(Deserialize)]
        struct Stats {
            by_status: std::collections::BTreeMap<String, u64>,
        }
        let answer = session.client.counts(filter.task.as_deref()).await.map_err(|error| session.failure(&error))?;
        let stats: Stats = answer.read().map_err(|error| session.failure(&error))?;
        let count = done().iter().filter_map(|status| stats.by_status.get(status)).sum();
        return Ok(Hidden { count, more: false });
    }
    let page = page(session, &Filter { status: done(), ..filter.clone() }, PAGE, None).await?.1;
    Ok(Hidden { count: page.instances.len() as u64, more: page.next_cursor.is_some() })
}

/// Says that there is no such task, where a filter names one: a list of none would not.
pub(super) async fn known_task(session: &Session, filter: &Filter) -> Result<(), Failure> {
    match &filter.task {
        None => Ok(()),
        Some(task) => session.client.counts(Some(task)).await.map(drop).map_err(|error| session.failure(&error)),
    }
}

/// One page, as it came and as read.
pub(super) async fn page(
    session: &Session,
    filter: &Filter,
    limit: u64,
    cursor: Option<&str>,
) -> Result<(String, Page), Failure> {
    let answer = session.client.instances(filter, limit, cursor).await.map_err(|error| session.failure(&error))?;
    let page = answer.read().map_err(|error| session.failure(&error))?;
    Ok((answer.text().to_owned(), page))
}

/// Every instance that matches, newest first, at most `most`.
pub(super) async fn every(session: &Session, filter: &Filter, most: usize) -> Result<Vec<Image>, Failure> {
    let mut images = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let (_, page) = page(session, filter, PAGE, cursor.as_deref()).await?;
        for raw in &page.instances {
            images.push(image(session, raw)?);
        }
        cursor = page.next_cursor;
        if cursor.is_none() || images.len() >= most {
            images.truncate(most);
            return Ok(images);
        }
    }
}

fn image(session: &Session, raw: &RawValue) -> Result<Image, Failure> {
    serde_json::from_str(raw.get()).map_err(|source| {
        session.failure(&crate::client::ClientError::Answer { url: session.client.url().to_owned(), source })
    })
}

/// Prints the newest `most`, and says how many there were and whether there are more.
async fn list(session: &Session, filter: &Filter, most: u64) -> Result<(u64, bool), Failure> {
    let output = session.output;
    let mut people = (output.is_table() && output.is_terminal).then(|| People::new(output, &HEADER[..columns(output)]));
    let (mut count, mut cursor) = (0, None::<String>);
    let more = loop {
        let (text, page) = page(session, filter, (most - count).min(PAGE), cursor.as_deref()).await?;
        count += page.instances.len() as u64;
        let mut lines = String::new();
        for raw in &page.instances {
            match (output.format, &mut people) {
                (Format::Table, Some(people)) => {
                    people.row(people_row(&image(session, raw)?).into_iter().take(columns(output)))
                }
                (Format::Table, None) => lines.push_str(&table::row(&cells(&image(session, raw)?))),
                (Format::Jsonl, _) => lines.push_str(&format!("{}\n", raw.get())),
                (Format::Id, _) => lines.push_str(&format!("{}\n", image(session, raw)?.id)),
                (Format::Json | Format::None, _) => {}
            }
        }
        if output.format == Format::Json {
            lines = text;
        }
        output::stream(lines.as_bytes())?;
        cursor = page.next_cursor;
        if cursor.is_none() || count >= most {
            break cursor.is_some();
        }
    };
    if let Some(mut people) = people.filter(|_| count > 0) {
        people.keep(2);
        people.print()?;
    }
    Ok((count, more))
}

/// What people see of an instance, the most needed first.
const HEADER: [&str; 8] = ["NUMBER", "STATUS", "TASK", "PROGRESS", "MESSAGE", "STARTED", "RAN", "LABELS"];

/// For how many columns the terminal has room.
fn columns(output: Output) -> usize {
    match output.width() {
        0..50 => 4,
        50..90 => 6,
        _ => HEADER.len(),
    }
}

fn people_row(image: &Image) -> [(String, Option<Color>); 8] {
    let status = match (&image.pending_reason, image.stop_requested_at) {
        (Some(reason), _) => format!("{} ({reason})", image.status),
        (None, Some(_)) if !image.status.is_done() => format!("{} (stopping)", image.status),
        _ => image.status.to_string(),
    };
    let failed = image.error.as_ref().map(|error| error.message.clone());
    let message = failed.or_else(|| image.message.clone()).unwrap_or_default();
    [
        (image.number.to_string(), None),
        (status, Some(table::colour_of(image.status))),
        (image.task_id.clone(), None),
        (progress(image), None),
        (message, None),
        (image.started_at.map(times::ago).unwrap_or_default(), None),
        (times::ran(image).map(times::span).unwrap_or_default(), None),
        (labels(image), None),
    ]
}

/// How far it is, in per cent; nothing where it has not said.
pub(super) fn progress(image: &Image) -> String {
    if image.progress > 0.0 { format!("{:.0} %", image.progress * 100.0) } else { String::new() }
}

pub(super) fn labels(image: &Image) -> String {
    image.labels.iter().map(|(key, value)| format!("{key}:{value}")).collect::<Vec<_>>().join(",")
}

/// A row for programs: number, id, status, task, progress, the three times, labels, message.
pub(super) fn cells(image: &Image) -> Vec<String> {
    let time = |time: Option<crate::domain::Micros>| time.map(|time| time.to_string()).unwrap_or_default();
    vec![
        image.number.to_string(),
        image.id.to_string(),
        image.status.to_string(),
        image.task_id.clone(),
        image.progress.to_string(),
        image.created_at.to_string(),
        time(image.started_at),
        time(image.finished_at),
        labels(image),
        image.message.clone().unwrap_or_default(),
    ]
}

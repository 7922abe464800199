//! `stop`: by id, or all that match.

use serde::Deserialize;

use super::{
    confirm, ids,
    outcome::{self, Shown, Until},
    output, ps,
    session::{self, Session, Several},
    table, times,
};
use crate::{
    cli::{
        args::client::{Format, Stop},
        failure::Failure,
    },
    client::Filter,
};

/// The most that are waited for after a stop by filter.
const MOST: usize = 100_000;

pub(super) fn run(stop: Stop) -> Result<(), Failure> {
    let session = Session::open(&stop.common)?;
    let until = Until::after(session::optional_duration("--timeout", stop.timeout.as_deref())?);
    if let Some(grace) = &stop.grace {
        session::duration("--grace", grace)?;
    }
    if stop.ids.is_empty() {
        let filter = filter(&stop)?;
        return session.run(by_filter(&session, &stop, &filter, until));
    }
    let ids = ids::all(&session, &stop.ids)?;
    session.run(by_id(&session, &stop, &ids, until))
}

async fn by_id(session: &Session, stop: &Stop, ids: &[String], until: Until) -> Result<(), Failure> {
    let mut several = Several::default();
    let mut asked = Vec::new();
    for id in ids {
        let stopped = session.client.stop(id, stop.grace.as_deref(), stop.force);
        let stopped = until.look("the daemon has not answered the stop", async { Ok(stopped.await) }).await?;
        match stopped {
            Ok(answer) => {
                let shown = Shown::of(session, answer)?;
                if !stop.wait {
                    print(session, &shown)?;
                }
                asked.push(id.clone());
            }
            Err(error) if ids.len() == 1 => return Err(session.failure(&error)),
            Err(error) => several.went_wrong(session, id, session.failure(&error))?,
        }
    }
    if stop.wait {
        wait(session, &asked, until).await?;
    }
    several.end()
}

/// However they end, they have ended: that is what was asked for.
async fn wait(session: &Session, ids: &[String], until: Until) -> Result<(), Failure> {
    for id in ids {
        let shown = outcome::done_until(session, id, until, &format!("{id} has not ended yet")).await?;
        print(session, &shown)?;
    }
    Ok(())
}

fn print(session: &Session, shown: &Shown) -> Result<(), Failure> {
    let image = &shown.image;
    let text = match session.output.format {
        Format::Table if session.output.is_terminal => {
            let word = if image.status.is_done() { image.status.as_str() } else { "stopping" };
            format!("{word} {}  {}\n", image.number, image.id)
        }
        Format::Table => table::row(&ps::cells(image)),
        Format::Json | Format::Jsonl => shown.answer.text().to_owned(),
        Format::Id => format!("{}\n", image.id),
        Format::None => String::new(),
    };
    output::stream(text.as_bytes()).map(drop)
}

fn filter(stop: &Stop) -> Result<Filter, Failure> {
    Ok(Filter {
        task: stop.task.clone(),
        status: stop.status.clone(),
        labels: stop.label.iter().map(|label| times::label_of(label)).collect(),
        created_after: None,
        created_before: stop.before.as_deref().map(|before| times::moment("--before", before)).transpose()?,
    })
}

async fn by_filter(session: &Session, stop: &Stop, filter: &Filter, until: Until) -> Result<(), Failure> {
    ps::known_task(session, filter).await?;
    let mut matching = filter.clone();
    if matching.status.is_empty() {
        matching.status = ps::live();
    }
    let images = if stop.yes && !stop.wait { Vec::new() } else { ps::every(session, &matching, MOST).await? };
    if !stop.yes {
        if images.is_empty() {
            session.say("taskwright: nothing that is not done matches");
            return Ok(());
        }
        let what = if images.len() == 1 { "instance" } else { "instances" };
        confirm::ask(&format!("Stop {} {what}?", images.len()), stop.yes).await?;
    }
    let answer = session
        .client
        .stop_all(filter, stop.grace.as_deref(), stop.force)
        .await
        .map_err(|error| session.failure(&error))?;
    #[derive(Deserialize)]
    struct Stopped {
        matched: u64,
        cancelled: u64,
        stopping: u64,
    }
    let Stopped { matched, cancelled, stopping } = answer.read().map_err(|error| session.failure(&error))?;
    let text = match session.output.format {
        Format::Table if session.output.is_terminal => {
            format!("{matched} matched: {cancelled} cancelled, {stopping} stopping\n")
        }
        Format::Table => format!("{matched}\t{cancelled}\t{stopping}\n"),
        Format::Json | Format::Jsonl => answer.text().to_owned(),
        Format::Id | Format::None => String::new(),
    };
    output::stream(text.as_bytes())?;
    for image in images.iter().filter(|_| stop.wait) {
        let id = image.id.to_string();
        outcome::done_until(session, &id, until, &format!("{} has not ended yet", image.number)).await?;
    }
    Ok(())
}

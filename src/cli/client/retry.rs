//! `retry`: done instances again as new ones.

use sha2::{Digest, Sha256};

use super::{
    confirm, ids, inputs, last_started,
    outcome::{self, Shown},
    ps,
    session::{Session, Several},
    start,
};
use crate::{
    cli::{
        args::client::{Format, Retry},
        failure::Failure,
    },
    client::{Start, calls::new_key},
};

/// The most that are retried by filter at a time.
const MOST: usize = 10_000;

pub(super) fn run(retry: Retry) -> Result<(), Failure> {
    let session = Session::open(&retry.common)?;
    let wait = start::wait_of(retry.wait.as_deref())?;
    let ids = if retry.ids.is_empty() { None } else { Some(ids::all(&session, &retry.ids)?) };
    session.run(async {
        let mut several = Several::default();
        let mut begun = Vec::new();
        let (ids, by_filter) = match ids {
            Some(ids) => (ids, false),
            None => (matching(&session, &retry).await?, true),
        };
        for id in &ids {
            match again(&session, &retry, id, by_filter).await {
                Ok(shown) if by_filter && !shown.answer.is_new() => {
                    session.say(&format!("taskwright: {id} was retried already, as {}", shown.image.number));
                }
                Ok(shown) => {
                    let is_ours = wait.is_none() || session.output.is_table() || session.output.format == Format::Id;
                    if is_ours {
                        start::print(&session, &shown)?;
                    }
                    begun.push(shown.image.number.to_string());
                }
                Err(failure) if ids.len() == 1 => return Err(failure),
                Err(failure) => several.went_wrong(&session, id, failure)?,
            }
        }
        if let Some(timeout) = wait {
            start::finish(&session, &begun, timeout).await?;
        }
        several.end()
    })
}

async fn again(session: &Session, retry: &Retry, id: &str, by_filter: bool) -> Result<Shown, Failure> {
    let mut changes = Start::default();
    if !retry.set.is_empty() {
        let original = outcome::now(session, id).await?.image;
        changes.inputs = inputs::changed(session, &original.task_id, original.inputs.as_deref(), &retry.set).await?;
    }
    let key = if by_filter { key_of(id, &changes) } else { new_key() };
    let answer = start::keyed(session, || session.client.retry(id, &changes, &key)).await?;
    let shown = Shown::of(session, answer)?;
    last_started::remember(session, shown.image.id);
    Ok(shown)
}

/// Said again within a day, the same filter meets the same failed ones: they were retried, and the key says so.
fn key_of(id: &str, changes: &Start) -> String {
    let inputs = changes.inputs.as_ref().map_or("", |inputs| inputs.get());
    let digest = Sha256::digest(inputs.as_bytes());
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("cli-retry-{id}-{digest}")
}

async fn matching(session: &Session, retry: &Retry) -> Result<Vec<String>, Failure> {
    let words = [(retry.failed, "failed"), (retry.cancelled, "cancelled")];
    let status = words.iter().filter(|(asked, _)| *asked).map(|(_, word)| (*word).to_owned()).collect();
    let filter = retry.which.filter(status)?;
    ps::known_task(session, &filter).await?;
    let mut images = ps::every(session, &filter, MOST).await?;
    if images.is_empty() {
        session.say("taskwright: nothing matches");
        return Ok(Vec::new());
    }
    let what = if images.len() == 1 { "instance" } else { "instances" };
    confirm::ask(&format!("Retry {} {what}?", images.len()), retry.yes).await?;
    // What was started first comes first again.
    images.reverse();
    Ok(images.iter().map(|image| image.id.to_string()).collect())
}

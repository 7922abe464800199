//! The changes of all instances that match, through restarts of the daemon and whatever the feed has lost.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{absence::Absence, log_lines::read, outcome, ps, session::Session};
use crate::{
    cli::failure::Failure,
    client::{Filter, Image},
};

/// The most live instances that are looked at, at the beginning and after a loss.
const MOST: usize = 10_000;

/// Whom to follow.
pub(super) enum Followed {
    /// All that match and are not done, and those that come.
    Matching(Filter),
    /// These, by id.
    These(Vec<String>),
}

/// What has changed: the instance, and its JSON as it came.
pub(super) struct Change<'a> {
    pub image: &'a Image,
    pub raw: &'a str,
}

/// What is known of the instances that are followed.
pub(super) struct Feed<'a> {
    session: &'a Session,
    followed: Followed,
    /// What is not done, by number; of these also what is.
    known: BTreeMap<u64, Image>,
}

impl<'a> Feed<'a> {
    pub fn new(session: &'a Session, followed: Followed) -> Feed<'a> {
        Feed { session, followed, known: BTreeMap::new() }
    }

    /// Tells `each` what is, and then every change. Returns when all that were asked for by id are done, or `each` says
    /// false.
    pub async fn follow(&mut self, mut each: impl FnMut(Change<'_>) -> Result<bool, Failure>) -> Result<(), Failure> {
        #[derive(Deserialize)]
        struct Event {
            event: String,
            id: String,
            data: Option<Box<RawValue>>,
        }
        let filter = match &self.followed {
            Followed::Matching(filter) => filter.clone(),
            Followed::These(_) => Filter::default(),
        };
        ps::known_task(self.session, &filter).await?;
        let mut absence = Absence::new(self.session);
        let mut after: Option<String> = None;
        loop {
            let mut lines = match self.session.client.events(&filter, after.as_deref()).await {
                Ok(lines) => lines,
                Err(error) => {
                    absence.outlast(&error).await?;
                    continue;
                }
            };
            absence.met();
            let is_first = after.is_none();
            let lost = loop {
                let line = match lines.next().await {
                    Ok(Some(line)) => line,
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                };
                let Event { event, id, data } = read(self.session, &String::from_utf8_lossy(&line))?;
                after = Some(id);
                let goes_on = match (event.as_str(), data) {
                    ("instance", Some(data)) => self.take(data.get(), &mut each)?,
                    ("ready", _) if !is_first => true,
                    ("ready" | "resync", _) => match self.present(&mut each).await {
                        Ok(goes_on) => goes_on,
                        Err(Lost::Failed(failure)) => return Err(failure),
                        Err(Lost::Daemon(error)) => {
                            // What is present must be known before changes count.
                            after = None;
                            break Some(error);
                        }
                    },
                    _ => true,
                };
                if !goes_on || self.is_over() {
                    return Ok(());
                }
            };
            match lost {
                Some(error) => absence.outlast(&error).await?,
                None => absence.too_soon().await,
            }
        }
    }

    /// What is known of the instances that were asked for by id, in that order.
    pub fn ends(&self) -> Vec<&Image> {
        let Followed::These(ids) = &self.followed else { return Vec::new() };
        ids.iter().filter_map(|id| self.known.values().find(|image| is_called(image, id))).collect()
    }

    fn is_over(&self) -> bool {
        let Followed::These(ids) = &self.followed else { return false };
        let ends = self.ends();
        ends.len() == ids.len() && ends.iter().all(|image| image.status.is_done())
    }

    /// Reads what is now.
    async fn present(&mut self, each: &mut impl FnMut(Change<'_>) -> Result<bool, Failure>) -> Result<bool, Lost> {
        let mut ids = match &self.followed {
            Followed::These(ids) => ids.clone(),
            Followed::Matching(_) => self.known.values().map(|image| image.id.to_string()).collect(),
        };
        if let Followed::Matching(filter) = &self.followed {
            let live = Filter { status: ps::live(), ..filter.clone() };
            let mut cursor: Option<String> = None;
            let mut count = 0;
            loop {
                let answer = self.session.client.instances(&live, 500, cursor.as_deref()).await?;
                let page: ps::Page = answer.read()?;
                count += page.instances.len();
                for raw in page.instances.iter().rev() {
                    let image: Image = read(self.session, raw.get())?;
                    ids.retain(|id| *id != image.id.to_string());
                    if !self.take(raw.get(), each)? {
                        return Ok(false);
                    }
                }
                cursor = page.next_cursor;
                if cursor.is_none() || count >= MOST {
                    break;
                }
            }
        }
        // What was not done when it was last seen, and is not among the live ones.
        for id in ids {
            let answer = match self.session.client.instance(&id, None).await {
                Ok(answer) => answer,
                // Deleted meanwhile: nothing more will be known of it. Those asked for must be there.
                Err(crate::client::ClientError::Refused(_)) if matches!(self.followed, Followed::Matching(_)) => {
                    self.known.retain(|_, image| image.id.to_string() != id);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let shown = outcome::Shown::of(self.session, answer)?;
            if !self.take(shown.answer.text().trim_end(), each)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take(&mut self, raw: &str, each: &mut impl FnMut(Change<'_>) -> Result<bool, Failure>) -> Result<bool, Failure> {
        let image: Image = read(self.session, raw)?;
        if let Followed::These(ids) = &self.followed
            && !ids.iter().any(|id| is_called(&image, id))
        {
            return Ok(true);
        }
        if self.known.get(&image.number).is_some_and(|known| known.version >= image.version) {
            return Ok(true);
        }
        let goes_on = each(Change { image: &image, raw })?;
        if image.status.is_done() && matches!(self.followed, Followed::Matching(_)) {
            self.known.remove(&image.number);
        } else {
            self.known.insert(image.number, image);
        }
        Ok(goes_on)
    }
}

/// Whether people call it `id`: a number, or a UUID in any case.
fn is_called(image: &Image, id: &str) -> bool {
    id.parse() == Ok(image.number) || id.parse() == Ok(image.id)
}

enum Lost {
    Failed(Failure),
    Daemon(crate::client::ClientError),
}

impl From<Failure> for Lost {
    fn from(failure: Failure) -> Self {
        Lost::Failed(failure)
    }
}

impl From<crate::client::ClientError> for Lost {
    fn from(error: crate::client::ClientError) -> Self {
        Lost::Daemon(error)
    }
}

//! Waiting through a restart of the daemon.

use std::time::{Duration, Instant};

use super::session::Session;
use crate::{cli::failure::Failure, client::ClientError};

/// How long a daemon that has answered before may be away.
const LONGEST: Duration = Duration::from_secs(300);

/// The longest between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The shortest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// Keeps count of how long a daemon has been away.
pub(super) struct Absence<'a> {
    session: &'a Session,
    longest: Duration,
    /// Whether it has answered: a daemon that never did is not waited for.
    met: bool,
    /// Whether another tells of it.
    quiet: bool,
    since: Option<Instant>,
    pause: Duration,
}

impl<'a> Absence<'a> {
    pub fn new(session: &'a Session) -> Absence<'a> {
        Absence::of(session, LONGEST)
    }

    pub fn of(session: &'a Session, longest: Duration) -> Absence<'a> {
        Absence { session, longest, met: false, quiet: false, since: None, pause: SHORTEST_PAUSE }
    }

    /// It is known to be there, or to have been.
    pub fn known(mut self) -> Absence<'a> {
        self.met = true;
        self
    }

    /// Another tells of the same absence.
    pub fn quiet(mut self) -> Absence<'a> {
        self.quiet = true;
        self
    }

    fn tell(&self, text: &str) {
        if !self.quiet {
            self.session.say(text);
        }
    }

    /// It has answered.
    pub fn met(&mut self) {
        self.met = true;
        if self.since.take().is_some() {
            self.tell("taskwright: the daemon is back");
            self.pause = SHORTEST_PAUSE;
        }
    }

    /// An answer came before there was a reason for it, as from a daemon that drains: waits a little, then longer.
    pub async fn too_soon(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// After `error`, waits until it is time to try again.
    ///
    /// # Errors
    /// What `error` means, where trying again cannot help or was tried for too long.
    pub async fn outlast(&mut self, error: &ClientError) -> Result<(), Failure> {
        let failure = self.session.failure(error);
        if !self.met || !error.may_pass() {
            return Err(failure);
        }
        let since = match self.since {
            Some(since) => since,
            None => {
                let url = self.session.client.url();
                let limit = crate::domain::duration::text(self.longest);
                self.tell(&format!("taskwright: the daemon at {url} is away; trying again for up to {limit}"));
                *self.since.insert(Instant::now())
            }
        };
        if since.elapsed() >= self.longest {
            return Err(failure);
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

//! How an instance ended, in words, as an exit code, and waiting for it.

use std::time::{Duration, Instant};

use super::{absence::Absence, exit_code, exit_code::TIMED_OUT, output, ps, session::Session, table, times};
use crate::{
    cli::{ansi, args::client::Format, failure::Failure},
    client::{Answer, Image, calls::LONGEST_WAIT},
    domain::Status,
};

/// An instance as read, and as it came.
pub(super) struct Shown {
    pub image: Image,
    pub answer: Answer,
}

impl Shown {
    pub fn of(session: &Session, answer: Answer) -> Result<Shown, Failure> {
        let image = answer.read().map_err(|error| session.failure(&error))?;
        Ok(Shown { image, answer })
    }
}

/// Reads an instance once.
pub(super) async fn now(session: &Session, id: &str) -> Result<Shown, Failure> {
    let answer = session.client.instance(id, None).await.map_err(|error| session.failure(&error))?;
    Shown::of(session, answer)
}

/// How long a look at what is so far may take, also where there is no time to wait.
const LOOK: Duration = Duration::from_secs(1);

/// Until when somebody wants to wait; None is for ever.
#[derive(Clone, Copy)]
pub(super) struct Until(Option<Instant>);

impl Until {
    pub fn after(timeout: Option<Duration>) -> Until {
        Until(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// What is left, zero when the time is over.
    pub fn left(self) -> Option<Duration> {
        self.0.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Runs `work`, which only looks at what is, until the time is over, and for a second at least.
    pub async fn look<T>(self, what: &str, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let least = Until(self.0.map(|deadline| deadline.max(Instant::now() + LOOK)));
        least.bound(what, work).await
    }

    /// Runs `work` until the time is over.
    pub async fn bound<T>(self, what: &str, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match self.left() {
            None => work.await,
            Some(left) => match tokio::time::timeout(left, work).await {
                Ok(result) => result,
                Err(_) => Err(Failure::new(TIMED_OUT, format!("the time is over: {what}"))),
            },
        }
    }
}

/// Waits until the instance is done, through restarts of a daemon that is known to be there.
pub(super) async fn done(session: &Session, id: &str) -> Result<Shown, Failure> {
    let mut absence = Absence::new(session).known();
    loop {
        let asked = Instant::now();
        match session.client.instance(id, Some(LONGEST_WAIT)).await {
            Ok(answer) => {
                absence.met();
                let shown = Shown::of(session, answer)?;
                if shown.image.status.is_done() {
                    return Ok(shown);
                }
                if asked.elapsed() < LONGEST_WAIT / 2 {
                    absence.too_soon().await;
                }
            }
            Err(error) => absence.outlast(&error).await?,
        }
    }
}

/// [`done`], until the time is over; what is done already is so whatever the time.
pub(super) async fn done_until(session: &Session, id: &str, until: Until, what: &str) -> Result<Shown, Failure> {
    if until.left().is_some()
        && let Ok(shown) = until.look(what, now(session, id)).await
        && shown.image.status.is_done()
    {
        return Ok(shown);
    }
    until.bound(what, done(session, id)).await
}

/// Waits for each in turn: all have to be done, so the order does not matter.
pub(super) async fn all_done(
    session: &Session,
    ids: &[String],
    until: Until,
    mut each: impl FnMut(&Shown) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut first: Option<Failure> = None;
    for (n, id) in ids.iter().enumerate() {
        let rest = if ids.len() == 1 { format!("{id} goes on") } else { format!("{} go on", ids.len() - n) };
        let shown = done_until(session, id, until, &rest).await?;
        each(&shown)?;
        if let Err(failure) = ended(&shown.image) {
            if ids.len() > 1 {
                session.say(&format!("taskwright: {}", failure.message));
            }
            first.get_or_insert(failure);
        }
    }
    match first {
        None => Ok(()),
        Some(failure) if ids.len() == 1 => Err(failure),
        Some(failure) => Err(Failure::silent(failure.code)),
    }
}

/// What the end of an instance is to whoever waited for it.
pub(super) fn ended(image: &Image) -> Result<(), Failure> {
    let number = image.number;
    let message = match image.status {
        Status::Failed => {
            let error = image.error.as_ref();
            let (kind, message) = error.map_or(("", ""), |error| (error.kind.as_str(), error.message.as_str()));
            format!("{number} failed: {message} ({kind})")
        }
        Status::Cancelled => format!("{number} was cancelled"),
        _ => String::new(),
    };
    match exit_code::of_status(image.status) {
        None | Some(0) => Ok(()),
        Some(code) => Err(Failure::new(code, message)),
    }
}

/// Prints an instance that is done.
pub(super) fn print(session: &Session, shown: &Shown) -> Result<(), Failure> {
    let Shown { image, answer } = shown;
    let text = match session.output.format {
        Format::Table if session.output.is_terminal => {
            let took = times::ran(image).map(|ran| format!(" in {}", times::span(ran))).unwrap_or_default();
            format!(
                "{} {}  {}{took}\n",
                table::painted(session.output, image.status, image.status.as_str()),
                image.number,
                ansi::plain(&image.task_id)
            )
        }
        Format::Table => table::row(&ps::cells(image)),
        Format::Json | Format::Jsonl => answer.text().to_owned(),
        Format::Id => format!("{}\n", image.id),
        Format::None => String::new(),
    };
    output::stream(text.as_bytes()).map(drop)
}

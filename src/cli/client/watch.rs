//! `watch`: instances as they change; a live table on a terminal, else a line a change.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    feed::{Change, Feed, Followed},
    ids, outcome, output, progress,
    session::{self, Session},
    table, times,
};
use crate::cli::{
    ansi,
    args::client::{Format, Watch},
    failure::Failure,
};
use crate::{client::Image, domain::Micros};

/// How often a terminal is redrawn, in Hz.
const REDRAWN: u8 = 4;

pub(super) fn run(watch: Watch) -> Result<(), Failure> {
    let mut session = Session::open(&watch.common)?;
    let until = outcome::Until::after(session::optional_duration("--timeout", watch.timeout.as_deref())?);
    let followed = if watch.ids.is_empty() {
        Followed::Matching(watch.which.filter(Vec::new())?)
    } else {
        Followed::These(ids::all(&session, &watch.ids)?)
    };
    if matches!(&followed, Followed::These(ids) if ids.is_empty()) {
        return Ok(());
    }
    let draws = session.output.is_table() && session.output.is_terminal && session.output.draws;
    let view = draws.then(View::new);
    if let Some(view) = &view {
        session.bar = view.footer.clone();
    }
    let session = session;
    session.run(until.bound("what is not done goes on", async {
        let mut feed = Feed::new(&session, followed);
        match view {
            Some(view) => drawn(&session, &mut feed, view).await?,
            None => feed.follow(|change| line(&session, &change)).await?,
        }
        end(&session, &feed.ends())
    }))
}

/// The first that did not complete decides.
fn end(session: &Session, ends: &[&Image]) -> Result<(), Failure> {
    let mut first: Result<(), Failure> = Ok(());
    for image in ends {
        if let Err(failure) = outcome::ended(image) {
            if ends.len() > 1 {
                session.say(&format!("taskwright: {}", failure.message));
            }
            first = first.and(Err(failure));
        }
    }
    first.map_err(|failure| if ends.len() > 1 { Failure::silent(failure.code) } else { failure })
}

/// A change as a line: time, number, status, task, progress, message.
fn line(session: &Session, change: &Change<'_>) -> Result<bool, Failure> {
    let image = change.image;
    let text = match session.output.format {
        Format::Table => {
            let time = image.finished_at.unwrap_or_else(Micros::now);
            table::row(&[
                time.to_string(),
                image.number.to_string(),
                image.status.to_string(),
                image.task_id.clone(),
                image.progress.to_string(),
                image.message.clone().unwrap_or_default(),
            ])
        }
        Format::Json | Format::Jsonl => format!("{}\n", change.raw),
        Format::Id => format!("{}\n", image.id),
        Format::None => String::new(),
    };
    Ok(output::stream(text.as_bytes())? == output::Reader::There)
}

/// A table that is redrawn in place.
struct View {
    multi: MultiProgress,
    bars: BTreeMap<u64, ProgressBar>,
    /// Those for which the terminal has no room.
    unseen: BTreeSet<u64>,
    footer: ProgressBar,
    room: usize,
}

impl View {
    fn new() -> View {
        let multi = MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(REDRAWN));
        let plain = ProgressStyle::default_spinner();
        let style = plain.clone().template("{wide_msg}").unwrap_or(plain);
        let footer = multi.add(ProgressBar::new_spinner().with_style(style));
        let rows = terminal_size::terminal_size_of(io::stdout()).map_or(24, |(_, height)| height.0);
        let mut view =
            View { multi, bars: BTreeMap::new(), unseen: BTreeSet::new(), footer, room: usize::from(rows.max(4)) - 3 };
        view.count();
        view
    }

    fn take(&mut self, session: &Session, image: &Image) -> Result<(), Failure> {
        if image.status.is_done() {
            self.unseen.remove(&image.number);
            if let Some(bar) = self.bars.remove(&image.number) {
                self.multi.remove(&bar);
            }
            let took = times::ran(image).map(|ran| format!(" in {}", times::span(ran))).unwrap_or_default();
            let why = image.error.as_ref().map(|error| format!(": {}", error.message)).unwrap_or_default();
            let word = table::painted(session.output, image.status, &format!("{:<9}", image.status.as_str()));
            let text = ansi::plain(&format!("{}{took}{why}", image.task_id));
            // A terminal that is gone ends this by itself.
            let _ = self.multi.println(format!("{:>6} {word} {text}", image.number));
        } else if let Some(bar) = self.bars.get(&image.number) {
            put(bar, image);
        } else if self.bars.len() < self.room {
            let bar = self.multi.insert_before(&self.footer, progress::drawn());
            put(&bar, image);
            self.bars.insert(image.number, bar);
            self.unseen.remove(&image.number);
        } else {
            self.unseen.insert(image.number);
        }
        self.count();
        Ok(())
    }

    fn count(&mut self) {
        let live = self.bars.len() + self.unseen.len();
        self.footer.set_message(match (live, self.unseen.len()) {
            (0, _) => "nothing is pending or running; Ctrl-C ends this".to_owned(),
            (_, 0) => String::new(),
            (live, unseen) => format!("{live} are not done; {unseen} of them are not shown"),
        });
    }

    fn tick(&self) {
        self.bars.values().for_each(ProgressBar::tick);
        self.footer.tick();
    }
}

fn put(bar: &ProgressBar, image: &Image) {
    let task: String = ansi::plain(&image.task_id).chars().take(16).collect();
    progress::put(bar, image, format!("{:>6} {:<9} {task:<16}", image.number, image.status.as_str()));
}

async fn drawn(session: &Session, feed: &mut Feed<'_>, view: View) -> Result<(), Failure> {
    let view = std::cell::RefCell::new(view);
    let ticking = async {
        let mut interval = tokio::time::interval(Duration::from_millis(1000 / u64::from(REDRAWN)));
        loop {
            interval.tick().await;
            view.borrow().tick();
        }
    };
    let followed = feed.follow(|change| {
        view.borrow_mut().take(session, change.image)?;
        Ok(true)
    });
    let ended = tokio::select! {
        ended = followed => ended,
        () = ticking => Ok(()),
    };
    let view = view.borrow();
    view.footer.finish_and_clear();
    ended
}

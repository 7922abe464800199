//! How far an instance is, on stderr: a bar on a terminal, else a line for each tenth or each half minute.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::{output::Output, session::Session, times};
use crate::{cli::ansi, client::Image};

/// How often an instance that says nothing is told of, without a terminal.
const SILENCE: Duration = Duration::from_secs(30);

/// How fine a bar is.
const STEPS: u64 = 1000;

/// Shows one instance.
pub(super) struct Shower<'a> {
    session: &'a Session,
    told: Instant,
    tenth: u64,
    last: Option<Image>,
}

/// The bar of a verb that shows one instance; hidden where there is no terminal.
pub(super) fn bar(output: Output) -> ProgressBar {
    if !output.draws {
        return ProgressBar::hidden();
    }
    let bar = drawn();
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// A bar of which nothing is known yet.
pub(super) fn drawn() -> ProgressBar {
    ProgressBar::new(STEPS).with_style(style(false))
}

/// An instance that has said nothing shows how long it has run; a bar would pretend to know.
pub(super) fn style(determinate: bool) -> ProgressStyle {
    let width = terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(width, _)| width.0);
    let bar = if width >= 60 { "{bar:24}" } else { "{bar:10}" };
    let template = if determinate {
        format!("{{prefix}} {bar} {{percent:>3}} % {{elapsed}} {{wide_msg}}")
    } else {
        "{prefix} {spinner} {elapsed} {wide_msg}".to_owned()
    };
    let plain = ProgressStyle::default_bar();
    plain.clone().template(&template).unwrap_or(plain).progress_chars("━╸─").tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}

/// Puts what is known of an instance on its bar, behind `prefix`.
pub(super) fn put(bar: &ProgressBar, image: &Image, prefix: String) {
    bar.set_prefix(prefix);
    bar.set_style(style(image.progress > 0.0));
    bar.set_position((image.progress * STEPS as f64) as u64);
    bar.set_message(ansi::plain(image.message.as_deref().or(image.pending_reason.as_deref()).unwrap_or_default()));
    let since = image.started_at.unwrap_or(image.created_at);
    let end = image.finished_at.unwrap_or_else(crate::domain::Micros::now);
    // The moment it began, by this machine's clock.
    let bar = bar.clone().with_elapsed(end.since(since));
    bar.tick();
}

impl<'a> Shower<'a> {
    pub fn new(session: &'a Session) -> Shower<'a> {
        Shower { session, told: Instant::now(), tenth: 0, last: None }
    }

    /// It is so now.
    pub fn show(&mut self, image: Image) {
        if self.session.output.draws {
            let prefix = format!("{} {} {}", image.number, ansi::plain(&image.task_id), image.status);
            put(&self.session.bar, &image, prefix);
        } else {
            let tenth = (image.progress * 10.0) as u64;
            let attempt = |image: &Image| image.attempt;
            let is_new_attempt = self.last.as_ref().is_some_and(|last| attempt(last) != attempt(&image));
            if tenth > self.tenth || (is_new_attempt && image.attempt > 1) {
                self.tell(&image);
            }
            self.tenth = tenth;
        }
        self.last = Some(image);
    }

    /// When to look again, where nothing happens.
    pub fn due(&self) -> Duration {
        SILENCE.saturating_sub(self.told.elapsed())
    }

    /// Nothing was told for a while.
    pub fn remind(&mut self) {
        if !self.session.output.draws
            && let Some(last) = self.last.take()
        {
            self.tell(&last);
            self.last = Some(last);
        }
        self.told = Instant::now();
    }

    fn tell(&mut self, image: &Image) {
        self.told = Instant::now();
        let how_far = if image.progress > 0.0 {
            format!("{:.0} %", image.progress * 100.0)
        } else {
            times::ran(image).map(times::span).unwrap_or_default()
        };
        let message = image.message.as_ref().map(|message| format!("  {message}")).unwrap_or_default();
        self.session.say(&format!("{} {} {} {how_far}{message}", image.number, image.task_id, image.status));
    }
}

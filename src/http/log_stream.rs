//! `GET …/logs?follow`: a log as it is written, to the end of its instance.

use bytes::Bytes;
use futures_util::stream::unfold;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    App, Response,
    accept::Media,
    call::Call,
    logs::{self, Wanted},
    problem::Problem,
    query::Query,
    render,
    stream::{self, Framing, HEARTBEAT},
};
use crate::{
    domain::{InstanceKey, LogLine, LogWindow},
    engine::{EngineError, LogPage, LogWatch},
};

const FORMS: [Media; 3] = [Media::EventStream, Media::Ndjson, Media::Text];
/// How many lines one frame of a stream holds at most.
const PAGE: usize = 500;

/// Streams a log from where the reader wants it, or where it was left.
pub async fn follow(call: &Call, key: InstanceKey, query: &Query<'_>, mut wanted: Wanted) -> Result<Response, Problem> {
    let resumed = stream::resume_after(call, query, |text| text.parse::<u64>().ok())?;
    if let Some(after) = resumed {
        wanted.from = Some(after.saturating_add(1));
        wanted.tail = None;
    }
    let framing = Framing::of(call.accept_for(key, &FORMS).await?);
    // Subscribed before the first read, so that nothing is missed between the two.
    let watch = call.engine().watch_log(key).await?;
    let mut follower = Follower {
        app: call.app.clone(),
        key,
        framing,
        watch,
        rest: wanted.limit,
        wanted,
        state: State::Behind,
        permit: None,
    };
    let page = follower.read().await?;
    if resumed.is_some() && page.lines.is_empty() && page.next.is_none() {
        return Ok(stream::nothing_left());
    }
    follower.state = State::First(page);
    follower.permit = Some(stream::permit(call)?);
    Ok(stream::answer(framing, unfold(follower, Follower::frame)))
}

struct Follower {
    app: App,
    key: InstanceKey,
    framing: Framing,
    watch: LogWatch,
    wanted: Wanted,
    /// How many lines are still wanted.
    rest: Option<usize>,
    state: State,
    permit: Option<OwnedSemaphorePermit>,
}

enum State {
    /// Nothing was sent yet; this page was read.
    First(LogPage),
    /// There may be lines that were not read.
    Behind,
    /// All that wanted sending was sent.
    End,
}

impl Follower {
    async fn read(&self) -> Result<LogPage, EngineError> {
        let mut query = self.wanted.query(PAGE);
        if query.window != LogWindow::Tail {
            query.limit = self.rest.map_or(PAGE, |rest| rest.min(PAGE));
        }
        self.app.engine().logs(self.key, query).await
    }

    async fn frame(mut self) -> Option<(Bytes, Self)> {
        let mut out = Vec::new();
        loop {
            let page = match std::mem::replace(&mut self.state, State::Behind) {
                State::End => return None,
                State::First(page) => {
                    out.extend_from_slice(self.framing.preamble().as_bytes());
                    page
                }
                // A store that cannot be read ends the stream; the reader comes back with the last id.
                State::Behind => self.read().await.ok()?,
            };
            page.lines.iter().for_each(|line| self.write(&mut out, line));
            self.rest = self.rest.map(|rest| rest.saturating_sub(page.lines.len()));
            match page.next {
                Some(next) if self.rest != Some(0) => {
                    self.wanted.from = Some(next);
                    self.wanted.tail = None;
                }
                _ => self.state = State::End,
            }
            if !out.is_empty() {
                return Some((Bytes::from(out), self));
            }
            if matches!(self.state, State::End) {
                return None;
            }
            let changed = tokio::select! {
                changed = timeout(HEARTBEAT, self.watch.changed()) => changed,
                () = self.app.closing() => return None,
            };
            if changed.is_err() && !self.framing.heartbeat().is_empty() {
                return Some((Bytes::from_static(self.framing.heartbeat().as_bytes()), self));
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>, line: &LogLine) {
        match self.framing {
            Framing::Sse => {
                Framing::begin_event(out, "line", line.seq);
                render::line(out, line);
                out.extend_from_slice(b"\n\n");
            }
            Framing::Ndjson => {
                render::line(out, line);
                out.push(b'\n');
            }
            Framing::Text => logs::text(out, line),
        }
    }
}

//! `GET /v1/events`: every committed change of all instances that match, as it comes.
//!
//! It begins with `ready`, whose id is where to resume. Each change is written once for all readers, so that its
//! `pending_reason` is the one of the moment when the first of them was sent it. A reader that is too slow, or comes
//! back too late, gets `resync`: it must read anew what it shows, and the feed goes on from the present.

use std::time::Instant;

use bytes::Bytes;
use futures_util::stream::unfold;
use tokio::{sync::OwnedSemaphorePermit, time::timeout_at};

use super::{
    App, Response,
    accept::Media,
    call::Call,
    filter,
    problem::Problem,
    query::{Parameter, many, one},
    render,
    stream::{self, Framing, HEARTBEAT},
};
use crate::{
    domain::{InstanceQuery, Micros},
    engine::{Change, FeedPosition, FeedWatch, Lost},
};

const FORMS: [Media; 2] = [Media::EventStream, Media::Ndjson];
const PARAMETERS: &[Parameter] =
    &[one("task_id"), one("status"), many("label"), one("created_after"), one("created_before"), one("after")];
/// How many bytes are gathered before they are sent.
const FRAME: usize = 32 * 1024;
/// How many changes are taken from the ring at once.
const TAKEN: usize = 32;

/// Streams the changes.
pub async fn follow(call: &mut Call) -> Result<Response, Problem> {
    let framing = Framing::of(call.accept(&FORMS)?);
    let query = call.query(PARAMETERS)?;
    let mut wanted = filter::read(&query, Micros::now())?;
    filter::resolve(call, &mut wanted);
    let after = stream::resume_after(call, &query, place)?;
    let permit = stream::permit(call)?;
    let mut watch = call.engine().follow();
    let begin = match after {
        None => Begin::Now,
        Some(Place::Known(position)) if watch.resume(position).is_ok() => Begin::Resumed,
        Some(_) => Begin::Lost,
    };
    let told = watch.position();
    let reader =
        Reader { app: call.app.clone(), framing, wanted, watch, told, next: Next::Begin(begin), _permit: permit };
    Ok(stream::answer(framing, unfold(reader, Reader::frame)))
}

/// Where a reader wants to resume.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// An id that may be one of ours.
    Known(FeedPosition),
    /// An id that another server may have given: a lost place, not a mistake of the reader.
    Foreign,
}

/// Reads an id; None for what cannot be one.
fn place(text: &str) -> Option<Place> {
    let is_id = (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_id.then(|| text.parse().map_or(Place::Foreign, Place::Known))
}

struct Reader {
    app: App,
    framing: Framing,
    wanted: InstanceQuery,
    watch: FeedWatch,
    /// The id that the reader was last sent.
    told: FeedPosition,
    next: Next,
    _permit: OwnedSemaphorePermit,
}

enum Next {
    /// What is sent before the first change.
    Begin(Begin),
    /// Changes.
    Changes,
    /// The changes there are, and nothing more: the server goes away.
    Rest,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// With what comes.
    Now,
    /// With what was missed.
    Resumed,
    /// With what comes, since what was missed is not known.
    Lost,
}

impl Reader {
    async fn frame(mut self) -> Option<(Bytes, Self)> {
        let mut out = Vec::with_capacity(1024);
        if let Next::Begin(begin) = self.next {
            self.next = Next::Changes;
            self.begin(&mut out, begin);
            return Some((Bytes::from(out), self));
        }
        // Since the last frame, whatever was looked at and did not match.
        let heartbeat = Instant::now() + HEARTBEAT;
        loop {
            self.gather(&mut out);
            if !out.is_empty() {
                return Some((Bytes::from(out), self));
            }
            if matches!(self.next, Next::Rest) {
                return None;
            }
            tokio::select! {
                grown = timeout_at(heartbeat.into(), self.watch.grown()) => if grown.is_err() {
                    self.heartbeat(&mut out);
                    return Some((Bytes::from(out), self));
                },
                () = self.app.closing() => self.next = Next::Rest,
            }
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>, begin: Begin) {
        out.extend_from_slice(self.framing.preamble().as_bytes());
        let resumed = begin == Begin::Resumed;
        self.framing.event(out, "ready", self.told, |out| {
            out.extend_from_slice(format!("{{\"resumed\":{resumed}}}").as_bytes());
        });
        if begin == Begin::Lost {
            self.resync(out, "unknown_id");
        }
    }

    fn gather(&mut self, out: &mut Vec<u8>) {
        while out.len() < FRAME {
            match self.watch.read(TAKEN) {
                Ok(changes) if changes.is_empty() => return,
                Ok(changes) => {
                    for change in changes {
                        if self.wanted.matches(&change.summary) {
                            self.write(out, &change);
                        }
                    }
                }
                Err(Lost) => {
                    self.told = self.watch.position();
                    self.resync(out, "lagged");
                }
            }
        }
    }

    fn write(&mut self, out: &mut Vec<u8>, change: &Change) {
        let engine = self.app.engine();
        let text = change.text(|summary| {
            let mut text = Vec::with_capacity(1024);
            render::summary(&mut text, summary, engine.pending_reason(summary));
            text
        });
        self.framing.event(out, "instance", change.position, |out| out.extend_from_slice(text));
        self.told = change.position;
    }

    fn resync(&self, out: &mut Vec<u8>, reason: &str) {
        self.framing.event(out, "resync", self.told, |out| {
            out.extend_from_slice(format!("{{\"reason\":\"{reason}\"}}").as_bytes());
        });
    }

    /// Shows that the stream is alive, and where it is if changes passed that did not match: a reader that comes back
    /// then need not be told that it lost some.
    fn heartbeat(&mut self, out: &mut Vec<u8>) {
        let position = self.watch.position();
        let text = match self.framing {
            Framing::Sse if position != self.told => format!(":\nid: {position}\n\n"),
            _ => self.framing.heartbeat().to_owned(),
        };
        self.told = position;
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_others_are_told_from_what_is_none() {
        assert!(matches!(place("3.17"), Some(Place::Known(_))));
        for foreign in ["99999999999999999999.1", "a-b.c_d", "1.x", "x", "17", ".", "1.2.3"] {
            assert_eq!(place(foreign), Some(Place::Foreign), "{foreign}");
        }
        for unreadable in ["", "a b.c", "1.2\u{e9}", &"x".repeat(257)] {
            assert_eq!(place(unreadable), None, "{unreadable}");
        }
    }
}

//! `GET …/events`: every committed change of one instance, the present state first.
//!
//! Each event is a whole image and its id is the version, so a reader that was too slow, or away, needs only the
//! newest one.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::unfold;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    App, Response,
    accept::Media,
    call::Call,
    problem::Problem,
    query::{Parameter, one},
    render,
    stream::{self, Framing, HEARTBEAT},
};
use crate::{domain::Instance, engine::InstanceWatch};

const FORMS: [Media; 2] = [Media::EventStream, Media::Ndjson];
const PARAMETERS: &[Parameter] = &[one("after")];

/// Streams the changes.
pub async fn follow(call: &mut Call) -> Result<Response, Problem> {
    let key = call.key()?;
    let query = call.query(PARAMETERS)?;
    let after = stream::resume_after(call, &query, |text| text.parse().ok())?;
    let framing = Framing::of(call.accept_for(key, &FORMS).await?);
    let watch = call.engine().watch(key).await?;
    let current = watch.current();
    if current.is_done() && after.is_some_and(|after: u64| after >= current.version) {
        return Ok(stream::nothing_left());
    }
    let permit = stream::permit(call)?;
    // A reader that already has this version waits for the next one.
    let first = (after != Some(current.version)).then_some(current);
    let follower = Follower { app: call.app.clone(), framing, watch, next: Next::Begin(first), _permit: permit };
    Ok(stream::answer(framing, unfold(follower, Follower::frame)))
}

struct Follower {
    app: App,
    framing: Framing,
    watch: InstanceWatch,
    next: Next,
    _permit: OwnedSemaphorePermit,
}

enum Next {
    /// The preamble, and the present state unless the reader has it.
    Begin(Option<Arc<Instance>>),
    /// The next change.
    Change,
    /// Nothing more.
    End,
}

impl Follower {
    async fn frame(mut self) -> Option<(Bytes, Self)> {
        let mut out = Vec::with_capacity(1024);
        match std::mem::replace(&mut self.next, Next::Change) {
            Next::End => return None,
            Next::Begin(first) => {
                out.extend_from_slice(self.framing.preamble().as_bytes());
                match first {
                    Some(first) => self.write(&mut out, &first),
                    // Something must leave, so that the reader knows that it is connected.
                    None if out.is_empty() => out.extend_from_slice(self.framing.heartbeat().as_bytes()),
                    None => {}
                }
            }
            Next::Change => {
                let changed = tokio::select! {
                    changed = timeout(HEARTBEAT, self.watch.changed()) => changed,
                    () = self.app.closing() => return None,
                };
                match changed {
                    Ok(Some(instance)) => self.write(&mut out, &instance),
                    Ok(None) => return None,
                    Err(_) => out.extend_from_slice(self.framing.heartbeat().as_bytes()),
                }
            }
        }
        Some((Bytes::from(out), self))
    }

    fn write(&mut self, out: &mut Vec<u8>, instance: &Instance) {
        if instance.is_done() {
            self.next = Next::End;
        }
        let reason = self.app.engine().pending_reason(instance);
        self.framing.event(out, "instance", instance.version, |out| render::event(out, instance, reason));
    }
}

//! `wait`: until all are done, or one of them.

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    ids,
    outcome::{self, Until},
    session::{self, Session},
};
use crate::cli::{
    args::client::Wait,
    failure::{Failure, USAGE},
};

/// The most that are waited for at a time with `--any`: each holds a connection.
const MOST_AT_ONCE: usize = 256;

pub(super) fn run(wait: Wait) -> Result<(), Failure> {
    let session = Session::open(&wait.common)?;
    let until = Until::after(session::optional_duration("--timeout", wait.timeout.as_deref())?);
    let ids = ids::all(&session, &wait.ids)?;
    if wait.any && ids.len() > MOST_AT_ONCE {
        return Err(Failure::new(USAGE, format!("--any takes at most {MOST_AT_ONCE} ids")));
    }
    if ids.is_empty() {
        return Err(Failure::silent(USAGE));
    }
    session.run(async {
        // An id that there is not is told before anything is waited for.
        let mut is_done = None;
        for id in &ids {
            let shown = until.look("nothing is known yet", outcome::now(&session, id)).await?;
            if shown.image.status.is_done() {
                is_done.get_or_insert(shown);
            }
        }
        match (wait.any, is_done) {
            (true, Some(first)) => end(&session, &first),
            (true, None) => any(&session, &ids, until).await,
            (false, _) => all(&session, &ids, until).await,
        }
    })
}

async fn all(session: &Session, ids: &[String], until: Until) -> Result<(), Failure> {
    outcome::all_done(session, ids, until, |shown| outcome::print(session, shown)).await
}

async fn any(session: &Session, ids: &[String], until: Until) -> Result<(), Failure> {
    let mut waiting: FuturesUnordered<_> = ids.iter().map(|id| outcome::done(session, id)).collect();
    let Some(first) = until.bound("none is done", async { waiting.next().await.transpose() }).await? else {
        return Ok(());
    };
    end(session, &first)
}

fn end(session: &Session, shown: &outcome::Shown) -> Result<(), Failure> {
    outcome::print(session, shown)?;
    outcome::ended(&shown.image)
}

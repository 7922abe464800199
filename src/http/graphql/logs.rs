//! `taskInstanceLogs`: a log as a subscription reads it.

use async_graphql::{Context, ID, InputObject, Result, SimpleObject, Subscription};
use futures_util::{
    Stream,
    stream::{self, TryStreamExt},
};

use super::{
    caller::{Caller, invalid},
    scalars::Time,
};
use crate::{
    domain::{InstanceKey, LogLine, LogQuery, LogWindow},
    engine::LogWatch,
    http::Scope::Read,
};

/// How many lines are read from the store at once.
const PAGE: usize = 500;
/// The most lines that `tail` gives: they are read at once.
const LONGEST_TAIL: usize = 10_000;

/// The root of subscriptions.
pub struct Logs;

/// What can be followed.
#[Subscription(name = "Subscription")]
impl Logs {
    /// The lines of an instance's log: those that there are, and with `follow` what comes until the instance is done.
    async fn task_instance_logs(
        &self,
        context: &Context<'_>,
        input: TaskInstanceLogsInput,
    ) -> Result<impl Stream<Item = Result<TaskInstanceLogEntry>>> {
        let caller = Caller::of(context).lasting();
        let id = &input.task_instance_id;
        caller.may_with(Read, id).await?;
        let key = caller.key(id)?;
        let tail = match input.tail.map(usize::try_from) {
            None | Some(Ok(0)) => None,
            Some(Ok(tail)) => Some(tail.min(LONGEST_TAIL)),
            Some(Err(_)) => return Err(invalid("`tail` is negative: give the number of lines, or 0 for all")),
        };
        // Before the first read, so that nothing is missed between the two.
        let watch = caller.engine().watch_log(key).await.map_err(|error| caller.refuse(error))?;
        let watch = input.follow.unwrap_or(false).then_some(watch);
        let reader = Reader { caller, key, watch, tail, from: Some(1) };
        let entry = |line: LogLine| Ok(TaskInstanceLogEntry { timestamp: Time(line.time), text: line.text });
        let pages = stream::try_unfold(reader, Reader::page);
        Ok(pages.map_ok(move |lines| stream::iter(lines.into_iter().map(entry))).try_flatten())
    }
}

/// Which log, and how much of it.
#[derive(InputObject)]
struct TaskInstanceLogsInput {
    /// The instance.
    #[graphql(name = "taskInstanceID")]
    task_instance_id: ID,
    /// Only the last so many lines of those that there are; 0 and null are all. At most 10,000.
    tail: Option<i32>,
    /// Whether to go on until the instance is done.
    follow: Option<bool>,
}

/// A line of a log.
#[derive(SimpleObject)]
struct TaskInstanceLogEntry {
    /// When it was read.
    timestamp: Time,
    /// The line, without its end.
    text: String,
}

struct Reader {
    caller: Caller,
    key: InstanceKey,
    /// None where only what is there is wanted.
    watch: Option<LogWatch>,
    /// Of the first page, if it is no whole log.
    tail: Option<usize>,
    /// The next line; None behind the last.
    from: Option<u64>,
}

impl Reader {
    /// The next lines, as soon as there are any. None at the end.
    async fn page(mut self) -> Result<Option<(Vec<LogLine>, Self)>> {
        while let Some(from) = self.from {
            let (window, limit) = match self.tail.take() {
                Some(tail) => (LogWindow::Tail, tail),
                None => (LogWindow::From(from), PAGE),
            };
            // The engine fills in the number of the instance.
            let query = LogQuery { instance: 0, window, limit, stream: None, grep: None };
            let page = self.caller.engine().logs(self.key, query).await.map_err(|error| self.caller.refuse(error))?;
            let is_all = window == LogWindow::Tail || page.lines.len() < limit;
            self.from = page.next.filter(|_| self.watch.is_some() || !is_all);
            if !page.lines.is_empty() {
                return Ok(Some((page.lines, self)));
            }
            if let Some(watch) = &mut self.watch
                && self.from.is_some()
            {
                watch.changed().await;
            }
        }
        Ok(None)
    }
}

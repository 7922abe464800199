//! `GET …/logs`: a part of a log, or with `follow` all that comes.

use ::http::StatusCode;

use super::{
    Response,
    accept::Media,
    call::Call,
    log_stream,
    problem::{Fault, Problem},
    query::{Parameter, Query, flag, one},
    render, reply,
};
use crate::domain::{LogLine, LogQuery, LogWindow, Stream};

/// The parameters.
pub const PARAMETERS: &[Parameter] =
    &[one("tail"), one("from"), one("limit"), one("stream"), one("grep"), flag("follow"), one("after")];
const FORMS: [Media; 2] = [Media::Json, Media::Text];
const PAGE: usize = 1000;
const LONGEST_PAGE: i64 = 10_000;

/// Reads lines, or follows them.
pub async fn read(call: &mut Call) -> Result<Response, Problem> {
    let key = call.key()?;
    let query = call.query(PARAMETERS)?;
    let mut faults = Vec::new();
    let wanted = wanted(&query, &mut faults)?;
    let follows = query.flag("follow")?;
    if query.has("after") && !follows {
        faults.push(Fault::of("after", "goes with follow only; without it use from"));
    }
    if !faults.is_empty() {
        return Err(call.unless_missing(key, Problem::invalid(faults)).await);
    }
    if follows {
        return log_stream::follow(call, key, &query, wanted).await;
    }
    let media = call.accept_for(key, &FORMS).await?;
    let page = call.engine().logs(key, wanted.query(PAGE)).await?;
    let body = match media {
        Media::Text => {
            let mut out = Vec::new();
            page.lines.iter().for_each(|line| text(&mut out, line));
            out
        }
        _ => reply::json(|out| {
            out.extend_from_slice(b"{\"lines\":");
            render::array(out, &page.lines, render::line);
            out.extend_from_slice(b",\"next\":");
            render::value(out, &page.next);
            out.push(b'}');
        }),
    };
    Ok(reply::fresh(StatusCode::OK, media, body))
}

/// The bare text of a line.
pub fn text(out: &mut Vec<u8>, line: &LogLine) {
    out.extend_from_slice(line.text.as_bytes());
    out.push(b'\n');
}

/// Which lines a reader wants.
pub struct Wanted {
    /// The last so many, in place of those from `from`.
    pub tail: Option<usize>,
    /// The first `seq`.
    pub from: Option<u64>,
    /// The most lines.
    pub limit: Option<usize>,
    /// Only of this stream.
    pub stream: Option<Stream>,
    /// Only with this text.
    pub grep: Option<String>,
}

/// What part of a log the query asks for.
pub fn wanted(query: &Query<'_>, faults: &mut Vec<Fault>) -> Result<Wanted, Problem> {
    let positive = |n: Option<i64>| n.map(i64::unsigned_abs);
    let tail = positive(query.integer("tail", 1..=i64::MAX, faults)?);
    let from = positive(query.integer("from", 1..=i64::MAX, faults)?);
    let limit = positive(query.integer("limit", 1..=i64::MAX, faults)?);
    if query.has("tail") && query.has("from") {
        faults.push(Fault::of("tail", "tail and from exclude each other: give one"));
    }
    let bounded = |n: u64| usize::try_from(n.min(LONGEST_PAGE.unsigned_abs())).unwrap_or(PAGE);
    Ok(Wanted {
        tail: tail.map(bounded),
        from,
        limit: limit.map(bounded),
        stream: query.read::<Stream>("stream")?,
        grep: query.value("grep").filter(|text| !text.is_empty()).map(str::to_owned),
    })
}

impl Wanted {
    /// The query for one page of at most `page` lines.
    pub fn query(&self, page: usize) -> LogQuery {
        let (window, limit) = match self.tail {
            Some(tail) => (LogWindow::Tail, self.limit.map_or(tail, |limit| limit.min(tail))),
            None => (LogWindow::From(self.from.unwrap_or(1)), self.limit.unwrap_or(page)),
        };
        // The engine fills in the number of the instance.
        LogQuery { instance: 0, window, limit, stream: self.stream, grep: self.grep.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<LogQuery, u16> {
        let status = |problem: Problem| problem.status().as_u16();
        let query = Query::parse(Some(raw), PARAMETERS).map_err(status)?;
        let mut faults = Vec::new();
        let wanted = wanted(&query, &mut faults).map_err(status)?;
        if faults.is_empty() { Ok(wanted.query(PAGE)) } else { Err(422) }
    }

    #[test]
    fn a_part_of_a_log_is_asked_for() {
        let window = |raw| read(raw).map(|query| (query.window, query.limit));
        assert_eq!(window(""), Ok((LogWindow::From(1), 1000)));
        assert_eq!(window("from=7&limit=20000"), Ok((LogWindow::From(7), 10_000)));
        assert_eq!(window("tail=5"), Ok((LogWindow::Tail, 5)));
        assert_eq!(window("tail=5&from=1"), Err(422));
        assert_eq!(window("from=0"), Err(422));
        assert_eq!(window("from=x"), Err(400));
        assert_eq!(window("stream=stdin"), Err(400));
        assert_eq!(
            read("stream=stderr&grep=a%20b").map(|query| (query.stream, query.grep)),
            Ok((Some(Stream::Stderr), Some("a b".into())))
        );
    }
}

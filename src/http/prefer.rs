//! `Prefer` (RFC 7240): how long a client would wait. Other preferences are ignored.

use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    Response,
    problem::Problem,
    query::{LONGEST_WAIT, Query},
};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// How long to wait for an answer, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// How long; zero is not at all.
    pub time: Duration,
    applied: Applied,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Applied {
    Nothing,
    Wait(u64),
    RespondAsync,
}

impl Wait {
    /// What the query says, else what `Prefer` says, else not at all.
    ///
    /// # Errors
    /// 400 for a wait that cannot be read.
    pub fn of(query: &Query<'_>, headers: &HeaderMap) -> Result<Self, Problem> {
        if let Some(time) = query.wait()? {
            return Ok(Wait { time, applied: Applied::Nothing });
        }
        let mut wait = Wait { time: Duration::ZERO, applied: Applied::Nothing };
        for value in headers.get_all(PREFER) {
            let value = value.to_str().map_err(|_| Problem::unreadable_header("Prefer", "it is no visible ASCII"))?;
            for preference in value.split(',').filter_map(|part| part.split(';').next()) {
                let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
                let name = name.trim();
                if name.eq_ignore_ascii_case("wait") {
                    let seconds: u64 = value.trim().trim_matches('"').parse().map_err(|_| {
                        Problem::unreadable_header("Prefer", "wait needs a whole number of seconds, as in wait=10")
                    })?;
                    // The first of several counts (RFC 7240 §2).
                    if !matches!(wait.applied, Applied::Wait(_)) {
                        let seconds = seconds.min(LONGEST_WAIT.as_secs());
                        wait = Wait { time: Duration::from_secs(seconds), applied: Applied::Wait(seconds) };
                    }
                } else if name.eq_ignore_ascii_case("respond-async") && wait.applied == Applied::Nothing {
                    wait.applied = Applied::RespondAsync;
                }
            }
        }
        Ok(wait)
    }

    /// Tells the client which of its preferences was honoured.
    pub fn tell(self, response: &mut Response) {
        let value = match self.applied {
            Applied::Nothing => return,
            Applied::Wait(seconds) => HeaderValue::from_str(&format!("wait={seconds}")),
            Applied::RespondAsync => Ok(HeaderValue::from_static("respond-async")),
        };
        if let Ok(value) = value {
            response.headers_mut().insert(PREFERENCE_APPLIED, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::query::flag;

    fn wait(raw: &str, prefer: &'static str) -> Result<Wait, u16> {
        let query = Query::parse(Some(raw), &[const { flag("wait") }]).expect("known parameters");
        let mut headers = HeaderMap::new();
        headers.insert(PREFER, HeaderValue::from_static(prefer));
        Wait::of(&query, &headers).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn the_query_comes_before_the_header() {
        let told = |seconds, applied| Ok(Wait { time: Duration::from_secs(seconds), applied });
        assert_eq!(wait("", "wait=10"), told(10, Applied::Wait(10)));
        assert_eq!(wait("", "respond-async, Wait=\"100\"; x=y"), told(60, Applied::Wait(60)));
        assert_eq!(wait("", "respond-async"), told(0, Applied::RespondAsync));
        assert_eq!(wait("", "handling=lenient"), told(0, Applied::Nothing));
        assert_eq!(wait("wait=0", "wait=10"), told(0, Applied::Nothing));
        assert_eq!(wait("wait", "respond-async"), told(60, Applied::Nothing));
        assert_eq!(wait("", "wait=soon"), Err(400));
    }
}

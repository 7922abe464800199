//! Times for people: how long something took, and how long ago it was.

use std::time::Duration;

use crate::{
    cli::{
        args::client::Which,
        failure::{Failure, USAGE},
    },
    client::{Filter, Image},
    domain::{Micros, duration},
};

/// `0.4 s`, `12 s`, `3 m 05 s`, `2 h 10 m`, `4 d 3 h`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", span.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// How long ago, or in what time.
pub(super) fn ago(time: Micros) -> String {
    let now = Micros::now();
    if time > now { format!("in {}", span(time.since(now))) } else { format!("{} ago", span(now.since(time))) }
}

/// How long its latest attempt has run, or ran.
pub(super) fn ran(image: &Image) -> Option<Duration> {
    Some(image.finished_at.unwrap_or_else(Micros::now).since(image.started_at?))
}

/// A moment as the API takes it: a duration is so long ago.
pub(super) fn moment(flag: &str, text: &str) -> Result<String, Failure> {
    let word = text.strip_prefix('-').unwrap_or(text);
    if duration::parse(word).is_ok() {
        return Ok(format!("-{word}"));
    }
    match Micros::parse(text) {
        Ok(time) => Ok(time.to_string()),
        Err(_) => Err(Failure::new(
            USAGE,
            format!("{flag}: `{text}` is neither a duration such as 1h nor a time such as 2026-01-31T12:00:00Z"),
        )),
    }
}

impl Which {
    /// The filter that these flags stand for.
    pub fn filter(&self, status: Vec<String>) -> Result<Filter, Failure> {
        Ok(Filter {
            task: self.task.clone(),
            status,
            labels: self.label.iter().map(|label| label_of(label)).collect(),
            created_after: self.since.as_deref().map(|since| moment("--since", since)).transpose()?,
            created_before: None,
        })
    }
}

/// A label as the API writes it; people also write `key=value`.
pub(super) fn label_of(text: &str) -> String {
    match text.find([':', '=']) {
        Some(at) => format!("{}:{}", &text[..at], &text[at + 1..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let of = |seconds: f64| span(Duration::from_secs_f64(seconds));
        assert_eq!(
            [of(0.44), of(12.9), of(185.0), of(7800.0), of(356_400.0)],
            ["0.4 s", "12 s", "3 m 05 s", "2 h 10 m", "4 d 3 h"]
        );
    }

    #[test]
    fn what_is_to_come_is_not_past() {
        let now = Micros::now();
        assert_eq!(ago(Micros(now.0 + 7_201_000_000)), "in 2 h 00 m");
        assert_eq!(ago(Micros(now.0 - 7_201_000_000)), "2 h 00 m ago");
    }

    #[test]
    fn a_moment_is_a_time_or_a_duration_ago() {
        assert_eq!(moment("--since", "1h").expect("valid"), "-1h");
        assert_eq!(moment("--since", "-90").expect("valid"), "-90");
        assert_eq!(moment("--since", "2026-01-31T12:00:00Z").expect("valid"), "2026-01-31T12:00:00.000000Z");
        assert!(moment("--since", "yesterday").is_err_and(|failure| failure.code == USAGE));
        assert_eq!((label_of("a=b:c"), label_of("a:b=c"), label_of("a")), ("a:b:c".into(), "a:b=c".into(), "a".into()));
    }
}

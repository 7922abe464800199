//! Query parameters, read strictly: what is unknown, repeated or unreadable is refused by name.

use std::{borrow::Cow, fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use percent_encoding::percent_decode;

use super::problem::{Fault, Problem};
use crate::domain::{Micros, duration, suggest};

/// The longest wait for a reply.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A parameter that a route knows.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Whether it may stand alone, without a value.
    pub bare: bool,
    /// Whether it may be given more than once.
    pub repeated: bool,
}

/// A parameter with one value.
pub const fn one(name: &'static str) -> Parameter {
    Parameter { name, bare: false, repeated: false }
}

/// A parameter that may stand alone.
pub const fn flag(name: &'static str) -> Parameter {
    Parameter { name, bare: true, repeated: false }
}

/// A parameter that may be repeated.
pub const fn many(name: &'static str) -> Parameter {
    Parameter { name, bare: false, repeated: true }
}

/// What every route knows.
const EVERYWHERE: &[Parameter] = &[flag(PRETTY)];
const PRETTY: &str = "pretty";

/// Whether `raw` asks for JSON that people can read, whatever else is in it: problems are told so too.
pub fn wants_pretty(raw: Option<&str>) -> bool {
    raw.unwrap_or_default().split('&').any(|piece| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, "true"));
        value == "true" && decode(name).is_ok_and(|name| name == PRETTY)
    })
}

/// The parameters of one request.
#[derive(Debug)]
pub struct Query<'a> {
    pairs: Vec<(&'static str, Option<Cow<'a, str>>)>,
}

impl<'a> Query<'a> {
    /// Reads `raw`, which may hold only `known` parameters and those that every route knows.
    ///
    /// # Errors
    /// 400 naming the first parameter at fault.
    pub fn parse(raw: Option<&'a str>, known: &'static [Parameter]) -> Result<Self, Problem> {
        Self::parse_with_remedy(raw, known, "")
    }

    /// The same, with what to do instead for a parameter that is unlike all that are known.
    ///
    /// # Errors
    /// 400 naming the first parameter at fault.
    pub fn parse_with_remedy(raw: Option<&'a str>, known: &'static [Parameter], remedy: &str) -> Result<Self, Problem> {
        let mut pairs: Vec<(&'static str, Option<Cow<'a, str>>)> = Vec::new();
        for piece in raw.unwrap_or_default().split('&').filter(|piece| !piece.is_empty()) {
            let (name, value) = match piece.split_once('=') {
                Some((name, value)) => (decode(name)?, Some(value)),
                None => (decode(piece)?, None),
            };
            let Some(parameter) = known.iter().chain(EVERYWHERE).find(|parameter| parameter.name == name) else {
                let names: Vec<_> = known.iter().chain(EVERYWHERE).map(|parameter| parameter.name).collect();
                let mut hint = suggest::hint(&name, &names);
                if suggest::nearest(&name, names).is_none() {
                    hint.push_str(remedy);
                }
                let name: String = name.chars().take(128).collect();
                return Err(Problem::parameter(&name, format!("there is no such parameter here{hint}")));
            };
            if !parameter.repeated && pairs.iter().any(|(other, _)| *other == parameter.name) {
                return Err(Problem::parameter(parameter.name, "it is given more than once"));
            }
            if value.is_none() && !parameter.bare {
                return Err(Problem::parameter(parameter.name, "it needs a value"));
            }
            pairs.push((parameter.name, value.map(decode).transpose()?));
        }
        let query = Query { pairs };
        query.flag(PRETTY)?;
        Ok(query)
    }

    /// The value of `name`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(other, _)| *other == name).and_then(|(_, value)| value.as_deref())
    }

    /// Every value of `name`.
    pub fn values<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b str> {
        self.pairs.iter().filter(move |(other, _)| *other == name).filter_map(|(_, value)| value.as_deref())
    }

    /// Whether `name` is given at all.
    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(other, _)| *other == name)
    }

    /// A flag: alone, `true` or `false`.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.value(name) {
            None => Ok(self.has(name)),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(Problem::parameter(name, format!("`{other}` is neither true nor false"))),
        }
    }

    /// A value that a type reads.
    pub fn read<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        self.value(name)
            .map(|text| text.parse().map_err(|error| Problem::parameter(name, format!("{error}"))))
            .transpose()
    }

    /// A duration.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, Problem> {
        self.value(name)
            .map(|text| duration::parse(text).map_err(|error| Problem::parameter(name, error.to_string())))
            .transpose()
    }

    /// How long to wait: alone a minute, and never longer.
    pub fn wait(&self) -> Result<Option<Duration>, Problem> {
        match self.duration("wait")? {
            Some(wait) => Ok(Some(wait.min(LONGEST_WAIT))),
            None if self.has("wait") => Ok(Some(LONGEST_WAIT)),
            None => Ok(None),
        }
    }

    /// A time, or with `-` a duration before `now`.
    pub fn time(&self, name: &str, now: Option<Micros>) -> Result<Option<Micros>, Problem> {
        let Some(text) = self.value(name) else { return Ok(None) };
        if let (Some(now), Some(ago)) = (now, text.strip_prefix('-')) {
            let ago = duration::parse(ago).map_err(|error| Problem::parameter(name, error.to_string()))?;
            return Ok(Some(now.before(ago)));
        }
        // `+02:00` that nobody encoded arrives as ` 02:00`.
        Micros::parse(&text.replace(' ', "+")).map(Some).map_err(|error| match now {
            Some(_) => Problem::parameter(name, format!("{error}, nor a time before now such as -24h")),
            None => Problem::parameter(name, error.to_string()),
        })
    }

    /// An integer; one out of `range` is a fault.
    pub fn integer(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
        faults: &mut Vec<Fault>,
    ) -> Result<Option<i64>, Problem> {
        let Some(text) = self.value(name) else { return Ok(None) };
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Problem::parameter(name, format!("`{text}` is no integer")));
        }
        // More digits than any number here has: as large as there is.
        let number = text.parse().or(if text.starts_with('-') { Ok(i64::MIN) } else { Ok::<_, ()>(i64::MAX) });
        match number {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let detail = match *range.end() {
                    i64::MAX => format!("must be at least {}", range.start()),
                    end => format!("must be from {} to {end}", range.start()),
                };
                faults.push(Fault::of(name, detail));
                Ok(None)
            }
        }
    }
}

/// Reads one name or value of `application/x-www-form-urlencoded`.
fn decode(text: &str) -> Result<Cow<'_, str>, Problem> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    let bytes: Vec<u8> = percent_decode(spaced.as_bytes()).collect();
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(Cow::Owned(text)),
        _ => Err(Problem::new(
            super::problem::Kind::MalformedRequest,
            "the query is not UTF-8 in percent-encoding, or holds NUL",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Parameter] = &[one("timeout"), flag("wait"), many("label"), flag("force"), one("after")];

    fn parse(raw: &str) -> Result<Query<'_>, Problem> {
        Query::parse(Some(raw), KNOWN)
    }

    #[test]
    fn a_wait_is_at_most_a_minute() {
        let wait = |raw| parse(raw).and_then(|query| query.wait()).map_err(|problem| problem.status().as_u16());
        assert_eq!(wait(""), Ok(None));
        assert_eq!(wait("wait"), Ok(Some(LONGEST_WAIT)));
        assert_eq!(wait("wait=0"), Ok(Some(Duration::ZERO)));
        assert_eq!(wait("wait=1.5"), Ok(Some(Duration::from_millis(1500))));
        assert_eq!(wait("wait=2h"), Ok(Some(LONGEST_WAIT)));
        for bad in ["wait=", "wait=-1", "wait=x", "wait=1&wait=2"] {
            assert_eq!(wait(bad), Err(400), "{bad}");
        }
    }

    #[test]
    fn only_known_parameters_pass() {
        assert!(parse("label=a:1&label=b%3A2&&force").is_ok());
        assert!(parse("timeout=1&timeout=2").is_err());
        assert!(parse("timeout").is_err());
        assert!(parse("label=%ff").is_err());
        assert!(parse("label=%00").is_err());
        let problem = parse("timout=1").expect_err("unknown");
        assert!(format!("{problem:?}").contains("did you mean `timeout`"), "{problem:?}");
    }

    #[test]
    fn flags_stand_alone_or_say_true_or_false() {
        let force = |raw| parse(raw).and_then(|query| query.flag("force")).ok();
        assert_eq!(force(""), Some(false));
        assert_eq!(force("force"), Some(true));
        assert_eq!(force("force=true"), Some(true));
        assert_eq!(force("force=false"), Some(false));
        assert_eq!(force("force=1"), None);
    }

    #[test]
    fn every_route_knows_pretty() {
        for (raw, wanted) in
            [("pretty", true), ("force&pretty=true", true), ("%70retty", true), ("pretty=false", false)]
        {
            assert!(parse(raw).is_ok(), "{raw}");
            assert_eq!(wants_pretty(Some(raw)), wanted, "{raw}");
        }
        assert!(parse("pretty=1").is_err());
        assert!(parse("pretty&pretty").is_err());
        assert!(!wants_pretty(None));
        assert!(!wants_pretty(Some("force&prettyish&after=pretty")));
    }

    #[test]
    fn times_may_be_relative() {
        let time = |raw| parse(raw).and_then(|query| query.time("after", Some(Micros(60_000_000)))).ok().flatten();
        assert_eq!(time("after=-1m"), Some(Micros(0)));
        assert_eq!(time("after=1970-01-01T01:00:00+01:00"), Some(Micros(0)));
        assert_eq!(time("after=1970-01-01T00:00:00Z"), Some(Micros(0)));
        assert_eq!(time("after=yesterday"), None);
    }

    #[test]
    fn an_integer_out_of_range_is_a_fault_and_no_integer_unreadable() {
        let integer = |raw| {
            let mut faults = Vec::new();
            let read = parse(raw).and_then(|query| query.integer("timeout", 1..=9, &mut faults));
            (read.ok(), faults.len())
        };
        assert_eq!(integer("timeout=9"), (Some(Some(9)), 0));
        assert_eq!(integer("timeout=10"), (Some(None), 1));
        assert_eq!(integer("timeout=-99999999999999999999"), (Some(None), 1));
        assert_eq!(integer("timeout=1.0"), (None, 0));
    }
}

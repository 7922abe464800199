//! Reads the members of a JSON object one by one, so that a refusal names every one that is wrong.

use std::{borrow::Cow, collections::BTreeMap, ops::RangeInclusive, time::Duration};

use serde_json::value::RawValue;

use super::problem::Fault;
use crate::domain::{
    Labels, Micros, bounds,
    duration::{self, Seconds},
    error::{MOST_ERRORS, pointer_segment},
    json, suggest,
};

/// The members of one object.
pub struct Fields<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// The pointer to the object.
    at: &'a str,
}

impl<'a> Fields<'a> {
    /// Reads the object that stands at the pointer `at`; None, and a fault, if it is none. A member that is not
    /// `known` is a fault.
    pub fn of(raw: &'a RawValue, at: &'a str, known: &[&str], faults: &mut Vec<Fault>) -> Option<Self> {
        let Some(members) = json::members(raw) else {
            faults.push(Fault::at(at, format!("must be an object, not {}", kind(raw))));
            return None;
        };
        let unknown = members.iter().filter(|(name, _)| !known.contains(&name.as_ref()));
        for (name, _) in unknown.take(MOST_ERRORS.saturating_sub(faults.len())) {
            let hint = suggest::hint(name, known);
            faults.push(Fault::at(format!("{at}{}", pointer_segment(name)), format!("there is no such field{hint}")));
        }
        Some(Fields { members, at })
    }

    /// The text of a member; `null` stands for nothing.
    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.raw_or_null(name).filter(|raw| raw.get() != "null")
    }

    /// The text of a member, `null` too.
    pub fn raw_or_null(&self, name: &str) -> Option<&'a RawValue> {
        self.members.iter().find(|(other, _)| other == name).map(|(_, raw)| *raw)
    }

    /// A fault of a member.
    pub fn fault(&self, name: &str, detail: impl Into<String>) -> Fault {
        Fault::at(format!("{}/{name}", self.at), detail)
    }

    fn wrong(&self, name: &str, expected: &str, raw: &RawValue) -> Fault {
        self.fault(name, format!("must be {expected}, not {}", kind(raw)))
    }

    /// A string.
    pub fn string(&self, name: &str, faults: &mut Vec<Fault>) -> Option<Cow<'a, str>> {
        let raw = self.raw(name)?;
        let text = string(raw);
        if text.is_none() {
            faults.push(self.wrong(name, "a string", raw));
        }
        text
    }

    /// True or false.
    pub fn boolean(&self, name: &str, faults: &mut Vec<Fault>) -> Option<bool> {
        let raw = self.raw(name)?;
        let value = serde_json::from_str(raw.get()).ok();
        if value.is_none() {
            faults.push(self.wrong(name, "true or false", raw));
        }
        value
    }

    /// An array of strings.
    pub fn strings(&self, name: &str, faults: &mut Vec<Fault>) -> Option<Vec<Cow<'a, str>>> {
        let raw = self.raw(name)?;
        let Ok(items) = serde_json::from_str::<Vec<&'a RawValue>>(raw.get()) else {
            faults.push(self.wrong(name, "an array of strings", raw));
            return None;
        };
        let before = faults.len();
        let mut texts = Vec::with_capacity(items.len());
        for (n, item) in items.into_iter().enumerate() {
            match string(item) {
                Some(text) => texts.push(text),
                None => faults.push(self.wrong(&format!("{name}/{n}"), "a string", item)),
            }
        }
        (faults.len() == before).then_some(texts)
    }

    /// An integer within `range`. `3.0` is one.
    pub fn integer(&self, name: &str, range: RangeInclusive<i64>, faults: &mut Vec<Fault>) -> Option<i64> {
        let raw = self.raw(name)?;
        let number: Option<f64> = serde_json::from_str(raw.get()).ok();
        let detail = match number {
            Some(number) if number.fract() == 0.0 && range.contains(&(number as i64)) => return Some(number as i64),
            Some(number) if number.fract() != 0.0 => format!("must be an integer, not {}", raw.get()),
            Some(_) => format!("must be from {} to {}", range.start(), range.end()),
            None => format!("must be an integer, not {}", kind(raw)),
        };
        faults.push(self.fault(name, detail));
        None
    }

    /// A finite number.
    pub fn number(&self, name: &str, faults: &mut Vec<Fault>) -> Option<f64> {
        let raw = self.raw(name)?;
        let number = serde_json::from_str(raw.get()).ok();
        if number.is_none() {
            let found = if kind(raw) == "a number" { "one out of every range" } else { kind(raw) };
            faults.push(self.fault(name, format!("must be a number, not {found}")));
        }
        number
    }

    /// A duration above zero and up to a year.
    pub fn duration(&self, name: &str, faults: &mut Vec<Fault>) -> Option<Duration> {
        let raw = self.raw(name)?;
        let read = serde_json::from_str::<Seconds>(raw.get());
        match read {
            Ok(Seconds(duration)) => match bounds::duration_fault(duration) {
                None => return Some(duration),
                Some(detail) => faults.push(self.fault(name, detail)),
            },
            Err(_) => {
                let told = duration::InvalidDuration(raw.get().trim_matches('"').chars().take(100).collect());
                faults.push(self.fault(name, told.to_string()));
            }
        }
        None
    }

    /// A time.
    pub fn time(&self, name: &str, faults: &mut Vec<Fault>) -> Option<Micros> {
        let text = self.string(name, faults)?;
        match Micros::parse(&text) {
            Ok(time) => Some(time),
            Err(error) => {
                faults.push(self.fault(name, error.to_string()));
                None
            }
        }
    }

    /// A time, or with `-` a duration before `now`.
    pub fn time_or_ago(&self, name: &str, now: Micros, faults: &mut Vec<Fault>) -> Option<Micros> {
        let text = self.string(name, faults)?;
        let read = match text.strip_prefix('-') {
            Some(ago) => duration::parse(ago).map(|ago| now.before(ago)).map_err(|error| error.to_string()),
            None => Micros::parse(&text).map_err(|error| error.to_string()),
        };
        read.map_err(|detail| faults.push(self.fault(name, detail))).ok()
    }

    /// Labels.
    pub fn labels(&self, name: &str, faults: &mut Vec<Fault>) -> Option<Labels> {
        let raw = self.raw(name)?;
        let Some(members) = json::members(raw) else {
            faults.push(self.wrong(name, "an object of strings", raw));
            return None;
        };
        let before = faults.len();
        let mut labels = BTreeMap::new();
        for (key, raw) in members {
            match string(raw) {
                Some(value) => _ = labels.insert(key.into_owned(), value.into_owned()),
                None => {
                    let at = format!("{}/{name}{}", self.at, pointer_segment(&key));
                    faults.push(Fault::at(at, format!("must be a string, not {}", kind(raw))));
                }
            }
        }
        if faults.len() > before {
            return None;
        }
        match Labels::new(labels) {
            Ok(labels) => Some(labels),
            Err(error) => {
                let key = error.key().map(pointer_segment).unwrap_or_default();
                faults.push(Fault::at(format!("{}/{name}{key}", self.at), error.to_string()));
                None
            }
        }
    }
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    if !text.starts_with('"') {
        return None;
    }
    if !text.contains('\\') {
        return Some(Cow::Borrowed(&text[1..text.len() - 1]));
    }
    serde_json::from_str(text).ok().map(Cow::Owned)
}

/// What a text is, in words.
pub fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Place;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).expect("JSON")
    }

    fn places(faults: &[Fault]) -> Vec<&str> {
        faults
            .iter()
            .map(|fault| match &fault.place {
                Place::Pointer(pointer) => pointer.as_str(),
                Place::Parameter(name) => name.as_str(),
            })
            .collect()
    }

    #[test]
    fn every_wrong_member_is_named() {
        let text = raw(r#"{"a":1.5,"b":"3 weeks","c":{"x y":"1"},"d/~":1,"e":null,"f":2e0,"g":"\u0041"}"#);
        let mut faults = Vec::new();
        let fields = Fields::of(&text, "/i", &["a", "b", "c", "e", "f", "g"], &mut faults).expect("an object");
        assert_eq!(fields.integer("a", 0..=9, &mut faults), None);
        assert_eq!(fields.duration("b", &mut faults), None);
        assert_eq!(fields.labels("c", &mut faults), None);
        assert_eq!(fields.string("e", &mut faults), None);
        assert_eq!(fields.integer("f", 0..=9, &mut faults), Some(2));
        assert_eq!(fields.string("g", &mut faults).as_deref(), Some("A"));
        assert_eq!(places(&faults), ["/i/d~1~0", "/i/a", "/i/b", "/i/c/x y"]);
    }

    #[test]
    fn what_is_no_object_is_told_so() {
        let text = raw("[1]");
        let mut faults = Vec::new();
        assert!(Fields::of(&text, "", &[], &mut faults).is_none());
        assert_eq!(faults, [Fault::at("", "must be an object, not an array")]);
    }

    #[test]
    fn numbers_beyond_every_range_are_faults() {
        let text = raw(r#"{"n":1e400,"i":9223372036854775808,"t":0}"#);
        let mut faults = Vec::new();
        let fields = Fields::of(&text, "", &["n", "i", "t"], &mut faults).expect("an object");
        assert_eq!(fields.number("n", &mut faults), None);
        assert_eq!(fields.integer("i", -5..=5, &mut faults), None);
        assert_eq!(fields.duration("t", &mut faults), None);
        assert_eq!(places(&faults), ["/n", "/i", "/t"]);
    }
}

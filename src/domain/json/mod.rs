//! JSON kept as the text that came: checked and compacted, never re-encoded.
//!
//! Numbers keep their digits (2^63 and 1e400 survive), strings their escapes. What other readers
//! could take two ways is refused at the door: NUL, lone surrogates, duplicate keys, deep nesting.

mod scan;

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{Deserialize, Serialize, de};
use serde_json::value::RawValue;

pub use scan::{compact, compact_bytes};

/// The deepest nesting of arrays and objects.
pub const DEEPEST: usize = 64;

/// A checked, compact JSON text. Cheap to clone; serialises as itself.
#[derive(Clone)]
pub struct Json(Arc<RawValue>);

/// Why a text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {at}")]
pub struct InvalidJson {
    /// What is wrong.
    pub fault: JsonFault,
    /// Where, counted from 0.
    pub at: usize,
}

/// What can be wrong with a JSON text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// It is no JSON.
    #[error("not JSON: {0}")]
    Syntax(&'static str),
    /// It ends too early.
    #[error("not JSON: the text ends too early")]
    Truncated,
    /// It is nested too deeply.
    #[error("nested more than {DEEPEST} levels deep")]
    TooDeep,
    /// An object has a key twice.
    #[error("duplicate key `{0}`")]
    DuplicateKey(String),
    /// A string holds NUL.
    #[error("a string holds NUL, which is not accepted")]
    Nul,
    /// A string holds half of a surrogate pair.
    #[error("a string holds a lone surrogate, which is no character")]
    LoneSurrogate,
    /// The bytes are no UTF-8.
    #[error("not UTF-8")]
    Encoding,
}

impl Json {
    /// Checks and compacts `text`.
    ///
    /// # Errors
    /// [`InvalidJson`]: the first fault.
    pub fn parse(text: &str) -> Result<Self, InvalidJson> {
        let compact = compact(text)?.into_owned();
        RawValue::from_string(compact)
            .map(Self::from)
            .map_err(|_| InvalidJson { fault: JsonFault::Syntax("unreadable"), at: 0 })
    }

    /// Takes a text that an earlier [`Json`] was stored as.
    ///
    /// # Errors
    /// Where it is no JSON: the store was changed by somebody else.
    pub fn from_stored(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(Self::from)
    }

    /// A JSON text of any serialisable value, under the same checks as text from outside.
    ///
    /// # Errors
    /// Where the value cannot be serialised, or its text is refused.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        let text = serde_json::to_string(value)?;
        Json::parse(&text).map_err(<serde_json::Error as serde::ser::Error>::custom)
    }

    /// `null`.
    pub fn null() -> Self {
        Json::from(RawValue::NULL.to_owned())
    }

    /// `{}`.
    pub fn empty_object() -> Self {
        Json::from(RawValue::from_string("{}".to_owned()).expect("an empty object is JSON"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The text as a value that serde_json copies unchanged.
    pub fn raw(&self) -> &RawValue {
        &self.0
    }

    /// Whether it is an object.
    pub fn is_object(&self) -> bool {
        self.as_str().starts_with('{')
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.as_str() == "null"
    }

    /// What callers call the result: the member `result` where this is an object that has one, else the whole.
    pub fn result(&self) -> &RawValue {
        #[derive(Deserialize)]
        struct Output<'a> {
            #[serde(borrow, default)]
            result: Option<&'a RawValue>,
        }
        if !self.as_str().contains("\"result\"") || !self.is_object() {
            return self.raw();
        }
        // `null` reads as None through Option, so that case is told apart by the key alone.
        match serde_json::from_str::<Output<'_>>(self.as_str()) {
            Ok(Output { result: Some(result) }) => result,
            Ok(Output { result: None }) => members(self.raw())
                .and_then(|members| members.into_iter().find(|(key, _)| key == "result"))
                .map_or(self.raw(), |(_, value)| value),
            Err(_) => self.raw(),
        }
    }

    /// `{"result": self}`, the output of a task that returned something else than an object.
    #[must_use]
    pub fn into_result_object(self) -> Self {
        let text = format!("{{\"result\":{}}}", self.as_str());
        Json::from(RawValue::from_string(text).expect("JSON in an object is JSON"))
    }

    /// Reads it into a type.
    ///
    /// # Errors
    /// Where the type cannot take it.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.as_str())
    }
}

impl From<Box<RawValue>> for Json {
    /// Trusts the text: it must be part of one that [`compact`] returned.
    fn from(raw: Box<RawValue>) -> Self {
        Json(Arc::from(raw))
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Json {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The members of an object in the order they came, or None if `raw` is no object.
pub fn members(raw: &RawValue) -> Option<Vec<(Cow<'_, str>, &RawValue)>> {
    struct Members;
    impl<'de> de::Visitor<'de> for Members {
        type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
                members.push((key, map.next_value()?));
            }
            Ok(members)
        }
    }

    struct Key<'a>(Cow<'a, str>);
    impl<'de> Deserialize<'de> for Key<'de> {
        fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Text;
            impl<'de> de::Visitor<'de> for Text {
                type Value = Key<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a key")
                }

                fn visit_borrowed_str<E: de::Error>(self, key: &'de str) -> Result<Self::Value, E> {
                    Ok(Key(Cow::Borrowed(key)))
                }

                fn visit_str<E: de::Error>(self, key: &str) -> Result<Self::Value, E> {
                    Ok(Key(Cow::Owned(key.to_owned())))
                }
            }
            deserializer.deserialize_str(Text)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(raw.get());
    de::Deserializer::deserialize_map(&mut deserializer, Members).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> JsonFault {
        compact(text).expect_err(text).fault
    }

    #[test]
    fn white_space_goes_and_everything_else_stays() {
        let text = " { \"a b\" : [ 1.0e400 , 9223372036854775808 , \"\\u00e9 \\ud83d\\ude00\" ] , \"n\":null } \n";
        let expected = r#"{"a b":[1.0e400,9223372036854775808,"\u00e9 \ud83d\ude00"],"n":null}"#;
        assert_eq!(compact(text).expect("valid"), expected);
        assert!(matches!(compact(expected), Ok(Cow::Borrowed(_))));
        assert_eq!(Json::parse(text).expect("valid").as_str(), expected);
    }

    #[test]
    fn what_could_be_read_two_ways_is_refused() {
        assert_eq!(fault(r#"{"a":1,"a":2}"#), JsonFault::DuplicateKey("a".into()));
        assert_eq!(fault(r#"{"a":1,"\u0061":2}"#), JsonFault::DuplicateKey("a".into()));
        assert_eq!(fault(r#""\u0000""#), JsonFault::Nul);
        assert_eq!(fault("\"\0\""), JsonFault::Nul);
        assert_eq!(fault(r#""\ud800""#), JsonFault::LoneSurrogate);
        assert_eq!(fault(r#""\ud800\u0061""#), JsonFault::LoneSurrogate);
        assert_eq!(fault(r#""\udc00""#), JsonFault::LoneSurrogate);
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(compact(&deep(DEEPEST)).is_ok());
        assert_eq!(fault(&deep(DEEPEST + 1)), JsonFault::TooDeep);
        assert_eq!(compact_bytes(b"\"\xff\"").expect_err("no UTF-8").fault, JsonFault::Encoding);
    }

    #[test]
    fn a_key_repeated_after_many_others_is_found() {
        let mut text = String::from("{");
        for n in 0..100 {
            text.push_str(&format!("\"k{n}\":{n},"));
        }
        text.push_str("\"k7\":0}");
        assert_eq!(fault(&text), JsonFault::DuplicateKey("k7".into()));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in
            ["", " ", "{", "[1,]", "{\"a\":}", "01", "1.", "1e", "-", "nul", "NaN", "\"\t\"", "\"\\x\"", "1 2", "{a:1}"]
        {
            assert!(compact(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_result_is_the_member_or_the_whole() {
        let result = |text: &str| Json::parse(text).expect("valid").result().get().to_owned();
        assert_eq!(result(r#"{"result":{"a":1}}"#), r#"{"a":1}"#);
        assert_eq!(result(r#"{"result":null,"b":1}"#), "null");
        assert_eq!(result(r#"{"b":{"result":1}}"#), r#"{"b":{"result":1}}"#);
    }

    proptest::proptest! {
        /// Whatever the text, the verdict agrees with serde_json's grammar, and what passes is compact.
        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{}:,"a0-9eE.+\- \\un]{0,24}"#) {
            let ours = compact(&text);
            let theirs = serde_json::from_str::<&RawValue>(&text);
            if let Ok(compacted) = &ours {
                proptest::prop_assert!(theirs.is_ok());
                proptest::prop_assert_eq!(&compact(compacted).expect("stays valid"), compacted);
            } else if theirs.is_ok() {
                let fault = ours.expect_err("refused").fault;
                proptest::prop_assert!(!matches!(fault, JsonFault::Syntax(_) | JsonFault::Truncated), "{:?}", fault);
            }
        }
    }
}

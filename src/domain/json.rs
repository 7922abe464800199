//! JSON kept as the text that came: checked and compacted, never re-encoded.
//!
//! Numbers keep their digits (2^63 and 1e400 survive), strings their escapes. What other readers
//! could take two ways is refused at the door: NUL, lone surrogates, duplicate keys, deep nesting.

use std::{borrow::Cow, collections::HashSet, fmt, sync::Arc};

use serde::{Deserialize, Serialize, de};
use serde_json::value::RawValue;

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

/// Checks that `bytes` are one JSON value without anything that is refused at the door, and drops the white
/// space between its tokens. One pass; borrows where there is nothing to drop.
///
/// # Errors
/// [`InvalidJson`]: the first fault.
pub fn compact_bytes(bytes: &[u8]) -> Result<Cow<'_, str>, InvalidJson> {
    match std::str::from_utf8(bytes) {
        Ok(text) => compact(text),
        Err(error) => Err(InvalidJson { fault: JsonFault::Encoding, at: error.valid_up_to() }),
    }
}

/// [`compact_bytes`] for a text.
///
/// # Errors
/// [`InvalidJson`]: the first fault.
pub fn compact(text: &str) -> Result<Cow<'_, str>, InvalidJson> {
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0, kept: 0, out: String::new() };
    scanner.white_space();
    scanner.value(0)?;
    scanner.white_space();
    if scanner.at < scanner.bytes.len() {
        return Err(scanner.syntax("something follows the value"));
    }
    if scanner.kept == 0 && scanner.out.is_empty() {
        return Ok(Cow::Borrowed(text));
    }
    scanner.out.push_str(&text[scanner.kept..]);
    Ok(Cow::Owned(scanner.out))
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Everything before this byte is in `out`, or was dropped.
    kept: usize,
    out: String,
}

impl<'a> Scanner<'a> {
    fn fault<T>(&self, fault: JsonFault) -> Result<T, InvalidJson> {
        Err(InvalidJson { fault, at: self.at })
    }

    fn syntax(&self, what: &'static str) -> InvalidJson {
        let fault = if self.at >= self.bytes.len() { JsonFault::Truncated } else { JsonFault::Syntax(what) };
        InvalidJson { fault, at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn white_space(&mut self) {
        let start = self.at;
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        if start < self.at {
            self.out.push_str(&self.text[self.kept..start]);
            self.kept = self.at;
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), InvalidJson> {
        match self.peek() {
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => Err(self.syntax("a value was expected")),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), InvalidJson> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.syntax("a value was expected"))
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), InvalidJson> {
        if depth > DEEPEST {
            return self.fault(JsonFault::TooDeep);
        }
        self.at += 1;
        self.white_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth)?;
            self.white_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.syntax("`,` or `]` was expected")),
            }
            self.white_space();
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), InvalidJson> {
        if depth > DEEPEST {
            return self.fault(JsonFault::TooDeep);
        }
        self.at += 1;
        self.white_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let mut keys = Keys::default();
        loop {
            let at = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.syntax("a key in double quotes was expected"));
            }
            let escaped = self.string()?;
            if let Some(key) = keys.repeated(&self.text[at + 1..self.at - 1], escaped) {
                return Err(InvalidJson { fault: JsonFault::DuplicateKey(key), at });
            }
            self.white_space();
            if self.peek() != Some(b':') {
                return Err(self.syntax("`:` was expected"));
            }
            self.at += 1;
            self.white_space();
            self.value(depth)?;
            self.white_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.syntax("`,` or `}` was expected")),
            }
            self.white_space();
        }
    }

    fn number(&mut self) -> Result<(), InvalidJson> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.syntax("a digit was expected")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), InvalidJson> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if start == self.at { Err(self.syntax("a digit was expected")) } else { Ok(()) }
    }

    /// Passes a string; answers whether it held an escape.
    fn string(&mut self) -> Result<bool, InvalidJson> {
        self.at += 1;
        let mut escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0) => return self.fault(JsonFault::Nul),
                Some(1..=0x1f) => return Err(self.syntax("a control character must be escaped")),
                Some(_) => self.at += 1,
                None => return Err(self.syntax("the string does not end")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), InvalidJson> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => match self.hex(self.at + 2)? {
                0 => self.fault(JsonFault::Nul),
                0xd800..=0xdbff => {
                    let paired = self.bytes.get(self.at + 6) == Some(&b'\\')
                        && self.bytes.get(self.at + 7) == Some(&b'u')
                        && matches!(self.hex(self.at + 8), Ok(0xdc00..=0xdfff));
                    if !paired {
                        return self.fault(JsonFault::LoneSurrogate);
                    }
                    self.at += 12;
                    Ok(())
                }
                0xdc00..=0xdfff => self.fault(JsonFault::LoneSurrogate),
                _ => {
                    self.at += 6;
                    Ok(())
                }
            },
            _ => Err(self.syntax("an escape was expected after `\\`")),
        }
    }

    fn hex(&self, at: usize) -> Result<u32, InvalidJson> {
        let mut code = 0;
        for offset in 0..4 {
            let digit = self.bytes.get(at + offset).and_then(|byte| char::from(*byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.syntax("four hexadecimal digits were expected"))?;
        }
        Ok(code)
    }
}

/// The keys of one object so far.
#[derive(Default)]
struct Keys<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    /// Up to this many keys a list is faster than a set; beyond it a list would be quadratic.
    const FEW: usize = 16;

    /// Adds the key `inner`, as it stands between its quotes; answers it if it is there already.
    fn repeated(&mut self, inner: &'a str, escaped: bool) -> Option<String> {
        let key = if escaped {
            // Two spellings of one key are one key.
            serde_json::from_str::<String>(&format!("\"{inner}\"")).map_or(Cow::Borrowed(inner), Cow::Owned)
        } else {
            Cow::Borrowed(inner)
        };
        if self.many.is_empty() && self.few.len() < Self::FEW {
            if self.few.contains(&key) {
                return Some(key.into_owned());
            }
            self.few.push(key);
            return None;
        }
        self.many.extend(self.few.drain(..));
        if self.many.contains(&key) {
            return Some(key.into_owned());
        }
        self.many.insert(key);
        None
    }
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

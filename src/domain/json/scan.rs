//! One pass over a text: is it JSON, is anything in it refused, and what is it without white space?

use std::{borrow::Cow, collections::HashSet};

use super::{DEEPEST, InvalidJson, JsonFault};

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

//! `[[tokens]]`: who may do what. Only the hash of a token is configured.

use std::fmt;

use sha2::{Digest, Sha256};
use toml::Value;

use super::{ConfigError, keys, section, section::Section, sources::Merged};
use crate::{
    domain::suggest,
    http::{Scope, TokenSettings},
};

/// The words of `scopes`.
const SCOPES: [(&str, Scope); 3] = [("read", Scope::Read), ("run", Scope::Run), ("admin", Scope::Admin)];

/// One `[[tokens]]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// For people and logs; unique.
    pub name: String,
    /// SHA-256 of the whole token.
    pub sha256: [u8; 32],
    /// What its bearer may do.
    pub scopes: Vec<Scope>,
}

impl Token {
    /// The `[[tokens]]` block of the token `text`, which itself is not in it.
    pub fn block(name: &str, text: &str, scopes: &[Scope]) -> String {
        let hash = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let scopes: Vec<String> = scopes.iter().map(|scope| format!("\"{scope}\"")).collect();
        let name = Value::String(name.to_owned());
        format!("[[tokens]]\nname = {name}\nsha256 = \"{hash}\"\nscopes = [{}]\n", scopes.join(", "))
    }
}

impl fmt::Debug for Token {
    /// Leaves the hash out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

impl From<&Token> for TokenSettings {
    fn from(token: &Token) -> Self {
        TokenSettings { name: token.name.clone(), sha256: token.sha256, scopes: token.scopes.clone() }
    }
}

pub(super) fn read(merged: &Merged, value: Option<Value>) -> Result<Vec<Token>, ConfigError> {
    let mut tokens: Vec<Token> = Vec::new();
    for (index, item) in section::list(merged, "tokens", value)?.into_iter().enumerate() {
        let mut section = Section::open(merged, format!("tokens[{index}]"), Some(item), keys::TOKEN)?;
        let name = section.required("name")?;
        check_name(&name).map_err(|detail| section.error("name", detail))?;
        let sha256 = section.required("sha256")?;
        let sha256 = hash(&sha256).ok_or_else(|| {
            // The value is not repeated: it may be the token itself.
            section
                .error("sha256", "must be the SHA-256 of the token, 64 hexadecimal digits: printf %s TOKEN | sha256sum")
        })?;
        let words = section.texts("scopes")?.ok_or_else(|| section.error("scopes", "is missing"))?;
        if words.is_empty() {
            return Err(section.error("scopes", "must name at least one of read, run, admin"));
        }
        let mut scopes = Vec::with_capacity(words.len());
        for word in words {
            scopes.push(scope(&word).map_err(|detail| section.error("scopes", detail))?);
        }
        if let Some(other) = tokens.iter().position(|token| token.name == name) {
            return Err(section.error("name", format!("`{name}` is also the name of tokens[{other}]: rename one")));
        }
        if let Some(other) = tokens.iter().position(|token| token.sha256 == sha256) {
            return Err(section.error("sha256", format!("is also that of tokens[{other}]: remove one")));
        }
        tokens.push(Token { name, sha256, scopes });
    }
    Ok(tokens)
}

/// Whether a token may be called so.
///
/// # Errors
/// What would be right.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.chars().any(char::is_control) || name.chars().count() > 128 {
        return Err("must be 1 to 128 characters without control characters");
    }
    Ok(())
}

/// The scope that `word` names.
///
/// # Errors
/// That it is none, with the nearest one.
pub fn scope(word: &str) -> Result<Scope, String> {
    match SCOPES.iter().find(|(known, _)| *known == word) {
        Some((_, scope)) => Ok(*scope),
        None => Err(format!("`{word}` is no scope{}", suggest::hint(word, &SCOPES.map(|(word, _)| word)))),
    }
}

fn hash(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

//! Conditional requests (RFC 9110 §13) and idempotency keys: the headers that tie a request to a state.

use ::http::{
    HeaderMap, HeaderName,
    header::{IF_MATCH, IF_NONE_MATCH},
};

use super::{auth::Principal, problem::Problem};
use crate::engine::IdempotencyKey;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Whether the client already has `version` of an instance.
pub fn is_known(headers: &HeaderMap, version: u64) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| {
            let tag = tag.trim();
            // The comparison is the weak one: a proxy may have weakened our tag.
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            tag == "*" || (tag.trim_matches('"').parse() == Ok(version) && tag.starts_with('"') && tag.ends_with('"'))
        })
}

/// The version that the client pins with `If-Match`; None if it pins none. A tag that is not one of ours pins
/// version 0, which no instance has.
///
/// # Errors
/// 400 for several tags or what is no tag.
pub fn pinned(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let mut values = headers.get_all(IF_MATCH).iter();
    let (Some(value), rest) = (values.next(), values.next()) else { return Ok(None) };
    let unreadable = || Problem::unreadable_header("If-Match", "send one ETag as it came, such as \"17\"");
    let tag = value.to_str().map_err(|_| unreadable())?.trim();
    if rest.is_some() || tag.contains(',') {
        return Err(unreadable());
    }
    if tag == "*" {
        return Ok(None);
    }
    if let Some(weak) = tag.strip_prefix("W/") {
        // If-Match compares strongly: a weak tag never matches.
        return if is_quoted(weak) { Ok(Some(0)) } else { Err(unreadable()) };
    }
    if !is_quoted(tag) {
        return Err(unreadable());
    }
    Ok(Some(tag.trim_matches('"').parse().unwrap_or(0)))
}

fn is_quoted(tag: &str) -> bool {
    tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"')
}

/// The idempotency key, in the space of keys of who asks.
///
/// # Errors
/// 400 unless it is 1 to 255 visible ASCII characters, quoted or bare.
pub fn idempotency_key(headers: &HeaderMap, principal: &Principal) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(value), rest) = (values.next(), values.next()) else { return Ok(None) };
    let key = value.to_str().ok().map(str::trim).and_then(unquote).filter(|_| rest.is_none());
    match key {
        Some(key) if (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Some(principal.owns(&key)))
        }
        _ => Err(Problem::unreadable_header("Idempotency-Key", "send one key of 1 to 255 visible ASCII characters")),
    }
}

/// A structured-field string without its quotes and escapes (RFC 9651 §3.3.3); a bare one as it is.
fn unquote(text: &str) -> Option<String> {
    let Some(inner) = text.strip_prefix('"') else {
        return (!text.contains('"')).then(|| text.to_owned());
    };
    let mut key = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    loop {
        match chars.next()? {
            '"' => return chars.next().is_none().then_some(key),
            '\\' => key.push(chars.next().filter(|c| matches!(c, '"' | '\\'))?),
            c => key.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).expect("a header value"))])
    }

    #[test]
    fn a_known_version_is_not_sent_again() {
        for known in ["\"7\"", "W/\"7\"", "\"3\", \"7\"", "*"] {
            assert!(is_known(&headers(IF_NONE_MATCH, known), 7), "{known}");
        }
        for unknown in ["\"8\"", "7", "\"x\""] {
            assert!(!is_known(&headers(IF_NONE_MATCH, unknown), 7), "{unknown}");
        }
    }

    #[test]
    fn if_match_pins_one_version() {
        let pin = |value| pinned(&headers(IF_MATCH, value)).map_err(|problem| problem.status().as_u16());
        assert_eq!(pinned(&HeaderMap::new()).ok(), Some(None));
        assert_eq!(pin("\"17\""), Ok(Some(17)));
        assert_eq!(pin("*"), Ok(None));
        assert_eq!(pin("W/\"17\""), Ok(Some(0)));
        assert_eq!(pin("\"abc\""), Ok(Some(0)));
        for bad in ["17", "\"1\", \"2\"", "\"", ""] {
            assert_eq!(pin(bad), Err(400), "{bad}");
        }
    }

    #[test]
    fn keys_are_quoted_or_bare() {
        let key = |value: &str| {
            let key = idempotency_key(&headers(IDEMPOTENCY_KEY, value), &Principal::Anyone);
            key.ok().flatten().map(|key| key.key.to_string())
        };
        assert_eq!(key("abc"), Some("abc".into()));
        assert_eq!(key("\"abc\""), Some("abc".into()));
        assert_eq!(key("\"a\\\"b\""), Some("a\"b".into()));
        assert_eq!(key(&"x".repeat(255)), Some("x".repeat(255)));
        for bad in ["", "\"\"", "a b", "\"abc", "abc\"", "\"a\"b", &"x".repeat(256)] {
            assert_eq!(key(bad), None, "{bad}");
        }
    }
}

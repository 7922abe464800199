//! The name of one request, for people who compare a client's log with ours.

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

use ::http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries it, both ways.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The client's own id where it has the form `[A-Za-z0-9._-]{1,128}`, else a new one.
pub fn of(headers: &HeaderMap) -> HeaderValue {
    match headers.get(HEADER) {
        Some(value) if is_id(value.as_bytes()) => value.clone(),
        _ => fresh(),
    }
}

fn is_id(bytes: &[u8]) -> bool {
    (1..=128).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

fn fresh() -> HeaderValue {
    static SEED: LazyLock<u64> = LazyLock::new(|| {
        let mut bytes = [0; 8];
        // Ids need to differ, not to be secret: without randomness the clock will do.
        match getrandom::fill(&mut bytes) {
            Ok(()) => u64::from_le_bytes(bytes),
            Err(_) => crate::domain::Micros::now().0.unsigned_abs(),
        }
    });
    static COUNT: AtomicU64 = AtomicU64::new(0);

    // splitmix64: a bijection, so that no two requests of one daemon share an id.
    let mut word = SEED.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^= word >> 31;
    let mut text = [0; 16];
    for (at, digit) in text.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(word >> (60 - 4 * at) & 15) as usize];
    }
    HeaderValue::from_bytes(&text).expect("hexadecimal digits are a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_id_is_kept_only_in_form() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_str(value).expect("a header value"));
            of(&headers)
        };
        assert_eq!(with("a.B_9-"), "a.B_9-");
        for bad in ["", "a b", "a/b", &"x".repeat(129)] {
            assert_eq!(with(bad).len(), 16, "{bad}");
        }
        assert_ne!(fresh(), fresh());
    }
}

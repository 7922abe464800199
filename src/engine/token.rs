//! The bearer tokens of attempts: who an attempt is, sealed with the store's key.
//!
//! A token outlives nothing but its attempt: the fence refuses it afterwards, also after a restart,
//! since the key is the store's.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use super::Engine;

const PREFIX: &str = "twa_";
const IDENTITY: usize = 20;
const SEAL: usize = 32;

/// Which attempt a bearer token speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptIdentity {
    /// The instance.
    pub instance: Uuid,
    /// The attempt.
    pub attempt: u32,
}

impl Engine {
    /// Which attempt `token` speaks for, if it is an attempt's token of this store, over or not.
    pub fn attempt_of_token(&self, token: &str) -> Option<AttemptIdentity> {
        open(&self.inner.key, token)
    }
}

/// The token of `identity` under `key`.
pub fn seal(key: &[u8; 32], identity: AttemptIdentity) -> String {
    let mut bytes = Vec::with_capacity(IDENTITY + SEAL);
    bytes.extend_from_slice(identity.instance.as_bytes());
    bytes.extend_from_slice(&identity.attempt.to_be_bytes());
    let seal = mac(key, &bytes).finalize().into_bytes();
    bytes.extend_from_slice(&seal);
    format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// Whom `token` speaks for; None unless it was made under `key`.
pub fn open(key: &[u8; 32], token: &str) -> Option<AttemptIdentity> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
    if bytes.len() != IDENTITY + SEAL {
        return None;
    }
    let (identity, seal) = bytes.split_at(IDENTITY);
    mac(key, identity).verify_slice(seal).ok()?;
    let (instance, attempt) = identity.split_at(16);
    Some(AttemptIdentity {
        instance: Uuid::from_slice(instance).ok()?,
        attempt: u32::from_be_bytes(attempt.try_into().ok()?),
    })
}

fn mac(key: &[u8; 32], identity: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(b"taskwright attempt\0");
    mac.update(identity);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_under_its_own_key_only() {
        let identity = AttemptIdentity { instance: Uuid::now_v7(), attempt: 3 };
        let token = seal(&[7; 32], identity);
        assert_eq!(open(&[7; 32], &token), Some(identity));
        assert_eq!(open(&[8; 32], &token), None);
        let mut changed = token.clone().into_bytes();
        changed[10] ^= 1;
        for other in [String::from_utf8(changed).expect("ASCII"), token[4..].to_owned(), "twa_".into(), String::new()] {
            assert_eq!(open(&[7; 32], &other), None, "{other}");
        }
    }
}

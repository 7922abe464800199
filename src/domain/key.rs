//! How an instance is named: by its UUID or by its short number.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// What stands where the API says `{id}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstanceKey {
    /// The UUIDv7.
    Id(Uuid),
    /// The place in the store's sequence, from 1.
    Number(u64),
}

/// A text that can name no instance.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither the number nor the UUID of an instance")]
pub struct InvalidKey(pub String);

impl FromStr for InstanceKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidKey(text.to_owned());
        if text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0') {
            // The store keeps numbers in a signed 64-bit column.
            return match text.parse::<i64>() {
                Ok(number) => Ok(InstanceKey::Number(number.unsigned_abs())),
                Err(_) => Err(invalid()),
            };
        }
        // Only the hyphenated form: the others that `Uuid` reads are not what we ever print.
        match text.len() {
            36 => Uuid::try_parse(text).map(InstanceKey::Id).map_err(|_| invalid()),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for InstanceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstanceKey::Id(id) => id.fmt(f),
            InstanceKey::Number(number) => number.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_uuids_name_instances() {
        assert_eq!("42".parse(), Ok(InstanceKey::Number(42)));
        let id = Uuid::now_v7();
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(InstanceKey::Id(id)));
        for text in ["", "0", "042", "-1", "x", "99999999999999999999", &id.simple().to_string()] {
            assert!(text.parse::<InstanceKey>().is_err(), "{text}");
        }
    }
}

//! The opaque place between two pages of a list.
//!
//! A cursor carries the number it stands below and a hash of the filter it was made for, so that one
//! used with another filter is refused and does not quietly skip rows. The filter is given as the
//! caller wrote it: a relative time such as `-24h` must mean the same filter on every page.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

/// A cursor that cannot be read, or that belongs to another filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCursor {
    /// Not made by this server.
    #[error("the cursor cannot be read: pass next_cursor as it came")]
    Unreadable,
    /// Made for a list with other filters.
    #[error("the cursor belongs to a list with other filters: start again without it")]
    OtherFilter,
}

/// The cursor for the page of the list with `filter` that follows the instance `number`.
pub fn encode(filter: &str, number: u64) -> String {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..].copy_from_slice(&fingerprint(filter).to_be_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The number that a cursor made for `filter` stands below.
///
/// # Errors
/// [`InvalidCursor`].
pub fn decode(filter: &str, cursor: &str) -> Result<u64, InvalidCursor> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_| InvalidCursor::Unreadable)?;
    let bytes: [u8; 16] = bytes.try_into().map_err(|_| InvalidCursor::Unreadable)?;
    let (number, hash) = bytes.split_at(8);
    let word = |half: &[u8]| half.iter().fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
    if word(hash) != fingerprint(filter) {
        return Err(InvalidCursor::OtherFilter);
    }
    i64::try_from(word(number)).map(i64::unsigned_abs).map_err(|_| InvalidCursor::Unreadable)
}

/// FNV-1a: stable through releases and processes, which `std`'s hasher does not promise.
fn fingerprint(filter: &str) -> u64 {
    filter.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_filter() {
        let cursor = encode("task_id=a", 7);
        assert_eq!(decode("task_id=a", &cursor), Ok(7));
        assert_eq!(decode("task_id=b", &cursor), Err(InvalidCursor::OtherFilter));
        for text in ["", "x", "====", &cursor[1..]] {
            assert_eq!(decode("task_id=a", text), Err(InvalidCursor::Unreadable));
        }
    }
}

//! Where a request ends: whatever two readers could see differently is refused, and its connection closed.
//!
//! A proxy that sees one request where we see two, or the other way round, would hand one client's bytes to another.

use ::http::{
    HeaderMap, HeaderValue,
    header::{CONNECTION, TRANSFER_ENCODING},
};

use super::problem::{Kind, Problem};

/// Marks a request of whose head a line ended in LF alone.
#[derive(Debug, Clone, Copy)]
pub struct BareLineFeed;

/// Refuses what hyper accepts: a transfer coding besides `chunked`, which we would not undo.
///
/// # Errors
/// 400, and the connection closes.
pub fn check(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(ambiguous("the only transfer coding is `chunked`, once: send no other")),
    }
}

/// The refusal of a request with a [`BareLineFeed`].
pub fn bare_line_feed() -> Problem {
    // Others take such a line break for a part of the line, and do not see the header behind it.
    ambiguous("a line of the head ends in LF alone: end each with CR LF")
}

fn ambiguous(detail: &'static str) -> Problem {
    Problem::new(Kind::MalformedRequest, detail).header(CONNECTION, HeaderValue::from_static("close"))
}

/// Reads a head as it comes in, for how its lines end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LineEnds {
    /// Nothing but line breaks yet, which may stand before a request.
    #[default]
    Before,
    /// In a line.
    Line,
    /// A CR in or after a line.
    Cr,
    /// CR LF has just ended a line.
    Ended,
    /// CR LF CR: the empty line, unless something else follows.
    EndedCr,
    /// The head is over; a body may follow.
    Over,
    /// A line ended in LF alone.
    Bare,
}

impl LineEnds {
    /// What it is after these bytes.
    pub fn after(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            self = match (self, byte) {
                (LineEnds::Over | LineEnds::Bare, _) => return self,
                (LineEnds::Before, b'\r' | b'\n') => LineEnds::Before,
                (LineEnds::Cr, b'\n') => LineEnds::Ended,
                (LineEnds::EndedCr, b'\n') => LineEnds::Over,
                (LineEnds::Line | LineEnds::Ended, b'\n') => LineEnds::Bare,
                (LineEnds::Ended, b'\r') => LineEnds::EndedCr,
                (_, b'\r') => LineEnds::Cr,
                _ => LineEnds::Line,
            };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> LineEnds {
        let whole = LineEnds::default().after(text.as_bytes());
        let piecemeal = text.as_bytes().iter().fold(LineEnds::default(), |ends, byte| ends.after(&[*byte]));
        assert_eq!(whole, piecemeal, "{text:?}");
        whole
    }

    #[test]
    fn a_line_feed_counts_only_behind_a_carriage_return() {
        assert_eq!(read("GET / HTTP/1.1\r\nHost: a\r\n\r\n{\n}"), LineEnds::Over);
        assert_eq!(read("\r\n\nGET / HTTP/1.1\r\n\r\n"), LineEnds::Over);
        assert_eq!(read("GET / HTTP/1.1\r\nHost: a\r\n"), LineEnds::Ended);
        for bare in ["GET / HTTP/1.1\n", "GET /\r\nX: a\nY: b\r\n\r\n", "GET /\r\nX: a\r\n\n", "GET /\n\r\n"] {
            assert_eq!(read(bare), LineEnds::Bare, "{bare:?}");
        }
    }

    #[test]
    fn chunked_is_the_only_coding() {
        let verdict = |codings: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for coding in codings {
                headers.append(TRANSFER_ENCODING, HeaderValue::from_static(coding));
            }
            check(&headers).is_ok()
        };
        for good in [&[][..], &["chunked"], &["Chunked"]] {
            assert!(verdict(good), "{good:?}");
        }
        for bad in [&["gzip, chunked"][..], &["chunked, chunked"], &["gzip", "chunked"], &["chunked", "chunked"], &[""]]
        {
            assert!(!verdict(bad), "{bad:?}");
        }
    }
}

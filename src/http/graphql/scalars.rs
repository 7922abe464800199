//! Values as the clients write them.

use async_graphql::{InputValueError, InputValueResult, Result, Scalar, ScalarType, Value};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::caller::invalid;
use crate::domain::{Json, Micros, free_text};

/// A time in UTC, as RFC 3339 with microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Time(pub Micros);

#[Scalar]
impl ScalarType for Time {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => Micros::parse(text).map(Time).map_err(InputValueError::custom),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// Reads what a client wrote as base64 of a text of at most `limit` bytes.
///
/// # Errors
/// What is wrong with it. `what` is its name.
pub fn from_base64(what: &str, text: &str, limit: usize) -> Result<Json> {
    let bytes = BASE64_STANDARD.decode(text).map_err(|error| invalid(format!("the {what} is not base64: {error}")))?;
    if bytes.len() > limit {
        let size = bytes.len();
        return Err(invalid(format!("the {what} is {size} bytes long; limits.body allows {limit}")));
    }
    let text = String::from_utf8(bytes).map_err(|_| invalid(format!("the {what} is not base64 of UTF-8 text")))?;
    free_text::kept(&text).map_err(|error| invalid(format!("the {what} {error}")))
}

/// Inputs or an output as a client reads them.
pub fn to_base64(json: &Json) -> String {
    BASE64_STANDARD.encode(free_text::told(json).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_through_base64_unchanged() {
        let object = from_base64("input", "eyJhIjogMX0=", 8).expect("fits");
        assert_eq!((object.as_str(), to_base64(&object).as_str()), (r#"{"a":1}"#, "eyJhIjoxfQ=="));
        assert_eq!(to_base64(&from_base64("input", "aGVsbG8=", 8).expect("fits")), "aGVsbG8=");
        for (bad, said) in [
            ("?", "is not base64"),
            ("eyJhIjogMX0", "is not base64"),
            ("/w==", "is not base64 of UTF-8"),
            ("AA==", "holds a NUL"),
            ("aGVsbG8gd29ybGQ=", "limits.body allows 8"),
        ] {
            let error = from_base64("input", bad, 8).expect_err(bad);
            assert!(error.message.contains(said), "{bad}: {}", error.message);
        }
    }
}

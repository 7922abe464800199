//! Inputs and outputs as the `numerous` package and its command line exchange them: any text at all.
//!
//! The text of a JSON object is that object. Any other text is kept as `{"_raw": text}`, which is the package's own form,
//! and goes out again as it came in.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::json::Json;

/// A text that cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("holds a NUL character")]
pub struct NulInText;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<'a> {
    #[serde(rename = "_raw", borrow)]
    text: Cow<'a, str>,
}

/// How such an object begins, compact.
const BEGINNING: &str = "{\"_raw\":\"";

/// The object that `text` is kept as.
///
/// # Errors
/// [`NulInText`].
pub fn kept(text: &str) -> Result<Json, NulInText> {
    match Json::parse(text) {
        Ok(json) if json.is_object() => Ok(json),
        _ => Json::of(&Raw { text: text.into() }).map_err(|_| NulInText),
    }
}

/// The text that `json` is exchanged as.
pub fn told(json: &Json) -> Cow<'_, str> {
    let text = json.as_str();
    if text.starts_with(BEGINNING)
        && let Ok(raw) = json.read::<Raw<'_>>()
    {
        return raw.text;
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_kept_as_itself() {
        let json = kept("{\"a\": 1.50, \"b\": [\"\u{e9}\"]}").expect("can be kept");
        assert_eq!(json.as_str(), "{\"a\":1.50,\"b\":[\"\u{e9}\"]}");
        assert_eq!(told(&json), json.as_str());
    }

    #[test]
    fn any_other_text_goes_out_as_it_came() {
        // The last three are objects to Python, and would be read in two ways or not at all by others.
        let texts = [
            "hello",
            "",
            " [1, 2]",
            "\"x\"",
            "7",
            "\u{1f600}\n\t\"\\",
            "{\"a\":NaN}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":\"\\u0000\"}",
        ];
        for text in texts {
            let json = kept(text).expect("can be kept");
            assert!(json.as_str().starts_with(BEGINNING), "{json:?}");
            assert_eq!(told(&json), text);
        }
        assert_eq!(kept("a\0b"), Err(NulInText));
    }

    #[test]
    fn only_the_packages_own_form_is_unpacked() {
        for text in [r#"{"_raw":1}"#, r#"{"_raw":"a","b":1}"#, r#"{"b":1,"_raw":"a"}"#, r#"{"_raw":null}"#] {
            assert_eq!(told(&Json::parse(text).expect("JSON")), text);
        }
    }
}

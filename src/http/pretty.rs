//! `?pretty`: the same JSON, for people.
//!
//! Works on the text and reads no value, so that every number and string stays as it was written.

use ::http::header::CONTENT_TYPE;
use axum::body::{Body, HttpBody};
use http_body_util::BodyExt;

use super::{Response, accept::Media};

/// The most bytes that an indented document may have. Nobody reads one that is longer: it stays as it is.
const LONGEST: usize = 32 << 20;

/// The answer with its JSON indented, if it is JSON and no stream.
pub async fn indented(response: Response) -> Response {
    let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|value| {
        [Media::Json, Media::Problem].iter().any(|media| value.as_bytes() == media.content_type().as_bytes())
    });
    if !is_json || response.body().size_hint().exact().is_none_or(|size| size == 0) {
        return response;
    }
    let (head, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        // A body in memory does not fail.
        Err(error) => return Response::from_parts(head, Body::from(error.to_string())),
    };
    let body = match indent(&body, LONGEST) {
        Some(indented) => Body::from(indented),
        None => Body::from(body),
    };
    Response::from_parts(head, body)
}

/// `text` with a line for each value, indented by two spaces a level, and a newline at its end. None if it would be
/// longer than `longest`, or is no JSON.
fn indent(text: &[u8], longest: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 2);
    let mut depth: usize = 0;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if out.len() > longest {
            return None;
        }
        at += 1;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            b'"' => {
                let rest = text.get(at..)?;
                let end = at + end_of_string(rest)?;
                out.extend_from_slice(&text[at - 1..end]);
                at = end;
            }
            b'{' | b'[' => {
                out.push(byte);
                let next = at + text.get(at..)?.iter().position(|byte| !byte.is_ascii_whitespace())?;
                if matches!(text[next], b'}' | b']') {
                    out.push(text[next]);
                    at = next + 1;
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                new_line(&mut out, depth);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                new_line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            byte => out.push(byte),
        }
    }
    out.push(b'\n');
    (depth == 0 && out.len() <= longest).then_some(out)
}

fn new_line(out: &mut Vec<u8>, depth: usize) {
    out.push(b'\n');
    out.resize(out.len() + 2 * depth, b' ');
}

/// Where a string ends, given what follows its first quote.
fn end_of_string(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match rest.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use serde_json::Value;

    use super::*;
    use crate::domain::json::compact;

    fn pretty(text: &str) -> Option<String> {
        indent(text.as_bytes(), LONGEST).map(|bytes| String::from_utf8(bytes).expect("text"))
    }

    #[test]
    fn each_value_has_a_line() {
        let text = r#"{"a":[1,{"b":{}}],"c":[],"d":"{\"x\":[1,2]}","e":1e400,"f":9223372036854775808}"#;
        let lines = [
            "{",
            "  \"a\": [",
            "    1,",
            "    {",
            "      \"b\": {}",
            "    }",
            "  ],",
            "  \"c\": [],",
            r#"  "d": "{\"x\":[1,2]}","#,
            "  \"e\": 1e400,",
            "  \"f\": 9223372036854775808",
            "}\n",
        ];
        assert_eq!(pretty(text), Some(lines.join("\n")));
        assert_eq!(pretty("\"a\\\\\"\n"), Some("\"a\\\\\"\n".to_owned()));
        assert_eq!(pretty(" { } "), Some("{}\n".to_owned()));
    }

    #[test]
    fn what_is_no_json_or_gets_too_long_stays() {
        for broken in ["{", "[1", "\"a", "\"a\\", "]", "[1]]"] {
            assert_eq!(pretty(broken), None, "{broken}");
        }
        let deep = format!("{}{}", "[".repeat(60), "]".repeat(60));
        let whole = indent(deep.as_bytes(), LONGEST).expect("it fits");
        assert_eq!(indent(deep.as_bytes(), whole.len()), Some(whole.clone()));
        assert_eq!(indent(deep.as_bytes(), whole.len() - 1), None);
    }

    /// Any value, as a text without white space.
    fn document() -> impl Strategy<Value = String> {
        let number = prop::sample::select(vec![
            "0",
            "-0",
            "-0.0",
            "1.10",
            "1e400",
            "-1E-7",
            "9223372036854775808",
            "18446744073709551616",
            "1.0e+2",
        ]);
        let string =
            any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a string").replace("\\u0000", ""));
        let leaf = prop_oneof![
            number.prop_map(str::to_owned),
            string.clone(),
            prop::sample::select(vec!["null", "true", "false", r#""\u00e9\/""#]).prop_map(str::to_owned),
        ];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            let keyed = vec((string.clone(), inner.clone()), 0..6).prop_map(|members| {
                // Keys that differ: what is refused at the door does not get here.
                let member = |(n, (key, value)): (usize, (String, String))| format!("\"{n}{}:{value}", &key[1..]);
                let members: Vec<_> = members.into_iter().enumerate().map(member).collect();
                format!("{{{}}}", members.join(","))
            });
            prop_oneof![vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(","))), keyed]
        })
    }

    proptest! {
        #[test]
        fn nothing_but_white_space_is_added(text in document()) {
            let pretty = pretty(&text).expect("JSON");
            let kept = compact(&pretty).expect("JSON");
            prop_assert_eq!(kept, text.as_str());
            // A number beyond what serde_json reads as one is compared as text only.
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                prop_assert_eq!(serde_json::from_str::<Value>(&pretty).expect("JSON"), value);
            }
        }

        #[test]
        fn it_looks_as_serde_json_would_write_it(text in document()) {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let compact = value.to_string();
                prop_assert_eq!(pretty(&compact), Some(format!("{value:#}\n")));
            }
        }
    }
}

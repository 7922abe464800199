//! Whether what came out is what the page says, up to what differs from run to run.

use std::sync::LazyLock;

use regex::{NoExpand, Regex};
use serde_json::Value;

/// The members of JSON objects of which only the type is compared.
pub const ANY: [&str; 4] = ["number", "version", "node", "request_id"];

/// What is told by its shape alone, in the order in which it is looked for.
static SHAPES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let shapes = [
        (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<uuid>"),
        (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", "<time>"),
        (r"\btw_[A-Za-z0-9_-]{43}", "<token>"),
        (r"\b[0-9a-f]{64}\b", "<sha256>"),
        (r"\b(?:127\.0\.0\.1|localhost):\d+\b", "<address>"),
        (r"\b\d+(?:\.\d+)? (?:ms|s|min|h)\b", "<duration>"),
        (r"\b\d+(?:\.\d+)? (?:B|[KMG]iB)\b", "<size>"),
        (r"\b\d+ %", "<percent>"),
        (r"\bv?\d+\.\d+\.\d+\b", "<version>"),
        (r"\b(?P<word>started|stopping|instance|completed|failed|cancelled) \d+\b", "<end and number>"),
    ];
    shapes.map(|(pattern, name)| (Regex::new(pattern).expect("a pattern"), name)).into()
});

/// The text with each thing that differs replaced by the name of its shape.
fn normal(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, name) in SHAPES.iter() {
        text = match *name {
            "<end and number>" => pattern.replace_all(&text, "$word <number>").into_owned(),
            name => pattern.replace_all(&text, NoExpand(name)).into_owned(),
        };
    }
    text
}

/// Whether `actual` is the text `expected`.
pub fn text_matches(expected: &str, actual: &str) -> bool {
    let mut pattern = String::from("^");
    for line in normal(expected).lines() {
        if line.trim() == "…" {
            pattern.push_str("(?:.*\n)*");
            continue;
        }
        let parts: Vec<String> = line.trim_end().split('…').map(regex::escape).collect();
        pattern.push_str(&parts.join(".*"));
        pattern.push('\n');
    }
    pattern.push('$');
    let lines: String = normal(actual).trim_end().lines().map(|line| format!("{}\n", line.trim_end())).collect();
    Regex::new(&pattern).expect("an escaped pattern").is_match(&lines)
}

/// Whether the text `actual` is the JSON text `expected`.
pub fn json_matches(expected: &str, actual: &str) -> bool {
    match (serde_json::from_str(expected), serde_json::from_str(actual)) {
        (Ok(expected), Ok(actual)) => same(&expected, &actual),
        (Err(error), _) => panic!("{error}: {expected}"),
        (_, Err(_)) => false,
    }
}

fn same(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::String(expected), Value::String(actual)) => text_matches(expected, actual),
        (Value::Number(expected), Value::Number(actual)) => expected.as_f64() == actual.as_f64(),
        (Value::Array(expected), Value::Array(actual)) => {
            expected.len() == actual.len()
                && expected.iter().zip(actual).all(|(expected, actual)| same(expected, actual))
        }
        (Value::Object(expected), Value::Object(actual)) => {
            let is_same = |(key, value): (&String, &Value)| {
                actual.get(key).is_some_and(|found| match ANY.contains(&key.as_str()) {
                    true => std::mem::discriminant(value) == std::mem::discriminant(found),
                    false => same(value, found),
                })
            };
            expected.len() == actual.len() && expected.iter().all(is_same)
        }
        (expected, actual) => expected == actual,
    }
}

#[test]
fn docs_shapes_are_told_from_values() {
    let (one, other) = ("01a21b8e-0d3a-754a-8e26-f66aa14cf5db", "01a21b8e-19d9-71c0-96e5-665e523305e7");
    assert!(text_matches(&format!("started 1  {one}\n"), &format!("started 12  {other}\n")));
    assert!(text_matches("completed 4 in 1.0 s", "completed 5 in 900 ms"));
    assert!(text_matches("a\n…\nz\n", "a\nb\nc\nz\n") && text_matches("a … c\n", "a b c"));
    assert!(!text_matches("a\n…\nz\n", "a\nb\n") && !text_matches("running", "completed"));
    assert!(!text_matches(one, "01a21b8e") && !text_matches("{\"slept\":3}", "{\"slept\":4}"));
    assert!(!text_matches("", "something"));
    assert!(json_matches(r#"{"number":1,"slept":3}"#, r#"{"slept":3.0,"number":7}"#));
    assert!(!json_matches(r#"{"number":1}"#, r#"{"number":null}"#));
    assert!(!json_matches(r#"{"number":1}"#, r#"{"number":1,"more":1}"#) && !json_matches("[1]", "[2]"));
    assert!(json_matches(r#"{"at":"2026-11-27T05:50:24.058841Z"}"#, r#"{"at":"2027-01-01T00:00:00Z"}"#));
    assert!(!json_matches(r#"{"at":"2026-11-27T05:50:24Z"}"#, r#"{"at":null}"#));
}

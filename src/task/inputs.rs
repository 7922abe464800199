//! Inputs read into a handler's type; what does not fit is named by its place.

use std::any::TypeId;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::panics;
use crate::domain::{FieldError, Json, error::pointer_segment, suggest};

/// Reads `inputs` into `T`. `()` reads from an empty object.
///
/// # Errors
/// The first thing that does not fit.
pub(super) fn read<T: DeserializeOwned + 'static>(inputs: &Json) -> Result<T, Vec<FieldError>> {
    let text = if TypeId::of::<T>() == TypeId::of::<()>() { no_inputs(inputs)? } else { inputs.as_str() };
    let unreadable = |detail| vec![FieldError::new("", detail)];
    match panics::guarded(|| serde_json::from_str(text).map_err(|_| located::<T>(text))) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(vec![error]),
        Err(caught) => Err(unreadable(format!("the inputs cannot be read: {}", caught.message))),
    }
}

fn no_inputs(inputs: &Json) -> Result<&'static str, Vec<FieldError>> {
    match crate::domain::json::members(inputs.raw()) {
        None => Ok("0"),
        Some(members) if members.is_empty() => Ok("null"),
        Some(members) => Err(members
            .into_iter()
            .take(100)
            .map(|(key, _)| FieldError::new(pointer_segment(&key), "unknown field: this task takes no inputs"))
            .collect()),
    }
}

/// Reads again, slower, to learn where it went wrong.
fn located<T: DeserializeOwned>(text: &str) -> FieldError {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => FieldError::new("", "the inputs cannot be read"),
        Err(error) => {
            let message = error.inner().to_string();
            let detail = match message.rfind(" at line ") {
                Some(end) => &message[..end],
                None => &message,
            };
            field_error(pointer(error.path()), detail)
        }
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&pointer_segment(key)),
            Segment::Enum { variant } => pointer.push_str(&pointer_segment(variant)),
            Segment::Unknown => break,
        }
    }
    pointer
}

/// Points at the field that is missing or unknown, and names the nearest known one.
fn field_error(mut pointer: String, detail: &str) -> FieldError {
    let mut quoted = detail.split('`').skip(1).step_by(2);
    if detail.starts_with("missing field `") {
        if let Some(field) = quoted.next() {
            pointer.push_str(&pointer_segment(field));
        }
    } else if detail.starts_with("unknown field `")
        && let Some(field) = quoted.next()
    {
        let known: Vec<&str> = quoted.collect();
        let segment = pointer_segment(field);
        if !pointer.ends_with(&segment) {
            pointer.push_str(&segment);
        }
        return FieldError::new(pointer, format!("unknown field `{field}`{}", suggest::hint(field, &known)));
    }
    FieldError::new(pointer, detail)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inputs {
        #[allow(dead_code, reason = "read by serde alone")]
        source: String,
        #[serde(default)]
        #[allow(dead_code, reason = "read by serde alone")]
        sizes: Vec<Size>,
        #[serde(default)]
        #[allow(dead_code, reason = "read by serde alone")]
        mode: Option<Mode>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Size {
        #[allow(dead_code, reason = "read by serde alone")]
        width: u8,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        Fast,
        Slow {
            #[allow(dead_code, reason = "read by serde alone")]
            passes: u8,
        },
    }

    fn refusal<T: DeserializeOwned + std::fmt::Debug + 'static>(text: &str) -> (String, String) {
        let errors = read::<T>(&Json::parse(text).expect("valid JSON")).expect_err(text);
        assert_eq!(errors.len(), 1, "{errors:?}");
        (errors[0].pointer.clone(), errors[0].detail.clone())
    }

    #[test]
    fn each_refusal_points_at_its_place() {
        let cases = [
            (r#"{}"#, "/source", "missing field `source`"),
            (r#"{"source":1}"#, "/source", "invalid type: integer `1`, expected a string"),
            (
                r#"{"source":"a","sizes":[{"width":1},{"width":300}]}"#,
                "/sizes/1/width",
                "invalid value: integer `300`, expected u8",
            ),
            (r#"{"source":"a","sizes":[{}]}"#, "/sizes/0/width", "missing field `width`"),
            (
                r#"{"source":"a","sizes":[{"width":1,"widht":2}]}"#,
                "/sizes/0/widht",
                "unknown field `widht`; did you mean `width`?",
            ),
            (r#"{"source":"a","sizs":[]}"#, "/sizs", "unknown field `sizs`; did you mean `sizes`?"),
            (
                r#"{"source":"a","zzzzzzzzzz":[]}"#,
                "/zzzzzzzzzz",
                "unknown field `zzzzzzzzzz`; known are source, sizes, mode",
            ),
            (
                r#"{"source":"a","mode":{"slow":{"passes":-1}}}"#,
                "/mode/slow/passes",
                "invalid value: integer `-1`, expected u8",
            ),
            (r#"{"source":"a","mode":"fats"}"#, "/mode", "unknown variant `fats`, expected `fast` or `slow`"),
        ];
        for (text, pointer, detail) in cases {
            assert_eq!(refusal::<Inputs>(text), (pointer.to_owned(), detail.to_owned()), "{text}");
        }
        assert!(read::<Inputs>(&Json::parse(r#"{"source":"a","mode":"fast"}"#).expect("valid JSON")).is_ok());
    }

    #[test]
    fn a_number_that_the_type_cannot_hold_is_refused() {
        assert_eq!(refusal::<std::collections::BTreeMap<String, f64>>(r#"{"a~b/c":1e400}"#).0, "/a~0b~1c");
        assert_eq!(refusal::<std::collections::BTreeMap<String, i64>>(r#"{"n":9223372036854775808}"#).0, "/n");
    }

    #[test]
    fn unit_takes_no_inputs() {
        assert_eq!(read::<()>(&Json::empty_object()), Ok(()));
        let (pointer, detail) = refusal::<()>(r#"{"a":1}"#);
        assert_eq!((&*pointer, &*detail), ("/a", "unknown field: this task takes no inputs"));
    }

    #[test]
    fn a_type_that_panics_is_a_refusal() {
        #[derive(Debug)]
        struct Panics;
        impl<'de> Deserialize<'de> for Panics {
            fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                panic!("out of luck")
            }
        }
        assert_eq!(refusal::<Panics>("{}").1, "the inputs cannot be read: out of luck");
    }
}

//! What the end of a handler means: for the attempt, and for the output. Pure; shared by the engine, for its commands
//! too, and [`testing`](super::testing).

use super::erased::HandlerEnd;
use crate::domain::{AttemptEnd, ErrorKind, FieldError, Json};

/// The output that a returned value makes: an object replaces what was set, another value becomes
/// `{"result": value}`, None leaves it.
pub fn returned_output(returned: Option<Json>) -> Option<Json> {
    returned
        .filter(|value| !value.is_null())
        .map(|value| if value.is_object() { value } else { value.into_result_object() })
}

/// How the attempt ended, and the output that replaces what was set, if one does.
pub fn attempt_end(end: HandlerEnd) -> (AttemptEnd, Option<Json>) {
    let end = match end {
        HandlerEnd::Returned(value) => return (AttemptEnd::Returned, returned_output(value)),
        HandlerEnd::Stopped => AttemptEnd::Stopped,
        HandlerEnd::Failed { message, causes, permanent } => {
            AttemptEnd::Failed { kind: ErrorKind::Handler { causes }, message, permanent }
        }
        HandlerEnd::Panicked { message, location } => {
            AttemptEnd::Failed { kind: ErrorKind::Panic { location }, message, permanent: false }
        }
        HandlerEnd::InvalidInputs(errors) => invalid_inputs(errors),
        HandlerEnd::InvalidOutput(detail) => invalid_output("the value returned cannot be written as JSON", detail),
    };
    (end, None)
}

/// The end of an attempt whose inputs the task, changed since they were accepted, does not take.
pub fn invalid_inputs(errors: Vec<FieldError>) -> AttemptEnd {
    AttemptEnd::Failed {
        kind: ErrorKind::InvalidInputs { errors },
        message: "the inputs, accepted once, are not valid for the task as it is now".to_owned(),
        permanent: true,
    }
}

/// The end of an attempt that returned more than `limit` bytes of output.
pub fn output_too_large(size: usize, limit: usize) -> AttemptEnd {
    let detail = format!("the output is {size} bytes long; limits.output allows {limit}");
    invalid_output(&detail.clone(), detail)
}

fn invalid_output(message: &str, detail: String) -> AttemptEnd {
    let kind = ErrorKind::Output { errors: vec![FieldError::new("", detail)] };
    AttemptEnd::Failed { kind, message: message.to_owned(), permanent: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_replaces_the_output_another_value_is_wrapped_and_null_leaves_it() {
        let output = |text: &str| returned_output(Some(Json::parse(text).expect("valid JSON")));
        for (returned, expected) in [
            (r#"{"a":1}"#, Some(r#"{"a":1}"#)),
            ("7", Some(r#"{"result":7}"#)),
            ("[{}]", Some(r#"{"result":[{}]}"#)),
            ("\"x\"", Some(r#"{"result":"x"}"#)),
            ("false", Some(r#"{"result":false}"#)),
            ("null", None),
        ] {
            assert_eq!(output(returned).as_ref().map(Json::as_str), expected, "{returned}");
        }
        assert_eq!(returned_output(None), None);
    }

    #[test]
    fn only_a_mended_attempt_is_worth_another() {
        let permanent = |end| match attempt_end(end).0 {
            AttemptEnd::Failed { permanent, .. } => Some(permanent),
            _ => None,
        };
        let failed = |permanent| HandlerEnd::Failed { message: "m".into(), causes: Vec::new(), permanent };
        assert_eq!(permanent(failed(false)), Some(false));
        assert_eq!(permanent(failed(true)), Some(true));
        assert_eq!(permanent(HandlerEnd::Panicked { message: "m".into(), location: None }), Some(false));
        assert_eq!(permanent(HandlerEnd::InvalidInputs(Vec::new())), Some(true));
        assert_eq!(permanent(HandlerEnd::InvalidOutput("m".into())), Some(true));
        assert_eq!(permanent(HandlerEnd::Stopped), None);
    }
}

//! JSON Schema checks for commands. Remote references are never fetched.

use crate::domain::{FieldError, Json, error::MOST_ERRORS};

/// A compiled JSON Schema.
pub struct Schema(jsonschema::Validator);

impl Schema {
    /// Compiles `text`.
    ///
    /// # Errors
    /// What makes it no schema, in one line.
    pub fn compile(text: &Json) -> Result<Self, String> {
        let schema: serde_json::Value = text.read().map_err(|error| error.to_string())?;
        jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .map(Schema)
            .map_err(|error| error.to_string())
    }

    /// Whether `document` satisfies it.
    ///
    /// # Errors
    /// What is wrong, place by place.
    pub fn check(&self, document: &Json) -> Result<(), Vec<FieldError>> {
        let value: serde_json::Value = document.read().map_err(|error| vec![FieldError::new("", error.to_string())])?;
        let errors: Vec<_> = self
            .0
            .iter_errors(&value)
            .take(MOST_ERRORS)
            .map(|error| FieldError::new(error.instance_path().to_string(), error.to_string()))
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text).expect("valid")
    }

    #[test]
    fn names_the_place_of_each_fault() {
        let schema = json(r#"{"properties":{"n":{"type":"integer"},"when":{"type":"string","format":"date-time"}}}"#);
        let schema = Schema::compile(&schema).expect("a schema");
        assert_eq!(schema.check(&json(r#"{"n":1,"when":"2026-01-01T00:00:00Z"}"#)), Ok(()));
        let errors = schema.check(&json(r#"{"n":"x","when":"soon"}"#)).expect_err("two faults");
        let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/n", "/when"]);
        assert!(schema.check(&json(r#"{"n":1e400}"#)).is_err(), "a number that it cannot take");
    }

    #[test]
    fn refuses_what_is_no_schema() {
        assert!(Schema::compile(&json(r#"{"type":"nothing"}"#)).is_err());
        assert!(Schema::compile(&json(r#"{"$ref":"http://127.0.0.1:1/x"}"#)).is_err(), "nothing is fetched");
    }
}

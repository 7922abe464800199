//! The JSON Schemas (draft 2020-12) of a handler's types, as its definition shows them.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::domain::Json;

/// The schema of what a start must send; None where the type takes anything.
pub(super) fn of_input<T: JsonSchema>() -> Option<Json> {
    let schema = SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<T>();
    if is_null(&schema) {
        // `()` takes an empty object.
        return written(&json!({"type": "object", "additionalProperties": false}));
    }
    says_something(schema)
}

/// The schema of the output that a returned value makes; None where that is not known.
pub(super) fn of_output<T: JsonSchema>() -> Option<Json> {
    let mut schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>();
    if is_null(&schema) {
        return None;
    }
    let is_plain = matches!(
        schema.get("type").and_then(Value::as_str),
        Some("string" | "number" | "integer" | "boolean" | "array")
    );
    if !is_plain {
        return says_something(schema);
    }
    // A value that is no object is answered as `{"result": value}`. References point at the root, so that
    // definitions move there.
    let dialect = schema.remove("$schema");
    let definitions = schema.remove("$defs");
    let mut wrapped = json!({"type": "object", "properties": {"result": schema}, "required": ["result"]});
    for (key, value) in [("$schema", dialect), ("$defs", definitions)] {
        if let Some(value) = value {
            wrapped[key] = value;
        }
    }
    written(&wrapped)
}

fn is_null(schema: &Schema) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
}

/// None for the schema that everything satisfies.
fn says_something(schema: Schema) -> Option<Json> {
    let anything = match schema.as_object() {
        None => schema.as_bool() == Some(true),
        Some(members) => members.keys().all(|key| key == "$schema" || key == "title"),
    };
    if anything { None } else { written(&schema.to_value()) }
}

fn written(schema: &Value) -> Option<Json> {
    Json::of(schema).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[allow(dead_code, reason = "read by schemars alone")]
    #[derive(JsonSchema)]
    struct Point {
        x: f64,
        note: Option<String>,
    }

    fn value(schema: Option<Json>) -> Value {
        schema.expect("a schema").read().expect("readable")
    }

    #[test]
    fn a_structure_is_shown_as_it_is() {
        let schema = value(of_input::<Point>());
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["required"], json!(["x"]));
        assert_eq!(value(of_output::<Point>())["properties"]["x"]["type"], "number");
    }

    #[test]
    fn a_value_that_is_no_object_is_shown_in_its_place() {
        let schema = value(of_output::<Vec<Point>>());
        assert_eq!(schema["required"], json!(["result"]));
        assert_eq!(schema["properties"]["result"]["type"], "array");
        assert!(schema["$defs"]["Point"].is_object() && schema["properties"]["result"]["$defs"].is_null());
    }

    #[test]
    fn unit_and_anything_have_their_own_rules() {
        assert_eq!(value(of_input::<()>()), json!({"type": "object", "additionalProperties": false}));
        assert_eq!(of_output::<()>(), None);
        assert_eq!(of_input::<Value>(), None);
        assert_eq!(of_output::<Value>(), None);
        assert_eq!(value(of_input::<BTreeMap<String, u8>>())["type"], "object");
    }
}

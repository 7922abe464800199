//! A text as the JSON value that a task's schema asks for.

use serde_json::Value;

use crate::domain::{Json, suggest};

/// How deep references of a schema are followed.
const DEEPEST: u8 = 8;

/// What a schema says about an object's members.
pub(super) struct Members<'a> {
    root: &'a Value,
    properties: Vec<(&'a str, &'a Value)>,
    /// Whether others are refused; None where the schema does not say.
    closed: Option<bool>,
}

impl<'a> Members<'a> {
    pub fn of(schema: &'a Value) -> Members<'a> {
        let properties = schema["properties"].as_object();
        let properties: Vec<_> =
            properties.into_iter().flatten().map(|(name, property)| (name.as_str(), property)).collect();
        let is_composed =
            ["$ref", "allOf", "anyOf", "oneOf", "patternProperties"].iter().any(|key| schema.get(key).is_some());
        let closed = match schema.get("additionalProperties") {
            _ if is_composed => Some(false),
            Some(Value::Bool(false)) => Some(true),
            Some(_) => Some(false),
            None if properties.is_empty() => Some(false),
            None => None,
        };
        Members { root: schema, properties, closed }
    }

    /// Whether a member that a person has typed as `key` is certainly a slip of the pen: the schema lists members, and this
    /// is none of them.
    pub fn is_unknown(&self, key: &str) -> bool {
        self.closed != Some(false) && !self.has(key)
    }

    /// Whether the task refuses a member of this name.
    pub fn refuses(&self, key: &str) -> bool {
        self.closed == Some(true) && !self.has(key)
    }

    fn has(&self, key: &str) -> bool {
        self.properties.iter().any(|(name, _)| *name == key)
    }

    /// What there is instead of `key`.
    pub fn hint(&self, key: &str) -> String {
        let known: Vec<_> = self.properties.iter().map(|(name, _)| *name).collect();
        suggest::hint(key, &known)
    }

    /// `text` as the type that the schema gives to `key`: as it is where it fits, else a string. None for a text that JSON
    /// cannot hold.
    pub fn value(&self, key: &str, text: &str) -> Option<Json> {
        let schema = self.properties.iter().find(|(name, _)| *name == key).map(|(_, schema)| *schema);
        let types = schema.map(|schema| self.types(schema, DEEPEST)).unwrap_or_default();
        let takes = |word: &str| types.iter().any(|given| given == word);
        let is_list = takes("array") && !takes("string");
        let is_whole = text.trim().starts_with('[') || (takes("null") && text == "null");
        if is_list && !is_whole {
            // One item is a list of one.
            return self.list(key, &[text.to_owned()]);
        }
        typed(&types, text)
    }

    /// Whether `key` takes a list, and its items as the schema has them.
    pub fn list(&self, key: &str, texts: &[String]) -> Option<Json> {
        let (_, schema) = self.properties.iter().find(|(name, _)| *name == key)?;
        if !self.types(schema, DEEPEST).iter().any(|word| word == "array") {
            return None;
        }
        let types = self.types(&self.resolve(schema)["items"], DEEPEST);
        let items: Vec<_> = texts.iter().map(|text| typed(&types, text)).collect::<Option<_>>()?;
        let items = items.iter().map(Json::as_str).collect::<Vec<_>>().join(",");
        Json::parse(&format!("[{items}]")).ok()
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let pointer = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        pointer.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }

    /// The words of JSON Schema for what `schema` takes; none where it does not say.
    fn types(&self, schema: &'a Value, depth: u8) -> Vec<String> {
        if depth == 0 {
            return Vec::new();
        }
        let schema = self.resolve(schema);
        let words = |value: &Value| match value {
            Value::String(word) => vec![word.clone()],
            Value::Array(words) => words.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let mut types = words(&schema["type"]);
        for key in ["anyOf", "oneOf"] {
            for branch in schema[key].as_array().into_iter().flatten() {
                types.extend(self.types(branch, depth - 1));
            }
        }
        let constants = schema["enum"].as_array().into_iter().flatten().chain(schema.get("const"));
        types.extend(constants.map(|constant| of_value(constant).to_owned()));
        types
    }

    /// What people need to know of each member: its name, type, whether it must be there, and its description.
    pub fn described(&self) -> Vec<Member> {
        let required: Vec<_> =
            self.root["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let describe = |(name, schema): &(&'a str, &'a Value)| {
            let resolved = self.resolve(schema);
            let text = |key: &str| schema[key].as_str().or(resolved[key].as_str()).unwrap_or_default().to_owned();
            let mut types = self.types(schema, DEEPEST);
            types.dedup();
            let range = [("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")];
            let bounds = range.iter().filter_map(|(key, sign)| Some(format!(" {sign} {}", resolved.get(key)?)));
            let choice = resolved["enum"].as_array().map(|values| {
                values
                    .iter()
                    .map(|value| value.as_str().map_or(value.to_string(), str::to_owned))
                    .collect::<Vec<_>>()
                    .join(" | ")
            });
            Member {
                name: (*name).to_owned(),
                kind: choice.unwrap_or_else(|| self.kind(resolved, &types) + &bounds.collect::<String>()),
                required: required.contains(name),
                default: schema.get("default").map(Value::to_string).unwrap_or_default(),
                description: text("description"),
                example: example(schema, resolved, &types),
            }
        };
        // A schema may ask for what it does not describe.
        let bare = required.iter().filter(|name| !self.has(name)).map(|name| (*name, &Value::Null));
        let all: Vec<_> = self.properties.iter().copied().chain(bare).collect();
        let mut members: Vec<_> = all.iter().map(describe).collect();
        members.sort_by_key(|member| !member.required);
        members
    }
}

impl Members<'_> {
    /// The types of a member in words, an array with those of its items.
    fn kind(&self, schema: &Value, types: &[String]) -> String {
        let words = types.iter().map(|word| match word.as_str() {
            "array" => match self.types_of_items(schema).join(" or ") {
                items if items.is_empty() => "array".to_owned(),
                items => format!("array of {items}"),
            },
            word => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" or ")
    }

    fn types_of_items(&self, schema: &Value) -> Vec<String> {
        // The items may be a reference into the schema as a whole.
        let own = Members { root: self.root, properties: Vec::new(), closed: None };
        let items = &schema["items"];
        let pointer = items["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        let items = pointer.and_then(|pointer| own.root.pointer(pointer)).unwrap_or(items);
        match &items["type"] {
            Value::String(word) => vec![word.clone()],
            Value::Array(words) => words.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }
}

/// A member of a task's inputs, described.
pub(super) struct Member {
    pub name: String,
    pub kind: String,
    pub required: bool,
    pub default: String,
    pub description: String,
    /// How it may be written on a command line.
    pub example: String,
}

fn example(schema: &Value, resolved: &Value, types: &[String]) -> String {
    let given = [
        &schema["examples"][0],
        &resolved["examples"][0],
        &schema["default"],
        &resolved["enum"][0],
        &resolved["const"],
    ];
    let bare = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    if let Some(value) = given.iter().find(|value| !value.is_null()) {
        return bare(value);
    }
    let least = resolved["minimum"].as_f64().unwrap_or(1.0).max(1.0);
    let most = resolved["maximum"].as_f64().unwrap_or(f64::MAX);
    match types.first().map(String::as_str) {
        Some("integer" | "number") => least.min(most).to_string(),
        Some("boolean") => "true".to_owned(),
        Some("array") => "[]".to_owned(),
        Some("object") => "{}".to_owned(),
        _ => "TEXT".to_owned(),
    }
}

fn of_value(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The first reading of `text` that one of `types` takes. What fits none is sent as a string, and the daemon says what is
/// wrong with it.
fn typed(types: &[String], text: &str) -> Option<Json> {
    let takes = |word: &str| types.iter().any(|given| given == word);
    let trimmed = text.trim();
    let json = Json::parse(trimmed).ok().filter(|json| match json.as_str().as_bytes().first() {
        Some(b'"') | None => false,
        Some(b'n') => takes("null"),
        Some(b't' | b'f') => takes("boolean"),
        Some(b'[') => takes("array"),
        Some(b'{') => takes("object"),
        // Whether it is whole is the daemon's to say.
        Some(_) => takes("number") || takes("integer"),
    });
    json.or_else(|| Json::of(text).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "seconds": {"type": "number"}, "count": {"type": ["integer", "null"]}, "name": {"type": "string"},
                "deep": {"type": "boolean"}, "tags": {"type": "array", "items": {"type": "string"}},
                "sizes": {"type": "array", "items": {"type": "integer"}},
                "mode": {"anyOf": [{"$ref": "#/$defs/Mode"}, {"type": "null"}]}, "any": {},
                "more": {"type": "object"}
            },
            "$defs": {"Mode": {"enum": ["fast", "slow"]}},
            "required": ["seconds"]
        })
    }

    #[test]
    fn a_text_becomes_what_the_schema_asks_for() {
        let schema = schema();
        let members = Members::of(&schema);
        let of = |key: &str, text: &str| members.value(key, text).expect("a text").as_str().to_owned();
        assert_eq!(of("seconds", "3.50"), "3.50");
        assert_eq!(of("seconds", "1e400"), "1e400");
        assert_eq!(of("seconds", "abc"), "\"abc\"");
        assert_eq!(of("count", "null"), "null");
        assert_eq!(of("count", "9223372036854775808"), "9223372036854775808");
        assert_eq!(of("name", "3"), "\"3\"");
        assert_eq!(of("name", "true"), "\"true\"");
        assert_eq!(of("deep", "true"), "true");
        assert_eq!(of("mode", "fast"), "\"fast\"");
        assert_eq!(of("mode", "null"), "null");
        assert_eq!(of("more", r#"{"a": 1}"#), r#"{"a":1}"#);
        assert_eq!(of("any", "3"), "\"3\"");
        assert_eq!(of("tags", "[\"a\"]"), "[\"a\"]");
        assert_eq!((of("tags", "1"), of("sizes", "1")), ("[\"1\"]".to_owned(), "[1]".to_owned()));
        assert!(members.value("name", "a\0b").is_none() && members.value("count", "\0").is_none());
        assert_eq!(members.list("sizes", &["1".into(), "2".into()]).expect("a list").as_str(), "[1,2]");
        assert!(members.list("name", &["1".into()]).is_none());
    }

    #[test]
    fn an_unknown_key_is_one_that_the_schema_does_not_list() {
        let of = |schema: Value| (Members::of(&schema).is_unknown("secnds"), Members::of(&schema).refuses("secnds"));
        assert_eq!(of(schema()), (true, false));
        assert_eq!(of(json!({"properties": {"seconds": {}}, "additionalProperties": false})), (true, true));
        assert_eq!(of(json!({"properties": {"seconds": {}}, "additionalProperties": true})), (false, false));
        assert_eq!(of(json!({"type": "object"})), (false, false));
        assert_eq!(of(json!({"$ref": "#/$defs/X", "properties": {"seconds": {}}})), (false, false));
        assert_eq!(Members::of(&schema()).hint("secnds"), "; did you mean `seconds`?");
    }
}

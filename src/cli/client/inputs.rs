//! Inputs as people write them: `k=v` typed by the task's schema, `k:=json`, `k=@file`, `--inputs`.

use std::{fs, io::Read, path::Path};

use serde_json::{Value, value::RawValue};

use super::{session::Session, typing::Members};
use crate::{
    cli::{
        args::client::Inputs,
        failure::{Failure, USAGE},
    },
    client::DefinitionImage,
    domain::{Json, json},
};

/// The largest text that is read from a file or stdin, in bytes: more than any daemon takes.
const LARGEST: u64 = 64 << 20;

/// A member as it was written.
struct Pair {
    key: String,
    value: Written,
}

enum Written {
    /// `k=v` and `k=@file`: to be typed.
    Text(String),
    /// `k:=json` and `k:=@file`.
    Json(Json),
}

/// The inputs of a start of `task` as one JSON object; None where none are given. Asks the daemon for the schema only where
/// there is something to type or to check.
pub(super) async fn of_start(
    session: &Session,
    task: &str,
    base: Option<&Json>,
    pairs: &[String],
) -> Result<Option<Box<RawValue>>, Failure> {
    if base.is_none() && pairs.is_empty() {
        return Ok(None);
    }
    let schema = schema(session, task).await?;
    merged(base, pairs, &schema, task).map(Some)
}

impl Inputs {
    /// What `--inputs` stands for. Reads files and stdin, so it comes before anything catches Ctrl-C.
    pub fn base(&self) -> Result<Option<Json>, Failure> {
        self.inputs.as_deref().map(object).transpose()
    }
}

/// The inputs of `base` with what `--set` replaces.
pub(super) async fn changed(
    session: &Session,
    task: &str,
    base: Option<&RawValue>,
    pairs: &[String],
) -> Result<Option<Box<RawValue>>, Failure> {
    if pairs.is_empty() {
        return Ok(None);
    }
    let base = base.map(|raw| Json::from(raw.to_owned()));
    let schema = schema(session, task).await?;
    merged(base.as_ref(), pairs, &schema, task).map(Some)
}

async fn schema(session: &Session, task: &str) -> Result<Value, Failure> {
    let answer = session.client.definition(task).await.map_err(|error| session.failure(&error))?;
    let definition: DefinitionImage = answer.read().map_err(|error| session.failure(&error))?;
    Ok(definition.input_schema.unwrap_or(Value::Null))
}

fn merged(base: Option<&Json>, pairs: &[String], schema: &Value, task: &str) -> Result<Box<RawValue>, Failure> {
    let members = Members::of(schema);
    let unknown = |key: &str| Failure::new(USAGE, format!("the task {task} has no input `{key}`{}", members.hint(key)));
    let mut kept: Vec<(String, String)> = Vec::new();
    if let Some(base) = base {
        for (key, value) in json::members(base.raw()).unwrap_or_default() {
            if members.refuses(&key) {
                return Err(unknown(&key));
            }
            kept.push((key.into_owned(), value.get().to_owned()));
        }
    }
    for (key, values) in grouped(pairs)? {
        if members.is_unknown(&key) {
            return Err(unknown(&key));
        }
        let value = value_of(&members, &key, values)?;
        kept.retain(|(other, _)| *other != key);
        kept.push((key, value.as_str().to_owned()));
    }
    let text = |key: &str| Value::String(key.to_owned()).to_string();
    let inner = kept.iter().map(|(key, value)| format!("{}:{value}", text(key))).collect::<Vec<_>>().join(",");
    RawValue::from_string(format!("{{{inner}}}"))
        .map_err(|error| Failure::new(USAGE, format!("the inputs are no JSON: {error}")))
}

/// What was written for each key, in the order in which the keys came first.
fn grouped(pairs: &[String]) -> Result<Vec<(String, Vec<Written>)>, Failure> {
    let mut groups: Vec<(String, Vec<Written>)> = Vec::new();
    for pair in pairs {
        let Pair { key, value } = pair_of(pair)?;
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, values)) => values.push(value),
            None => groups.push((key, vec![value])),
        }
    }
    Ok(groups)
}

fn value_of(members: &Members<'_>, key: &str, mut values: Vec<Written>) -> Result<Json, Failure> {
    if values.len() == 1 {
        return match values.remove(0) {
            Written::Json(json) => Ok(json),
            Written::Text(text) => members.value(key, &text).ok_or_else(|| {
                Failure::new(USAGE, format!("the input `{key}` holds a NUL character, which JSON here cannot hold"))
            }),
        };
    }
    let texts: Option<Vec<_>> = values
        .into_iter()
        .map(|value| match value {
            Written::Text(text) => Some(text),
            Written::Json(_) => None,
        })
        .collect();
    texts.and_then(|texts| members.list(key, &texts)).ok_or_else(|| {
        Failure::new(USAGE, format!("the input `{key}` is given twice, and the task takes no list there"))
    })
}

fn pair_of(pair: &str) -> Result<Pair, Failure> {
    let malformed = || Failure::new(USAGE, format!("`{pair}` is no input: write KEY=VALUE, KEY:=JSON or KEY=@FILE"));
    let (key, text) = pair.split_once('=').ok_or_else(malformed)?;
    let (key, is_json) = key.strip_suffix(':').map_or((key, false), |key| (key, true));
    if key.is_empty() {
        return Err(malformed());
    }
    let text = match text.strip_prefix('@') {
        Some(path) => read_file(path)?,
        None => text.to_owned(),
    };
    let value = if is_json {
        let json = Json::parse(&text)
            .map_err(|error| Failure::new(USAGE, format!("the input `{key}` is no JSON: {error}")))?;
        Written::Json(json)
    } else {
        Written::Text(text)
    };
    Ok(Pair { key: key.to_owned(), value })
}

/// `--inputs`: an object, `@FILE`, or `-` for stdin.
fn object(text: &str) -> Result<Json, Failure> {
    let text = argument("--inputs", text)?;
    let json = Json::parse(&text).map_err(|error| Failure::new(USAGE, format!("--inputs is no JSON: {error}")))?;
    if json.is_object() {
        Ok(json)
    } else {
        Err(Failure::new(USAGE, "--inputs must be a JSON object, such as '{\"seconds\":3}'"))
    }
}

/// What `TEXT|@FILE|-` stands for.
pub(super) fn argument(flag: &str, text: &str) -> Result<String, Failure> {
    match text.strip_prefix('@') {
        Some(path) => read_file(path),
        None if text == "-" => {
            read_stdin().map_err(|failure| Failure::new(failure.code, format!("{flag}: {}", failure.message)))
        }
        None => Ok(text.to_owned()),
    }
}

fn read_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(LARGEST).read_to_string(&mut text);
    read.map_err(|error| Failure::new(USAGE, format!("cannot read stdin: {error}")))?;
    Ok(text)
}

/// What stands in the file `path`, or on stdin for `-`.
fn read_file(path: &str) -> Result<String, Failure> {
    if path == "-" {
        return read_stdin();
    }
    let refused = |error: &dyn std::fmt::Display| Failure::new(USAGE, format!("cannot read {path}: {error}"));
    let mut text = String::new();
    let file = fs::File::open(Path::new(path)).map_err(|error| refused(&error))?;
    file.take(LARGEST).read_to_string(&mut text).map_err(|error| refused(&error))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn built(base: Option<&str>, pairs: &[&str]) -> Result<String, String> {
        let schema = json!({"properties": {"seconds": {"type": "number"}, "name": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}}}});
        let base = base.map(|text| object(text).expect("an object"));
        let pairs: Vec<_> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        merged(base.as_ref(), &pairs, &schema, "t").map(|raw| raw.get().to_owned()).map_err(|failure| failure.message)
    }

    #[test]
    fn pairs_replace_members_of_the_object() {
        let built = |base, pairs: &[&str]| built(base, pairs).expect("valid");
        assert_eq!(
            built(Some(r#"{"seconds": 1e400, "x": [1]}"#), &["name=a=b"]),
            r#"{"seconds":1e400,"x":[1],"name":"a=b"}"#
        );
        assert_eq!(built(Some(r#"{"seconds": 1}"#), &["seconds=2.0"]), r#"{"seconds":2.0}"#);
        assert_eq!(built(None, &["tags=a", "tags=b", "name:=null"]), r#"{"tags":["a","b"],"name":null}"#);
    }

    #[test]
    fn what_is_wrong_is_named_with_the_remedy() {
        let wrong = |pairs: &[&str]| built(None, pairs).expect_err("wrong");
        assert_eq!(wrong(&["secnds=3"]), "the task t has no input `secnds`; did you mean `seconds`?");
        assert!(wrong(&["seconds"]).ends_with("write KEY=VALUE, KEY:=JSON or KEY=@FILE"));
        assert!(wrong(&["seconds:={"]).starts_with("the input `seconds` is no JSON"));
        assert!(wrong(&["seconds=1", "seconds=2"]).contains("given twice"));
        assert!(wrong(&["name=@/no/such/file"]).starts_with("cannot read /no/such/file"));
    }
}

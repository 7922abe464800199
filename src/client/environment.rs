//! What the daemon tells a command by its environment: where and as whom to report, and what to work on.

use std::{fs, io, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};

pub use crate::domain::variables::{INSTANCE, TOKEN, URL};
use crate::domain::{
    Json,
    json::InvalidJson,
    variables::{INPUT_DATA, INPUT_FILE},
};

/// A variable that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} is not set: the daemon sets it for every command that runs as a task ([[tasks]]), and an application that embeds the daemon where it serves HTTP; start this program as such a command"
)]
pub struct MissingVariable {
    /// Its name.
    pub name: &'static str,
}

/// Where and as whom a command reports.
#[derive(Clone, PartialEq, Eq)]
pub struct Environment {
    /// The daemon.
    pub url: String,
    /// The attempt's token.
    pub token: String,
    /// The instance: its UUID or number.
    pub instance: String,
}

impl Environment {
    /// That of this process.
    ///
    /// # Errors
    /// [`MissingVariable`]: the first that is not set, or empty.
    pub fn read() -> Result<Environment, MissingVariable> {
        Environment::of(|name| std::env::var(name).ok())
    }

    /// What `variable` answers.
    ///
    /// # Errors
    /// As for [`Environment::read`].
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Environment, MissingVariable> {
        let need = |name| given(variable(name)).ok_or(MissingVariable { name });
        Ok(Environment { instance: need(INSTANCE)?, url: need(URL)?, token: need(TOKEN)? })
    }
}

/// A variable that is set and not empty.
pub fn given(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

/// Inputs that the daemon handed over and that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InvalidInputs {
    /// The file cannot be read.
    #[error("cannot read the inputs from {} ({INPUT_FILE})", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The variable is no base64 of a text.
    #[error("{INPUT_DATA} is no base64 of a JSON text")]
    Encoding,
    /// The text is no JSON.
    #[error("the inputs are no JSON")]
    Json(#[source] InvalidJson),
}

/// The inputs of the task that this process is: from the file that `TASKWRIGHT_INPUT_FILE` names, else from
/// `TASK_DATA_INPUT`. None outside a task.
///
/// # Errors
/// [`InvalidInputs`].
pub fn inputs() -> Result<Option<Json>, InvalidInputs> {
    inputs_of(|name| std::env::var(name).ok())
}

fn inputs_of(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Json>, InvalidInputs> {
    let text = if let Some(path) = given(variable(INPUT_FILE)).map(PathBuf::from) {
        fs::read_to_string(&path).map_err(|source| InvalidInputs::Unreadable { path, source })?
    } else if let Some(data) = given(variable(INPUT_DATA)) {
        let bytes = BASE64_STANDARD.decode(data).map_err(|_| InvalidInputs::Encoding)?;
        String::from_utf8(bytes).map_err(|_| InvalidInputs::Encoding)?
    } else {
        return Ok(None);
    };
    Json::parse(&text).map(Some).map_err(InvalidInputs::Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_missing_variable_is_named() {
        let all = [(INSTANCE, "7"), (URL, "http://127.0.0.1:1"), (TOKEN, "twa_x")];
        let without = |missing: &str| {
            Environment::of(|name| {
                all.iter().find(|(known, _)| *known == name && *known != missing).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(without("").expect("all are there").instance, "7");
        for (name, _) in all {
            let error = without(name).map(drop).expect_err(name).to_string();
            assert!(
                error.starts_with(&format!("{name} is not set: ")) && error.contains("start this program as"),
                "{error}"
            );
        }
        assert_eq!(Environment::of(|_| Some(String::new())).map(drop), Err(MissingVariable { name: INSTANCE }));
    }

    #[test]
    fn inputs_come_from_the_file_or_the_variable() {
        let from = |file: Option<&str>, data: Option<&str>| {
            inputs_of(|name| if name == INPUT_FILE { file } else { data }.map(str::to_owned))
        };
        assert!(matches!(from(None, None), Ok(None)));
        let text = |inputs: Result<Option<Json>, InvalidInputs>| {
            inputs.expect("readable").map(|json| json.as_str().to_owned())
        };
        assert_eq!(text(from(None, Some("eyJhIjogMWU0MDB9"))).as_deref(), Some(r#"{"a":1e400}"#));
        assert!(matches!(from(None, Some("{}")), Err(InvalidInputs::Encoding)));
        assert!(matches!(from(None, Some("YQ==")), Err(InvalidInputs::Json(_))));
        let missing = from(Some("/no/such/file"), Some("e30=")).expect_err("no such file");
        assert_eq!(missing.to_string(), "cannot read the inputs from /no/such/file (TASKWRIGHT_INPUT_FILE)");
    }
}

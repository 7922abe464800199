//! `config check`, and `config show`: the configuration as TOML that `serve` would take, or as JSON.

use serde_json::{Map, Value as Json, json};
use toml::Value;

use crate::{
    cli::{
        Program,
        args::operator::{ConfigFile, ConfigShow, ShowFormat},
        catalog,
        failure::{FAILURE, Failure},
        print,
    },
    config::{self, Config, Group, Setting, Sources},
};

/// Comments stand in one column where the value before them is not longer.
const COLUMN: usize = 48;

pub(super) fn check(program: Program<'_>, file: ConfigFile) -> Result<(), Failure> {
    let config = Config::load(&Sources::of_process(file.config))?;
    config.check_exposure()?;
    let definitions = catalog(program, &config)?.iter().count();
    let place = config.file.as_ref().map_or("no file".to_owned(), |file| file.display().to_string());
    let counted = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let (tasks, tokens) = (counted(definitions, "task"), counted(config.tokens.len(), "token"));
    print::line(&format!("{place}: valid; {tasks}, {tokens}"))
}

pub(super) fn show(shown: ConfigShow) -> Result<(), Failure> {
    let groups = config::show(&shown.overrides.sources(shown.file))?;
    match shown.output {
        ShowFormat::Toml => print::all(&toml(&groups, shown.origin)),
        ShowFormat::Json => {
            let document = json_of(&groups, shown.origin);
            let text = serde_json::to_string_pretty(&document)
                .map_err(|error| Failure::new(FAILURE, format!("cannot write the configuration as JSON: {error}")))?;
            print::line(&text)
        }
    }
}

fn toml(groups: &[Group], with_origin: bool) -> String {
    let mut text = String::new();
    for group in groups {
        if !text.is_empty() {
            text.push('\n');
        }
        let name = group.name.iter().map(|part| key(part)).collect::<Vec<_>>().join(".");
        text.push_str(&if group.is_item { format!("[[{name}]]\n") } else { format!("[{name}]\n") });
        for setting in &group.settings {
            let Setting { value, stand_in, .. } = setting;
            let assignment = format!("{} = {}", key(&setting.key), stand_in.as_ref().unwrap_or(value));
            let remark = [
                stand_in.as_ref().map(|_| "hidden: no token has this hash".to_owned()),
                with_origin.then(|| setting.origin.to_string()),
            ];
            let remark = remark.into_iter().flatten().collect::<Vec<_>>().join("; ");
            if remark.is_empty() {
                text.push_str(&format!("{assignment}\n"));
            } else {
                text.push_str(&format!("{assignment:<COLUMN$}  # {remark}\n"));
            }
        }
    }
    text
}

/// A key as TOML writes it.
fn key(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !name.is_empty() && name.bytes().all(bare) {
        name.to_owned()
    } else {
        Value::String(name.to_owned()).to_string()
    }
}

/// The tables as objects; with origins each value is `{"value":…,"origin":…}`.
fn json_of(groups: &[Group], with_origin: bool) -> Json {
    let mut document = Map::new();
    document.insert("tokens".to_owned(), json!([]));
    document.insert("tasks".to_owned(), json!([]));
    document.insert("handlers".to_owned(), json!({}));
    for group in groups {
        let mut table = Map::new();
        for setting in &group.settings {
            let value = json!(setting.value);
            let value =
                if with_origin { json!({ "value": value, "origin": setting.origin.to_string() }) } else { value };
            table.insert(setting.key.clone(), value);
        }
        let table = Json::Object(table);
        match (group.name.as_slice(), group.is_item) {
            ([list], true) => {
                if let Some(Json::Array(items)) = document.get_mut(list) {
                    items.push(table);
                }
            }
            ([section, name], false) => document[section][name] = table,
            _ => _ = document.insert(group.name.join("."), table),
        }
    }
    Json::Object(document)
}

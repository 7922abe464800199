//! Where a configuration comes from: a file, the environment, flags. Nothing here knows what a key means.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{
    ConfigError,
    keys::{self, Form},
};
use crate::domain::suggest;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 4 << 20;

/// How the names of our variables begin.
const PREFIX: &str = "TASKWRIGHT_";

/// What a configuration is made from. Later ones win: file, variables, flags.
#[derive(Default)]
pub struct Sources {
    /// `--config`; without it `TASKWRIGHT_CONFIG` and the usual places are looked at.
    pub file: Option<PathBuf>,
    /// Taken in place of any file.
    pub preset: Option<Table>,
    /// The environment.
    pub variables: BTreeMap<OsString, OsString>,
    /// Flags, as `(section, key, value, flag)`.
    pub flags: Vec<(&'static str, &'static str, String, &'static str)>,
    /// Whether the process is root's: decides where things are by default.
    pub root: bool,
}

impl Sources {
    /// Those of this process, with `--config`.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        Sources {
            file,
            variables: std::env::vars_os().collect(),
            root: rustix::process::geteuid().is_root(),
            ..Sources::default()
        }
    }

    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Reads and merges them.
    pub(super) fn merge(&self) -> Result<Merged, ConfigError> {
        let file = if self.preset.is_some() { None } else { self.find_file()? };
        let table = self.preset.clone().unwrap_or_default();
        let mut merged = Merged { file: None, table, origins: BTreeMap::new() };
        if let Some((path, text)) = file {
            merged.table = parse(&text).map_err(|(position, detail)| ConfigError::Syntax {
                place: match position {
                    Some((line, column)) => format!("{}:{line}:{column}", path.display()),
                    None => path.display().to_string(),
                },
                detail,
            })?;
            merged.file = Some(path);
        }
        let mut from: BTreeMap<String, &str> = BTreeMap::new();
        for (name, value) in &self.variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX) && name.contains("__")) else {
                continue;
            };
            let text = value.to_str().ok_or_else(|| ConfigError::Value {
                place: name.to_owned(),
                detail: "the value is not UTF-8".to_owned(),
            })?;
            let target = merged.target(name)?;
            if let Some(other) = from.insert(target.path.join("."), name) {
                return Err(ConfigError::Value {
                    place: name.to_owned(),
                    detail: format!("{other} sets the same key: keep one of them"),
                });
            }
            let content = if target.is_file { Some(read(Path::new(text))?) } else { None };
            let content = content.as_deref().map(|text| text.trim_end_matches(['\r', '\n']));
            merged.set(&target.path, target.form, content.unwrap_or(text), name)?;
        }
        for (section, key, value, flag) in &self.flags {
            let form = keys::of_section(section)
                .and_then(|keys| keys.iter().find(|(name, _)| name == key))
                .map_or(Form::Text, |(_, form)| *form);
            merged.set(&[(*section).to_owned(), (*key).to_owned()], form, value, flag)?;
        }
        Ok(merged)
    }

    /// The file to read, and what it says.
    fn find_file(&self) -> Result<Option<(PathBuf, String)>, ConfigError> {
        let asked = self.file.clone().or_else(|| self.variable("TASKWRIGHT_CONFIG").map(PathBuf::from));
        if let Some(path) = asked {
            let text = read(&path)?;
            return Ok(Some((path, text)));
        }
        for path in super::paths::usual_files(self) {
            match read(&path) {
                Ok(text) => return Ok(Some((path, text))),
                Err(ConfigError::Unreadable { source, .. })
                    if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// Everything that was said, by whom, before it is understood.
pub(super) struct Merged {
    /// The file, where there is one.
    pub file: Option<PathBuf>,
    /// All layers in one.
    pub table: Table,
    /// By dotted key: the variable or flag that set it, where it was not the file.
    pub origins: BTreeMap<String, String>,
}

/// What a variable sets.
struct Target {
    path: Vec<String>,
    form: Form,
    is_file: bool,
}

impl Merged {
    /// How a message calls the place of a dotted key.
    pub fn place(&self, key: &str) -> String {
        let by = |key: &str| self.origins.get(key).cloned();
        let top = key.split(['.', '[']).next().unwrap_or(key);
        match by(key).or_else(|| by(top)) {
            Some(origin) if self.origins.contains_key(key) => origin,
            Some(origin) => format!("{origin}: {key}"),
            None => match &self.file {
                Some(path) => format!("{}: {key}", path.display()),
                None => key.to_owned(),
            },
        }
    }

    /// What the variable `name` sets.
    fn target(&self, name: &str) -> Result<Target, ConfigError> {
        let unknown = || {
            let known = keys::variables();
            // What all have in common makes none near.
            let own = |name: &str| name.strip_prefix(PREFIX).unwrap_or_default().to_owned();
            let known: Vec<String> = known.iter().map(|known| own(known)).collect();
            let hint = match suggest::nearest(&own(name), known.iter().map(String::as_str)) {
                Some(near) => format!("; did you mean `{PREFIX}{near}`?"),
                None => "; it is TASKWRIGHT_SECTION__KEY for a key of the configuration file".to_owned(),
            };
            ConfigError::Unknown { place: "environment".to_owned(), name: name.to_owned(), hint }
        };
        let parts: Vec<&str> = name[PREFIX.len()..].split("__").collect();
        // `TASKWRIGHT__TOKENS` has nothing before its double underscore.
        let (head, tail) = match parts.as_slice() {
            ["_TOKENS" | "_TASKS" | "_HANDLERS" | "_TOKENS_FILE" | "_TASKS_FILE" | "_HANDLERS_FILE"] => {
                (parts[0][1..].to_owned(), &parts[1..])
            }
            [section, tail @ ..] => ((*section).to_owned(), tail),
            [] => return Err(unknown()),
        };
        let find = |known: &[&'static str], word: &str| {
            let exact = known.iter().find(|known| known.to_uppercase() == word).map(|known| (*known, false));
            exact.or_else(|| {
                let word = word.strip_suffix("_FILE")?;
                known.iter().find(|known| known.to_uppercase() == word).map(|known| (*known, true))
            })
        };
        if tail.is_empty() {
            let (list, is_file) = find(keys::LISTS, &head).ok_or_else(unknown)?;
            return Ok(Target { path: vec![list.to_owned()], form: Form::Toml, is_file });
        }
        if head == "HANDLERS"
            && let [handler, key] = tail
            && !handler.is_empty()
            && !key.is_empty()
        {
            // The names of handlers are not known here; `-` cannot stand in a variable's name.
            let written = handler.to_lowercase();
            let in_file = self.table.get("handlers").and_then(Value::as_table).and_then(|handlers| {
                handlers.keys().find(|name| name.to_lowercase().replace('-', "_") == written).cloned()
            });
            let key = key.to_lowercase();
            let is_file = key.ends_with("_file");
            let key = key.strip_suffix("_file").unwrap_or(&key).to_owned();
            let path = vec!["handlers".to_owned(), in_file.unwrap_or(written), key];
            return Ok(Target { path, form: Form::Toml, is_file });
        }
        let section = keys::SECTIONS.iter().find(|(section, _)| section.to_uppercase() == head);
        let (section, known) = section.ok_or_else(unknown)?;
        let [word] = tail else { return Err(unknown()) };
        let names: Vec<&'static str> = known.iter().map(|(key, _)| *key).collect();
        let (key, is_file) = find(&names, word).ok_or_else(unknown)?;
        let form = known.iter().find(|(name, _)| *name == key).map_or(Form::Text, |(_, form)| *form);
        Ok(Target { path: vec![(*section).to_owned(), key.to_owned()], form, is_file })
    }

    /// Puts `text` at `path`.
    fn set(&mut self, path: &[String], form: Form, text: &str, origin: &str) -> Result<(), ConfigError> {
        let value = match form {
            Form::Text => Value::String(text.to_owned()),
            Form::Toml => match one_value(text, path) {
                Ok(value) => value,
                // A handler's own key may well be a text.
                Err(_) if path.len() == 3 => Value::String(text.to_owned()),
                Err(detail) => {
                    let detail = format!("{detail}; write the value as in the configuration file");
                    return Err(ConfigError::Syntax { place: origin.to_owned(), detail });
                }
            },
        };
        let (last, tables) = path.split_last().expect("a key has a name");
        let mut table = &mut self.table;
        for name in tables {
            let entry = table.entry(name.clone()).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = entry else {
                return Err(ConfigError::Value {
                    place: self.file.as_ref().map_or(String::new(), |path| path.display().to_string()),
                    detail: format!("`{name}` must be a table: write [{name}]"),
                });
            };
            table = inner;
        }
        table.insert(last.clone(), value);
        self.origins.insert(path.join("."), origin.to_owned());
        Ok(())
    }
}

/// Parses a document; an error has its line and column, and stands on one line.
fn parse(text: &str) -> Result<Table, (Option<(usize, usize)>, String)> {
    text.parse::<Table>().map_err(|error| {
        let position = error.span().map(|span| {
            let before = text.get(..span.start.min(text.len())).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            (line, before.chars().rev().take_while(|c| *c != '\n').count() + 1)
        });
        (position, error.message().replace('\n', ", "))
    })
}

/// One value as TOML writes it; for a list of tables also the `[[…]]` blocks themselves.
fn one_value(text: &str, path: &[String]) -> Result<Value, String> {
    if let [list] = path
        && text.trim_start().starts_with(['[', '#'])
        && let Ok(mut table) = text.parse::<Table>()
        && table.len() == 1
        && let Some(value) = table.remove(list)
    {
        return Ok(value);
    }
    let document = format!("value = {}\n", text.trim());
    match parse(&document) {
        Ok(mut table) if table.len() == 1 => Ok(table.remove("value").expect("it was written above")),
        Ok(_) => Err("it is more than one value".to_owned()),
        Err((_, detail)) => Err(detail),
    }
}

/// What a configuration file, or the file of a `…_FILE` variable, says.
fn read(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let file = fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_file() && metadata.permissions().mode() & 0o002 != 0 {
        return Err(ConfigError::WorldWritable { path: path.to_owned() });
    }
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LARGEST {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

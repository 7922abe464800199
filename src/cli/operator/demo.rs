//! `serve --demo`: a folder of its own with a store and a sample task, gone when the daemon has ended.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::cli::failure::{FAILURE, Failure};
use crate::{config::Sources, server::TemporaryFolder};

/// The sample task, a Python program.
const COUNT_WORDS: &str = include_str!("../../../examples/python/count_words.py");

/// The folder; removed when dropped.
pub(super) struct Demo {
    _folder: TemporaryFolder,
}

impl Demo {
    /// Makes the folder, and puts the demo's configuration in place of a file.
    pub fn prepare(ships_checksum: bool, sources: &mut Sources) -> Result<Demo, Failure> {
        let failed = |what: &str, error: std::io::Error| Failure::new(FAILURE, format!("cannot make {what}: {error}"));
        let folder = TemporaryFolder::create("taskwright-demo").map_err(|error| failed("the folder", error))?;
        let mut preset = toml::Table::new();
        let url = format!("sqlite://{}", folder.path().join("taskwright.db").display());
        preset.insert("database".into(), toml::Value::Table(toml::Table::from_iter([("url".to_owned(), url.into())])));
        if ships_checksum {
            let here = env::current_dir().map_err(|error| failed("the roots of checksum", error))?;
            let roots = toml::Value::Array(vec![here.display().to_string().into()]);
            let checksum = toml::Table::from_iter([("roots".to_owned(), roots)]);
            let handlers = toml::Table::from_iter([("checksum".to_owned(), toml::Value::Table(checksum))]);
            preset.insert("handlers".into(), toml::Value::Table(handlers));
        }
        if let Some(python) = find("python3") {
            let script = folder.path().join("count_words.py");
            fs::write(&script, COUNT_WORDS).map_err(|error| failed("the sample task", error))?;
            preset.insert("tasks".into(), toml::Value::Array(vec![count_words(&python, &script)]));
        }
        sources.preset = Some(preset);
        // Whatever store is configured, the demo keeps away from it.
        sources.variables.remove(std::ffi::OsStr::new("TASKWRIGHT_DATABASE__URL"));
        sources.variables.remove(std::ffi::OsStr::new("TASKWRIGHT_DATABASE__URL_FILE"));
        Ok(Demo { _folder: folder })
    }
}

fn count_words(python: &Path, script: &Path) -> toml::Value {
    let text = |text: &str| toml::Value::String(text.to_owned());
    let command = [python, script].map(|word| text(&word.display().to_string()));
    let member = |description: &str, default: Option<&str>| {
        let mut member = toml::Table::new();
        member.insert("type".to_owned(), text("string"));
        member.insert("description".to_owned(), text(description));
        if let Some(default) = default {
            member.insert("default".to_owned(), text(default));
        }
        toml::Value::Table(member)
    };
    let schema = toml::Table::from_iter([
        ("type".to_owned(), text("object")),
        ("required".to_owned(), toml::Value::Array(vec![text("folder")])),
        (
            "properties".to_owned(),
            toml::Value::Table(toml::Table::from_iter([
                ("folder".to_owned(), member("Where the files are", None)),
                ("pattern".to_owned(), member("Which files", Some("*.rs"))),
            ])),
        ),
    ]);
    toml::Value::Table(toml::Table::from_iter([
        ("name".to_owned(), text("count-words")),
        (
            "description".to_owned(),
            text("Count the words of the *.rs files (or pattern) in a folder; a Python program"),
        ),
        ("command".to_owned(), toml::Value::Array(command.to_vec())),
        ("input_schema".to_owned(), toml::Value::Table(schema)),
    ]))
}

/// The program `name` on the PATH.
fn find(name: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(is_program)
}

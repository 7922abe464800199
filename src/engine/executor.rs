//! `numerous-executor FILE` as a command: calls the `@task` function of a Python file. A program of ours, written into the
//! attempt's scratch directory, so that nobody has to install it.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use super::{catalog::CommandRunner, scratch::Scratch};

/// The name that stands for our program.
const NAME: &str = "numerous-executor";
/// Our program.
const PROGRAM: &str = include_str!("numerous_executor.py");
/// Its file in a scratch directory.
const FILE: &str = "numerous_executor.py";
const PYTHON: &str = "python3";

/// What is to be executed for `command`, which runs the task `name`: itself, or where it is `numerous-executor`, with a
/// folder before it or without, Python with our program.
///
/// # Errors
/// Where our program cannot be written.
pub fn argv(command: &CommandRunner, name: &str, scratch: &Scratch) -> io::Result<Vec<OsString>> {
    let mut words = command.argv.iter().map(OsString::from);
    let Some(folder) = command.argv.first().and_then(|program| folder(program)) else { return Ok(words.collect()) };
    let program = scratch.write(FILE, PROGRAM.as_bytes())?;
    let python = python(&command.directory, folder);
    Ok([python, program.into()].into_iter().chain(words.by_ref().skip(1)).chain([name.into()]).collect())
}

/// The folder of `program` where that is `numerous-executor`; empty without one.
fn folder(program: &str) -> Option<&str> {
    match program.rsplit_once('/') {
        Some((folder, NAME)) => Some(if folder.is_empty() { "/" } else { folder }),
        Some(_) => None,
        None => (program == NAME).then_some(""),
    }
}

/// The Python of the folder, if it holds one; else the first on the command's own PATH.
fn python(directory: &Path, folder: &str) -> OsString {
    let own: Option<PathBuf> = (!folder.is_empty()).then(|| directory.join(folder).join(PYTHON));
    // Where it points to does not matter: an environment's own is a link, and is known by its place.
    own.filter(|path| path.is_file()).map_or_else(|| PYTHON.into(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_program_is_known_by_its_name() {
        for (program, found) in [
            ("numerous-executor", Some("")),
            ("venv/bin/numerous-executor", Some("venv/bin")),
            ("/opt/venv/bin/numerous-executor", Some("/opt/venv/bin")),
            ("/numerous-executor", Some("/")),
            ("./numerous-executor", Some(".")),
            ("my-numerous-executor", None),
            ("python3", None),
            ("numerous-executor/x", None),
        ] {
            assert_eq!(folder(program), found, "{program}");
        }
    }

    #[test]
    fn the_python_beside_it_is_taken_where_there_is_one() {
        let place = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(place.path().join("venv/bin")).expect("folders");
        assert_eq!(python(place.path(), "venv/bin"), "python3");
        let own = place.path().join("venv/bin/python3");
        std::os::unix::fs::symlink("/bin/true", &own).expect("a link");
        assert_eq!(python(place.path(), "venv/bin"), own.as_os_str());
        assert_eq!(python(Path::new("/"), own.parent().and_then(Path::to_str).expect("text")), own.as_os_str());
        assert_eq!(python(place.path(), ""), "python3");
    }
}

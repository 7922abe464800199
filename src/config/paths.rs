//! Where things are when nobody says so: as root the system's places, else the user's (XDG), and what systemd hands over.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::Sources;

/// The files that are tried, in order.
pub(super) fn usual_files(sources: &Sources) -> Vec<PathBuf> {
    let system = Path::new("/etc/taskwright/config.toml").to_owned();
    let user = user_folder(sources, "XDG_CONFIG_HOME", ".config").map(|folder| folder.join("taskwright/config.toml"));
    let unit = sources.variable("CONFIGURATION_DIRECTORY").map(|folders| first(folders).join("config.toml"));
    // A user's own file is nearer than the machine's; root's own is the machine's.
    let both = if sources.root { [Some(system), user] } else { [user, Some(system)] };
    unit.into_iter().chain(both.into_iter().flatten()).collect()
}

/// The database file.
pub(super) fn database(sources: &Sources) -> PathBuf {
    const NAME: &str = "taskwright.db";
    if let Some(folders) = sources.variable("STATE_DIRECTORY") {
        return first(folders).join(NAME);
    }
    let user = || user_folder(sources, "XDG_STATE_HOME", ".local/state");
    match (sources.root, user()) {
        (false, Some(folder)) => folder.join("taskwright").join(NAME),
        (false, None) => PathBuf::from(NAME),
        (true, _) => Path::new("/var/lib/taskwright").join(NAME),
    }
}

/// The first of folders that systemd separates by colons.
fn first(folders: &OsStr) -> PathBuf {
    std::env::split_paths(folders).next().unwrap_or_default()
}

/// `$variable`, else the folder in the home directory. XDG says that a relative path is to be ignored.
fn user_folder(sources: &Sources, variable: &str, in_home: &str) -> Option<PathBuf> {
    let given = sources.variable(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    given.or_else(|| sources.variable("HOME").map(|home| Path::new(home).join(in_home)))
}

/// The name of this machine.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

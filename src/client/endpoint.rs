//! The file by which a daemon tells the clients of the same user where it listens.
//!
//! One file a daemon, `daemon-PID.json`, in `$XDG_RUNTIME_DIR/taskwright`; as root without that variable in
//! `/run/taskwright`; else in `$XDG_STATE_HOME/taskwright`. A file whose process has ended counts for nothing, also where
//! another process has its id.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process,
};

use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use crate::domain::Micros;

/// Reads a variable of the environment.
pub type Variable<'a> = &'a dyn Fn(&str) -> Option<OsString>;

#[derive(Serialize, Deserialize)]
struct Endpoint {
    url: String,
    pid: u32,
    /// When the process began, in ticks since the machine did.
    begun: u64,
    /// When the daemon began to listen.
    since: Micros,
}

/// A daemon's own file; removed when dropped.
#[derive(Debug)]
pub struct EndpointFile(PathBuf);

impl EndpointFile {
    /// Writes that this process listens at `url`, and removes what daemons that were killed have left.
    ///
    /// # Errors
    /// Why it could not be written.
    pub fn write(url: &str) -> io::Result<EndpointFile> {
        EndpointFile::write_in(&folder(&|name| std::env::var_os(name))?, url)
    }

    fn write_in(folder: &Path, url: &str) -> io::Result<EndpointFile> {
        fs::create_dir_all(folder)?;
        for (path, _) in left(folder).into_iter().filter(|(_, endpoint)| !endpoint.lives()) {
            // Another daemon may have removed it already.
            let _ = fs::remove_file(path);
        }
        let pid = process::id();
        let begun = begun(pid).ok_or_else(|| io::Error::other("/proc says nothing of this process"))?;
        let endpoint = Endpoint { url: url.to_owned(), pid, begun, since: Micros::now() };
        let path = folder.join(format!("daemon-{pid}.json"));
        let draft = folder.join(format!(".daemon-{pid}.json"));
        let _ = fs::remove_file(&draft);
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        serde_json::to_writer(file, &endpoint)?;
        fs::rename(draft, &path)?;
        Ok(EndpointFile(path))
    }
}

impl Drop for EndpointFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Endpoint {
    fn lives(&self) -> bool {
        begun(self.pid) == Some(self.begun)
    }
}

/// Where the daemon of this user listens that began last, and the file that says so.
pub fn newest(variable: Variable<'_>) -> Option<(String, PathBuf)> {
    newest_in(&folder(variable).ok()?)
}

fn newest_in(folder: &Path) -> Option<(String, PathBuf)> {
    let mut found = left(folder);
    found.sort_by_key(|(_, endpoint)| std::cmp::Reverse(endpoint.since));
    found.into_iter().find(|(_, endpoint)| endpoint.lives()).map(|(path, endpoint)| (endpoint.url, path))
}

/// Every such file of this user in `folder`.
fn left(folder: &Path) -> Vec<(PathBuf, Endpoint)> {
    let read = |path: PathBuf| {
        let own = fs::metadata(&path).is_ok_and(|metadata| metadata.uid() == geteuid().as_raw());
        let endpoint = own.then(|| fs::read(&path).ok()).flatten()?;
        Some((path, serde_json::from_slice(&endpoint).ok()?))
    };
    let is_one = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("daemon-") && name.ends_with(".json")
    };
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.filter_map(Result::ok).map(|entry| entry.path()).filter(is_one).filter_map(read).collect()
}

fn folder(variable: Variable<'_>) -> io::Result<PathBuf> {
    if let Some(runtime) = absolute(variable("XDG_RUNTIME_DIR")) {
        return Ok(runtime.join("taskwright"));
    }
    if geteuid().is_root() {
        return Ok(PathBuf::from("/run/taskwright"));
    }
    state_folder(variable).ok_or_else(|| io::Error::other("neither XDG_RUNTIME_DIR, XDG_STATE_HOME nor HOME is set"))
}

/// `$XDG_STATE_HOME/taskwright`, by default `~/.local/state/taskwright`.
pub fn state_folder(variable: Variable<'_>) -> Option<PathBuf> {
    let state = absolute(variable("XDG_STATE_HOME"))
        .or_else(|| absolute(variable("HOME")).map(|home| home.join(".local/state")))?;
    Some(state.join("taskwright"))
}

/// A folder that a variable names; a relative one is to be ignored.
pub(super) fn absolute(value: Option<OsString>) -> Option<PathBuf> {
    value.map(PathBuf::from).filter(|path| path.is_absolute())
}

/// When the process `pid` began; None if there is none.
fn begun(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in brackets, which may hold anything; the 22nd is the time.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    if matches!(fields.next(), Some("Z" | "X")) {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_newest_daemon_that_lives_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(newest_in(folder.path()), None);
        let own = EndpointFile::write_in(folder.path(), "http://127.0.0.1:1").expect("written");
        let mode = fs::metadata(&own.0).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // A newer one whose id has gone to another process, and one that is no such file.
        let begun = begun(process::id()).expect("this process began");
        let since = Micros::now().after(std::time::Duration::from_secs(60));
        let stale = Endpoint { url: "http://x".into(), pid: process::id(), begun: begun + 1, since };
        let stale_path = folder.path().join("daemon-9.json");
        fs::write(&stale_path, serde_json::to_vec(&stale).expect("JSON")).expect("written");
        fs::write(folder.path().join("daemon-8.json"), "{").expect("written");
        assert_eq!(newest_in(folder.path()), Some(("http://127.0.0.1:1".to_owned(), own.0.clone())));
        // The next daemon tidies up.
        drop(own);
        assert_eq!(newest_in(folder.path()), None);
        let _next = EndpointFile::write_in(folder.path(), "http://127.0.0.1:2").expect("written");
        assert!(!stale_path.exists());
    }

    #[test]
    fn the_folder_follows_the_environment() {
        let of = |pairs: &[(&str, &str)]| {
            folder(&|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into())).ok()
        };
        assert_eq!(of(&[("XDG_RUNTIME_DIR", "/run/user/7")]), Some("/run/user/7/taskwright".into()));
        let without = of(&[("XDG_RUNTIME_DIR", "here"), ("HOME", "/home/a")]);
        let expected = if geteuid().is_root() { "/run/taskwright" } else { "/home/a/.local/state/taskwright" };
        assert_eq!(without, Some(expected.into()));
    }
}

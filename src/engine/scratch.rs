//! The scratch directory of a command's attempt: its inputs, and what it leaves.

use std::{
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use super::attempt::Attempt;
use crate::domain::{
    FieldError, Json,
    json::{InvalidJson, compact_bytes},
};

/// The inputs, as JSON.
pub const INPUT_FILE: &str = "input.json";
/// Where a command may leave its output, as JSON.
pub const OUTPUT_FILE: &str = "output.json";

/// The scratch directory of one attempt; removed when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// Makes it, with the inputs in it.
    ///
    /// # Errors
    /// Where it cannot be made or written.
    pub fn create(parent: &Path, attempt: &Attempt) -> io::Result<Scratch> {
        let scratch = Scratch(parent.join(format!("{}-{}", attempt.number, attempt.attempt)));
        match std::fs::DirBuilder::new().mode(0o700).create(&scratch.0) {
            // Left by a daemon that died in this very attempt and could not be cleaned up.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                std::fs::remove_dir_all(&scratch.0)?;
                std::fs::DirBuilder::new().mode(0o700).create(&scratch.0)?;
            }
            other => other?,
        }
        scratch.write(INPUT_FILE, attempt.inputs.as_str().as_bytes())?;
        Ok(scratch)
    }

    /// Makes a file in it that is not there yet, and answers its path.
    ///
    /// # Errors
    /// Where it cannot be made or written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        io::Write::write_all(&mut file, bytes)?;
        Ok(path)
    }

    /// The JSON that the command left; None where it left nothing.
    pub fn output(&self, limit: usize) -> Result<Option<Json>, (Vec<FieldError>, String)> {
        let refuse = |message: String| Err((vec![FieldError::new("", message.clone())], message));
        let path = self.0.join(OUTPUT_FILE);
        // A link or a device in its place is not followed: only what the command wrote counts.
        match std::fs::symlink_metadata(&path) {
            Err(_) => return Ok(None),
            Ok(file) if !file.is_file() => return refuse("the output file is no regular file".to_owned()),
            Ok(file) if file.len() == 0 => return Ok(None),
            Ok(file) if file.len() > limit as u64 => {
                return refuse(format!("the output is {} bytes long; limits.output allows {limit}", file.len()));
            }
            Ok(_) => {}
        }
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => return refuse(format!("the output file cannot be read: {error}")),
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let parsed = compact_bytes(&bytes).and_then(|text| Json::parse(&text));
        match parsed {
            Ok(json) => Ok(Some(json)),
            Err(InvalidJson { fault, at }) => refuse(format!("the output file holds {fault} at byte {at}")),
        }
    }

    /// Removes it where nothing is in it that we do not know, which most commands leave so: without a look at what there is.
    fn remove_known(&self) -> io::Result<()> {
        match std::fs::remove_file(self.0.join(INPUT_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        match std::fs::remove_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            done => return done,
        }
        std::fs::remove_file(self.0.join(OUTPUT_FILE))?;
        std::fs::remove_dir(&self.0)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.remove_known().is_err()
            && let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, directory = %self.0.display(), "a scratch directory cannot be removed");
        }
    }
}

/// Where scratch directories are made unless `TMPDIR` says: in memory, where there is room for them. On a disk each command
/// waits for four changes of the file system, and for the disk itself where that is told of every block that comes free.
const PLACES: [&str; 2] = [IN_MEMORY, "/tmp"];
const IN_MEMORY: &str = "/dev/shm";
/// With less room on it `/dev/shm` is left to others: containers often have 64 MiB there.
const ROOM: u64 = 256 << 20;
/// Of a file system in memory, by statfs(2).
const TMPFS: u64 = 0x0102_1994;
/// Users of the system have lower numbers. For others systemd-logind empties `/dev/shm` when they log out (`RemoveIPC` in
/// logind.conf(5)), whatever still runs.
const FIRST_PERSON: u32 = 1000;

/// Makes the directory that holds the scratch directories of a store's attempts, empty. What a daemon that chose another
/// place has left there is removed.
///
/// # Errors
/// Where it cannot be made, or is somebody else's.
pub fn prepare_scratch(tag: &str) -> io::Result<PathBuf> {
    let uid = std::fs::metadata("/proc/self")?.uid();
    let asked = std::env::var_os("TMPDIR").filter(|path| !path.is_empty());
    let chosen = asked.map_or_else(|| place(uid, Path::new(IN_MEMORY)), PathBuf::from);
    prepare(&chosen, &PLACES.map(Path::new), &format!("taskwright-{uid}-{}", tag.replace(':', "-")), uid)
}

/// Removes the directory that [`prepare_scratch`] made, where nothing is left in it.
pub fn remove_scratch(path: &Path) {
    let _ = std::fs::remove_dir(path);
}

fn place(uid: u32, memory: &Path) -> PathBuf {
    if uid < FIRST_PERSON && has_room_in_memory(memory) { memory.to_owned() } else { std::env::temp_dir() }
}

fn has_room_in_memory(path: &Path) -> bool {
    let Ok(found) = rustix::fs::statfs(path) else { return false };
    // Their widths and signs differ between machines.
    let (kind, block) = (u64::try_from(found.f_type), u64::try_from(found.f_bsize));
    kind == Ok(TMPFS)
        && block.is_ok_and(|block| block.saturating_mul(found.f_bavail) >= ROOM)
        && rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

fn prepare(chosen: &Path, places: &[&Path], name: &str, uid: u32) -> io::Result<PathBuf> {
    for other in places.iter().filter(|place| **place != chosen) {
        let left = other.join(name);
        if is_ours(&left, uid).unwrap_or(false) {
            std::fs::remove_dir_all(&left)?;
        }
    }
    let path = chosen.join(name);
    match std::fs::DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => return Ok(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    if !is_ours(&path, uid)? {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is not a private directory of ours: remove it", path.display()),
        ));
    }
    for entry in std::fs::read_dir(&path)? {
        std::fs::remove_dir_all(entry?.path())?;
    }
    Ok(path)
}

/// Whether it is a directory that nobody but us may enter.
fn is_ours(path: &Path, uid: u32) -> io::Result<bool> {
    let found = std::fs::symlink_metadata(path)?;
    Ok(found.is_dir() && found.uid() == uid && found.permissions().mode() & 0o077 == 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_a_user_of_the_system_has_its_directories_in_memory_and_only_where_memory_is() {
        let disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a folder on a disk");
        assert_eq!(place(0, disk.path()), std::env::temp_dir());
        assert_eq!(place(0, &disk.path().join("absent")), std::env::temp_dir());
        assert_eq!(place(1000, Path::new(IN_MEMORY)), std::env::temp_dir());
        if has_room_in_memory(Path::new(IN_MEMORY)) {
            assert_eq!(place(0, Path::new(IN_MEMORY)), Path::new(IN_MEMORY));
            assert_eq!(place(999, Path::new(IN_MEMORY)), Path::new(IN_MEMORY));
        }
    }

    #[test]
    fn what_the_last_daemon_left_goes_wherever_it_was() {
        let places = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
        let [here, there] = [places[0].path(), places[1].path()];
        let uid = here.metadata().expect("it is there").uid();
        for place in [here, there] {
            let left = place.join("ours/7-1");
            std::fs::create_dir_all(&left).expect("folders");
            std::fs::write(left.join(INPUT_FILE), "{}").expect("a file");
            std::fs::set_permissions(place.join("ours"), PermissionsExt::from_mode(0o700)).expect("a mode");
            std::fs::create_dir(place.join("theirs")).expect("a folder");
        }
        let made = prepare(here, &[here, there], "ours", uid).expect("a place");
        assert_eq!(made, here.join("ours"));
        assert_eq!(made.read_dir().expect("it is there").count(), 0);
        assert!(!there.join("ours").exists() && there.join("theirs").exists());
        std::fs::set_permissions(&made, PermissionsExt::from_mode(0o755)).expect("a mode");
        let refused = prepare(here, &[here, there], "ours", uid).expect_err("others may enter it");
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }
}

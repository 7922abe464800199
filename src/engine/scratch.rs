//! The scratch directory of a command's attempt: its inputs, and what it leaves.

use std::{
    io,
    ops::RangeInclusive,
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
    pub fn create(places: &Places, attempt: &Attempt) -> io::Result<Scratch> {
        match (Scratch::create_in(&places.first, attempt), &places.second) {
            // Memory is full, and a disk may have room.
            (Err(error), Some(second))
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                Scratch::create_in(second, attempt)
            }
            (made, _) => made,
        }
    }

    fn create_in(parent: &Path, attempt: &Attempt) -> io::Result<Scratch> {
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

/// Where the scratch directories of a store's attempts are made.
#[derive(Debug, Clone)]
pub struct Places {
    first: PathBuf,
    /// Where the first has no room.
    second: Option<PathBuf>,
}

/// In memory, where there is room. On a disk each command waits for four changes of the file system, and for the disk itself
/// where that is told of every block that comes free.
const IN_MEMORY: &str = "/dev/shm";
const ON_DISK: &str = "/tmp";
/// With less room on it `/dev/shm` is left to others: containers often have 64 MiB there.
const ROOM: u64 = 256 << 20;
/// Of a file system in memory, by statfs(2).
const TMPFS: u64 = 0x0102_1994;
/// Users that are people. For them systemd-logind empties `/dev/shm` when they log out (`RemoveIPC` in logind.conf(5)),
/// whatever still runs.
const PEOPLE: RangeInclusive<u32> = 1000..=60_000;

/// Makes the directories that hold the scratch directories of a store's attempts, empty: where `TMPDIR` says, else in memory
/// or in `/tmp`.
///
/// # Errors
/// Where none can be made, or one is somebody else's.
pub fn prepare_scratch(tag: &str) -> io::Result<Places> {
    let uid = std::fs::metadata("/proc/self")?.uid();
    let asked = std::env::var_os("TMPDIR").filter(|path| !path.is_empty()).map(PathBuf::from);
    let name = format!("taskwright-{uid}-{}", tag.replace(':', "-"));
    prepare(asked, uses_memory(uid, Path::new(IN_MEMORY)), [IN_MEMORY, ON_DISK].map(Path::new), &name, uid)
}

/// Removes the directories that [`prepare_scratch`] made, where nothing is left in them.
pub fn remove_scratch(places: &Places) {
    for place in [Some(&places.first), places.second.as_ref()].into_iter().flatten() {
        let _ = std::fs::remove_dir(place);
    }
}

fn uses_memory(uid: u32, memory: &Path) -> bool {
    !PEOPLE.contains(&uid) && has_room_in_memory(memory)
}

fn has_room_in_memory(path: &Path) -> bool {
    let Ok(found) = rustix::fs::statfs(path) else { return false };
    // Their widths and signs differ between machines.
    let (kind, block) = (u64::try_from(found.f_type), u64::try_from(found.f_bsize));
    kind == Ok(TMPFS)
        && block.is_ok_and(|block| block.saturating_mul(found.f_bavail) >= ROOM)
        && rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

/// `own` are the places that are chosen where nobody asks for one: memory, then a disk.
fn prepare(asked: Option<PathBuf>, uses_memory: bool, own: [&Path; 2], name: &str, uid: u32) -> io::Result<Places> {
    let [memory, disk] = own;
    let (first, second) = match asked {
        Some(asked) => (asked, None),
        None if uses_memory => (memory.to_owned(), Some(disk)),
        None => (disk.to_owned(), None),
    };
    // What a daemon that chose otherwise has left. It is in nobody's way.
    for left in own.into_iter().filter(|place| *place != first && Some(*place) != second).map(|place| place.join(name))
    {
        if is_ours(&left, uid).unwrap_or(false)
            && let Err(error) = std::fs::remove_dir_all(&left)
        {
            tracing::warn!(%error, directory = %left.display(), "old scratch directories cannot be removed");
        }
    }
    Ok(Places {
        first: make_empty(first.join(name), uid)?,
        // Only an attempt that finds no room in the first misses it.
        second: second.and_then(|place| make_empty(place.join(name), uid).ok()),
    })
}

fn make_empty(path: PathBuf, uid: u32) -> io::Result<PathBuf> {
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
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
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
    fn nobody_who_logs_out_has_its_directories_in_memory() {
        let memory = Path::new(IN_MEMORY);
        assert!(!uses_memory(0, &memory.join("absent")) && !uses_memory(0, Path::new("/proc")), "no memory, no room");
        for (uid, is_person) in [(0, false), (999, false), (1000, true), (60_000, true), (61_184, false)] {
            assert_eq!(uses_memory(uid, memory), !is_person && has_room_in_memory(memory), "{uid}");
        }
    }

    struct Ground {
        own: [tempfile::TempDir; 2],
        uid: u32,
    }

    impl Ground {
        fn new() -> Ground {
            let own = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
            let uid = own[0].path().metadata().expect("it is there").uid();
            Ground { own, uid }
        }

        fn prepare(&self, asked: Option<&Path>, uses_memory: bool) -> io::Result<Places> {
            let own = [self.own[0].path(), self.own[1].path()];
            prepare(asked.map(Path::to_owned), uses_memory, own, "ours", self.uid)
        }
    }

    #[test]
    fn what_the_last_daemon_left_goes_wherever_it_was() {
        let (ground, asked) = (Ground::new(), tempfile::tempdir().expect("a folder"));
        let [memory, disk] = [ground.own[0].path(), ground.own[1].path()];
        let leave = || {
            for place in [memory, disk] {
                std::fs::create_dir_all(place.join("ours/7-1")).expect("folders");
                std::fs::write(place.join("ours/7-1").join(INPUT_FILE), "{}").expect("a file");
                std::fs::write(place.join("ours/stray"), "").expect("a file");
                std::fs::set_permissions(place.join("ours"), PermissionsExt::from_mode(0o700)).expect("a mode");
                std::fs::create_dir_all(place.join("theirs")).expect("a folder");
            }
        };
        let is_empty = |path: &Path| path.read_dir().expect("it is there").count() == 0;

        leave();
        let places = ground.prepare(None, true).expect("places");
        assert_eq!((&places.first, places.second.as_deref()), (&memory.join("ours"), Some(&*disk.join("ours"))));
        assert!(is_empty(&memory.join("ours")) && is_empty(&disk.join("ours")));
        leave();
        let places = ground.prepare(None, false).expect("a place");
        assert_eq!((places.first, places.second), (disk.join("ours"), None));
        assert!(is_empty(&disk.join("ours")) && !memory.join("ours").exists());
        leave();
        let places = ground.prepare(Some(asked.path()), true).expect("a place");
        assert_eq!((&places.first, &places.second), (&asked.path().join("ours"), &None));
        assert!(!disk.join("ours").exists() && !memory.join("ours").exists() && memory.join("theirs").exists());
        remove_scratch(&places);
        assert!(is_empty(asked.path()));
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let ground = Ground::new();
        let made = ground.prepare(None, false).expect("a place").first;
        std::fs::set_permissions(&made, PermissionsExt::from_mode(0o755)).expect("a mode");
        let refused = ground.prepare(None, false).expect_err("others may enter it");
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }
}

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
        for file in [INPUT_FILE, OUTPUT_FILE] {
            match std::fs::remove_file(self.0.join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
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

/// Makes the directory that holds the scratch directories of a store's attempts, empty.
///
/// # Errors
/// Where it cannot be made, or is somebody else's.
pub fn prepare_scratch(tag: &str) -> io::Result<PathBuf> {
    let uid = std::fs::metadata("/proc/self")?.uid();
    let path = scratch_path(uid, tag);
    match std::fs::DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => return Ok(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let found = std::fs::symlink_metadata(&path)?;
    if !found.is_dir() || found.uid() != uid || found.permissions().mode() & 0o077 != 0 {
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

/// Removes the directory again, where nothing is left in it.
pub fn remove_scratch(tag: &str) {
    if let Ok(own) = std::fs::metadata("/proc/self") {
        let _ = std::fs::remove_dir(scratch_path(own.uid(), tag));
    }
}

fn scratch_path(uid: u32, tag: &str) -> PathBuf {
    std::env::temp_dir().join(format!("taskwright-{uid}-{}", tag.replace(':', "-")))
}

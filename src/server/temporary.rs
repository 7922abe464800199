//! A folder for a store that nobody wants to keep.

use std::{
    env, fs,
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// A folder below `$TMPDIR` that only its owner may enter; removed when dropped.
#[derive(Debug)]
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Makes one whose name begins with `prefix`.
    ///
    /// # Errors
    /// What the system says, with the path.
    pub fn create(prefix: &str) -> io::Result<Self> {
        let path = env::temp_dir().join(format!("{prefix}-{}", uuid::Uuid::now_v7()));
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        DirBuilder::new().mode(0o700).create(&path).map_err(named)?;
        Ok(TemporaryFolder(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

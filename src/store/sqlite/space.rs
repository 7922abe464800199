//! How much room the store takes, and how much there is.

use std::{io, path::Path};

use rustix::fs::statvfs;

use super::header::with_suffix;
use crate::store::{Space, StoreError};

/// The room of the database file at `path`, its log included.
pub(super) async fn space(path: &str) -> Result<Space, StoreError> {
    let path = path.to_owned();
    // A file system that hangs must hold up nobody else.
    let looked = tokio::task::spawn_blocking(move || look(Path::new(&path))).await;
    let looked = looked.unwrap_or_else(|error| Err(io::Error::other(error)));
    looked.map_err(|error| StoreError::Unavailable(error.into()))
}

fn look(path: &Path) -> io::Result<Space> {
    let used = path.metadata()?.len();
    // There is none before the first commit.
    let log = with_suffix(path, "-wal").metadata().map_or(0, |found| found.len());
    let disk = statvfs(path)?;
    Ok(Space { used: used + log, free: disk.f_bavail.saturating_mul(disk.f_frsize) })
}

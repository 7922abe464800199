//! Tells whose file it is by its first 100 bytes, before SQLite opens it.
//!
//! SQLite may write to a file that it opens, if only to recover its log; a foreign, newer or damaged file must
//! stay as it is. The file is read by plain means here, so this must happen before the process has any SQLite
//! connection to it: closing a file drops all POSIX locks that the process holds on it.
//! The layout is section 1.3 of <https://www.sqlite.org/fileformat.html>.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::store::OpenError;

/// Marks our files: `TWRI`.
pub(super) const APPLICATION_ID: i64 = 0x5457_5249;
/// The number of the last migration that this binary knows.
pub(super) const SCHEMA: i64 = 6;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const LENGTH: usize = 100;

/// What lies at a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing yet, or what a daemon leaves that is killed before its first migration.
    New,
    /// A store of ours.
    Ours,
}

/// Looks at the file at `path`.
///
/// # Errors
/// Where it is no store that this binary may open.
pub(super) fn inspect(path: &Path) -> Result<Found, OpenError> {
    let location = || path.display().to_string();
    let unavailable = |source: io::Error| OpenError::Unavailable { location: location(), source: Box::new(source) };
    match std::fs::metadata(path) {
        // Before it is opened: a pipe would keep us waiting for its other end.
        Ok(found) if !found.is_file() && !found.is_dir() => return foreign(&location(), "it is no regular file"),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::New),
        Err(error) => return Err(unavailable(error)),
    }
    let mut file = File::open(path).map_err(unavailable)?;
    let length = file.metadata().map_err(unavailable)?.len();
    let mut header = Vec::with_capacity(LENGTH);
    file.by_ref().take(LENGTH as u64).read_to_end(&mut header).map_err(unavailable)?;
    drop(file);
    if header.is_empty() {
        return Ok(Found::New);
    }
    // Beside a log that is not empty the file may rightly be shorter than it says, and older than the log.
    let wal_is_empty = std::fs::metadata(with_suffix(path, "-wal")).map_or(0, |wal| wal.len()) == 0;
    read(&header, length, wal_is_empty, &location())
}

/// The path of a file that SQLite or we keep beside the database.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn read(header: &[u8], length: u64, wal_is_empty: bool, location: &str) -> Result<Found, OpenError> {
    let corrupt =
        |what: &str| Err(OpenError::Corrupt { location: location.to_owned(), source: what.to_owned().into() });
    let magic = &header[..header.len().min(MAGIC.len())];
    if !MAGIC.starts_with(magic) {
        return foreign(location, "it is no SQLite database");
    }
    if header.len() < LENGTH {
        return corrupt("its header is cut off");
    }
    let word = |at: usize| i64::from(u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65536,
        size => u64::from(size),
    };
    if !page_size.is_power_of_two() || page_size < 512 || header[21..24] != [64, 32, 32] {
        return corrupt("its header makes no sense");
    }
    let (pages, schema_cookie, user_version, application_id) = (word(28), word(40), word(60), word(68));
    let is_bare = application_id == 0 && schema_cookie == 0 && user_version == 0 && pages <= 1;
    if is_bare {
        return Ok(Found::New);
    }
    owner(application_id, user_version, location)?;
    if !matches!(header[18], 1 | 2) || !matches!(header[19], 1 | 2) {
        return corrupt("its header makes no sense");
    }
    if wal_is_empty && pages.unsigned_abs() * page_size > length {
        return corrupt("the file is shorter than its header says");
    }
    Ok(Found::Ours)
}

/// Whether a database with these numbers is one that this binary may open.
pub(super) fn owner(application_id: i64, user_version: i64, location: &str) -> Result<(), OpenError> {
    if application_id != APPLICATION_ID {
        return foreign(location, "it is the SQLite database of another program");
    }
    // The column is a signed word.
    let found = i64::from(user_version as i32);
    if found > SCHEMA {
        return Err(OpenError::Newer { location: location.to_owned(), found, known: SCHEMA });
    }
    Ok(())
}

fn foreign<T>(location: &str, why: &str) -> Result<T, OpenError> {
    Err(OpenError::Foreign { location: location.to_owned(), why: why.to_owned() })
}

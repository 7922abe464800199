//! The folders that may be read, and a walk through one of them that never leaves it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::fd::AsRawFd,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt as _, OpenOptionsExt},
    },
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use crate::task::TaskError;

/// The folders below which files may be read.
#[derive(Debug, Clone)]
pub(super) struct Roots(Arc<[PathBuf]>);

impl Roots {
    /// Relative roots are below the daemon's working directory.
    pub(super) fn new(roots: Vec<PathBuf>) -> Self {
        Roots(roots.into_iter().map(|root| std::path::absolute(&root).unwrap_or(root)).collect())
    }

    /// Where `path` really is. Relative paths start at the first root.
    ///
    /// # Errors
    /// Permanent, naming `handlers.checksum.roots`, where that is not below a root; that it is not there is told only
    /// of what would be below one.
    pub(super) fn resolve(&self, path: &Path) -> Result<PathBuf, TaskError> {
        let Some(first) = self.0.first() else {
            return Err(TaskError::permanent(
                "no folder may be read: list those that may in handlers.checksum.roots of the configuration",
            ));
        };
        let asked = first.join(path);
        match fs::canonicalize(&asked) {
            Ok(real) if self.hold(&real) => Ok(real),
            Err(error) if self.would_hold(&asked) => Err(unreadable(path, &error)),
            Ok(_) | Err(_) => Err(TaskError::permanent(format!(
                "`{}` is outside the folders that may be read: they are listed in handlers.checksum.roots of the configuration",
                path.display()
            ))),
        }
    }

    /// Whether `real`, a path without links, is a root or below one.
    fn hold(&self, real: &Path) -> bool {
        self.0.iter().any(|root| fs::canonicalize(root).is_ok_and(|root| real.starts_with(root)))
    }

    /// Whether `path` is below a root as it is written.
    fn would_hold(&self, path: &Path) -> bool {
        let mut plain = PathBuf::new();
        for component in path.components() {
            match component {
                Component::ParentDir => drop(plain.pop()),
                Component::CurDir => {}
                _ => plain.push(component),
            }
        }
        self.0.iter().any(|root| plain.starts_with(root))
    }
}

/// Opens a regular file below the roots. A link, and a folder on the way that was replaced by a link after the path was
/// resolved, are refused.
///
/// # Errors
/// Where it cannot be opened, or is no regular file below the roots.
pub(super) fn open(roots: &Roots, path: &Path) -> io::Result<File> {
    // Without O_NONBLOCK, opening a pipe that was put in the file's place would wait for a writer.
    let file = open_below(roots, path, libc::O_NONBLOCK | libc::O_NOCTTY)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file)
}

/// Opens what is below the roots, and looks where it is only then: nothing can be put in its place any more.
fn open_below(roots: &Roots, path: &Path, flags: libc::c_int) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(flags | libc::O_NOFOLLOW).open(path)?;
    if !roots.hold(&fs::read_link(of_descriptor(&file))?) {
        return Err(io::Error::other("it was moved outside handlers.checksum.roots"));
    }
    Ok(file)
}

/// The path that leads to what `file` has open, whatever its own is by now.
fn of_descriptor(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// What a walk comes by.
pub(super) enum Entry {
    /// A regular file.
    File { path: PathBuf, relative: PathBuf, size: u64 },
    /// A folder, whose entries follow.
    Folder,
    /// A link, a pipe, a socket or a device.
    Other,
}

/// Every entry below `folder`, which is below the roots, in the order of their relative paths' bytes. One folder's names at a time are in memory.
pub(super) fn walk(roots: &Roots, folder: &Path) -> impl Iterator<Item = Result<Entry, TaskError>> {
    Walk { roots: roots.clone(), open: Vec::new(), root: folder.to_owned(), next: Some(PathBuf::new()) }
}

struct Walk {
    roots: Roots,
    root: PathBuf,
    /// The entries to come of each folder on the way, the last one first.
    open: Vec<Vec<Named>>,
    /// The folder to be listed next.
    next: Option<PathBuf>,
}

struct Named {
    relative: PathBuf,
    kind: fs::FileType,
}

impl Walk {
    fn list(&self, relative: &Path) -> io::Result<Vec<Named>> {
        // A folder on the way that became a link since it was listed could lead elsewhere.
        let folder = open_below(&self.roots, &self.root.join(relative), libc::O_DIRECTORY)?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(of_descriptor(&folder))? {
            let entry = entry?;
            entries.push(Named { relative: relative.join(entry.file_name()), kind: entry.file_type()? });
        }
        // A folder's files sort as if its name ended with a slash: so the order is that of whole paths.
        entries.sort_by(|a, b| b.sort_key().cmp(a.sort_key()));
        Ok(entries)
    }
}

impl Named {
    fn sort_key(&self) -> impl Iterator<Item = &u8> {
        self.relative.as_os_str().as_bytes().iter().chain(self.kind.is_dir().then_some(&b'/'))
    }
}

impl Iterator for Walk {
    type Item = Result<Entry, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(relative) = self.next.take() {
            match self.list(&relative) {
                Ok(entries) => self.open.push(entries),
                Err(error) => {
                    self.open.clear();
                    return Some(Err(unreadable(&self.root.join(relative), &error)));
                }
            }
        }
        while let Some(entries) = self.open.last_mut() {
            let Some(Named { relative, kind }) = entries.pop() else {
                self.open.pop();
                continue;
            };
            if kind.is_dir() {
                self.next = Some(relative);
                return Some(Ok(Entry::Folder));
            }
            if kind.is_symlink() || kind.is_fifo() || !kind.is_file() {
                return Some(Ok(Entry::Other));
            }
            let path = self.root.join(&relative);
            return Some(match path.symlink_metadata() {
                Ok(metadata) => Ok(Entry::File { path, relative, size: metadata.len() }),
                Err(error) => Err(unreadable(&path, &error)),
            });
        }
        None
    }
}

/// The failure of a read; another attempt may find it mended.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> TaskError {
    TaskError::from_dyn(error).context(format!("cannot read `{}`", path.display()))
}

/// The line that `sha256sum` prints for a file: names with a backslash or a line break are escaped, and the line says
/// so by a backslash in front.
pub(super) fn listing_line(digest: &str, relative: &Path) -> Vec<u8> {
    let name = relative.as_os_str().as_bytes();
    let mut escaped = Vec::with_capacity(name.len());
    for &byte in name {
        match byte {
            b'\\' => escaped.extend(b"\\\\"),
            b'\n' => escaped.extend(b"\\n"),
            b'\r' => escaped.extend(b"\\r"),
            _ => escaped.push(byte),
        }
    }
    let mut line = Vec::with_capacity(digest.len() + escaped.len() + 4);
    if escaped.len() > name.len() {
        line.push(b'\\');
    }
    line.extend(digest.as_bytes());
    line.extend(b"  ");
    line.extend(escaped);
    line.push(b'\n');
    line
}

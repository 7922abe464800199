//! `checksum`: SHA-256 of a file, or of every file in a folder, below the folders that the configuration names.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::folder::{self, Entry, Roots, unreadable};
use crate::task::{TaskController, TaskError, TaskHandler, TaskOptions};

/// How much is read between two looks at whether to stop: some milliseconds of work.
const CHUNK: usize = 256 * 1024;
/// The time between two progress reports.
const REPORT_EVERY: Duration = Duration::from_millis(50);

/// Digests files on a blocking thread, with progress by bytes, and stops in the middle of a file.
///
/// The digest of a folder is that of the listing which `sha256sum` prints for its files, sorted by path, with paths
/// relative to the folder. Symbolic links inside the folder are not followed, and what is no regular file is left out.
pub struct Checksum {
    roots: Roots,
}

/// `[handlers.checksum]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The folders below which files may be read; none by default.
    #[serde(default)]
    pub roots: Vec<PathBuf>,
}

/// What to digest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// A file or a folder: absolute, or relative to the first root.
    path: String,
}

/// The digest.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// `sha256`.
    algorithm: &'static str,
    /// In lower-case hexadecimal.
    digest: String,
    /// How many files were read.
    files: u64,
    /// How many bytes they had.
    bytes: u64,
}

impl Checksum {
    /// The handler for these settings.
    pub fn new(settings: Settings) -> Self {
        Checksum { roots: Roots::new(settings.roots) }
    }
}

impl TaskHandler for Checksum {
    const ID: &'static str = "checksum";
    const OPTIONS: TaskOptions = TaskOptions::new()
        .description("SHA-256 of a file, or of every file in a folder, below handlers.checksum.roots");
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, task: TaskController) -> Result<Output, TaskError> {
        let roots = self.roots.clone();
        task.blocking(move |task| digest(&roots, Path::new(&input.path), &task)).await
    }
}

fn digest(roots: &Roots, path: &Path, task: &TaskController) -> Result<Output, TaskError> {
    let path = roots.resolve(path)?;
    let kind = path.symlink_metadata().map_err(|error| unreadable(&path, &error))?.file_type();
    if kind.is_dir() {
        digest_folder(roots, &path, task)
    } else if kind.is_file() {
        let file = folder::open(roots, &path).map_err(|error| unreadable(&path, &error))?;
        let total = file.metadata().map_err(|error| unreadable(&path, &error))?.len();
        let mut reading = Reading::new(task, total);
        let digest = reading.file(&path, file)?;
        Ok(reading.into_output(digest))
    } else {
        Err(TaskError::permanent(format!("`{}` is neither a file nor a folder", path.display())))
    }
}

fn digest_folder(roots: &Roots, folder: &Path, task: &TaskController) -> Result<Output, TaskError> {
    let mut total = 0;
    let mut left_out = 0;
    for entry in folder::walk(roots, folder) {
        match entry? {
            Entry::File { size, .. } => total += size,
            Entry::Other => left_out += 1,
            Entry::Folder => {}
        }
        if task.should_stop() {
            return Err(TaskError::stopped());
        }
    }
    let mut reading = Reading::new(task, total);
    let mut listing = Sha256::new();
    for entry in folder::walk(roots, folder) {
        if let Entry::File { path, relative, .. } = entry? {
            let file = folder::open(roots, &path).map_err(|error| unreadable(&path, &error))?;
            let digest = reading.file(&path, file)?;
            listing.update(folder::listing_line(&digest, &relative));
        } else if task.should_stop() {
            return Err(TaskError::stopped());
        }
    }
    if left_out > 0 {
        task.log(format_args!("left out {left_out} entries that are no regular files, such as symbolic links"));
    }
    Ok(reading.into_output(hex(&listing.finalize())))
}

/// Files being read one after the other.
struct Reading<'a> {
    task: &'a TaskController,
    buffer: Vec<u8>,
    /// How many bytes there were when it began; they may grow or shrink meanwhile.
    total: u64,
    bytes: u64,
    files: u64,
    reported: Instant,
}

impl<'a> Reading<'a> {
    fn new(task: &'a TaskController, total: u64) -> Self {
        Reading { task, buffer: vec![0; CHUNK], total, bytes: 0, files: 0, reported: Instant::now() }
    }

    fn file(&mut self, path: &Path, mut file: File) -> Result<String, TaskError> {
        let mut digest = Sha256::new();
        loop {
            if self.task.should_stop() {
                return Err(TaskError::stopped());
            }
            match file.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => {
                    digest.update(&self.buffer[..read]);
                    self.bytes += read as u64;
                    self.report()?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(path, &error)),
            }
        }
        self.files += 1;
        Ok(hex(&digest.finalize()))
    }

    fn report(&mut self) -> Result<(), TaskError> {
        if self.reported.elapsed() >= REPORT_EVERY {
            self.reported = Instant::now();
            self.task.set_progress((self.bytes as f64 / self.total.max(1) as f64).min(1.0))?;
        }
        Ok(())
    }

    fn into_output(self, digest: String) -> Output {
        // A refusal means that the attempt is over, and then nobody reads what it returns.
        let _ = self.task.set_progress(1.0);
        Output { algorithm: "sha256", digest, files: self.files, bytes: self.bytes }
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

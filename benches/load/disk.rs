//! What one synced write costs on the disk that carries the store: the floor of every durable start.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use crate::Failure;

const PAGE: usize = 4096;
/// As a write-ahead log that is used again: the blocks are there, so no metadata is written.
const PAGES: usize = 256;
const WRITES: usize = 200;

/// The median time of a 4 KiB write with `fdatasync` in this folder.
pub(crate) fn synced_write(folder: &Path) -> Result<Duration, Failure> {
    let path = folder.join("synced-write");
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    let outcome = measure(&file);
    std::fs::remove_file(&path)?;
    outcome
}

fn measure(file: &File) -> Result<Duration, Failure> {
    file.write_all_at(&vec![1; PAGE * PAGES], 0)?;
    file.sync_all()?;
    let page = vec![2; PAGE];
    let mut times = Vec::with_capacity(WRITES);
    for write in 0..WRITES {
        let began = Instant::now();
        file.write_all_at(&page, ((write % PAGES) * PAGE) as u64)?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    Ok(times[WRITES / 2])
}

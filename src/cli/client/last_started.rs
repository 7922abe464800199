//! `@`: the instance that was last started here, kept for each daemon in the state folder.

use std::{fs, path::PathBuf, process};

use uuid::Uuid;

use super::{exit_code::UNKNOWN, session::Session};
use crate::{cli::failure::Failure, client::endpoint::state_folder};

/// For how many daemons it is kept.
const MOST: usize = 32;

fn file() -> Option<PathBuf> {
    Some(state_folder(&|name| std::env::var_os(name))?.join("last-started"))
}

/// The lines `URL ID`, newest first.
fn lines(file: &PathBuf) -> Vec<(String, String)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let pair = |line: &str| line.split_once(' ').map(|(url, id)| (url.to_owned(), id.to_owned()));
    text.lines().filter_map(pair).collect()
}

/// Keeps that `id` was started. A folder that cannot be written costs `@` and nothing else.
pub(super) fn remember(session: &Session, id: Uuid) {
    let Some(file) = file() else { return };
    let url = session.client.url();
    let mut kept = lines(&file);
    kept.retain(|(other, _)| other != url);
    kept.insert(0, (url.to_owned(), id.to_string()));
    let text: String = kept.iter().take(MOST).map(|(url, id)| format!("{url} {id}\n")).collect();
    let draft = file.with_extension(process::id().to_string());
    let written = file
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&draft, text))
        .and_then(|()| fs::rename(&draft, &file));
    if written.is_err() {
        let _ = fs::remove_file(draft);
    }
}

/// The id that was last started at this daemon.
pub(super) fn recall(session: &Session) -> Result<String, Failure> {
    let url = session.client.url();
    let found = file().and_then(|file| lines(&file).into_iter().find(|(other, _)| other == url));
    found.map(|(_, id)| id).ok_or_else(|| Failure::new(UNKNOWN, format!("@: nothing was started here at {url} yet")))
}

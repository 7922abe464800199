//! A page of Markdown as its fenced blocks.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The repository.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A page.
pub struct Page {
    /// Its path in the repository.
    pub path: String,
    /// All of it.
    pub text: String,
    /// Its fenced blocks.
    pub blocks: Vec<Block>,
}

/// A fenced block.
#[derive(Clone)]
pub struct Block {
    /// `page:line` of its fence, for messages.
    pub place: String,
    /// The first word of the info string, up to a comma.
    pub language: String,
    /// The second word, unless that is `not-run`: the file whose text this is.
    pub file: Option<String>,
    /// Whether it says that it cannot be run.
    pub not_run: bool,
    /// What stands between the fences.
    pub text: String,
}

impl Page {
    /// The page at this path.
    pub fn read(path: &str) -> Page {
        let text = fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Page { blocks: blocks(path, &text), path: path.to_owned(), text }
    }

    /// The README and every page below `docs/`.
    pub fn all() -> Vec<Page> {
        let mut paths = vec![PathBuf::from(ROOT).join("README.md")];
        let mut folders = vec![PathBuf::from(ROOT).join("docs")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "md") {
                    paths.push(path);
                }
            }
        }
        let relative = |path: &PathBuf| path.strip_prefix(ROOT).expect("below the root").display().to_string();
        let mut paths: Vec<String> = paths.iter().map(relative).collect();
        paths.sort_unstable();
        paths.iter().map(|path| Page::read(path)).collect()
    }
}

fn blocks(path: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((n, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let mut words = info.split_whitespace();
        let language = words.next().unwrap_or_default().split(',').next().unwrap_or_default().to_owned();
        let second = words.next();
        let place = format!("{path}:{}", n + 1);
        assert_eq!(words.next(), None, "{place}: an info string is a language and a file, or `not-run`");
        let text = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
        blocks.push(Block {
            place,
            language,
            file: second.filter(|word| *word != "not-run").map(str::to_owned),
            not_run: second == Some("not-run"),
            text: text.map(|line| format!("{line}\n")).collect(),
        });
    }
    blocks
}

//! Nothing escapes: every page and block is run, or named here with the reason why it is not.

use std::{collections::BTreeSet, fs, path::Path};

use super::blocks::{Page, ROOT};
use crate::support::server::{command, example, write};

/// The pages that are run, by what runs or makes them.
const PAGES: &[(&str, &str)] = &[
    ("README.md", "docs::pages, docs::table, docs::rust"),
    ("docs/how-to/backup-and-restore.md", "docs::pages"),
    ("docs/how-to/behind-a-proxy.md", "docs::proxy"),
    ("docs/how-to/curl.md", "docs::pages"),
    ("docs/how-to/define-tasks-over-http.md", "docs::pages"),
    ("docs/how-to/embed.md", "docs::rust"),
    ("docs/how-to/python-script.md", "docs::pages"),
    ("docs/how-to/rust-handler.md", "docs::rust"),
    ("docs/how-to/tokens.md", "docs::pages"),
    ("docs/numerous.md", "numerous::docs"),
    ("docs/reference/command-line.md", "client_verbs::reference makes it"),
    ("docs/reference/configuration.md", "docs::configuration makes it"),
];

/// The pages without anything to run.
const NOTHING_TO_RUN: &[&str] = &["docs/performance.md", "docs/reliability.md"];

/// The blocks that are marked `not-run`: page, first line, reason.
const NOT_RUN: &[(&str, &str, &str)] = &[
    ("README.md", "$ scripts/test", "this test is part of it"),
    ("docs/numerous.md", "$ python3 -m venv environment", "numerous::package installs what this installs"),
    ("docs/numerous.md", "$ taskwright serve --config taskwright.toml", "numerous::docs starts the daemon itself"),
    (
        "docs/performance.md",
        "$ cargo bench --bench load -- --all --rounds 5 --seconds 1.5",
        "takes minutes; scripts/test --long",
    ),
];

#[test]
fn docs_nothing_escapes() {
    let mut left_out = BTreeSet::new();
    for page in Page::all() {
        let path = page.path.as_str();
        let is_run = PAGES.iter().any(|(known, _)| *known == path);
        assert!(is_run || NOTHING_TO_RUN.contains(&path), "{path} is not run: add it to docs::pages and to this list");
        for block in &page.blocks {
            let known = ["console", "sh", "json", "text", "toml", "python", "rust", "nginx"];
            assert!(known.contains(&&*block.language), "{}: no test knows what {} is", block.place, block.language);
            if block.not_run {
                left_out.insert((path.to_owned(), block.text.lines().next().unwrap_or_default().to_owned()));
            } else {
                assert!(is_run, "{}: is marked as run, and nothing runs it", block.place);
            }
            let is_file = ["toml", "python", "nginx"].contains(&&*block.language);
            assert!(block.file.is_some() || !is_file, "{}: say the name of the file", block.place);
        }
        // A line of curl outside of a block stands in the README's table, whose lines are run too.
        for (n, line) in page.text.lines().enumerate() {
            let is_inline = line
                .split('`')
                .skip(1)
                .step_by(2)
                .any(|code| code.contains("curl ") && code.contains("localhost:8080/"));
            assert!(!is_inline || (path == "README.md" && line.starts_with('|')), "{path}:{}: is not run", n + 1);
        }
    }
    let listed = NOT_RUN.iter().map(|(page, line, _)| ((*page).to_owned(), (*line).to_owned())).collect();
    assert_eq!(left_out, listed, "what is marked `not-run`, and what this list has");
}

#[test]
fn docs_toml_is_a_configuration() {
    for page in Page::all() {
        for block in page.blocks.iter().filter(|block| block.language == "toml") {
            let folder = tempfile::tempdir().expect("a folder");
            let file = write(folder.path(), "config.toml", &block.text);
            let file = file.display().to_string();
            // Settings of a handler of one's own are known to the program that has it.
            let mut program =
                if block.text.contains("[handlers.count-words]") { example("own_handler") } else { command() };
            let checked = program.args(["config", "check", "--config", &file]).output().expect("the binary runs");
            assert!(checked.status.success(), "{}: {}", block.place, String::from_utf8_lossy(&checked.stderr));
        }
    }
}

#[test]
fn docs_links_lead_somewhere() {
    for page in Page::all() {
        let folder = Path::new(ROOT).join(&page.path).parent().expect("a folder").to_owned();
        let links = page.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let images = page.text.split(['"']).filter(|text| text.ends_with(".png"));
        for link in links.chain(images).filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { Path::new(ROOT).join(&page.path) } else { folder.join(file) };
            assert!(target.exists(), "{}: {link} leads nowhere", page.path);
            if !anchor.is_empty() {
                let text = fs::read_to_string(&target).expect("a page");
                let slug = |heading: &str| {
                    let kept = heading.to_lowercase();
                    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
                    kept.collect::<String>().replace(' ', "-")
                };
                let headings = text.lines().filter(|line| line.starts_with('#'));
                let mut anchors = headings.map(|line| slug(line.trim_start_matches('#').trim()));
                assert!(anchors.any(|known| known == anchor), "{}: {link} has no such heading", page.path);
            }
        }
    }
}

#[test]
fn docs_every_promise_has_its_test() {
    let readme = Page::read("README.md").text;
    let promises = readme.split("## What it promises").nth(1).expect("the promises");
    let promises = promises.split("\n## ").next().expect("up to the next heading");
    let sources = fs::read_to_string(format!("{ROOT}/tests/it/invariants.rs")).expect("the tests of the promises");
    let tests: Vec<&str> =
        promises.lines().filter(|line| line.starts_with("| ")).filter_map(|line| line.split('`').nth(1)).collect();
    assert!(tests.len() >= 11, "{tests:?}");
    for test in tests {
        assert!(sources.contains(&format!("fn {test}(")), "tests/it/invariants.rs has no test {test}");
    }
}

//! The Rust programs of the pages: each is an example, which is run here.

use std::fs;

use super::{
    blocks::{Block, Page, ROOT},
    pages,
    session::Session,
    shape,
};
use crate::support::server::example;

/// The Rust blocks, in the order of the page.
fn programs(page: &Page) -> Vec<&Block> {
    page.blocks.iter().filter(|block| block.language == "rust").collect()
}

/// Asserts that a block is the text of an example, below its heading and up to what `cargo fmt` changes.
fn is_example(block: &Block, name: &str) {
    let path = format!("{ROOT}/examples/{name}.rs");
    let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let tokens = |text: &str| {
        let dense: String =
            text.lines().filter(|line| !line.starts_with("//!")).flat_map(str::split_whitespace).collect();
        dense.replace(",}", "}").replace(",)", ")").replace(";}", "}")
    };
    assert!(tokens(&source) == tokens(&block.text), "{}: is not examples/{name}.rs", block.place);
}

#[tokio::test]
async fn docs_readme_function_is_an_example_that_runs() {
    let page = Page::read("README.md");
    let [program] = programs(&page)[..] else { panic!("the README has one program") };
    is_example(program, "count_words");
    let mut session = Session::of(Some("count_words"), "").await;
    session.write("text", "one two\nthree\n");
    let line = "curl --json '{\"path\":\"TEXT\"}' 'localhost:8080/v1/definitions/count-words/instances?wait=10'";
    let text = session.folder().join("text").display().to_string();
    let started = session.run(&line.replace("TEXT", &text)).await;
    assert!(started.printed.contains("\"status\":\"completed\""), "{started:?}");
    let result = session.run("curl localhost:8080/v1/instances/1/result").await;
    assert!(shape::json_matches(r#"{"words":3}"#, &result.printed), "{result:?}");
}

#[tokio::test]
async fn docs_rust_handler() {
    let page = Page::read("docs/how-to/rust-handler.md");
    is_example(programs(&page)[0], "own_handler");
    let config = page.blocks.iter().find(|block| block.file.as_deref() == Some("own.toml")).expect("its settings");
    let mut session = Session::of(Some("own_handler"), &config.text).await;
    pages::run(&page.blocks, &mut session).await;
}

#[tokio::test]
async fn docs_embed() {
    let page = Page::read("docs/how-to/embed.md");
    let [program] = programs(&page)[..] else { panic!("the page has one program") };
    is_example(program, "embed");
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("notes.txt"), "one two\nthree\n").expect("a file can be written");
    for n in 1..=2 {
        let ran = example("embed").current_dir(folder.path()).output().expect("the example runs");
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert_eq!(said, format!("started {n}\n3 words\n"), "{}", String::from_utf8_lossy(&ran.stderr));
    }
}

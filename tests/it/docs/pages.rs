//! The pages, each run from top to bottom.

use super::{
    blocks::{Block, Page},
    session::{Ran, Session},
    shape,
};

/// One command of a page with what the page says of its output.
struct Step {
    place: String,
    command: String,
    expected: Option<(Kind, String)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Json,
}

/// The commands of a block; of a console block with the output that stands in it.
fn steps(block: &Block) -> Vec<Step> {
    let step = |command: &str| Step { place: block.place.clone(), command: command.to_owned(), expected: None };
    if block.language == "sh" {
        return vec![step(&block.text)];
    }
    let mut steps: Vec<Step> = Vec::new();
    for line in block.text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(step(command));
            continue;
        }
        let last = steps.last_mut().unwrap_or_else(|| panic!("{}: begins with no `$ `", block.place));
        if let Some(more) = line.strip_prefix("> ").filter(|_| last.expected.is_none()) {
            last.command.push('\n');
            last.command.push_str(more);
        } else {
            let (_, text) = last.expected.get_or_insert((Kind::Text, String::new()));
            text.push_str(line);
            text.push('\n');
        }
    }
    steps
}

/// Runs blocks of a page in their order.
pub async fn run(blocks: &[Block], session: &mut Session) {
    let mut blocks = blocks.iter().filter(|block| !block.not_run).peekable();
    while let Some(block) = blocks.next() {
        if let Some(file) = &block.file {
            session.write(file, &block.text);
            continue;
        }
        match block.language.as_str() {
            "sh" | "console" => {
                let mut steps = steps(block);
                let follows = |next: &&Block| next.file.is_none() && ["json", "text"].contains(&&*next.language);
                if let Some(answer) = blocks.next_if(follows) {
                    let kind = if answer.language == "json" { Kind::Json } else { Kind::Text };
                    let last = steps.last_mut().expect("a command");
                    assert!(last.expected.is_none(), "{}: its command has its output already", answer.place);
                    last.expected = Some((kind, answer.text.clone()));
                }
                for step in steps {
                    let ran = session.run(&step.command).await;
                    check(&step, &ran);
                }
            }
            "rust" => {}
            other => panic!("{}: nothing is known of {other} here", block.place),
        }
    }
}

fn check(step: &Step, ran: &Ran) {
    let said = format!("{}\n$ {}\n{}", step.place, step.command.trim_end(), ran.printed);
    assert_eq!(ran.code, 0, "{said}");
    match &step.expected {
        Some((Kind::Json, expected)) => {
            assert!(shape::json_matches(expected, &ran.printed), "{said}\nin place of\n{expected}");
        }
        Some((Kind::Text, expected)) => {
            assert!(shape::text_matches(expected, &ran.printed), "{said}\nin place of\n{expected}");
        }
        None => assert!(!ran.printed.contains("\"type\":\"/problems/"), "{said}"),
    }
}

/// The page at this path, with a daemon of its own.
async fn runs(path: &str) -> Session {
    let mut session = Session::start().await;
    run(&Page::read(path).blocks, &mut session).await;
    session
}

#[tokio::test]
async fn docs_readme() {
    runs("README.md").await;
}

#[tokio::test]
async fn docs_curl() {
    runs("docs/how-to/curl.md").await;
}

#[tokio::test]
async fn docs_python_script() {
    runs("docs/how-to/python-script.md").await;
}

#[tokio::test]
async fn docs_define_tasks_over_http() {
    runs("docs/how-to/define-tasks-over-http.md").await;
}

#[tokio::test]
async fn docs_tokens() {
    runs("docs/how-to/tokens.md").await;
}

#[tokio::test]
async fn docs_backup_and_restore() {
    let session = runs("docs/how-to/backup-and-restore.md").await;
    // What the page restored is a whole store, under a daemon that runs.
    session.server().fsck();
}

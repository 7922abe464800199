//! `docs/numerous.md` does what it says.

use std::{fs, process::Command};

use super::package::{environment, printed, programs};
use crate::support::server::TestServer;

/// The blocks of the page: what stands behind the fence, and the text.
fn blocks() -> Vec<(String, String)> {
    let page = include_str!("../../../docs/numerous.md");
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```") {
            let text = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            blocks.push((kind.to_owned(), text));
        }
    }
    blocks
}

#[tokio::test]
async fn numerous_page_does_what_it_says() {
    let blocks = blocks();
    let text_of = |kind: &str| {
        let block = blocks.iter().find(|(other, _)| other == kind);
        block.map(|(_, text)| text.clone()).unwrap_or_else(|| panic!("the page has no block {kind}"))
    };
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs().display());
    let server = TestServer::with(&text_of("toml taskwright.toml"), &[("PATH", &path)]).await;
    for name in ["greeting.py", "call.py"] {
        fs::write(server.folder().join(name), text_of(&format!("python {name}"))).expect("a file can be written");
    }
    let mut run = 0;
    let mut expected = blocks.iter().peekable();
    while let Some((kind, script)) = expected.next() {
        if kind != "sh" {
            continue;
        }
        // Only the address is another one.
        let script = script.replace("127.0.0.1:8080", server.address());
        let mut shell = Command::new("sh");
        environment(&server, &mut shell);
        let output = shell.args(["-euc", &script]).output().expect("the shell runs");
        let said = printed(&output);
        if let Some((_, text)) = expected.next_if(|(kind, _)| kind == "text") {
            assert_eq!(said, *text, "{script}");
        }
        run += 1;
    }
    assert_eq!(run, 3);
    let consoles = blocks.iter().filter(|(kind, _)| kind == "console not-run").count();
    assert_eq!(consoles, 2, "what cannot be run here");
    // The two tasks of the page are there, and the second can be stopped.
    let id = server.start_task("Never Ends", serde_json::json!({})).await["id"].as_str().expect("an id").to_owned();
    server.wait_running(&id).await;
    server.client().delete(server.url(&format!("/v1/instances/{id}"))).send().await.expect("an answer");
    assert_eq!(server.wait_done(&id).await["status"], "cancelled");
}

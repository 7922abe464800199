//! Completions and the manual.

use std::fs;

use super::{Shell, TASKS};
use crate::support::server::TestServer;

#[tokio::test]
async fn a_shell_completes_tasks_and_ids_that_fit() {
    let server = TestServer::with_config(TASKS).await;
    let shell = Shell::at(&server);
    shell.run("start gate").ended(0);
    shell.run("start greet --wait").ended(0);
    // As the script for zsh asks: the word under the cursor is the last.
    let offered = |words: &[&str]| {
        let mut command = shell.command("--");
        command.args(words).env("COMPLETE", "zsh").env("_CLAP_IFS", "\n");
        let output = command.env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(offered(&["taskwright", "run", "g"]), ["gate", "greet"]);
    assert!(offered(&["taskwright", "stop", ""]).starts_with(&["1".to_owned()]));
    assert!(offered(&["taskwright", "retry", ""]).starts_with(&["2".to_owned()]));
    assert!(offered(&["taskwright", "ps", "--status", ""]).contains(&"failed".to_owned()));
    assert!(offered(&["taskwright", "sta"]).contains(&"status".to_owned()));
    // Where no daemon is, there is nothing to offer and nothing to wait for.
    let nobody = Shell::alone();
    let mut command = nobody.command("--");
    command.args(["taskwright", "run", "g"]).env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2");
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    shell.run("stop --all -y --force --wait").ended(0);
}

#[test]
fn every_shell_gets_its_script() {
    let shell = Shell::alone();
    for name in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = shell.run(&format!("completions {name}")).ended(0).out;
        assert!(script.contains("COMPLETE") && script.contains("taskwright"), "{name}: {script}");
    }
    let script = shell.run("completions bash").ended(0).out;
    let checked = std::process::Command::new("bash").args(["-n", "-c", &script]).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    shell.run("completions tcsh").ended(2);
}

#[test]
fn the_manual_has_a_page_for_each_verb() {
    let shell = Shell::alone();
    let page = shell.run("man run").ended(0).out;
    assert!(page.contains(".TH taskwright-run 1") && page.contains("124"), "{page}");
    assert!(shell.run("man").ended(0).out.contains(".TH taskwright 1"));
    assert!(shell.run("man token create").ended(0).out.contains(".TH taskwright-token-create 1"));
    assert!(shell.run("man rnu").ended(2).err.contains("did you mean `run`?"));
    let folder = shell.home().join("man");
    shell.run(&format!("man --dir {}", folder.display())).ended(0);
    let pages: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    for verb in ["ps", "run", "serve", "token-create", "report-log"] {
        assert!(pages.contains(&format!("taskwright-{verb}.1")), "{verb}: {pages:?}");
    }
    assert!(!pages.iter().any(|page| page.contains("help")), "{pages:?}");
}

//! What `--help` says is what the reference says; what people see first is written down in `cases/`.

use std::{fs, path::Path};

use super::Shell;

const PAGE: &str = "docs/reference/command-line.md";

/// Every verb, those with verbs of their own after them.
fn verbs(shell: &Shell, of: &str) -> Vec<String> {
    let page = shell.home().join("pages").join(of.replace(' ', "-"));
    shell.run(&format!("man --dir {}", page.display())).ended(0);
    let mut names: Vec<_> = fs::read_dir(&page)
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| {
            Some(name.strip_suffix(".1")?.strip_prefix("taskwright")?.trim_start_matches('-').to_owned())
        })
        .collect();
    names.sort();
    names
}

#[test]
fn the_reference_is_what_help_says() {
    let shell = Shell::alone();
    let mut text = "# The command line\n\nWhat `taskwright VERB --help` says, for every verb. Made by a test: \
        `UPDATE_DOCS=1 cargo nextest run the_reference_is_what_help_says` writes it anew.\n"
        .to_owned();
    for page in verbs(&shell, "all") {
        // A page's name has dashes where the command line has spaces, and in `should-stop`.
        let spaced = page.replace('-', " ").replace("should stop", "should-stop");
        let help = shell.run(&format!("{spaced} --help")).ended(0).out;
        let title = format!("taskwright {spaced}");
        text.push_str(&format!("\n## {}\n\n```text\n{}\n```\n", title.trim_end(), help.trim_end()));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "{PAGE} is not what --help says: run this test with UPDATE_DOCS=1");
    for verb in ["run", "ps", "watch", "report progress", "token create"] {
        assert!(text.contains(&format!("\n## taskwright {verb}\n")), "{verb}");
    }
}

#[test]
fn every_verb_teaches_by_examples_and_names_its_exit_codes() {
    let shell = Shell::alone();
    for verb in ["start", "run", "ps", "status", "logs", "wait", "watch", "stop", "retry", "tasks", "open", "api"] {
        let help = shell.run(&format!("{verb} --help")).ended(0).out;
        for word in ["Examples:\n  taskwright", "Exit codes:", "  69 ", "TASKWRIGHT_URL"] {
            let is_there = help.contains(word) || (word.starts_with("Examples") && help.contains("Examples:\n  id="));
            assert!(is_there, "{verb}: {word} is not in\n{help}");
        }
    }
}

/// The console blocks of `cases/`, each with its output and exit code.
#[test]
fn what_people_see_first_stays_as_it_is() {
    let shell = Shell::alone();
    let cases = trycmd::TestCases::new();
    for (name, value) in shell.environment() {
        cases.env(name, value);
    }
    // What the tests themselves run under says nothing here.
    for name in ["TASKWRIGHT_URL", "TASKWRIGHT_TOKEN", "TASKWRIGHT_CONFIG"] {
        cases.env(name, "");
    }
    cases.register_bin("taskwright", Path::new(crate::support::server::BINARY));
    cases.case("tests/it/client_verbs/cases/*.trycmd");
}

//! `docs/reference/configuration.md` is made from the code: the keys of `src/config/keys.rs`, their defaults as
//! `config show` tells them, and the words of `config.example.toml`. `UPDATE_DOCS=1` writes it anew.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use taskwright::config::{self, Sources, keys, keys::Form};

use super::blocks::ROOT;

const PAGE: &str = "docs/reference/configuration.md";

/// What the example says: the words before each table and each key, and the key as it is written there.
#[derive(Default)]
struct Example {
    /// At the head of the file, as paragraphs.
    head: Vec<String>,
    /// By table, such as `server` or `[tasks]`.
    tables: BTreeMap<String, String>,
    /// By `table.key`. A key without words of its own has those of the key before it.
    keys: BTreeMap<String, Key>,
}

struct Key {
    words: String,
    value: String,
    /// Whether the example only shows it: it has no default, or one that depends on the machine.
    is_shown_only: bool,
}

fn example() -> Example {
    let text = fs::read_to_string(format!("{ROOT}/config.example.toml")).expect("the example");
    let mut example = Example::default();
    let (mut words, mut table, mut is_shown) = (Vec::new(), String::new(), false);
    let mut last = String::new();
    for line in text.lines().chain([""]) {
        let commented = line.strip_prefix('#').map(|rest| rest.strip_prefix(' ').unwrap_or(rest));
        // A table that is only shown stands behind comment signs as a whole; its words have two of them.
        let inner = if is_shown { commented.and_then(|rest| rest.strip_prefix("# ")) } else { commented };
        let code = commented.unwrap_or(line);
        let key = code.split_once(" = ").filter(|(key, _)| keys_are(key));
        if let Some(name) =
            code.strip_prefix('[').and_then(|name| name.strip_suffix(']')).filter(|name| name.len() < 30)
        {
            table = name.to_owned();
            is_shown = commented.is_some();
            example.tables.insert(table.clone(), std::mem::take(&mut words).join(" "));
        } else if let Some((key, value)) = key.filter(|_| !table.is_empty()) {
            let own = std::mem::take(&mut words).join(" ");
            let words = if own.is_empty() { format!("See `{last}`.") } else { own };
            let is_shown_only = commented.is_some();
            example.keys.insert(format!("{table}.{key}"), Key { words, value: value.to_owned(), is_shown_only });
            last = key.to_owned();
        } else if line.trim().is_empty() || commented == Some("") {
            let paragraph = std::mem::take(&mut words).join(" ");
            if table.is_empty() && !paragraph.is_empty() {
                example.head.push(paragraph);
            } else if !paragraph.is_empty() {
                // The words that stand before a table that is only shown.
                words.push(paragraph);
            }
            is_shown = is_shown && commented.is_some();
        } else if let Some(text) = inner.or(commented) {
            words.push(text.to_owned());
        }
    }
    example
}

fn keys_are(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// In a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Where the machine decides: the words say how.
const DEPENDS: &str = "depends";

fn page() -> String {
    let example = example();
    let shown = config::show(&Sources::default()).expect("the defaults");
    let mut page = String::from(
        "# Configuration\n\n<!-- Made by tests/it/docs/configuration.rs from the code and config.example.toml: \
         UPDATE_DOCS=1 cargo nextest run docs_configuration -->\n\n",
    );
    for paragraph in example.head.iter().skip(1) {
        writeln!(page, "{paragraph}\n").expect("a text");
    }
    page.push_str("The whole file with its comments is [`config.example.toml`](../../config.example.toml).\n");
    for (section, known) in keys::SECTIONS {
        let group = shown.iter().find(|group| group.name == [*section]).expect("every table is shown");
        writeln!(page, "\n## `[{section}]`\n\n| key | default | | variable |\n|---|---|---|---|").expect("a text");
        for (name, form) in *known {
            let key = example.keys.get(&format!("{section}.{name}"));
            let key = key.unwrap_or_else(|| panic!("config.example.toml has no {section}.{name}"));
            let default = match group.settings.iter().find(|setting| setting.key == *name) {
                Some(setting) if !key.is_shown_only => format!("`{}`", setting.value),
                _ => DEPENDS.to_owned(),
            };
            let variable = format!("TASKWRIGHT_{}__{}", section.to_uppercase(), name.to_uppercase());
            let form = if *form == Form::Toml { ", as in TOML" } else { "" };
            writeln!(page, "| `{name}` | {} | {} | `{variable}`{form} |", cell(&default), cell(&key.words))
                .expect("a text");
        }
    }
    for (list, known) in [("tokens", keys::TOKEN), ("tasks", keys::TASK)] {
        let table = format!("[{list}]");
        let words = example.tables.get(&table).unwrap_or_else(|| panic!("config.example.toml shows no [[{list}]]"));
        writeln!(page, "\n## `[[{list}]]`\n\n{words}\n\n| key | for example | |\n|---|---|---|").expect("a text");
        for name in known {
            let key = example.keys.get(&format!("{table}.{name}"));
            let key = key.unwrap_or_else(|| panic!("config.example.toml has no {name} in [[{list}]]"));
            let words = if key.words.starts_with("See ") && !is_grouped(name) { "" } else { &key.words };
            writeln!(page, "| `{name}` | `{}` | {} |", cell(&key.value), cell(words)).expect("a text");
        }
    }
    page.push_str("\n## `[handlers.NAME]`\n\n");
    writeln!(page, "{}\n", example.tables["handlers.checksum"]).expect("a text");
    let roots = &example.keys["handlers.checksum.roots"];
    writeln!(page, "The handler `checksum` has one: `roots`. {}", roots.words).expect("a text");
    page
}

/// The keys of which the words of the key before speak too.
fn is_grouped(name: &str) -> bool {
    ["queue_timeout", "retry_delay", "output_schema", "app_version_id"].contains(&name)
}

#[test]
fn docs_configuration_is_what_the_code_has() {
    let path = format!("{ROOT}/{PAGE}");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).expect("the page can be written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page, "{PAGE} is not what the code has: UPDATE_DOCS=1 cargo nextest run docs_configuration");
}

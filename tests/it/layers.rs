//! Imports point one way. Reads the `use` lines and every `crate::` path of the sources.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What each layer may name, beside itself.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        // Whatever has a promise to keep asks it whether to break that.
        ("negative_control", &[] as &[_]),
        ("domain", &[]),
        ("task", &["domain"]),
        ("store", &["domain"]),
        ("process", &["domain"]),
        ("engine", &["process", "store", "task", "domain"]),
        ("handlers", &["task", "domain"]),
        ("http", &["engine", "store", "task", "domain"]),
        ("client", &["task", "domain"]),
        ("config", &["http", "engine", "store", "task", "domain", "handlers"]),
        ("server", &["config", "http", "engine", "process", "store", "task", "domain", "handlers"]),
        ("cli", &["client", "server", "config", "http", "engine", "process", "store", "task", "domain", "handlers"]),
        ("main", &["cli"]),
        (
            "lib",
            &["cli", "client", "server", "config", "http", "engine", "process", "store", "task", "domain", "handlers"],
        ),
    ])
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src can be read") {
        let path = entry.expect("src can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The top-level modules that `text` names by `crate::…`, unit tests left out.
fn named(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]").next().unwrap_or(text);
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect();
    let mut modules = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut item = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => modules.push(std::mem::take(&mut item)),
                    _ if depth == 0 => item.push(c),
                    _ => {}
                }
            }
            modules.push(item);
        } else {
            modules.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    modules
        .iter()
        .map(|module| module.trim().split("::").next().unwrap_or_default().to_owned())
        .filter(|module| !module.is_empty())
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn imports_point_one_way() {
    let allowed = allowed();
    let mut files = Vec::new();
    sources(&root(), &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix(root()).expect("below src");
        let first = relative.components().next().expect("a name").as_os_str().to_string_lossy();
        let layer = first.trim_end_matches(".rs");
        let Some(may) = allowed.get(layer) else {
            wrong.push(format!("{}: the layer {layer} is not in the table of this test", relative.display()));
            continue;
        };
        for module in named(&fs::read_to_string(&file).expect("a source can be read")) {
            let is_open = module == layer || module == "negative_control";
            if !is_open && allowed.contains_key(module.as_str()) && !may.contains(&module.as_str()) {
                wrong.push(format!("{} names crate::{module}", relative.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn each_library_is_named_in_its_own_place_and_only_http_knows_status_codes() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let relative = file.strip_prefix(root()).expect("below src").display().to_string();
        let text = fs::read_to_string(&file).expect("a source can be read");
        if text.contains("sqlx::") && !relative.starts_with("store/sqlite") {
            wrong.push(format!("{relative} names sqlx"));
        }
        if text.contains("StatusCode") && !relative.starts_with("http/") && !relative.starts_with("client") {
            wrong.push(format!("{relative} knows status codes"));
        }
        if text.contains("async_graphql::") && !relative.starts_with("http/graphql/") {
            wrong.push(format!("{relative} names async_graphql"));
        }
        let unsafe_code = text.lines().any(|line| {
            let line = line.trim_start();
            !line.starts_with("//") && (line.contains("unsafe {") || line.contains("unsafe fn"))
        });
        if unsafe_code && !relative.starts_with("process/") {
            wrong.push(format!("{relative} holds unsafe code"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_guard_sees_a_wrong_import() {
    let text =
        "use crate::{\n    domain::{Json, time},\n    http::Problem,\n};\nfn f() { crate::store::x() }\n// crate::cli";
    assert_eq!(named(text), ["domain", "http", "store"]);
}

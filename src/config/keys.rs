//! Every key there is. The example file, the variables and the messages about unknown names follow this list.

/// How the text of a variable or a flag becomes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// It is the value.
    Text,
    /// It is written as in TOML: `64`, `["a", "b"]`.
    Toml,
}

/// The tables with fixed keys, in the order of `config.example.toml`.
pub const SECTIONS: &[(&str, &[(&str, Form)])] = &[
    (
        "server",
        &[
            ("listen", Form::Text),
            ("hosts", Form::Toml),
            ("base_path", Form::Text),
            ("max_connections", Form::Toml),
            ("drain", Form::Text),
            ("drain_grace", Form::Text),
            ("node", Form::Text),
        ],
    ),
    ("database", &[("url", Form::Text), ("synchronous", Form::Text)]),
    ("worker", &[("local_slots", Form::Toml), ("command_slots", Form::Toml), ("stop_grace", Form::Text)]),
    (
        "limits",
        &[
            ("body", Form::Text),
            ("batch_body", Form::Text),
            ("pending", Form::Toml),
            ("output", Form::Text),
            ("log", Form::Text),
            ("streams", Form::Toml),
        ],
    ),
    ("definitions", &[("remote", Form::Toml)]),
    ("numerous", &[("organization", Form::Text), ("deployment", Form::Text)]),
    ("retention", &[("age", Form::Text), ("count", Form::Toml)]),
    ("log", &[("format", Form::Text), ("level", Form::Text)]),
];

/// The tables without fixed keys.
pub const LISTS: &[&str] = &["tokens", "tasks", "handlers"];

/// The keys of one `[[tokens]]`.
pub const TOKEN: &[&str] = &["name", "sha256", "scopes"];

/// The keys of one `[[tasks]]`.
pub const TASK: &[&str] = &[
    "name",
    "description",
    "command",
    "env",
    "timeout",
    "queue_timeout",
    "max_attempts",
    "retry_delay",
    "concurrency",
    "retention",
    "input_schema",
    "output_schema",
    "inputs",
    "app_id",
    "app_version_id",
];

/// The keys of a table in [`SECTIONS`].
pub fn of_section(section: &str) -> Option<&'static [(&'static str, Form)]> {
    SECTIONS.iter().find(|(name, _)| *name == section).map(|(_, keys)| *keys)
}

/// Every name at the top of a file.
pub fn top() -> Vec<&'static str> {
    SECTIONS.iter().map(|(name, _)| *name).chain(LISTS.iter().copied()).collect()
}

/// Every variable with a fixed name.
pub fn variables() -> Vec<String> {
    let sections = SECTIONS.iter().flat_map(|(section, keys)| {
        keys.iter().map(move |(key, _)| format!("TASKWRIGHT_{}__{}", section.to_uppercase(), key.to_uppercase()))
    });
    let lists = LISTS.iter().map(|list| format!("TASKWRIGHT__{}", list.to_uppercase()));
    sections.chain(lists).flat_map(|name| [name.clone(), format!("{name}_FILE")]).collect()
}

//! The command line with its verbs grouped by what people come for.

use clap::{Command, CommandFactory};

use super::args::CommandLine;

/// The verbs by what they are for.
const GROUPS: &[(&str, &[&str])] = &[
    ("Run tasks", &["run", "start", "retry", "stop"]),
    ("Watch them", &["ps", "status", "logs", "wait", "watch", "open"]),
    ("Know the daemon", &["tasks", "api"]),
    ("Serve", &["serve", "config", "token", "healthcheck", "fsck", "backup", "openapi"]),
    ("From inside a task", &["report"]),
    ("Your shell", &["completions", "man", "help"]),
];

/// What clap parses, completes and documents.
pub(super) fn command() -> Command {
    let command = CommandLine::command();
    let width = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter()).map(|verb| verb.len()).max().unwrap_or_default();
    let about = |verb: &str| match command.find_subcommand(verb) {
        Some(found) => found.get_about().map(ToString::to_string).unwrap_or_default(),
        None => "Show this, or the help of a verb".to_owned(),
    };
    let style = command.get_styles().clone();
    let (header, literal) = (style.get_header(), style.get_literal());
    let mut verbs = String::new();
    for (group, names) in GROUPS {
        verbs.push_str(&format!("{header}{group}:{header:#}\n"));
        for name in *names {
            verbs.push_str(&format!("  {literal}{name:<width$}{literal:#}  {}\n", about(name)));
        }
        verbs.push('\n');
    }
    let verbs = verbs.trim_end();
    command.clone().help_template(format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{verbs}\n\n{header}Options:{header:#}\n{{options}}{{after-help}}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_in_one_group() {
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|(_, verbs)| verbs.iter().copied()).collect();
        grouped.sort_unstable();
        let command = CommandLine::command();
        let mut verbs: Vec<_> = command.get_subcommands().map(Command::get_name).chain(["help"]).collect();
        verbs.sort_unstable();
        assert_eq!(grouped, verbs);
    }

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }
}

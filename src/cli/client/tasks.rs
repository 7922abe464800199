//! `tasks`: what can be started, and how.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    log_lines, output,
    session::Session,
    table::{self, People},
    times,
    typing::{Member, Members},
};
use crate::{
    cli::{
        ansi,
        args::client::{Format, Tasks},
        failure::Failure,
        print,
    },
    client::DefinitionImage,
};

pub(super) fn run(tasks: Tasks) -> Result<(), Failure> {
    let session = Session::open(&tasks.common)?;
    session.run(async {
        match &tasks.task {
            Some(task) => one(&session, task).await,
            None => all(&session).await,
        }
    })
}

async fn all(session: &Session) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Definitions {
        definitions: Vec<Box<RawValue>>,
    }
    let answer = session.client.definitions().await.map_err(|error| session.failure(&error))?;
    if session.output.format == Format::Json {
        return output::stream(answer.text().as_bytes()).map(drop);
    }
    let Definitions { definitions } = answer.read().map_err(|error| session.failure(&error))?;
    let people = session.output.is_table() && session.output.is_terminal;
    let mut shown = People::new(session.output, &["TASK", "SOURCE", "DESCRIPTION"]);
    let mut text = String::new();
    for raw in &definitions {
        let definition: DefinitionImage = log_lines::read(session, raw.get())?;
        let DefinitionImage { id, name, source, description, .. } = definition;
        match session.output.format {
            Format::Jsonl => text.push_str(&format!("{}\n", raw.get())),
            Format::Id => text.push_str(&format!("{id}\n")),
            Format::Table => {
                let description = description.unwrap_or_default();
                if people {
                    let task = if name == id { id } else { format!("{id} ({name})") };
                    shown.row([task, source, description].map(|cell| (cell, None)));
                } else {
                    text.push_str(&table::row(&[id, name, source, description]));
                }
            }
            Format::Json | Format::None => {}
        }
    }
    if people && definitions.is_empty() {
        session.say("there are no tasks: add [[tasks]] to the configuration of the daemon");
    } else if people {
        return shown.print();
    }
    output::stream(text.as_bytes()).map(drop)
}

async fn one(session: &Session, task: &str) -> Result<(), Failure> {
    let answer = session.client.definition(task).await.map_err(|error| session.failure(&error))?;
    let definition: DefinitionImage = answer.read().map_err(|error| session.failure(&error))?;
    match session.output.format {
        Format::Table => in_full(session, &definition),
        Format::Json | Format::Jsonl => output::stream(answer.text().as_bytes()).map(drop),
        Format::Id => print::line(&definition.id),
        Format::None => Ok(()),
    }
}

fn in_full(session: &Session, definition: &DefinitionImage) -> Result<(), Failure> {
    let schema = definition.input_schema.clone().unwrap_or(Value::Null);
    let members = Members::of(&schema).described();
    let line = command_line(&definition.id, &members);
    if !session.output.is_terminal {
        let mut text = String::new();
        for Member { name, kind, required, default, description, .. } in members {
            let required = if required { "required" } else { "optional" }.to_owned();
            text.push_str(&table::row(&["input".to_owned(), name, kind, required, default, description]));
        }
        text.push_str(&format!("command\t{line}\n"));
        return output::stream(text.as_bytes()).map(drop);
    }
    let mut text = ansi::plain(&definition.id);
    if let Some(description) = &definition.description {
        text.push_str(&format!(": {}", ansi::plain(description)));
    }
    text.push('\n');
    let timeout = definition.timeout.and_then(crate::domain::duration::from_seconds);
    let facts = [
        ("source", Some(definition.source.clone())),
        ("command", definition.command.as_ref().map(|words| shell_words::join(words.iter().map(String::as_str)))),
        ("timeout", timeout.map(times::span)),
        ("attempts", Some(definition.max_attempts.to_string()).filter(|_| definition.max_attempts != 1)),
        ("at a time", definition.concurrency.map(|most| most.to_string())),
    ];
    for (name, value) in facts {
        if let Some(value) = value {
            text.push_str(&format!("  {name:<10} {}\n", ansi::plain(&value)));
        }
    }
    print::all(&text)?;
    if members.is_empty() {
        print::line("\nInputs: any JSON object")?;
    } else {
        print::line("\nInputs")?;
        let mut people = People::new(session.output, &["", "TYPE", "", "DEFAULT", "DESCRIPTION"]);
        for Member { name, kind, required, default, description, .. } in members {
            let required = if required { "required" } else { "" }.to_owned();
            people.row([name, kind, required, default, description].map(|text| (text, None)));
        }
        people.print()?;
    }
    print::line(&format!("\nStart it\n  {}", ansi::plain(&line)))
}

/// A line that starts the task: what it needs is in it.
fn command_line(task: &str, members: &[Member]) -> String {
    let mut words = vec!["taskwright".to_owned(), "run".to_owned(), task.to_owned()];
    words.extend(
        members.iter().filter(|member| member.required).map(|member| format!("{}={}", member.name, member.example)),
    );
    let is_plain = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=./:,@+".contains(&byte));
    let quoted = words.iter().map(|word| if is_plain(word) { word.as_str().into() } else { shell_words::quote(word) });
    quoted.collect::<Vec<_>>().join(" ")
}

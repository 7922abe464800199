//! Registering handlers, and what their tables of the configuration do.

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use taskwright::{
    Registry, TaskController, TaskError, TaskHandler, TaskOptions,
    domain::{Definition, Json, Retention, Source, Workload, error::chain},
    schemars,
    task::{RegistryError, erased::ErasedHandler},
};

#[derive(Debug, Deserialize)]
struct Settings {
    #[serde(default)]
    word: String,
    #[serde(default)]
    #[allow(dead_code)]
    times: u8,
}

#[derive(Deserialize, JsonSchema)]
struct Input {
    /// Whom to greet.
    name: String,
}

#[derive(Serialize, JsonSchema)]
struct Output {
    text: String,
}

struct Greet(String);

impl TaskHandler for Greet {
    const ID: &'static str = "greet";
    const OPTIONS: TaskOptions = TaskOptions::new()
        .name("Greet somebody")
        .description("Says hello")
        .timeout(Duration::from_secs(60))
        .queue_timeout(Duration::from_secs(90))
        .max_attempts(3)
        .retention_age(Duration::from_secs(3600))
        .retention_count(100)
        .retry_delay(Duration::from_secs(5))
        .concurrency(4);
    type Input = Input;
    type Output = Output;

    async fn run(&self, input: Input, _: TaskController) -> Result<Output, TaskError> {
        Ok(Output { text: format!("{} {}", self.0, input.name) })
    }
}

async fn ping(_: (), _: TaskController) -> Result<&'static str, TaskError> {
    Ok("pong")
}

fn registry(toml: &str) -> Registry {
    Registry::new(toml::from_str::<BTreeMap<String, toml::Table>>(toml).expect("valid TOML"))
}

fn greet_with(toml: &str) -> Result<Definition, RegistryError> {
    let mut registry = registry(toml);
    registry.register_with(|settings: Settings| Greet(settings.word)).register_fn("ping", ping);
    Ok(registry.into_handlers()?.remove(0).0)
}

fn text(schema: Option<Json>) -> Value {
    schema.map_or(Value::Null, |schema| schema.read().expect("readable"))
}

#[test]
fn a_definition_says_what_the_handler_says() {
    let definition = greet_with("").expect("it is registered");
    assert_eq!((definition.id.as_str(), definition.name.as_str()), ("greet", "Greet somebody"));
    assert_eq!((definition.workload, definition.source), (Workload::Local, Source::Compiled));
    assert_eq!(definition.description.as_deref(), Some("Says hello"));
    assert_eq!(definition.timeout, Some(Duration::from_secs(60)));
    assert_eq!(definition.queue_timeout, Some(Duration::from_secs(90)));
    assert_eq!((definition.max_attempts, definition.concurrency), (3, Some(4)));
    assert_eq!(definition.retry_delay, Duration::from_secs(5));
    let input = text(definition.input_schema);
    assert_eq!(input["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(input["properties"]["name"], json!({"type": "string", "description": "Whom to greet."}));
    assert_eq!(text(definition.output_schema)["required"], json!(["text"]));
}

#[test]
fn a_function_has_the_default_limits_and_its_result_a_schema() {
    let mut registry = registry("");
    registry.register_fn("ping", ping).register_fn_with("ping-often", TaskOptions::new().max_attempts(9), ping);
    let handlers = registry.into_handlers().expect("they are registered");
    let definition = &handlers[0].0;
    assert_eq!((definition.id.as_str(), definition.name.as_str()), ("ping", "ping"));
    assert_eq!((definition.max_attempts, definition.timeout, definition.concurrency), (1, None, None));
    assert_eq!(text(definition.input_schema.clone()), json!({"type": "object", "additionalProperties": false}));
    assert_eq!(text(definition.output_schema.clone())["properties"]["result"]["type"], "string");
    assert_eq!(handlers[1].0.max_attempts, 9);
}

#[test]
fn the_configuration_overrides_the_limits_and_they_do_not_reach_the_settings() {
    let definition = greet_with(
        r#"
        [greet]
        word = "Hello"
        timeout = "2m"
        queue_timeout = 1.5
        max_attempts = 1
        retry_delay = "250ms"
        concurrency = 1
        retention = { age = "7d" }
        [ping]
        timeout = 3
        "#,
    )
    .expect("it is registered");
    assert_eq!(definition.timeout, Some(Duration::from_secs(120)));
    assert_eq!(definition.queue_timeout, Some(Duration::from_millis(1500)));
    assert_eq!((definition.max_attempts, definition.concurrency), (1, Some(1)));
    assert_eq!(definition.retry_delay, Duration::from_millis(250));
    // The count stays as the handler said.
    let kept = Retention { age: Some(Duration::from_secs(7 * 86_400)), count: Some(100) };
    assert_eq!(definition.retention.over(Retention::default()), kept);
}

#[test]
fn what_is_wrong_with_a_table_is_named_by_its_key() {
    let cases = [
        ("[greet]\nwrod = 'x'", "handlers.greet.wrod: unknown key; did you mean `word`?"),
        ("[greet]\ntimout = 3", "handlers.greet.timout: unknown key; did you mean `timeout`?"),
        (
            "[ping]\nword = 'x'",
            "handlers.ping.word: unknown key; known are timeout, queue_timeout, max_attempts, retry_delay, concurrency, retention",
        ),
        ("[greet]\ntimes = 300", "handlers.greet.times: invalid value: integer `300`, expected u8"),
        ("[greet]\nword = 3", "handlers.greet.word: invalid type: integer `3`, expected a string"),
        ("[greet]\nmax_attempts = 0", "handlers.greet.max_attempts: must be a whole number from 1 to 1,000"),
        ("[greet]\nmax_attempts = 1001", "handlers.greet.max_attempts: must be a whole number from 1 to 1,000"),
        (
            "[greet]\nretention = { age = 0 }",
            "handlers.greet.retention.age: must be a duration above 0 up to 365 d, such as \"30d\", or \"forever\"",
        ),
        (
            "[greet]\nretention = 3",
            "handlers.greet.retention: invalid type: integer `3`, expected a table such as { age = \"30d\", count = 1000 }",
        ),
        ("[greet]\nconcurrency = -1", "handlers.greet.concurrency: must be a whole number from 1"),
        ("[greet]\ntimeout = '366d'", "handlers.greet.timeout: must be above 0 and at most 365 days"),
        ("[greet]\nretry_delay = 0", "handlers.greet.retry_delay: must be above 0 and at most 365 days"),
        (
            "[greet]\ntimeout = 'soon'",
            "handlers.greet.timeout: `soon` is no duration: write seconds as a number, or a number with ms, s, m, h or d, such as 30s",
        ),
        ("[gret]\n", "handlers.gret: this daemon has no handler `gret`; did you mean `greet`?"),
    ];
    for (toml, message) in cases {
        let error = greet_with(toml).expect_err(toml);
        assert_eq!(error.to_string(), message, "{toml}");
    }
}

#[test]
fn a_handler_that_cannot_be_set_up_says_why() {
    let mut registry = registry("");
    registry.try_register_with(|_: Settings| Err::<Greet, Box<dyn Error + Send + Sync>>("no library".into()));
    let error = registry.into_handlers().map(|_| ()).expect_err("it cannot be set up");
    assert_eq!(chain(&error), "cannot set up the handler `greet` with handlers.greet: no library");
}

#[test]
fn an_id_that_can_be_none_is_an_error() {
    let mut registry = registry("");
    registry.register_fn("a/b", ping);
    let error = registry.into_handlers().map(|_| ()).expect_err("no id");
    assert!(chain(&error).contains("`a/b` can be no task id"), "{}", chain(&error));
}

#[test]
fn two_of_one_id_are_both_handed_on() {
    let mut registry = registry("");
    registry.register_fn("ping", ping).register_fn("ping", ping);
    let handlers: Vec<(Definition, Arc<dyn ErasedHandler>)> = registry.into_handlers().expect("the catalog decides");
    assert_eq!(handlers.len(), 2);
    let error = taskwright::engine::Catalog::new(handlers, Vec::new()).map(|_| ()).expect_err("one id");
    assert!(error.to_string().contains("ping"), "{error}");
}

#[test]
fn inputs_are_checked_by_their_type() {
    let mut registry = registry("");
    registry.register(Greet(String::new()));
    let (_, handler) = registry.into_handlers().expect("it is registered").remove(0);
    assert_eq!(handler.check(&Json::parse(r#"{"name":"Ada","more":1}"#).unwrap()), Ok(()));
    let errors = handler.check(&Json::parse(r#"{"name":5}"#).unwrap()).expect_err("no name");
    assert_eq!(errors[0].pointer, "/name");
}

//! The smallest task server: one async function, and the whole command line of the daemon around it.
//!
//! ```sh
//! cargo run --example hello -- serve --demo
//! curl --json '{"name":"Ada"}' 'http://127.0.0.1:8080/v1/definitions/hello/instances?wait'
//! ```

use std::process::ExitCode;

use schemars::JsonSchema;
use serde::Deserialize;
use taskwright::{TaskController, TaskError};

/// Whom to greet.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    name: String,
}

/// Greets.
pub async fn hello(input: Hello, _: TaskController) -> Result<String, TaskError> {
    Ok(format!("Hello, {}!", input.name))
}

fn main() -> ExitCode {
    taskwright::run(|registry| {
        registry.register_fn("hello", hello);
        Ok(())
    })
}

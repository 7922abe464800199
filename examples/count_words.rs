//! The README's task: a Rust function, and a daemon that runs it.
//!
//! ```sh
//! cargo run --example count_words -- serve
//! curl --json '{"path":"README.md"}' 'http://127.0.0.1:8080/v1/definitions/count-words/instances?wait'
//! ```

use std::{path::PathBuf, process::ExitCode};
use taskwright::{TaskController, TaskError};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Count {
    path: PathBuf,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Counted {
    words: usize,
}

async fn count(input: Count, task: TaskController) -> Result<Counted, TaskError> {
    let text = tokio::fs::read_to_string(&input.path).await?;
    let lines = text.lines().count();
    let mut words = 0;
    for (n, line) in text.lines().enumerate() {
        if task.should_stop() {
            return Err(TaskError::stopped());
        }
        words += line.split_whitespace().count();
        task.set_progress((n + 1) as f64 / lines as f64)?;
    }
    Ok(Counted { words })
}

fn main() -> ExitCode {
    taskwright::run(|registry| {
        registry.register_fn("count-words", count);
        Ok(())
    })
}

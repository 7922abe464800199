//! A handler of one's own: typed inputs and output, settings, progress, output on the way, and a stop.
//!
//! ```sh
//! echo 'handlers.count-words.folder = "docs"' > own.toml
//! cargo run --example own_handler -- serve --config own.toml
//! curl --json '{"file":"guide.md"}' 'http://127.0.0.1:8080/v1/definitions/count-words/instances?wait'
//! ```

use std::{
    io::ErrorKind,
    path::{Component, Path, PathBuf},
    process::ExitCode,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskwright::{TaskController, TaskError, TaskHandler, TaskOptions};
use tokio::{
    fs::File,
    io::{AsyncBufReadExt, BufReader},
};

/// `[handlers.count-words]` in the configuration.
#[derive(Deserialize)]
pub struct Settings {
    /// The folder whose files may be counted.
    pub folder: PathBuf,
}

/// What a start sends. A field that is not here is refused, and the nearest one named.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The name of a file in the folder.
    file: String,
}

/// The output.
#[derive(Serialize, JsonSchema, Default)]
pub struct Counts {
    lines: u64,
    words: u64,
    bytes: u64,
}

/// Counts the lines, words and bytes of a text.
pub struct CountWords {
    folder: PathBuf,
}

impl CountWords {
    /// The handler for these settings.
    pub fn new(settings: Settings) -> Self {
        CountWords { folder: settings.folder }
    }
}

impl TaskHandler for CountWords {
    const ID: &'static str = "count-words";
    const OPTIONS: TaskOptions = TaskOptions::new().description("Counts lines, words and bytes of a text");
    type Input = Request;
    type Output = Counts;

    async fn run(&self, request: Request, task: TaskController) -> Result<Counts, TaskError> {
        let mut names = Path::new(&request.file).components();
        if !matches!((names.next(), names.next()), (Some(Component::Normal(_)), None)) {
            return Err(TaskError::permanent("`file` must be the plain name of a file"));
        }
        let file = File::open(self.folder.join(&request.file)).await.map_err(|error| match error.kind() {
            // Another attempt would not find it either.
            ErrorKind::NotFound => TaskError::from(error).context("there is no such file").into_permanent(),
            _ => error.into(),
        })?;
        let total = file.metadata().await?.len().max(1);
        let mut counts = Counts::default();
        let mut text = BufReader::new(file);
        let mut line = Vec::new();
        while text.read_until(b'\n', &mut line).await? > 0 {
            if task.should_stop() {
                return Err(TaskError::stopped());
            }
            counts.lines += 1;
            counts.bytes += line.len() as u64;
            counts.words += String::from_utf8_lossy(&line).split_whitespace().count() as u64;
            // Both keep the latest value only, so a loop may call them as often as it likes.
            task.set_progress((counts.bytes as f64 / total as f64).min(1.0))?;
            task.set_output(&counts)?;
            line.clear();
        }
        task.log(format_args!("{} has {} lines", request.file, counts.lines));
        Ok(counts)
    }
}

fn main() -> ExitCode {
    taskwright::run(|registry| {
        registry.register_with(CountWords::new);
        Ok(())
    })
}

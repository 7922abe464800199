//! The task server inside another program: one handler, one instance, one store.
//!
//! ```sh
//! cargo run --example embed    # reads notes.txt, keeps tasks.db
//! ```

use taskwright::{Server, TaskController, TaskError};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Count {
    path: std::path::PathBuf,
}

async fn count(input: Count, _: TaskController) -> Result<usize, TaskError> {
    Ok(tokio::fs::read_to_string(&input.path).await?.split_whitespace().count())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    taskwright::init(); // first, before the runtime: commands are started by this very program
    tokio::runtime::Runtime::new()?.block_on(async {
        let tasks = Server::at("tasks.db").register_fn("count-words", count).start().await?;
        let instance = tasks.run_task("count-words", serde_json::json!({"path": "notes.txt"})).await?;
        println!("started {}", instance.number());
        println!("{} words", instance.wait_for_completion().await?);
        tasks.shutdown().await?;
        Ok(())
    })
}

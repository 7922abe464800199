//! State that several tasks share, and an error that is worth another attempt: orders wait for a delivery.
//!
//! ```sh
//! cargo run --example shared_state -- serve --demo
//! curl --json '{"article":"nails","pieces":100}' http://127.0.0.1:8080/v1/definitions/order/instances
//! curl --json '{"article":"nails","pieces":500}' http://127.0.0.1:8080/v1/definitions/deliver/instances
//! ```
//!
//! The stock lives as long as the daemon does; what must survive it belongs in a database.

use std::{
    collections::HashMap,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskwright::{Registry, TaskController, TaskError, TaskHandler, TaskOptions};

/// How many pieces there are of each article.
#[derive(Default)]
pub struct Stock(Mutex<HashMap<String, u64>>);

impl Stock {
    /// Puts pieces in; answers how many there are then.
    pub fn put(&self, article: &str, pieces: u64) -> u64 {
        let mut stock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let there = stock.entry(article.to_owned()).or_default();
        *there = there.saturating_add(pieces);
        *there
    }

    /// Takes pieces out, all or none; answers how many there are then, or as `Err` how many there were.
    pub fn take(&self, article: &str, pieces: u64) -> Result<u64, u64> {
        let mut stock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let there = stock.entry(article.to_owned()).or_default();
        *there = there.checked_sub(pieces).ok_or(*there)?;
        Ok(*there)
    }
}

/// Pieces of an article, ordered or delivered.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lot {
    article: String,
    pieces: u64,
}

/// What is left in stock.
#[derive(Serialize, JsonSchema)]
pub struct Left {
    left: u64,
}

/// Takes pieces out of the stock. Where there are too few it tries again, a little later each time.
pub struct Order {
    /// The stock that deliveries fill.
    pub stock: Arc<Stock>,
}

impl TaskHandler for Order {
    const ID: &'static str = "order";
    const OPTIONS: TaskOptions = TaskOptions::new().max_attempts(10).retry_delay(Duration::from_secs(2));
    type Input = Lot;
    type Output = Left;

    async fn run(&self, lot: Lot, task: TaskController) -> Result<Left, TaskError> {
        if lot.pieces == 0 {
            return Err(TaskError::permanent("an order needs at least one piece"));
        }
        task.log(format_args!("attempt {} to take {} {}", task.attempt(), lot.pieces, lot.article));
        match self.stock.take(&lot.article, lot.pieces) {
            Ok(left) => Ok(Left { left }),
            Err(there) => Err(TaskError::retryable(format!("only {there} {} in stock", lot.article))),
        }
    }
}

/// Registers the tasks that share `stock`. A closure is a task too.
pub fn register(registry: &mut Registry, stock: Arc<Stock>) {
    registry.register(Order { stock: Arc::clone(&stock) });
    registry.register_fn("deliver", move |lot: Lot, _: TaskController| {
        let stock = Arc::clone(&stock);
        async move { Ok(Left { left: stock.put(&lot.article, lot.pieces) }) }
    });
}

fn main() -> ExitCode {
    taskwright::run(|registry| {
        register(registry, Arc::new(Stock::default()));
        Ok(())
    })
}

//! The examples, run through the harness as their readers would test them.

#[allow(dead_code, reason = "an example has a main of its own")]
#[path = "../../../examples/cpu_bound.rs"]
mod cpu_bound;
#[allow(dead_code, reason = "an example has a main of its own")]
#[path = "../../../examples/hello.rs"]
mod hello;
#[allow(dead_code, reason = "an example has a main of its own")]
#[path = "../../../examples/own_handler.rs"]
mod own_handler;
#[allow(dead_code, reason = "an example has a main of its own")]
#[path = "../../../examples/retries.rs"]
mod retries;
#[allow(dead_code, reason = "an example has a main of its own")]
#[path = "../../../examples/shared_state.rs"]
mod shared_state;

use std::{fs, sync::Arc};

use cpu_bound::CountPrimes;
use hello::hello;
use own_handler::{CountWords, Settings};
use retries::Knock;
use serde_json::{Value, json};
use shared_state::{Order, Stock, register};
use taskwright::{
    Registry,
    domain::{AttemptEnd, Status},
    testing,
};

#[tokio::test]
async fn hello_greets() {
    let run = testing::run_fn(hello).input(json!({"name": "Ada"})).await;
    assert_eq!(run.result(), json!("Hello, Ada!"));
}

#[tokio::test]
async fn retries_tell_what_is_worth_another_attempt() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let knock = |address: &str| testing::run(Knock).input(json!({"address": address}));
    let opened = knock(&address).attempt(3).await;
    assert_eq!((opened.status(), &opened.output()["attempts"]), (Status::Completed, &json!(3)));
    drop(listener);
    assert_eq!(knock(&address).attempt(4).await.status(), Status::Pending, "another attempt follows");
    assert_eq!(knock(&address).attempt(5).await.status(), Status::Failed);
    let failed = knock("next door").await;
    assert!(matches!(failed.end(), AttemptEnd::Failed { permanent: true, .. }), "{:?}", failed.end());
}

#[tokio::test]
async fn own_handler_counts_words() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("text"), "one two\nthree\n").expect("a file");
    let run = |file: &str| {
        let settings = Settings { folder: folder.path().to_owned() };
        testing::run(CountWords::new(settings)).input(json!({"file": file}))
    };
    let finished = run("text").await;
    assert_eq!(finished.output(), json!({"lines": 2, "words": 3, "bytes": 14}), "{:?}", finished.error());
    assert_eq!(finished.progress(), [8.0 / 14.0, 1.0]);
    assert_eq!(finished.logs(), ["text has 2 lines"]);
    let stopped = run("text").stop_at_progress(0.5).await;
    assert_eq!((stopped.status(), &stopped.output()["lines"]), (Status::Cancelled, &json!(1)));
    for name in ["none", "../text", "/etc/passwd", "", ".."] {
        let failed = run(name).await;
        assert!(matches!(failed.end(), AttemptEnd::Failed { permanent: true, .. }), "{name}: {:?}", failed.end());
    }
}

#[tokio::test]
async fn own_handler_needs_its_settings() {
    let mut registry = Registry::default();
    registry.register_with(CountWords::new);
    let error = registry.into_handlers().map(|_| ()).expect_err("the folder is missing");
    assert_eq!(error.to_string(), "handlers.count-words: missing field `folder`");
}

#[tokio::test]
async fn cpu_bound_counts_primes_and_stops() {
    for (below, primes) in [(0, 0), (2, 0), (3, 1), (10, 4), (1000, 168), (1_000_000, 78_498)] {
        let run = testing::run(CountPrimes).input(json!({"below": below})).await;
        assert_eq!(run.result(), json!(primes), "below {below}: {:?}", run.error());
    }
    let run = testing::run(CountPrimes).input(json!({"below": 4_000_000_000u32})).stop_at_progress(0.0001).await;
    assert_eq!((run.status(), run.result()), (Status::Cancelled, Value::Null));
}

#[tokio::test]
async fn shared_state_is_shared() {
    let stock = Arc::new(Stock::default());
    let order = |pieces: u64| {
        testing::run(Order { stock: Arc::clone(&stock) }).input(json!({"article": "nails", "pieces": pieces}))
    };
    let waits = order(3).await;
    assert_eq!(waits.status(), Status::Pending);
    assert_eq!(waits.error().map(|error| error.message.as_str()), Some("only 0 nails in stock"));
    assert_eq!(order(3).attempt(10).await.status(), Status::Failed);

    let mut registry = Registry::default();
    register(&mut registry, Arc::clone(&stock));
    let handlers = registry.into_handlers().expect("they are registered");
    let ids: Vec<_> = handlers.iter().map(|(definition, _)| definition.id.as_str()).collect();
    assert_eq!(ids, ["order", "deliver"]);

    assert_eq!(stock.put("nails", 5), 5);
    let run = order(3).attempt(2).await;
    assert_eq!((run.status(), run.output()), (Status::Completed, json!({"left": 2})));
    assert_eq!(run.logs(), ["attempt 2 to take 3 nails"]);
    let refused = testing::run(Order { stock }).input(json!({"article": "nails", "pieces": -1})).await;
    assert!(refused.refused());
}

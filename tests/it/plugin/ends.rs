//! How handlers end: with a value, with an error, by a panic, and never.

use std::{collections::HashMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use taskwright::{
    TaskController, TaskError, TaskHandler, TaskOptions,
    domain::{AttemptEnd, ErrorKind, FieldError, Status},
    schemars, testing,
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resize {
    source: String,
    widths: Vec<u32>,
}

#[derive(Serialize, JsonSchema)]
struct Resized {
    files: Vec<String>,
}

struct ResizeImages {
    suffix: &'static str,
}

impl TaskHandler for ResizeImages {
    const ID: &'static str = "resize-images";
    const OPTIONS: TaskOptions = TaskOptions::new().max_attempts(2);
    type Input = Resize;
    type Output = Resized;

    async fn run(&self, input: Resize, task: TaskController) -> Result<Resized, TaskError> {
        let mut files = Vec::new();
        for (done, width) in (1..).zip(&input.widths) {
            if task.should_stop() {
                return Err(TaskError::stopped());
            }
            files.push(format!("{}-{width}{}", input.source, self.suffix));
            task.set_progress(done as f64 / input.widths.len() as f64)?;
        }
        Ok(Resized { files })
    }
}

#[tokio::test]
async fn a_typed_handler_runs_with_its_own_fields() {
    let run = testing::run(ResizeImages { suffix: ".png" }).input(json!({"source": "a", "widths": [1, 2]})).await;
    assert_eq!(run.status(), Status::Completed);
    assert_eq!(run.output(), json!({"files": ["a-1.png", "a-2.png"]}));
    assert_eq!(run.progress(), [0.5, 1.0]);
    let run = testing::run(ResizeImages { suffix: "" })
        .input(json!({"source": "a", "widths": [1, 2]}))
        .stop_at_progress(0.5)
        .await;
    assert_eq!((run.status(), run.progress()), (Status::Cancelled, vec![0.5]));
}

#[tokio::test]
async fn inputs_that_do_not_fit_are_refused_before_anything_runs() {
    let cases = [
        (json!({"source": "a", "widths": [1, "x"]}), "/widths/1", "invalid type: string \"x\", expected u32"),
        (json!({"source": "a"}), "/widths", "missing field `widths`"),
        (json!({"source": "a", "widhts": []}), "/widhts", "unknown field `widhts`; did you mean `widths`?"),
        (json!([]), "", "the inputs must be a JSON object"),
    ];
    for (input, pointer, detail) in cases {
        let run = testing::run(ResizeImages { suffix: "" }).input(&input).await;
        assert!(run.refused(), "{input}");
        let expected = ErrorKind::InvalidInputs { errors: vec![FieldError::new(pointer, detail)] };
        assert_eq!(run.error().map(|error| &error.kind), Some(&expected), "{input}");
    }
}

#[tokio::test]
async fn a_returned_value_becomes_the_output() {
    async fn returns(input: Map<String, Value>, task: TaskController) -> Result<Value, TaskError> {
        task.set_output(json!({"set": true}))?;
        Ok(input["value"].clone())
    }
    for (value, output, result) in [
        (json!({"a": 1}), json!({"a": 1}), json!({"a": 1})),
        (json!({"result": 2, "more": 3}), json!({"result": 2, "more": 3}), json!(2)),
        (json!("text"), json!({"result": "text"}), json!("text")),
        (json!([1]), json!({"result": [1]}), json!([1])),
        (json!(null), json!({"set": true}), json!({"set": true})),
    ] {
        let run = testing::run_fn(returns).input(json!({"value": value})).await;
        assert_eq!((run.output(), run.result()), (output, result), "{value}");
    }
}

#[tokio::test]
async fn a_value_that_is_no_json_or_too_large_fails_for_good() {
    async fn no_json(_: (), _: TaskController) -> Result<HashMap<String, HashMap<Vec<u8>, u8>>, TaskError> {
        Ok(HashMap::from([("a".to_owned(), HashMap::from([(vec![1], 1)]))]))
    }
    async fn large(_: (), _: TaskController) -> Result<String, TaskError> {
        Ok("x".repeat(100))
    }
    let runs = [
        (testing::run_fn(no_json).max_attempts(3).await, "key must be a string"),
        (
            testing::run_fn(large).max_attempts(3).output_limit(100).await,
            "the output is 113 bytes long; limits.output allows 100",
        ),
    ];
    for (run, detail) in runs {
        assert_eq!(run.status(), Status::Failed);
        let expected = ErrorKind::Output { errors: vec![FieldError::new("", detail)] };
        assert_eq!(run.error().map(|error| &error.kind), Some(&expected));
    }
}

#[tokio::test]
async fn any_error_by_question_mark_is_told_with_its_causes_and_retried() {
    #[derive(Debug, thiserror::Error)]
    #[error("no thumbnails")]
    struct NoThumbnails(#[source] std::io::Error);

    async fn handler(_: (), _: TaskController) -> Result<String, TaskError> {
        Ok(std::fs::read_to_string("/no/such/file").map_err(NoThumbnails)?)
    }
    let run = testing::run_fn(handler).max_attempts(2).await;
    assert_eq!(run.status(), Status::Pending);
    let error = run.error().expect("it failed");
    assert_eq!(error.message, "no thumbnails");
    let ErrorKind::Handler { causes } = &error.kind else { panic!("{error:?}") };
    assert_eq!(causes, &["No such file or directory (os error 2)"]);
    assert_eq!(testing::run_fn(handler).attempt(2).await.status(), Status::Failed);
}

#[tokio::test]
async fn the_handler_says_whether_another_attempt_may_help() {
    async fn permanent(_: (), _: TaskController) -> Result<(), TaskError> {
        Err(TaskError::permanent("no such customer"))
    }
    async fn retryable(_: (), _: TaskController) -> Result<(), TaskError> {
        Err(TaskError::retryable("the line is busy"))
    }
    async fn stopped(_: (), _: TaskController) -> Result<(), TaskError> {
        Err(TaskError::stopped())
    }
    let status = async |run: testing::Run| run.max_attempts(2).await.status();
    assert_eq!(status(testing::run_fn(permanent)).await, Status::Failed);
    assert_eq!(status(testing::run_fn(retryable)).await, Status::Pending);
    assert_eq!(status(testing::run_fn(stopped)).await, Status::Cancelled);
}

#[tokio::test]
async fn an_error_after_a_stop_is_a_failure_and_not_retried() {
    async fn handler(_: (), task: TaskController) -> Result<(), TaskError> {
        task.set_progress(0.5)?;
        Err(TaskError::retryable("lost"))
    }
    let run = testing::run_fn(handler).max_attempts(5).stop_at_progress(0.5).await;
    assert_eq!(run.status(), Status::Failed);
}

#[tokio::test]
async fn a_panic_is_a_failure_with_its_place() {
    async fn handler(_: (), task: TaskController) -> Result<(), TaskError> {
        task.set_output(json!({"half": true}))?;
        let empty: Vec<u8> = Vec::new();
        tokio::task::yield_now().await;
        empty.first().expect("the list has a head");
        Ok(())
    }
    let run = testing::run_fn(handler).await;
    assert_eq!(run.status(), Status::Failed);
    let error = run.error().expect("it failed");
    assert_eq!(error.message, "the list has a head");
    let ErrorKind::Panic { location: Some(location) } = &error.kind else { panic!("{error:?}") };
    assert!(location.contains("ends.rs:"), "{location}");
    assert_eq!(run.output(), json!({"half": true}));
    // Another attempt may help.
    assert_eq!(testing::run_fn(handler).max_attempts(2).await.status(), Status::Pending);
}

#[tokio::test]
async fn a_panic_before_the_first_await_of_a_closure_is_caught_too() {
    fn always() -> bool {
        true
    }
    let run = testing::run_fn(|_: (), _: TaskController| {
        assert!(!always(), "not even begun");
        async { Ok(()) }
    });
    assert_eq!(run.await.error().map(|error| error.message.clone()), Some("not even begun".to_owned()));
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_dropped() {
    async fn handler(_: (), task: TaskController) -> Result<(), TaskError> {
        task.set_progress(0.1)?;
        std::future::pending().await
    }
    let run = testing::run_fn(handler).timeout(Duration::from_millis(20)).await;
    assert!(
        matches!(run.end(), AttemptEnd::Failed { kind: ErrorKind::Timeout { after: 0.02 }, .. }),
        "{:?}",
        run.end()
    );
    assert_eq!((run.status(), run.progress()), (Status::Failed, vec![0.1]));
}

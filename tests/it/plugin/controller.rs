//! Every method of the controller, through the harness that authors use.

use std::time::Duration;

use serde_json::{Map, Value, json};
use taskwright::{
    ControllerError, TaskController, TaskError,
    domain::Status,
    get_task_controller, get_task_inputs,
    task::{ReportError, StopReason},
    testing,
};

type Inputs = Map<String, Value>;

#[tokio::test]
async fn a_handler_knows_what_it_runs_for() {
    async fn about(_: Inputs, task: TaskController) -> Result<Value, TaskError> {
        Ok(json!({
            "task_id": task.task_id(),
            "attempt": task.attempt(),
            "number": task.number(),
            "id_version": task.id().get_version_num(),
            "inputs": task.inputs(),
        }))
    }
    let run = testing::run_fn(about).input(json!({"a": [1, 2]})).attempt(2).await;
    let expected = json!({"task_id": "test", "attempt": 2, "number": 1, "id_version": 7, "inputs": {"a": [1, 2]}});
    assert_eq!(run.output(), expected);
    assert_eq!(run.status(), Status::Completed);
}

#[tokio::test]
async fn progress_is_a_finite_number_from_0_to_1_and_anything_else_changes_nothing() {
    async fn handler(_: (), task: TaskController) -> Result<(), TaskError> {
        task.set_progress_with(0.25, "a quarter")?;
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(matches!(task.set_progress(wrong), Err(ReportError::Invalid(_))), "{wrong}");
            assert!(matches!(task.set_progress_with(wrong, "x"), Err(ReportError::Invalid(_))), "{wrong}");
        }
        assert!(matches!(task.set_progress_with(0.5, &"x".repeat(4097)), Err(ReportError::Invalid(_))));
        task.set_progress(1.0)?;
        task.set_progress(0.0)?;
        Ok(())
    }
    let run = testing::run_fn(handler).await;
    assert_eq!(run.status(), Status::Completed, "{:?}", run.error());
    assert_eq!(run.progress(), [0.25, 1.0, 0.0]);
    assert_eq!(run.messages(), [Some("a quarter".into()), None, None]);
    // Left as the handler last set it.
    assert_eq!(run.output(), Value::Null);
}

#[tokio::test]
async fn a_wrong_progress_by_question_mark_fails_the_task_and_says_why() {
    async fn handler(_: (), task: TaskController) -> Result<(), TaskError> {
        Ok(task.set_progress(f64::NAN)?)
    }
    let run = testing::run_fn(handler).await;
    let error = run.error().expect("it failed");
    assert_eq!(error.message, "progress must be a finite number from 0.0 to 1.0, not NaN");
}

#[tokio::test]
async fn output_is_an_object_or_null() {
    async fn handler(_: (), task: TaskController) -> Result<(), TaskError> {
        task.set_output(json!({"kept": 1}))?;
        for wrong in [json!(1), json!("text"), json!([{}]), json!(true)] {
            assert_eq!(task.set_output(&wrong), Err(ReportError::NotAnObject), "{wrong}");
        }
        let no_json = std::collections::HashMap::from([((1, 2), 3)]);
        assert!(matches!(task.set_output(&no_json), Err(ReportError::Unserialisable(_))));
        let too_large = json!({"text": "x".repeat(1 << 20)});
        assert!(matches!(task.set_output(&too_large), Err(ReportError::TooLarge { limit: 1_048_576, .. })));
        Ok(())
    }
    let run = testing::run_fn(handler).await;
    assert_eq!(run.status(), Status::Completed, "{:?}", run.error());
    assert_eq!(run.output(), json!({"kept": 1}));

    async fn clears(_: (), task: TaskController) -> Result<(), TaskError> {
        task.set_output(json!({"a": 1}))?;
        Ok(task.set_output(Value::Null)?)
    }
    assert_eq!(testing::run_fn(clears).await.output(), Value::Null);
}

#[tokio::test]
async fn a_status_is_stated_withdrawn_or_refused() {
    async fn states(input: Inputs, task: TaskController) -> Result<(), TaskError> {
        for status in input["states"].as_array().expect("a list") {
            let status = status.as_str().and_then(|word| word.parse().ok()).expect("a status");
            task.set_status(status)?;
        }
        Ok(())
    }
    let status = async |states: Value| {
        let run = testing::run_fn(states_handler).max_attempts(3).input(json!({"states": states})).await;
        (run.status(), run.error().map(|error| error.message.clone()))
    };
    use states as states_handler;
    assert_eq!(status(json!(["completed"])).await, (Status::Completed, None));
    assert_eq!(status(json!(["failed", "cancelled"])).await, (Status::Cancelled, None));
    assert_eq!(status(json!(["failed", "running"])).await, (Status::Completed, None));
    // A verdict is not retried, although attempts are left.
    assert_eq!(status(json!(["failed"])).await.0, Status::Failed);
    let (pending, message) = status(json!(["pending"])).await;
    assert_eq!(pending, Status::Pending, "the error that `?` made of the refusal is retried");
    assert!(message.expect("it failed").contains("cannot set its status to pending"));

    async fn says_why(_: (), task: TaskController) -> Result<(), TaskError> {
        assert!(matches!(task.set_status_with(Status::Failed, &"x".repeat(4097)), Err(ReportError::Invalid(_))));
        Ok(task.set_status_with(Status::Failed, "the disk is full")?)
    }
    let run = testing::run_fn(says_why).await;
    assert_eq!(run.error().map(|error| error.message.as_str()), Some("the disk is full"));
}

#[tokio::test]
async fn a_stop_is_seen_by_every_way_of_asking() {
    async fn handler(_: (), task: TaskController) -> Result<(), TaskError> {
        assert!(!task.should_stop());
        assert_eq!(task.stop_reason(), None);
        task.set_progress(0.5)?;
        assert!(task.should_stop());
        assert_eq!(task.stop_reason(), Some(StopReason::Stop));
        assert_eq!(task.stopped().await, StopReason::Stop);
        task.set_output(json!({"cleaned": true}))?;
        Err(TaskError::stopped())
    }
    let run = testing::run_fn(handler).stop_at_progress(0.5).await;
    assert_eq!(run.status(), Status::Cancelled, "{:?}", run.error());
    assert_eq!(run.output(), json!({"cleaned": true}));
}

#[tokio::test]
async fn a_handler_that_waits_for_the_stop_ends_at_once() {
    async fn handler(_: (), task: TaskController) -> Result<(), TaskError> {
        task.stopped().await;
        Err(TaskError::stopped())
    }
    let run = testing::run_fn(handler).stop_after(Duration::from_millis(10)).await;
    assert_eq!(run.status(), Status::Cancelled);
}

#[tokio::test]
async fn a_handler_that_ignores_the_stop_is_dropped_at_its_deadline() {
    async fn handler(_: (), task: TaskController) -> Result<(), TaskError> {
        task.set_output(json!({"half": true}))?;
        task.set_progress(0.5)?;
        std::future::pending().await
    }
    let run = testing::run_fn(handler).stop_at_progress(0.5).grace(Duration::from_millis(20)).await;
    assert_eq!(run.status(), Status::Cancelled);
    assert_eq!(run.output(), json!({"half": true}));
}

#[tokio::test]
async fn a_handler_can_stop_its_own_instance() {
    async fn handler(_: (), task: TaskController) -> Result<u32, TaskError> {
        task.request_stop();
        task.stopped().await;
        Ok(7)
    }
    let run = testing::run_fn(handler).await;
    assert_eq!(run.status(), Status::Cancelled);
    assert_eq!(run.result(), json!(7), "the returned value is kept");
}

#[tokio::test]
async fn a_shutdown_that_the_handler_saw_leaves_the_work_to_another_attempt() {
    async fn handler(_: (), task: TaskController) -> Result<(), TaskError> {
        task.set_progress(0.5)?;
        assert_eq!(task.stop_reason(), Some(StopReason::Shutdown));
        Err(TaskError::stopped())
    }
    let run = |attempts| testing::run_fn(handler).max_attempts(attempts).shut_down_at_progress(0.5);
    assert_eq!(run(2).await.status(), Status::Pending);
    assert_eq!(run(1).await.status(), Status::Failed);

    async fn does_not_look(_: (), task: TaskController) -> Result<(), TaskError> {
        Ok(task.set_progress(0.5)?)
    }
    assert_eq!(testing::run_fn(does_not_look).shut_down_at_progress(0.5).await.status(), Status::Completed);
}

#[tokio::test]
async fn the_log_has_its_lines() {
    async fn handler(input: Inputs, task: TaskController) -> Result<(), TaskError> {
        task.log("one");
        task.log(format_args!("two {}\nthree", input["n"]));
        task.flush().await?;
        Ok(())
    }
    let run = testing::run_fn(handler).input(json!({"n": 2})).await;
    assert_eq!(run.logs(), ["one", "two 2", "three"]);
}

#[tokio::test]
async fn the_running_task_is_found_without_passing_it_along() {
    fn deep_down() -> Result<String, ControllerError> {
        let task = get_task_controller()?;
        task.log("from deep down");
        Ok(format!("{} {}", task.task_id(), get_task_inputs()))
    }
    async fn handler(_: Inputs, task: TaskController) -> Result<Value, TaskError> {
        let here = deep_down()?;
        let there = task.blocking(|_| deep_down()).await?;
        let elsewhere = tokio::spawn(async { get_task_controller().is_err() }).await?;
        Ok(json!({"here": here, "there": there, "elsewhere": elsewhere}))
    }
    let run = testing::run_fn(handler).input(json!({"a": 1})).await;
    let seen = r#"test {"a":1}"#;
    assert_eq!(run.output(), json!({"here": seen, "there": seen, "elsewhere": true}));
    assert_eq!(run.logs().len(), 2);
}

#[tokio::test]
async fn outside_a_task_the_controller_is_an_error_that_says_what_to_do_and_the_inputs_are_empty() {
    let error = get_task_controller().expect_err("no task runs here");
    assert!(error.to_string().contains("inside a handler"), "{error}");
    assert_eq!(get_task_inputs().as_str(), "{}");
}

#[tokio::test]
async fn reports_after_the_end_are_refused() {
    let (send, receive) = tokio::sync::oneshot::channel();
    let send = std::sync::Mutex::new(Some(send));
    let run = testing::run_fn(move |_: (), task: TaskController| {
        let send = send.lock().unwrap().take().expect("it runs once");
        async move {
            task.set_progress(0.5)?;
            let _ = send.send(task);
            Ok(())
        }
    });
    assert_eq!(run.await.status(), Status::Completed);
    let late = receive.await.expect("the handler sent it");
    assert_eq!(late.set_progress(0.9), Err(ReportError::Over));
    assert_eq!(late.set_output(json!({})), Err(ReportError::Over));
    assert_eq!(late.set_status(Status::Failed), Err(ReportError::Over));
    assert_eq!(late.flush().await, Err(ReportError::Over));
    assert_eq!(late.stop_reason(), Some(StopReason::Over));
    assert_eq!(late.stopped().await, StopReason::Over);
}

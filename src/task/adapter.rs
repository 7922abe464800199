//! A typed handler as the engine runs it: the types are gone, the panics are caught.

use std::{future::Future, marker::PhantomData, sync::Arc};

use futures_util::future::BoxFuture;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    controller::TaskController,
    erased::{ErasedHandler, HandlerEnd},
    error::{Ending, TaskError},
    handler::TaskHandler,
    inputs,
    locals::CURRENT,
    panics,
    reporter::Reporter,
};
use crate::domain::{FieldError, Json};

/// A function of an input and a controller, its types erased.
struct Adapter<F, I, O> {
    function: F,
    types: PhantomData<fn(I) -> O>,
}

/// Erases the types of a handler.
pub(super) fn of_handler<H: TaskHandler>(handler: H) -> Arc<dyn ErasedHandler> {
    let handler = Arc::new(handler);
    of_function(move |input, task| {
        let handler = Arc::clone(&handler);
        async move { handler.run(input, task).await }
    })
}

/// Erases the types of a function.
pub(super) fn of_function<F, I, O, Fut>(function: F) -> Arc<dyn ErasedHandler>
where
    F: Fn(I, TaskController) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, TaskError>> + Send + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
{
    Arc::new(Adapter { function, types: PhantomData })
}

impl<F, I, O, Fut> ErasedHandler for Adapter<F, I, O>
where
    F: Fn(I, TaskController) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, TaskError>> + Send + 'static,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send + 'static,
{
    fn check(&self, inputs: &Json) -> Result<(), Vec<FieldError>> {
        inputs::read::<I>(inputs).map(drop)
    }

    fn run(self: Arc<Self>, inputs: Json, reporter: Arc<dyn Reporter>) -> BoxFuture<'static, HandlerEnd> {
        Box::pin(async move {
            let input = match inputs::read::<I>(&inputs) {
                Ok(input) => input,
                Err(errors) => return HandlerEnd::InvalidInputs(errors),
            };
            let task = TaskController::new(reporter);
            let attempt = CURRENT.scope(task.clone(), async move {
                match (self.function)(input, task).await {
                    Ok(value) => returned(&value),
                    Err(error) => ended(error),
                }
            });
            match panics::caught(attempt).await {
                Ok(end) => end,
                Err(caught) => HandlerEnd::Panicked { message: caught.message, location: caught.location },
            }
        })
    }
}

fn returned<O: Serialize>(value: &O) -> HandlerEnd {
    match Json::of(value) {
        Ok(value) if value.is_null() => HandlerEnd::Returned(None),
        Ok(value) => HandlerEnd::Returned(Some(value)),
        Err(error) => HandlerEnd::InvalidOutput(error.to_string()),
    }
}

fn ended(error: TaskError) -> HandlerEnd {
    match error.into_ending() {
        Ending::Stopped => HandlerEnd::Stopped,
        Ending::Failed { message, causes, permanent } => HandlerEnd::Failed { message, causes, permanent },
    }
}

//! What is done.

use async_graphql::{Context, ID, Object, Result};

use super::{
    apps::TasksOfApp,
    caller::{Caller, invalid},
    scalars::from_base64,
    types::{TaskInstance, TaskStartInput, TaskStopped},
};
use crate::{
    domain::{InstanceKey, Json, Progress},
    engine::{ReportPatch, StartOptions, StartRequest, StopOptions},
    http::Scope::Run,
};

/// The root of mutations.
pub struct Writes;

/// What can be done. Each is answered when it is committed.
#[Object(name = "Mutation")]
impl Writes {
    /// Starts an instance.
    async fn task_start(&self, context: &Context<'_>, input: TaskStartInput) -> Result<TaskInstance> {
        let caller = Caller::of(context);
        caller.may(Run).await?;
        let engine = caller.engine();
        engine.accepting().map_err(|error| caller.refuse(error))?;
        let app = TasksOfApp::of(engine, &input.deploy_id);
        let definition = app.find(engine, &input.task_name).map_err(|error| caller.refuse(error))?;
        let inputs = match input.input.as_deref() {
            None | Some("") => Json::empty_object(),
            Some(text) => from_base64("input", text, caller.body_limit())?,
        };
        let request = StartRequest { task: definition.id.to_string(), inputs, options: StartOptions::default() };
        let started = engine.start(request, None).await.map_err(|error| caller.refuse(error))?;
        Ok(TaskInstance(started.instance))
    }

    /// Reports progress: a number from 0 to 100, which stays as it is where none is given, and a message.
    async fn task_instance_update_progress(
        &self,
        context: &Context<'_>,
        #[graphql(name = "taskInstanceID")] id: ID,
        value: Option<f64>,
        message: Option<String>,
    ) -> Result<TaskInstance> {
        let caller = Caller::of(context);
        caller.may_with(Run, &id).await?;
        let key = caller.key(&id)?;
        let value = match value {
            Some(percent) if (0.0..=100.0).contains(&percent) => percent / 100.0,
            Some(percent) => return Err(invalid(format!("progress must be a number from 0 to 100, not {percent}"))),
            None => caller.engine().instance(key).await.map_err(|error| caller.refuse(error))?.progress.value(),
        };
        let progress = Progress::new(value, message.as_deref()).map_err(|error| invalid(error.to_string()))?;
        report(caller, key, ReportPatch { progress: Some(progress), ..ReportPatch::default() }).await
    }

    /// Sets the output: base64 of a text, a JSON object or anything else.
    async fn task_instance_set_output(
        &self,
        context: &Context<'_>,
        #[graphql(name = "taskInstanceID")] id: ID,
        value: String,
    ) -> Result<TaskInstance> {
        let caller = Caller::of(context);
        caller.may_with(Run, &id).await?;
        let key = caller.key(&id)?;
        let output = from_base64("output", &value, caller.body_limit())?;
        report(caller, key, ReportPatch { output: Some(Some(output)), ..ReportPatch::default() }).await
    }

    /// Asks an instance to stop. One that is done stays as it is.
    async fn task_stop(
        &self,
        context: &Context<'_>,
        #[graphql(name = "taskInstanceID")] id: ID,
    ) -> Result<TaskStopped> {
        let caller = Caller::of(context);
        caller.may_with(Run, &id).await?;
        let options = StopOptions { grace: None, force: false, by_itself: caller.stops_itself() };
        let stopped = caller.engine().stop(caller.key(&id)?, options).await.map_err(|error| caller.refuse(error))?;
        Ok(TaskStopped { task_instance_id: ID(stopped.id.to_string()) })
    }
}

/// Writes a report, and answers the instance with it.
async fn report(caller: &Caller, key: InstanceKey, patch: ReportPatch) -> Result<TaskInstance> {
    let engine = caller.engine();
    let refuse = |error| caller.refuse(error);
    engine.report(key, caller.writer(), None, patch).await.map_err(refuse)?;
    Ok(TaskInstance(engine.instance(key).await.map_err(refuse)?))
}

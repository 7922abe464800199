//! What is answered, in the platform's words.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject, Union};

use super::{
    caller::Caller,
    scalars::{Time, to_base64},
};
use crate::domain::{Definition, ErrorKind, Instance, InstanceKey, Status, Workload as RunsBy};

/// A definition.
pub struct Task {
    id: String,
    command: Vec<String>,
}

impl Task {
    /// As a client sees it.
    pub fn new(definition: &Definition) -> Self {
        Task { id: definition.id.to_string(), command: definition.command.clone().unwrap_or_default() }
    }
}

/// What instances are started from.
#[Object]
impl Task {
    /// Its id, by which it is started too.
    async fn id(&self) -> ID {
        ID::from(&self.id)
    }

    /// The program and its arguments; empty for a task that is compiled in.
    async fn command(&self) -> &[String] {
        &self.command
    }
}

/// An instance.
pub struct TaskInstance(pub Arc<Instance>);

/// One run of a task.
#[Object]
impl TaskInstance {
    /// Its id.
    async fn id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    /// When it was accepted.
    async fn created_at(&self) -> Time {
        Time(self.0.created_at)
    }

    /// What it was given, as base64 of the text.
    async fn input(&self) -> Option<String> {
        Some(to_base64(&self.0.inputs))
    }

    /// What it has set or returned, as base64 of the text.
    async fn output(&self) -> Option<String> {
        self.0.output.as_ref().map(to_base64)
    }

    /// Its task; without a command if that is no longer there.
    async fn task(&self, context: &Context<'_>) -> Task {
        match Caller::of(context).engine().definition(&self.0.task_id) {
            Ok(definition) => Task::new(&definition),
            Err(_) => Task { id: self.0.task_id.to_string(), command: Vec::new() },
        }
    }

    /// How far it says it is.
    async fn progress(&self) -> TaskProgress {
        let progress = &self.0.progress;
        TaskProgress { value: Some(progress.value() * 100.0), message: progress.message.as_deref().map(str::to_owned) }
    }

    /// How its program does.
    async fn workload(&self) -> TaskWorkload {
        TaskWorkload(Arc::clone(&self.0))
    }
}

/// How far an instance says it is.
#[derive(SimpleObject)]
pub struct TaskProgress {
    /// From 0 to 100.
    value: Option<f64>,
    /// What it says beside the number.
    message: Option<String>,
}

/// How an instance runs, or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum TaskWorkloadStatus {
    /// It waits.
    Pending,
    /// It runs.
    Running,
    /// It is completed, or was cancelled: the exit code tells which.
    Stopped,
    /// It failed.
    Error,
    /// Never answered.
    Unknown,
}

/// The program of an instance.
pub struct TaskWorkload(Arc<Instance>);

/// How the program of an instance does.
#[Object]
impl TaskWorkload {
    /// Its status.
    async fn status(&self) -> TaskWorkloadStatus {
        match self.0.status() {
            Status::Pending => TaskWorkloadStatus::Pending,
            Status::Running => TaskWorkloadStatus::Running,
            Status::Completed | Status::Cancelled => TaskWorkloadStatus::Stopped,
            Status::Failed => TaskWorkloadStatus::Error,
        }
    }

    /// When the latest attempt began.
    async fn started_at(&self) -> Option<Time> {
        self.0.started_at.map(Time)
    }

    /// 0 for what is completed, null for what is cancelled or has not ended. For what failed the program's exit code, or
    /// 128 and its signal, or null where no program ended; never 0.
    async fn exit_code(&self, context: &Context<'_>) -> Result<Option<i32>> {
        match self.0.status() {
            Status::Completed => Ok(Some(0)),
            Status::Pending | Status::Running | Status::Cancelled => Ok(None),
            Status::Failed => self.code_of_failure(Caller::of(context)).await,
        }
    }

    /// What it uses of the processor: not measured.
    async fn cpu_usage(&self) -> TaskUsage {
        TaskUsage { current: None }
    }

    /// What it uses of the memory: not measured.
    #[graphql(name = "memoryUsageMB")]
    async fn memory_usage(&self) -> TaskUsage {
        TaskUsage { current: None }
    }
}

impl TaskWorkload {
    async fn code_of_failure(&self, caller: &Caller) -> Result<Option<i32>> {
        let Some(error) = self.0.error() else { return Ok(None) };
        if self.0.workload == RunsBy::Local {
            return Ok(None);
        }
        Ok(match &error.kind {
            ErrorKind::Exit { exit_code } => Some(*exit_code),
            ErrorKind::Signal { signal, .. } => Some(128 + signal),
            // The program ended well, and its output was none.
            ErrorKind::Output { .. } => Some(1),
            // A timeout, or a verdict of its own: the error tells nothing of how the program ended.
            ErrorKind::Timeout { .. } | ErrorKind::Handler { .. } => {
                let attempts = caller.engine().attempts(InstanceKey::Id(self.0.id)).await;
                let attempts = attempts.map_err(|error| caller.refuse(error))?;
                let end = attempts.into_iter().next_back().and_then(|attempt| attempt.end);
                end.and_then(|end| end.exit_code.map(|code| code.max(1)).or(end.signal.map(|signal| 128 + signal)))
            }
            ErrorKind::Panic { .. }
            | ErrorKind::QueueTimeout { .. }
            | ErrorKind::Spawn { .. }
            | ErrorKind::InvalidInputs { .. }
            | ErrorKind::Interrupted { .. } => None,
        })
    }
}

/// A figure of a program.
#[derive(SimpleObject)]
pub struct TaskUsage {
    /// As it is now.
    current: Option<f64>,
}

/// What is to be started.
#[derive(InputObject)]
pub struct TaskStartInput {
    /// The organization.
    pub organization_slug: String,
    /// The deployment.
    #[graphql(name = "deployID")]
    pub deploy_id: ID,
    /// The id or name of the task.
    pub task_name: String,
    /// What the task gets, as base64 of a text: a JSON object, or anything else.
    pub input: Option<String>,
}

/// What was asked to stop.
#[derive(SimpleObject)]
pub struct TaskStopped {
    /// The instance.
    #[graphql(name = "taskInstanceID")]
    pub task_instance_id: ID,
}

/// An app.
#[derive(SimpleObject)]
pub struct App {
    /// Its id.
    pub id: ID,
    /// Its only deployment.
    pub default_deployment: Option<AppDeployment>,
}

/// A deployment of an app.
#[derive(SimpleObject)]
pub struct AppDeployment {
    /// Its id.
    pub id: ID,
    /// What is deployed.
    pub current: Option<AppDeploymentVersion>,
}

/// What is deployed.
#[derive(SimpleObject)]
pub struct AppDeploymentVersion {
    /// The version of the app.
    pub app_version: AppVersion,
}

/// A version of an app.
#[derive(SimpleObject)]
pub struct AppVersion {
    /// Its tasks, by id.
    pub tasks: Vec<Task>,
}

/// An organization, or none.
#[derive(Union)]
pub enum OrganizationByIdResult {
    /// There is one.
    Organization(Organization),
    /// There is none.
    OrganizationNotFound(OrganizationNotFound),
}

/// An organization.
#[derive(SimpleObject)]
pub struct Organization {
    /// Its id.
    pub id: ID,
    /// Its slug.
    pub slug: String,
}

/// No organization has this id.
#[derive(SimpleObject)]
pub struct OrganizationNotFound {
    /// As asked for.
    pub id: ID,
}

/// What is thought of a client's version.
#[derive(Union)]
pub enum VersionCheckResult {
    /// It will do.
    Ok(VersionCheckOk),
    /// It will do, but.
    Warning(VersionCheckWarning),
    /// It will not do.
    Critical(VersionCheckCritical),
    /// It is none.
    Unknown(VersionUnknown),
}

/// A version that will do.
#[derive(SimpleObject)]
#[graphql(name = "VersionCheckOK")]
pub struct VersionCheckOk {
    /// The version.
    pub version: String,
}

/// A version that will do, but.
#[derive(SimpleObject)]
pub struct VersionCheckWarning {
    /// But what.
    pub message: String,
}

/// A version that will not do.
#[derive(SimpleObject)]
pub struct VersionCheckCritical {
    /// Why.
    pub message: String,
}

/// What is no version.
#[derive(SimpleObject)]
pub struct VersionUnknown {
    /// As sent.
    pub version: String,
}

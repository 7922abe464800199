//! What is read.

use async_graphql::{Context, ID, Object, Result};

use super::{
    LIST_COST,
    apps::TasksOfApp,
    caller::Caller,
    types::{
        App, AppDeployment, AppDeploymentVersion, AppVersion, Organization, OrganizationByIdResult,
        OrganizationNotFound, Task, TaskInstance, VersionCheckOk, VersionCheckResult, VersionUnknown,
    },
};
use crate::{
    domain::{InstanceKey, InstanceQuery},
    engine::EngineError,
    http::Scope::Read,
};

/// The most instances of one list.
const LONGEST_LIST: usize = 1000;
/// The most bytes of inputs and outputs of one list; where there are more it ends sooner.
const LARGEST_LIST: usize = 16 << 20;

/// The root of queries.
pub struct Reads;

/// What can be read.
#[Object(name = "Query")]
impl Reads {
    /// The tasks of a deployment.
    async fn tasks(
        &self,
        context: &Context<'_>,
        #[graphql(name = "organizationSlug")] _organization_slug: String,
        #[graphql(name = "deployID")] deploy_id: ID,
    ) -> Result<Vec<Task>> {
        let caller = Caller::of(context);
        caller.may(Read).await?;
        Ok(tasks(&TasksOfApp::of(caller.engine(), &deploy_id)))
    }

    /// An instance; null for an id that names none.
    async fn task_instance(
        &self,
        context: &Context<'_>,
        #[graphql(name = "taskInstanceID")] id: ID,
    ) -> Result<Option<TaskInstance>> {
        let caller = Caller::of(context);
        caller.may_with(Read, &id).await?;
        let Ok(key) = id.parse::<InstanceKey>() else { return Ok(None) };
        match caller.engine().instance(key).await {
            Ok(instance) => Ok(Some(TaskInstance(instance))),
            Err(EngineError::UnknownInstance(_)) => Ok(None),
            Err(error) => Err(caller.refuse(error)),
        }
    }

    /// The newest 1,000 instances of a task, or fewer where their inputs and outputs have more than 16 MiB together; none
    /// of a task that this deployment has not.
    #[graphql(complexity = "LIST_COST + child_complexity")]
    async fn task_instances(
        &self,
        context: &Context<'_>,
        #[graphql(name = "organizationSlug")] _organization_slug: String,
        #[graphql(name = "deployID")] deploy_id: ID,
        #[graphql(name = "taskID")] task_id: ID,
    ) -> Result<Vec<TaskInstance>> {
        let caller = Caller::of(context);
        caller.may(Read).await?;
        let engine = caller.engine();
        let app = TasksOfApp::of(engine, &deploy_id);
        let Some(definition) = app.named(&task_id) else { return Ok(Vec::new()) };
        let query =
            InstanceQuery { task_id: Some(definition.id.to_string()), limit: LONGEST_LIST, ..InstanceQuery::default() };
        caller.list_turn().await;
        let whole = engine.list_whole(&query, LARGEST_LIST).await.map_err(|error| caller.refuse(error))?;
        Ok(whole.into_iter().map(TaskInstance).collect())
    }

    /// The organization: there is one, whatever it is called.
    async fn organization_by_id(&self, context: &Context<'_>, organization_id: ID) -> OrganizationByIdResult {
        if organization_id.trim().is_empty() {
            return OrganizationByIdResult::OrganizationNotFound(OrganizationNotFound { id: organization_id });
        }
        let configured = Caller::of(context).engine().numerous().organization.as_deref();
        let name = configured.unwrap_or(&organization_id);
        OrganizationByIdResult::Organization(Organization { id: ID::from(name), slug: name.to_owned() })
    }

    /// An app: the tasks that name it; where none does, those that name none.
    async fn app(
        &self,
        context: &Context<'_>,
        #[graphql(name = "organizationSlug")] _organization_slug: String,
        app_slug: String,
    ) -> Result<App> {
        let caller = Caller::of(context);
        caller.may(Read).await?;
        let app = TasksOfApp::of(caller.engine(), &app_slug);
        if app.tasks.is_empty() {
            return Err(caller.unknown_app(&app_slug));
        }
        let configured = caller.engine().numerous().deployment.as_deref().filter(|_| !app.is_named);
        let deployment = ID::from(configured.unwrap_or(&app_slug));
        let current = AppDeploymentVersion { app_version: AppVersion { tasks: tasks(&app) } };
        let default_deployment = Some(AppDeployment { id: deployment, current: Some(current) });
        Ok(App { id: ID::from(app_slug), default_deployment })
    }

    /// Whether a version of the command line will do: every one does.
    async fn check_version(&self, version: String) -> VersionCheckResult {
        if version.trim().is_empty() {
            return VersionCheckResult::Unknown(VersionUnknown { version });
        }
        VersionCheckResult::Ok(VersionCheckOk { version })
    }
}

fn tasks(app: &TasksOfApp) -> Vec<Task> {
    app.tasks.iter().map(|definition| Task::new(definition)).collect()
}

//! Which tasks an app has.

use std::sync::Arc;

use crate::{
    domain::Definition,
    engine::{Engine, EngineError},
};

/// An app, by its slug or by its deployment, which has the same name.
pub struct TasksOfApp {
    /// Whether its tasks name it. Otherwise they are those without an app.
    pub is_named: bool,
    /// Its tasks, by id.
    pub tasks: Vec<Arc<Definition>>,
}

impl TasksOfApp {
    /// The tasks whose `app_id` is `slug`; where there is none, those without one.
    pub fn of(engine: &Engine, slug: &str) -> Self {
        let all = engine.definitions();
        let own = |definition: &&Arc<Definition>| definition.app_id.as_deref() == Some(slug);
        let is_named = all.iter().any(|definition| own(&definition));
        let tasks =
            all.iter().filter(|definition| if is_named { own(definition) } else { definition.app_id.is_none() });
        TasksOfApp { is_named, tasks: tasks.cloned().collect() }
    }

    /// The one with this id or name.
    pub fn named(&self, name: &str) -> Option<&Arc<Definition>> {
        self.tasks.iter().find(|definition| definition.id.as_str() == name || definition.name.as_str() == name)
    }

    /// [`TasksOfApp::named`], or why there is none.
    ///
    /// # Errors
    /// [`EngineError::UnknownTask`].
    pub fn find(&self, engine: &Engine, name: &str) -> Result<&Arc<Definition>, EngineError> {
        self.named(name).ok_or_else(|| match engine.definition(name) {
            Err(unknown) => unknown,
            Ok(foreign) => {
                let hint = match &foreign.app_id {
                    Some(app) => format!(" in this deployment; it belongs to the app `{app}`"),
                    None => " in this deployment; it belongs to no app".to_owned(),
                };
                EngineError::UnknownTask { task: name.to_owned(), hint }
            }
        })
    }
}

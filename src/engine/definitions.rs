//! What callers may do to definitions: look them up, register and remove commands. One change is on its way at a time.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    Engine, EngineError,
    catalog::{Catalog, CatalogError, Task, described},
    command_task::{CommandTask, InputsBy},
    lanes::DefinitionItem,
};
use crate::{
    domain::{Definition, FieldError, Json, Source},
    store::{DefinitionChange, DefinitionOutcome},
};

/// A definition that was registered.
#[derive(Debug, Clone)]
pub struct Registered {
    /// As it is kept.
    pub definition: Arc<Definition>,
    /// False where the same one was there already.
    pub is_new: bool,
}

impl Engine {
    /// The definitions, by id.
    pub fn definitions(&self) -> Vec<Arc<Definition>> {
        self.inner.catalog.load().iter().map(|task| Arc::clone(&task.definition)).collect()
    }

    /// The definition with this id or name.
    ///
    /// # Errors
    /// [`EngineError::UnknownTask`].
    pub fn definition(&self, id: &str) -> Result<Arc<Definition>, EngineError> {
        self.inner.catalog.load().find(id).map(|task| Arc::clone(&task.definition))
    }

    /// The id of the task with this id or name. Any other text stays as it is: instances of a task that is no longer there
    /// keep its id.
    pub fn task_id(&self, name: &str) -> String {
        self.inner.catalog.load().named(name).map_or_else(|| name.to_owned(), |task| task.definition.id.to_string())
    }

    /// Whether the operator lets clients register and remove commands (`definitions.remote`).
    pub fn takes_definitions(&self) -> bool {
        self.inner.settings.remote_definitions
    }

    /// Registers a command; answers when it is committed and can be started.
    ///
    /// # Errors
    /// [`EngineError::InvalidOptions`] for a schema that is none or a limit out of bounds; [`EngineError::DefinitionTaken`] or
    /// [`EngineError::DefinitionDiffers`] where the id or name is in use; or the store cannot be written.
    pub async fn register(&self, definition: Definition) -> Result<Registered, EngineError> {
        let directory = self.inner.settings.directory.clone();
        let inputs = InputsBy::Environment;
        let task = Task::command(CommandTask { definition, env: BTreeMap::new(), inputs, directory });
        let task = task.map_err(invalid)?;
        let definition = Arc::clone(&task.definition);
        let turn = self.turn_to_change().await?;
        let catalog = self.inner.catalog.load();
        if let Some(found) = catalog.named(definition.id.as_str()) {
            let found = &found.definition;
            return match found.source {
                Source::Registered if is_same(found, &definition) => {
                    Ok(Registered { definition: Arc::clone(found), is_new: false })
                }
                Source::Registered if found.id == definition.id => {
                    Err(EngineError::DefinitionDiffers { id: found.id.to_string() })
                }
                _ => Err(taken(&definition.id.to_string(), found)),
            };
        }
        if let Some(found) = catalog.named(definition.name.as_str()) {
            return Err(taken(definition.name.as_str(), &found.definition));
        }
        let next = catalog.with(task).map_err(invalid)?;
        let change = DefinitionChange::Register(Arc::clone(&definition));
        self.change(change, next, turn).await?;
        Ok(Registered { definition, is_new: true })
    }

    /// Removes a registered definition, by id or name; answers when that is committed.
    ///
    /// # Errors
    /// [`EngineError::UnknownTask`]; [`EngineError::DefinitionFixed`] for one that is compiled in or configured;
    /// [`EngineError::DefinitionInUse`] while instances of it are not done; or the store cannot be written.
    pub async fn unregister(&self, name: &str) -> Result<(), EngineError> {
        let turn = self.turn_to_change().await?;
        let catalog = self.inner.catalog.load();
        let definition = &catalog.find(name)?.definition;
        if definition.source != Source::Registered {
            return Err(EngineError::DefinitionFixed { definition: described(definition) });
        }
        let change = DefinitionChange::Remove { id: definition.id.shared() };
        match self.change(change, catalog.without(definition), turn).await? {
            DefinitionOutcome::InUse => Err(EngineError::DefinitionInUse { id: definition.id.to_string() }),
            DefinitionOutcome::Registered | DefinitionOutcome::Removed | DefinitionOutcome::NotFound => Ok(()),
        }
    }

    async fn turn_to_change(&self) -> Result<OwnedSemaphorePermit, EngineError> {
        self.taking_work()?;
        Arc::clone(&self.inner.changes).acquire_owned().await.map_err(|_| EngineError::Unavailable(None))
    }

    async fn change(
        &self,
        change: DefinitionChange,
        next: Catalog,
        turn: OwnedSemaphorePermit,
    ) -> Result<DefinitionOutcome, EngineError> {
        self.taking_work()?;
        let (reply, answer) = oneshot::channel();
        self.inner.lanes.push_definition(DefinitionItem { change, next: Arc::new(next), reply, _turn: turn });
        answer.await.map_err(|_| EngineError::Unavailable(None))?
    }
}

fn taken(name: &str, by: &Definition) -> EngineError {
    EngineError::DefinitionTaken { name: name.to_owned(), by: described(by) }
}

fn invalid(error: CatalogError) -> EngineError {
    let error = match error {
        CatalogError::Schema { which, detail, .. } => {
            FieldError::new(format!("/{which}"), format!("is not a valid JSON Schema: {detail}"))
        }
        CatalogError::OutOfBounds { member, detail, .. } => FieldError::new(format!("/{member}"), detail),
        other => FieldError::new("", other.to_string()),
    };
    EngineError::InvalidOptions { errors: vec![error] }
}

/// Whether `new` asks for what is there. It may name it by its name, and write its schemas in another order.
fn is_same(found: &Definition, new: &Definition) -> bool {
    let schemas_match = same_json(found.input_schema.as_ref(), new.input_schema.as_ref())
        && same_json(found.output_schema.as_ref(), new.output_schema.as_ref());
    let rest = Definition {
        id: found.id.clone(),
        input_schema: found.input_schema.clone(),
        output_schema: found.output_schema.clone(),
        ..new.clone()
    };
    schemas_match && rest == *found
}

fn same_json(one: Option<&Json>, other: Option<&Json>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) if one != other => {
            let value = |json: &Json| json.read::<serde_json::Value>().ok();
            value(one).is_some_and(|one| Some(one) == value(other))
        }
        (one, other) => one.is_some() == other.is_some(),
    }
}

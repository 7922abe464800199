//! From a request to the rows of a start: everything that is checked before anything is written.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    catalog::{Catalog, Task},
    error::EngineError,
    request::{IdempotencyKey, StartOptions, StartRequest, When},
};
use crate::{
    domain::{FieldError, Instance, Json, Labels, Limits, Micros, bounds, error::MOST_ERRORS},
    store::{IdempotencyClaim, NewInstance, Start},
};

/// A start of one instance.
///
/// # Errors
/// Where the task is unknown, or the options or inputs are not valid for it.
pub fn single(catalog: &Catalog, request: &StartRequest, key: Option<IdempotencyKey>) -> Result<Start, EngineError> {
    let instance = prepare(catalog, request)?;
    let idempotency = key.map(|key| {
        let mut hash = Sha256::new();
        fingerprint(&mut hash, &instance.task_id, &request.inputs, &request.options);
        claim(key, hash)
    });
    Ok(Start { instances: vec![instance], idempotency })
}

/// A start of many.
///
/// # Errors
/// [`EngineError::InvalidBatch`] with the faults of all items.
pub fn batch(catalog: &Catalog, requests: &[StartRequest], key: Option<IdempotencyKey>) -> Result<Start, EngineError> {
    let mut instances = Vec::with_capacity(requests.len());
    let mut errors = Vec::new();
    let mut hash = Sha256::new();
    hash.update(b"batch");
    for (item, request) in requests.iter().enumerate() {
        match prepare(catalog, request) {
            Ok(instance) => {
                fingerprint(&mut hash, &instance.task_id, &request.inputs, &request.options);
                instances.push(instance);
            }
            Err(error) if errors.len() < MOST_ERRORS => errors.extend(faults(item, error)),
            Err(_) => break,
        }
    }
    if !errors.is_empty() {
        errors.truncate(MOST_ERRORS);
        return Err(EngineError::InvalidBatch { errors });
    }
    Ok(Start { instances, idempotency: key.map(|key| claim(key, hash)) })
}

/// What is wrong with item `n` of a batch.
///
/// # Errors
/// The faults, with pointers that begin `/instances/n`.
pub fn check_item(catalog: &Catalog, n: usize, request: &StartRequest) -> Result<(), Vec<FieldError>> {
    prepare(catalog, request).map(drop).map_err(|error| faults(n, error))
}

/// A start that runs the done instance `of` again, with other inputs where they are given.
///
/// # Errors
/// Where its task is gone, or the options or inputs are not valid for it.
pub fn retry(
    catalog: &Catalog,
    of: &Instance,
    inputs: Option<Json>,
    options: &StartOptions,
    key: Option<IdempotencyKey>,
) -> Result<Start, EngineError> {
    let task = catalog.find(&of.task_id)?;
    let mut instance = again(of, options.labels.clone());
    if let Some(inputs) = inputs {
        instance.inputs = inputs;
    }
    apply(task, options, &mut instance)?;
    check(task, &instance.inputs)?;
    let idempotency = key.map(|key| {
        let mut hash = Sha256::new();
        hash.update(b"retry");
        hash.update(of.id.as_bytes());
        fingerprint(&mut hash, &instance.task_id, &instance.inputs, options);
        claim(key, hash)
    });
    Ok(Start { instances: vec![instance], idempotency })
}

/// A new instance that runs the done one `of` again.
fn again(of: &Instance, labels: Option<Labels>) -> NewInstance {
    NewInstance {
        id: Uuid::now_v7(),
        task_id: Arc::clone(&of.task_id),
        workload: of.workload,
        inputs: of.inputs.clone(),
        limits: of.limits.clone(),
        labels: labels.unwrap_or_else(|| of.labels.clone()),
        run_at: None,
        retry_of: Some(of.id),
    }
}

fn prepare(catalog: &Catalog, request: &StartRequest) -> Result<NewInstance, EngineError> {
    let task = catalog.find(&request.task)?;
    let definition = &task.definition;
    let mut instance = NewInstance {
        id: Uuid::now_v7(),
        task_id: definition.id.shared(),
        workload: definition.workload,
        inputs: request.inputs.clone(),
        limits: Limits {
            timeout: definition.timeout,
            queue_timeout: definition.queue_timeout,
            max_attempts: definition.max_attempts,
            retry_delay: definition.retry_delay,
            priority: 0,
        },
        labels: request.options.labels.clone().unwrap_or_default(),
        run_at: None,
        retry_of: None,
    };
    apply(task, &request.options, &mut instance)?;
    check(task, &instance.inputs)?;
    Ok(instance)
}

/// Puts what `options` say in place of what `instance` has.
fn apply(task: &Task, options: &StartOptions, instance: &mut NewInstance) -> Result<(), EngineError> {
    let definition = &task.definition;
    if let Some(workload) = options.workload
        && workload != definition.workload
    {
        let detail = format!(
            "the task `{}` is {}, not {}: leave workload out",
            definition.id,
            definition.workload.as_str(),
            workload.as_str()
        );
        return Err(EngineError::InvalidOptions { errors: vec![FieldError::new("/workload", detail)] });
    }
    check_bounds(options)?;
    let limits = &mut instance.limits;
    limits.timeout = options.timeout.or(limits.timeout);
    limits.queue_timeout = options.queue_timeout.or(limits.queue_timeout);
    limits.max_attempts = options.max_attempts.unwrap_or(limits.max_attempts);
    limits.retry_delay = options.retry_delay.unwrap_or(limits.retry_delay);
    limits.priority = options.priority.unwrap_or(limits.priority);
    instance.run_at = match options.when {
        When::Now => None,
        When::At(time) => Some(time),
        When::After(delay) => Some(Micros::now().after(delay)),
    };
    Ok(())
}

/// Options that come from code have passed no reader that bounds them.
fn check_bounds(options: &StartOptions) -> Result<(), EngineError> {
    let delay = match options.when {
        When::After(delay) => Some(delay),
        When::Now | When::At(_) => None,
    };
    let faults = [
        ("/timeout", options.timeout.and_then(bounds::duration_fault)),
        ("/queue_timeout", options.queue_timeout.and_then(bounds::duration_fault)),
        ("/max_attempts", options.max_attempts.and_then(bounds::attempts_fault)),
        ("/retry_delay", options.retry_delay.and_then(bounds::duration_fault)),
        ("/delay", delay.and_then(bounds::duration_fault)),
    ];
    let errors: Vec<_> =
        faults.into_iter().filter_map(|(option, fault)| Some(FieldError::new(option, fault?))).collect();
    if errors.is_empty() { Ok(()) } else { Err(EngineError::InvalidOptions { errors }) }
}

fn check(task: &Task, inputs: &Json) -> Result<(), EngineError> {
    let errors = if inputs.is_object() {
        match task.check_inputs(inputs) {
            Ok(()) => return Ok(()),
            Err(errors) => errors,
        }
    } else {
        vec![FieldError::new("", "the inputs must be a JSON object")]
    };
    Err(EngineError::InvalidInputs { task_id: task.definition.id.to_string(), errors })
}

fn faults(item: usize, error: EngineError) -> Vec<FieldError> {
    let prefix = format!("/instances/{item}");
    match error {
        EngineError::InvalidInputs { errors, .. } => {
            errors.into_iter().map(|error| error.below(&format!("{prefix}/inputs"))).collect()
        }
        EngineError::InvalidOptions { errors } => errors.into_iter().map(|error| error.below(&prefix)).collect(),
        other => vec![FieldError::new(format!("{prefix}/task_id"), other.to_string())],
    }
}

/// What must be equal for a request to be the same as an earlier one under its key.
fn fingerprint(hash: &mut Sha256, task_id: &str, inputs: &Json, options: &StartOptions) {
    // Each part with its length, so that no two different requests read the same.
    let options = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        options.timeout,
        options.queue_timeout,
        options.max_attempts,
        options.retry_delay,
        options.priority,
        options.labels.as_ref().map(|labels| labels.iter().collect::<Vec<_>>()),
        options.when,
    );
    for part in [task_id, inputs.as_str(), &options] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
}

fn claim(key: IdempotencyKey, hash: Sha256) -> IdempotencyClaim {
    IdempotencyClaim { principal: key.principal, key: key.key, fingerprint: hash.finalize().into() }
}

/// How many bytes the inputs of `start` have.
pub fn bytes(start: &Start) -> usize {
    start.instances.iter().map(|instance| instance.inputs.as_str().len()).sum()
}

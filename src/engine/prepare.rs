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
///
/// The hash is stored and outlives this binary, so it is made of bytes that no other version writes otherwise.
fn fingerprint(hash: &mut Sha256, task_id: &str, inputs: &Json, options: &StartOptions) {
    // Each part with a tag and its length, so that no two different requests read the same. What is not said adds nothing.
    let mut put = |tag: u8, bytes: &[u8]| {
        hash.update([tag]);
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    // Whatever is said and added later must be in it, too. The workload changes nothing of what is started.
    let StartOptions { timeout, queue_timeout, max_attempts, retry_delay, priority, labels, when, workload: _ } =
        options;
    put(b't', task_id.as_bytes());
    put(b'i', inputs.as_str().as_bytes());
    for (tag, duration) in [(b'T', timeout), (b'Q', queue_timeout), (b'R', retry_delay)] {
        if let Some(duration) = duration {
            put(tag, &duration.as_nanos().to_be_bytes());
        }
    }
    if let Some(attempts) = max_attempts {
        put(b'A', &attempts.to_be_bytes());
    }
    if let Some(priority) = priority {
        put(b'P', &priority.to_be_bytes());
    }
    if let Some(labels) = labels {
        // None at all is something else than saying nothing: a retry keeps the labels of the original then.
        put(b'L', &[]);
        for (key, value) in labels.iter() {
            put(b'k', key.as_bytes());
            put(b'v', value.as_bytes());
        }
    }
    match when {
        When::Now => {}
        When::At(time) => put(b'@', &time.0.to_be_bytes()),
        When::After(delay) => put(b'+', &delay.as_nanos().to_be_bytes()),
    }
}

fn claim(key: IdempotencyKey, hash: Sha256) -> IdempotencyClaim {
    IdempotencyClaim { principal: key.principal, key: key.key, fingerprint: hash.finalize().into() }
}

/// How many bytes the inputs of `start` have.
pub fn bytes(start: &Start) -> usize {
    start.instances.iter().map(|instance| instance.inputs.as_str().len()).sum()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;

    fn hash(options: &StartOptions) -> String {
        let mut hash = Sha256::new();
        fingerprint(&mut hash, "sleep", &Json::parse(r#"{"seconds":3}"#).expect("JSON"), options);
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Option<Labels> {
        let pairs: BTreeMap<_, _> = pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Some(Labels::new(pairs).expect("labels"))
    }

    /// Stores hold it: a change of it refuses repeats of what an earlier version started.
    #[test]
    fn a_fingerprint_is_the_same_in_every_version() {
        let options = StartOptions {
            timeout: Some(Duration::from_secs(60)),
            queue_timeout: None,
            max_attempts: Some(3),
            retry_delay: Some(Duration::from_millis(250)),
            priority: Some(-5),
            labels: labels([("a", "b:c")]),
            when: When::At(Micros(1_900_000_000_000_000)),
            workload: None,
        };
        assert_eq!(hash(&options), "edd39668e19d963cf60bcf85c7460d350837c5bad55bb7dda10bf9bbffc84713");
    }

    #[test]
    fn what_is_asked_otherwise_has_another_fingerprint() {
        let none = StartOptions::default;
        let second = Some(Duration::from_secs(1));
        let all = [
            none(),
            StartOptions { timeout: second, ..none() },
            StartOptions { queue_timeout: second, ..none() },
            StartOptions { retry_delay: second, ..none() },
            StartOptions { max_attempts: Some(1), ..none() },
            StartOptions { priority: Some(1), ..none() },
            StartOptions { labels: labels([]), ..none() },
            StartOptions { labels: labels([("a", "b")]), ..none() },
            StartOptions { labels: labels([("a", "bk"), ("b", "")]), ..none() },
            StartOptions { when: When::At(Micros(1_000_000_000)), ..none() },
            StartOptions { when: When::After(Duration::from_secs(1)), ..none() },
        ];
        let hashes: std::collections::HashSet<_> = all.iter().map(hash).collect();
        assert_eq!(hashes.len(), all.len());
    }
}

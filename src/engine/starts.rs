//! What callers may start, and how they wait for it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::oneshot;

use super::{
    Catalog, Engine, EngineError, IdempotencyKey, StartOptions, StartRequest, Started, StartedBatch,
    lanes::{NotTaken, StartItem, StartReply},
    next_image::Commit,
    prepare,
};
use crate::{
    domain::{FieldError, Instance, InstanceKey, Json, Micros},
    negative_control::NegativeControl,
    store::Start,
};

/// Resolves when whoever waits for the end of a start has waited enough.
type Until<'a> = Pin<&'a mut (dyn Future<Output = ()> + Send)>;

impl Engine {
    /// Whether a start would be taken at all: asked before a body is parsed.
    ///
    /// # Errors
    /// Why not: draining, no store, or no room.
    pub fn accepting(&self) -> Result<(), EngineError> {
        self.room_for(1)
    }

    fn room_for(&self, rows: u64) -> Result<(), EngineError> {
        self.taking_work()?;
        let inner = &self.inner;
        let limit = inner.settings.pending;
        let pending = inner.state.pending.load(Ordering::Relaxed).saturating_add(inner.lanes.start_rows() as u64);
        if pending.saturating_add(rows) > limit || !inner.lanes.has_room() {
            return Err(EngineError::QueueFull { pending, limit });
        }
        Ok(())
    }

    /// Starts one instance; answers when it is synced to disk.
    ///
    /// # Errors
    /// Why it was refused; nothing was made then, unless the store did not say.
    pub async fn start(&self, request: StartRequest, key: Option<IdempotencyKey>) -> Result<Started, EngineError> {
        self.begin_one(request, key, None).await
    }

    /// Starts one instance; answers when it is done, or once `until` has resolved and it is synced to disk. One that was
    /// started before under the same key is answered as it is.
    ///
    /// # Errors
    /// As for [`Engine::start`].
    pub async fn start_and_wait(
        &self,
        request: StartRequest,
        key: Option<IdempotencyKey>,
        until: impl Future<Output = ()> + Send,
    ) -> Result<Started, EngineError> {
        self.begin_one(request, key, Some(std::pin::pin!(until))).await
    }

    async fn begin_one(
        &self,
        request: StartRequest,
        key: Option<IdempotencyKey>,
        mut until: Option<Until<'_>>,
    ) -> Result<Started, EngineError> {
        loop {
            let catalog = self.inner.catalog.load();
            let start = prepare::single(&catalog, &request, key.clone())?;
            // Only for this round: it may have to be waited for again.
            let until = until.as_mut().map(|until| until.as_mut() as Until<'_>);
            if let Some(started) = self.begin(start, catalog, until).await? {
                return the_one(started);
            }
        }
    }

    /// Whether `request` would be started now; nothing is made.
    ///
    /// # Errors
    /// As for [`Engine::start`].
    pub fn validate(&self, request: &StartRequest) -> Result<(), EngineError> {
        prepare::single(&self.inner.catalog.load(), request, None)?;
        self.room_for(1)
    }

    /// What is wrong with item `n` of a batch; nothing is made.
    ///
    /// # Errors
    /// The faults, with pointers that begin `/instances/n`.
    pub fn check(&self, n: usize, request: &StartRequest) -> Result<(), Vec<FieldError>> {
        prepare::check_item(&self.inner.catalog.load(), n, request)
    }

    /// Starts many in one commit, all or none.
    ///
    /// # Errors
    /// As for [`Engine::start`]; [`EngineError::InvalidBatch`] names the items at fault.
    pub async fn start_batch(
        &self,
        requests: Vec<StartRequest>,
        key: Option<IdempotencyKey>,
    ) -> Result<StartedBatch, EngineError> {
        loop {
            let catalog = self.inner.catalog.load();
            let start = prepare::batch(&catalog, &requests, key.clone())?;
            if let Some(started) = self.begin(start, catalog, None).await? {
                return Ok(started);
            }
        }
    }

    /// Runs a done instance again as a new one.
    ///
    /// # Errors
    /// As for [`Engine::start`]; [`EngineError::NotDone`] while it is not done.
    pub async fn retry(
        &self,
        key: InstanceKey,
        inputs: Option<Json>,
        options: StartOptions,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Started, EngineError> {
        let of = self.instance(key).await?;
        loop {
            // Before its state: what is wrong with the request is said whatever the instance is.
            let catalog = self.inner.catalog.load();
            let start = prepare::retry(&catalog, &of, inputs.clone(), &options, idempotency.clone())?;
            if !of.is_done() {
                return Err(EngineError::NotDone { status: of.status() });
            }
            if let Some(started) = self.begin(start, catalog, None).await? {
                return the_one(started);
            }
        }
    }

    /// Has `start` written; None if it must be checked again, because a task of it is no longer what `catalog` says.
    /// Where it is of one instance, answers when that is done, or once `until` has resolved.
    async fn begin(
        &self,
        start: Start,
        catalog: Arc<Catalog>,
        until: Option<Until<'_>>,
    ) -> Result<Option<StartedBatch>, EngineError> {
        self.room_for(start.instances.len() as u64)?;
        let held = match (&start.instances[..], until) {
            ([instance], Some(until)) => Some((instance.id, Arc::new(AtomicBool::new(true)), until)),
            _ => None,
        };
        let until_done = held.as_ref().map(|(_, until_done, _)| Arc::clone(until_done));
        let (reply, mut answer) = oneshot::channel();
        let item = StartItem { bytes: prepare::bytes(&start), start, catalog, reply, until_done };
        let too_early = NegativeControl::ReplyBeforeCommit.is_on().then(|| as_if_committed(&item.start));
        self.inner.lanes.push_start(item).map_err(|why| match why {
            NotTaken::Closed => EngineError::Unavailable(None),
            NotTaken::Full => EngineError::QueueFull {
                pending: self.inner.state.pending.load(Ordering::Relaxed),
                limit: self.inner.settings.pending,
            },
        })?;
        if too_early.is_some() {
            return Ok(too_early);
        }
        let answer = match held {
            None => answer.await,
            Some((id, until_done, until)) => tokio::select! {
                biased;
                answer = &mut answer => answer,
                () = until => {
                    self.inner.images.release(id, &until_done);
                    answer.await
                }
            },
        };
        match answer.map_err(|_| EngineError::Unavailable(None))?? {
            StartReply::Created(instances) => Ok(Some(StartedBatch { instances, replayed: false })),
            StartReply::Outdated => Ok(None),
            StartReply::Replayed(numbers) => {
                let instances = self.replayed(&numbers).await?;
                Ok(Some(StartedBatch { instances, replayed: true }))
            }
        }
    }

    async fn replayed(&self, numbers: &[u64]) -> Result<Vec<Arc<Instance>>, EngineError> {
        let mut instances = Vec::with_capacity(numbers.len());
        for number in numbers {
            instances.push(self.instance(InstanceKey::Number(*number)).await?);
        }
        Ok(instances)
    }
}

/// What the answer to `start` will be, but for the numbers, if it is committed: for a negative control.
fn as_if_committed(start: &Start) -> StartedBatch {
    let commit = Commit { batch: 0, now: Micros::now(), node: Arc::from("") };
    let instances = start.instances.iter().map(|new| Arc::new(commit.created(0, new))).collect();
    StartedBatch { instances, replayed: false }
}

/// The only instance of a start of one.
fn the_one(started: StartedBatch) -> Result<Started, EngineError> {
    let StartedBatch { instances, replayed } = started;
    let instance = instances.into_iter().next().ok_or(EngineError::Unavailable(None))?;
    Ok(Started { instance, replayed })
}

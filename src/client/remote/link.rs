//! The thread that reports, and what the controller tells it.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    runtime::{self, Handle},
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, oneshot},
};
use uuid::Uuid;

use super::{
    RemoteError,
    outbox::Outbox,
    sender::{self, Sender},
};
use crate::{
    client::{AttemptClient, AttemptFacts},
    domain::{Json, Progress, Stream, Verdict},
    task::{
        ReportError, StopReason,
        reporter::{BlockingPermit, Reporter},
    },
};

/// The most threads for blocking work at once.
const MOST_BLOCKING: usize = 64;

/// How long the first answer of the daemon may take: it has just started this program.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// What a controller reports to.
pub(in crate::client) struct Link {
    facts: AttemptFacts,
    outbox: Arc<Outbox>,
    runtime: Handle,
    /// Told when the thread has ended.
    ended: Mutex<mpsc::Receiver<()>>,
    blocking: Arc<Semaphore>,
}

impl Link {
    /// Starts the thread. It asks for the facts of the attempt, and then gives `reply` the link or why there is none.
    pub fn open(
        client: AttemptClient,
        patience: Duration,
        reply: impl FnOnce(Result<Arc<Link>, RemoteError>) + Send + 'static,
    ) -> Result<(), RemoteError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(RemoteError::Thread)?;
        let report = move || {
            let (alive, ended) = mpsc::channel();
            runtime.block_on(async {
                let facts = match sender::facts(&client, patience.min(FIRST_ANSWER)).await {
                    Ok(facts) => facts,
                    Err(error) => return reply(Err(error.into())),
                };
                let outbox = Arc::new(Outbox::default());
                reply(Ok(Arc::new(Link {
                    facts,
                    outbox: Arc::clone(&outbox),
                    runtime: Handle::current(),
                    ended: Mutex::new(ended),
                    blocking: Arc::new(Semaphore::new(MOST_BLOCKING)),
                })));
                Sender { client, outbox, patience }.run().await;
            });
            drop(alive);
        };
        std::thread::Builder::new()
            .name("taskwright-report".to_owned())
            .spawn(report)
            .map(drop)
            .map_err(RemoteError::Thread)
    }

    /// SIGTERM asks the program to end from now on.
    pub fn catch_sigterm(&self) -> io::Result<()> {
        let _entered = self.runtime.enter();
        let mut terminate = signal(SignalKind::terminate())?;
        let outbox = Arc::clone(&self.outbox);
        self.runtime.spawn(async move {
            while terminate.recv().await.is_some() {
                outbox.ask_to_end(StopReason::Stop);
            }
        });
        Ok(())
    }

    /// Calls `waiter` once everything reported so far is committed, or cannot be.
    pub fn when_sent(&self, waiter: impl FnOnce(Result<(), ReportError>) + Send + 'static) {
        self.outbox.when_sent(Box::new(waiter));
    }
}

impl Drop for Link {
    /// What is unsent has a moment to leave.
    fn drop(&mut self) {
        if self.outbox.close() {
            let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
            let _ = ended.recv_timeout(sender::FAREWELL);
        }
    }
}

impl Reporter for Link {
    fn instance_id(&self) -> Uuid {
        self.facts.id
    }

    fn instance_number(&self) -> u64 {
        self.facts.number
    }

    fn task_id(&self) -> &str {
        &self.facts.task_id
    }

    fn attempt(&self) -> u32 {
        self.facts.attempt
    }

    fn inputs(&self) -> Json {
        self.facts.inputs.clone()
    }

    fn stop_reason(&self) -> Option<StopReason> {
        self.outbox.stop_reason()
    }

    fn stopped(&self) -> BoxFuture<'_, StopReason> {
        Box::pin(self.outbox.stopped())
    }

    fn request_stop(&self) {
        // Over already: it has ended.
        let _ = self.outbox.set(|batch| batch.stop = true);
    }

    fn set_progress(&self, progress: Progress) -> Result<(), ReportError> {
        self.outbox.set(|batch| batch.progress = Some(progress))
    }

    fn set_output(&self, output: Option<Json>) -> Result<(), ReportError> {
        if output.as_ref().is_some_and(|output| !output.is_object()) {
            return Err(ReportError::NotAnObject);
        }
        self.outbox.set(|batch| batch.output = Some(output))
    }

    fn set_verdict(&self, verdict: Option<Verdict>) -> Result<(), ReportError> {
        self.outbox.set(|batch| batch.verdict = Some(verdict))
    }

    /// Every line is the task's own: what a program prints comes through its streams.
    fn log(&self, _: Stream, text: &str) {
        self.outbox.log(text);
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), ReportError>> {
        let (reply, answer) = oneshot::channel();
        self.when_sent(move |outcome| _ = reply.send(outcome));
        Box::pin(async move { answer.await.unwrap_or(Err(ReportError::Over)) })
    }

    fn enter_blocking(self: Arc<Self>) -> BoxFuture<'static, BlockingPermit> {
        Box::pin(async move {
            // The semaphore is never closed.
            let permit = Arc::clone(&self.blocking).acquire_owned().await.ok();
            Box::new((self, permit)) as BlockingPermit
        })
    }
}

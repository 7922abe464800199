//! Sends what waits in the outbox, and asks now and then whether to stop.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

use super::outbox::{Batch, Outbox};
use crate::{
    client::{AttemptClient, AttemptFacts, ClientError, Receipt},
    domain::{Json, VerdictStatus, error::chain},
    task::{ReportError, StopReason},
};

/// How long one exchange may take.
pub(super) const EXCHANGE: Duration = Duration::from_secs(10);
/// What is set is sent at most so often, unless somebody waits for it.
const INTERVAL: Duration = Duration::from_millis(100);
/// So old may be what is known about a stop.
const FRESH: Duration = Duration::from_secs(1);
/// The pauses between tries while the daemon is away.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long what is unsent may take once the program is at its end.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

/// Asks for the facts of the attempt, as long as the daemon may be away.
pub(super) async fn facts(client: &AttemptClient, patience: Duration) -> Result<AttemptFacts, ClientError> {
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    loop {
        match client.facts().await {
            Err(error) if error.may_pass() && Instant::now() + pause < deadline => sleep(pause).await,
            outcome => return outcome,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

pub(super) struct Sender {
    pub client: AttemptClient,
    pub outbox: Arc<Outbox>,
    pub patience: Duration,
}

/// Why a batch did not get through.
enum Cut {
    Over,
    Away,
}

impl Sender {
    /// Until the attempt is over, or the program no longer reports and everything is sent.
    pub async fn run(self) {
        let mut next_send = Instant::now();
        let mut last_told = Instant::now();
        loop {
            let has_any = self.outbox.has_any();
            if !has_any && self.outbox.is_closed() {
                return;
            }
            let due = if self.outbox.is_urgent() { Instant::now() } else { next_send };
            if !has_any || Instant::now() < due {
                let next = if has_any { due } else { last_told + FRESH };
                tokio::select! {
                    () = self.outbox.wake.notified() => {}
                    () = sleep_until(next) => {}
                }
                if !has_any && Instant::now() >= last_told + FRESH {
                    last_told = Instant::now();
                    if self.ask().await {
                        return self.outbox.end();
                    }
                }
                continue;
            }
            let mut batch = self.outbox.take();
            let outcome = self.send(&mut batch).await;
            last_told = Instant::now();
            next_send = last_told + INTERVAL;
            match outcome {
                Ok(()) => self.outbox.sent(),
                Err(Cut::Over) => return self.outbox.end(),
                Err(Cut::Away) => {
                    self.outbox.put_back(batch);
                    if self.outbox.is_closed() {
                        return;
                    }
                    sleep(LONGEST_PAUSE).await;
                }
            }
        }
    }

    /// Asks whether to stop; answers whether the attempt is over. A daemon that is away is asked again later.
    async fn ask(&self) -> bool {
        match self.client.log([]).await {
            Ok(receipt) => self.note(&receipt),
            Err(ClientError::Refused(refusal)) => return is_over(&refusal),
            Err(_) => {}
        }
        false
    }

    fn note(&self, receipt: &Receipt) {
        match receipt.reason.as_deref() {
            Some("shutdown") => self.outbox.ask_to_end(StopReason::Shutdown),
            _ if receipt.should_stop => self.outbox.ask_to_end(StopReason::Stop),
            _ => {}
        }
    }

    /// Sends part by part, and takes out what is sent.
    async fn send(&self, batch: &mut Batch) -> Result<(), Cut> {
        let patience = if self.outbox.is_closed() { self.patience.min(FAREWELL) } else { self.patience };
        let deadline = Instant::now() + patience;
        let client = &self.client;
        if let Some(progress) = &batch.progress {
            self.deliver(deadline, || client.progress(progress.value(), progress.message.as_deref())).await?;
            batch.progress = None;
        }
        if let Some(output) = &batch.output {
            let output = output.clone().unwrap_or_else(Json::null);
            self.deliver(deadline, || client.output(&output)).await?;
            batch.output = None;
        }
        if let Some(verdict) = &batch.verdict {
            let word = match verdict.as_ref().map(|verdict| verdict.status) {
                None => "running",
                Some(VerdictStatus::Completed) => "completed",
                Some(VerdictStatus::Failed) => "failed",
                Some(VerdictStatus::Cancelled) => "cancelled",
            };
            let message = verdict.as_ref().and_then(|verdict| verdict.message.as_deref());
            self.deliver(deadline, || client.status(word, message)).await?;
            batch.verdict = None;
        }
        if !batch.lines.is_empty() {
            let lines = &batch.lines;
            self.deliver(deadline, || client.log(lines.iter().map(|line| line.text.as_str()))).await?;
            batch.lines.clear();
        }
        if batch.stop {
            self.deliver(deadline, async || {
                client.stop().await?;
                Ok(Receipt { should_stop: true, reason: Some("stop".to_owned()), version: 0 })
            })
            .await?;
            batch.stop = false;
        }
        Ok(())
    }

    /// Sends one report, again where the daemon is away for a moment. A refusal is kept for the next flush.
    async fn deliver<F>(&self, deadline: Instant, mut send: impl FnMut() -> F) -> Result<(), Cut>
    where
        F: Future<Output = Result<Receipt, ClientError>>,
    {
        let mut pause = FIRST_PAUSE;
        loop {
            match send().await {
                Ok(receipt) => {
                    self.note(&receipt);
                    return Ok(());
                }
                Err(error) if error.may_pass() => {
                    if Instant::now() + pause >= deadline {
                        return Err(Cut::Away);
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(ClientError::Refused(refusal)) if is_over(&refusal) => return Err(Cut::Over),
                Err(error) => {
                    self.outbox.refuse(ReportError::Refused(chain(&error)));
                    return Ok(());
                }
            }
        }
    }
}

/// Whether the attempt that this program is does not count any more: over, or between two attempts.
fn is_over(refusal: &crate::client::Refusal) -> bool {
    refusal.is_late() || refusal.kind == "attempt-not-running"
}

//! What callers may report for an attempt that runs, and add to its log.

use std::sync::Arc;

use super::{
    Engine, EngineError, NewLine, Receipt, ReportPatch, Writer,
    attempt::{Attempt, BadOutput, check_output},
};
use crate::{
    domain::{FieldError, InstanceKey},
    negative_control::NegativeControl,
};

impl Engine {
    /// Writes a report; answers when it is committed.
    ///
    /// # Errors
    /// [`EngineError::AttemptOver`] or [`EngineError::AttemptNotRunning`] where `writer` does not run,
    /// [`EngineError::VersionMismatch`], or the store cannot be written.
    pub async fn report(
        &self,
        key: InstanceKey,
        writer: Writer,
        if_version: Option<u64>,
        patch: ReportPatch,
    ) -> Result<Receipt, EngineError> {
        let attempt = self.attempt_for(key, writer).await?;
        if let Some(Some(output)) = &patch.output {
            check_output(output, self.inner.settings.output.bytes()).map_err(invalid_output)?;
        }
        let images = &self.inner.images;
        let version = || images.by_number(attempt.number).map_or(0, |image| image.version);
        if let Some(pinned) = if_version
            && pinned != version()
        {
            return Err(EngineError::VersionMismatch { version: version() });
        }
        attempt.report(patch, if_version, version).await
    }

    /// Adds lines to the log of a running attempt; answers when they are committed.
    ///
    /// # Errors
    /// As for [`Engine::report`].
    pub async fn append_log(
        &self,
        key: InstanceKey,
        writer: Writer,
        lines: Vec<NewLine>,
    ) -> Result<Receipt, EngineError> {
        let attempt = self.attempt_for(key, writer).await?;
        let lines: Vec<_> = lines.into_iter().map(|line| (line.stream, line.text)).collect();
        if !lines.is_empty() {
            attempt.log_committed(&lines).await?;
        }
        let version = self.inner.images.by_number(attempt.number).map_or(0, |image| image.version);
        Ok(attempt.receipt(version))
    }

    /// The running attempt that `writer` may write for.
    async fn attempt_for(&self, key: InstanceKey, writer: Writer) -> Result<Arc<Attempt>, EngineError> {
        let instance = self.instance(key).await?;
        if NegativeControl::FenceWithoutAttempt.is_on()
            && let Some(attempt) = self.inner.running.get(instance.number)
        {
            return Ok(attempt);
        }
        if instance.is_done() {
            return Err(EngineError::AttemptOver);
        }
        if let Writer::Attempt(number) = writer
            && number != instance.attempt
        {
            return Err(EngineError::AttemptOver);
        }
        match self.inner.running.get(instance.number) {
            Some(attempt) if attempt.has_ended() => Err(EngineError::AttemptOver),
            Some(attempt) if attempt.attempt == instance.attempt => Ok(attempt),
            // Its attempt ended, and the next one waits.
            _ if matches!(writer, Writer::Attempt(_)) => Err(EngineError::AttemptOver),
            _ => Err(EngineError::AttemptNotRunning),
        }
    }
}

fn invalid_output(bad: BadOutput) -> EngineError {
    let detail = match bad {
        BadOutput::NotAnObject => "the output must be a JSON object or null".to_owned(),
        BadOutput::TooLarge { size, limit } => {
            format!("the output is {size} bytes long; limits.output allows {limit}")
        }
    };
    EngineError::InvalidOutput { errors: vec![FieldError::new("", detail)] }
}

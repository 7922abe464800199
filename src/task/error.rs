//! How a handler says that it did not succeed.

use std::{error::Error, fmt};

use serde::{Deserialize, Serialize};

use crate::domain::instance::{LONGEST_MESSAGE, MOST_CAUSES};

/// Why a handler ended without a value.
///
/// It is data, to be stored with the instance and shown to its readers, and no [`std::error::Error`] itself. Any
/// error becomes one through `?`: its message, the chain of its causes, and another attempt if one is left.
///
/// ```
/// use taskwright::TaskError;
///
/// fn read(path: &str) -> Result<String, TaskError> {
///     if path.is_empty() {
///         return Err(TaskError::permanent("`path` is empty"));
///     }
///     Ok(std::fs::read_to_string(path)?)
/// }
///
/// assert!(read("").unwrap_err().is_permanent());
/// assert!(read("/no/such/file").unwrap_err().is_retryable());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskError(Ending);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Ending {
    Stopped,
    Failed { message: String, causes: Vec<String>, permanent: bool },
}

impl TaskError {
    /// A failure that another attempt may mend. It is retried while attempts are left and nobody asked for a stop.
    pub fn retryable(message: impl Into<String>) -> Self {
        TaskError::failed(message.into(), Vec::new(), false)
    }

    /// A failure that no other attempt can mend: the instance fails at once.
    pub fn permanent(message: impl Into<String>) -> Self {
        TaskError::failed(message.into(), Vec::new(), true)
    }

    /// The handler ended because it was asked to: the instance becomes `cancelled` and keeps the output it set.
    pub fn stopped() -> Self {
        TaskError(Ending::Stopped)
    }

    /// What `error` says, retryable. For what `?` does not take: `anyhow::Error`, or a boxed error.
    pub fn from_dyn(error: &dyn Error) -> Self {
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        let causes = causes.take(MOST_CAUSES).map(|cause| shortened(cause.to_string())).collect();
        TaskError::failed(error.to_string(), causes, false)
    }

    /// The same failure, not to be retried.
    #[must_use]
    pub fn into_permanent(self) -> Self {
        match self.0 {
            Ending::Stopped => self,
            Ending::Failed { message, causes, .. } => TaskError::failed(message, causes, true),
        }
    }

    /// The same failure under another message; the former message becomes the first cause.
    #[must_use]
    pub fn context(self, message: impl Into<String>) -> Self {
        match self.0 {
            Ending::Stopped => self,
            Ending::Failed { message: cause, mut causes, permanent } => {
                causes.insert(0, cause);
                causes.truncate(MOST_CAUSES);
                TaskError::failed(message.into(), causes, permanent)
            }
        }
    }

    /// Whether another attempt may follow.
    pub fn is_retryable(&self) -> bool {
        matches!(self.0, Ending::Failed { permanent: false, .. })
    }

    /// Whether no attempt follows.
    pub fn is_permanent(&self) -> bool {
        matches!(self.0, Ending::Failed { permanent: true, .. })
    }

    /// Whether the handler ended because it was asked to.
    pub fn is_stopped(&self) -> bool {
        self.0 == Ending::Stopped
    }

    /// The causes, outermost first, without the message itself.
    pub fn causes(&self) -> &[String] {
        match &self.0 {
            Ending::Stopped => &[],
            Ending::Failed { causes, .. } => causes,
        }
    }

    fn failed(message: String, causes: Vec<String>, permanent: bool) -> Self {
        TaskError(Ending::Failed { message: shortened(message), causes, permanent })
    }

    pub(super) fn into_ending(self) -> Ending {
        self.0
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ending::Stopped => f.write_str("the task was stopped"),
            Ending::Failed { message, .. } => f.write_str(message),
        }
    }
}

impl<E: Error> From<E> for TaskError {
    fn from(error: E) -> Self {
        TaskError::from_dyn(&error)
    }
}

/// `text`, cut at a character's end where it is too long to be kept.
pub(super) fn shortened(mut text: String) -> String {
    if text.len() > LONGEST_MESSAGE {
        text.truncate(text.floor_char_boundary(LONGEST_MESSAGE - '…'.len_utf8()));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the list")]
    struct Unread(#[source] std::num::ParseIntError);

    fn parse(text: &str) -> Result<u32, TaskError> {
        Ok(text.parse().map_err(Unread)?)
    }

    #[test]
    fn an_error_by_question_mark_is_retryable_and_keeps_its_causes() {
        let error = parse("x").expect_err("x is no number");
        assert!(error.is_retryable() && !error.is_permanent() && !error.is_stopped());
        assert_eq!(error.to_string(), "cannot read the list");
        assert_eq!(error.causes(), ["invalid digit found in string"]);
    }

    #[test]
    fn context_goes_in_front() {
        let error = parse("x").expect_err("x is no number").into_permanent().context("no widths");
        assert!(error.is_permanent());
        assert_eq!(error.to_string(), "no widths");
        assert_eq!(error.causes(), ["cannot read the list", "invalid digit found in string"]);
    }

    #[test]
    fn stopped_stays_stopped() {
        let error = TaskError::stopped().into_permanent().context("more");
        assert!(error.is_stopped() && !error.is_permanent() && !error.is_retryable());
    }

    #[test]
    fn a_boxed_error_can_be_taken_too() {
        let boxed: Box<dyn Error + Send + Sync> = "no luck".into();
        assert_eq!(TaskError::from_dyn(&*boxed), TaskError::retryable("no luck"));
    }

    #[test]
    fn it_is_data() {
        let error = TaskError::permanent("no").context("outer");
        let text = serde_json::to_string(&error).expect("serialises");
        assert_eq!(text, r#"{"kind":"failed","message":"outer","causes":["no"],"permanent":true}"#);
        assert_eq!(serde_json::from_str::<TaskError>(&text).expect("reads back"), error);
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let error = TaskError::retryable("ä".repeat(LONGEST_MESSAGE));
        assert!(error.to_string().len() <= LONGEST_MESSAGE && error.to_string().ends_with("ä…"));
    }
}

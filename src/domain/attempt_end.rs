//! How an attempt ends, and what its instance becomes.
//!
//! The whole table stands in [`conclude`]. The engine calls it once for a row on which a stop was
//! requested and once for one on which none was; the store picks by the row's own state.

use serde::{Deserialize, Serialize};

use super::{
    error::{ErrorKind, InstanceError, Interruption},
    instance::{Outcome, Verdict, VerdictStatus},
};

/// What ended an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptEnd {
    /// A newer attempt began, or the instance is done: this one no longer speaks for it.
    Fenced,
    /// The daemon died, or a drain ended it, or it returned after it had observed the drain.
    Interrupted(Interruption),
    /// It obeyed a stop, or was dropped or killed at the stop's deadline.
    Stopped,
    /// It failed.
    Failed {
        /// How.
        kind: ErrorKind,
        /// One line for people.
        message: String,
        /// Whether another attempt could not help.
        permanent: bool,
    },
    /// It returned; a process exited with 0.
    Returned,
}

/// Where the instance stands when its attempt ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The number of the attempt that ended.
    pub attempt: u32,
    /// Whether the instance may have another.
    pub attempts_left: bool,
    /// Whether a stop was requested, by anyone.
    pub stop_requested: bool,
    /// What the attempt had stated about its end.
    pub verdict: Option<Verdict>,
}

/// What the instance becomes.
#[derive(Debug, Clone, PartialEq)]
pub enum Conclusion {
    /// Nothing is written.
    Nothing,
    /// It is done.
    Done(Outcome),
    /// It is pending again.
    Again {
        /// Why the attempt failed; None when it was interrupted.
        error: Option<InstanceError>,
        /// Whether to wait before the next attempt.
        backoff: bool,
    },
}

/// The word for how an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It did what it should.
    Completed,
    /// It failed.
    Failed,
    /// It was stopped.
    Cancelled,
    /// It was cut short.
    Interrupted,
}

impl Ended {
    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Ended::Completed => "completed",
            Ended::Failed => "failed",
            Ended::Cancelled => "cancelled",
            Ended::Interrupted => "interrupted",
        }
    }

    /// The word for an attempt that ended by `end` and led to `conclusion`.
    pub fn of(end: &AttemptEnd, conclusion: &Conclusion) -> Ended {
        match (end, conclusion) {
            (AttemptEnd::Interrupted(_), _) => Ended::Interrupted,
            (_, Conclusion::Done(Outcome::Completed)) => Ended::Completed,
            (_, Conclusion::Done(Outcome::Cancelled)) => Ended::Cancelled,
            (_, Conclusion::Done(Outcome::Failed(_)) | Conclusion::Again { .. }) => Ended::Failed,
            (_, Conclusion::Nothing) => Ended::Cancelled,
        }
    }
}

/// The end-of-attempt table: the first row that matches decides.
pub fn conclude(end: &AttemptEnd, standing: &Standing) -> Conclusion {
    let cancelled = || Conclusion::Done(Outcome::Cancelled);
    match end {
        AttemptEnd::Fenced => Conclusion::Nothing,
        AttemptEnd::Interrupted(reason) => {
            if let Some(verdict) = &standing.verdict {
                Conclusion::Done(verdict_outcome(verdict, standing.attempt))
            } else if standing.stop_requested {
                cancelled()
            } else if standing.attempts_left {
                Conclusion::Again { error: None, backoff: false }
            } else {
                failed(ErrorKind::Interrupted { reason: *reason }, interruption_message(*reason), standing.attempt)
            }
        }
        AttemptEnd::Stopped => cancelled(),
        AttemptEnd::Failed { kind, message, permanent } => {
            if *permanent || standing.stop_requested || !standing.attempts_left {
                failed(kind.clone(), message, standing.attempt)
            } else {
                let error = InstanceError { kind: kind.clone(), message: message.clone(), attempt: standing.attempt };
                Conclusion::Again { error: Some(error), backoff: true }
            }
        }
        AttemptEnd::Returned => match (&standing.verdict, standing.stop_requested) {
            (Some(verdict), _) => Conclusion::Done(verdict_outcome(verdict, standing.attempt)),
            (None, true) => cancelled(),
            (None, false) => Conclusion::Done(Outcome::Completed),
        },
    }
}

fn failed(kind: ErrorKind, message: &str, attempt: u32) -> Conclusion {
    Conclusion::Done(Outcome::Failed(Box::new(InstanceError { kind, message: message.to_owned(), attempt })))
}

fn verdict_outcome(verdict: &Verdict, attempt: u32) -> Outcome {
    match verdict.status {
        VerdictStatus::Completed => Outcome::Completed,
        VerdictStatus::Cancelled => Outcome::Cancelled,
        VerdictStatus::Failed => Outcome::Failed(Box::new(InstanceError {
            kind: ErrorKind::Handler { causes: Vec::new() },
            message: verdict.message.clone().unwrap_or_else(|| "the task set its status to failed".to_owned()),
            attempt,
        })),
    }
}

fn interruption_message(reason: Interruption) -> &'static str {
    match reason {
        Interruption::Crash => {
            "the daemon, or the process that watched the task, died while it ran, and no attempt is left"
        }
        Interruption::Shutdown => "the daemon shut down while the task ran, and no attempt is left",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT: u32 = 3;

    fn ends() -> Vec<(&'static str, AttemptEnd)> {
        let failed = |permanent| AttemptEnd::Failed {
            kind: ErrorKind::Exit { exit_code: 3 },
            message: "exit code 3".into(),
            permanent,
        };
        vec![
            ("fenced", AttemptEnd::Fenced),
            ("crash", AttemptEnd::Interrupted(Interruption::Crash)),
            ("shutdown", AttemptEnd::Interrupted(Interruption::Shutdown)),
            ("stopped", AttemptEnd::Stopped),
            ("failed", failed(false)),
            ("permanent", failed(true)),
            ("returned", AttemptEnd::Returned),
        ]
    }

    fn word(conclusion: &Conclusion) -> String {
        match conclusion {
            Conclusion::Nothing => "nothing".into(),
            Conclusion::Done(Outcome::Failed(error)) => {
                assert_eq!(error.attempt, ATTEMPT);
                let kind = serde_json::to_value(&error.kind).expect("serialises");
                format!("failed:{}", kind["kind"].as_str().expect("a word"))
            }
            Conclusion::Done(outcome) => outcome.status().to_string(),
            Conclusion::Again { error, backoff } => {
                assert_eq!(error.is_some(), *backoff, "only a failed attempt waits");
                if *backoff { "retry".into() } else { "again".into() }
            }
        }
    }

    /// Every pair of an end and a standing, against the table of the design written out by hand.
    #[test]
    fn every_pair_of_the_table() {
        // Columns: no verdict with (left, stop) = (no,no) (no,yes) (yes,no) (yes,yes), then any standing
        // with the verdict completed, failed, cancelled.
        let expected = [
            ("fenced", ["nothing"; 4], ["nothing"; 3]),
            (
                "crash",
                ["failed:interrupted", "cancelled", "again", "cancelled"],
                ["completed", "failed:handler", "cancelled"],
            ),
            (
                "shutdown",
                ["failed:interrupted", "cancelled", "again", "cancelled"],
                ["completed", "failed:handler", "cancelled"],
            ),
            ("stopped", ["cancelled"; 4], ["cancelled"; 3]),
            ("permanent", ["failed:exit"; 4], ["failed:exit"; 3]),
            (
                "returned",
                ["completed", "cancelled", "completed", "cancelled"],
                ["completed", "failed:handler", "cancelled"],
            ),
        ];
        let verdicts = [VerdictStatus::Completed, VerdictStatus::Failed, VerdictStatus::Cancelled];
        for (name, end) in ends() {
            for (at, (attempts_left, stop_requested)) in
                [(false, false), (false, true), (true, false), (true, true)].into_iter().enumerate()
            {
                let standing = |verdict| Standing { attempt: ATTEMPT, attempts_left, stop_requested, verdict };
                let plain = word(&conclude(&end, &standing(None)));
                let stated =
                    verdicts.map(|status| word(&conclude(&end, &standing(Some(Verdict { status, message: None })))));
                if name == "failed" {
                    // A failure is retried only when an attempt is left and nobody asked to stop; a verdict
                    // changes nothing about an error.
                    let expected = if attempts_left && !stop_requested { "retry" } else { "failed:exit" };
                    assert_eq!(plain, expected);
                    assert_eq!(stated, [expected; 3]);
                    continue;
                }
                let (_, without, with) =
                    expected.iter().find(|(row, ..)| *row == name).expect("the table has every row");
                assert_eq!(plain, without[at], "{name} left={attempts_left} stop={stop_requested}");
                assert_eq!(stated, *with, "{name} left={attempts_left} stop={stop_requested}");
            }
        }
    }

    #[test]
    fn the_message_of_a_verdict_is_the_message_of_the_error() {
        let verdict = Some(Verdict { status: VerdictStatus::Failed, message: Some("why".into()) });
        let standing = Standing { attempt: 1, attempts_left: true, stop_requested: false, verdict };
        let Conclusion::Done(Outcome::Failed(error)) = conclude(&AttemptEnd::Returned, &standing) else {
            panic!("a verdict is not retried")
        };
        assert_eq!(error.message, "why");
    }

    #[test]
    fn interruption_is_seen_in_the_attempt_whatever_became_of_the_instance() {
        let end = AttemptEnd::Interrupted(Interruption::Crash);
        assert_eq!(Ended::of(&end, &Conclusion::Done(Outcome::Cancelled)), Ended::Interrupted);
        let again = Conclusion::Again { error: None, backoff: false };
        assert_eq!(Ended::of(&AttemptEnd::Stopped, &again), Ended::Failed);
    }
}

//! From the end of an attempt to what is written of it: once for an instance that is not to stop, once for one that is.

use std::time::Duration;

use crate::{
    domain::{
        AttemptEnd, Conclusion, Ended, ErrorKind, Micros, Standing, Verdict, conclude,
        instance::{LONGEST_MESSAGE, MOST_CAUSES},
    },
    store::{Ending, Then},
};

/// The longest delay before a retry.
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// What is written of the attempt `attempt` that ended by `end`: where no stop was requested, and where one was. None where
/// the fence was lost: nothing is written of it.
pub fn endings(
    end: &AttemptEnd,
    attempt: u32,
    attempts_left: bool,
    verdict: Option<Verdict>,
    retry_delay: Duration,
) -> Option<(Ending, Ending)> {
    let mut standing = Standing { attempt, attempts_left, stop_requested: false, verdict };
    let unless_stopped = ending(end, &standing, retry_delay)?;
    standing.stop_requested = true;
    Some((unless_stopped, ending(end, &standing, retry_delay)?))
}

fn ending(end: &AttemptEnd, standing: &Standing, retry_delay: Duration) -> Option<Ending> {
    let conclusion = conclude(end, standing);
    let ended = Ended::of(end, &conclusion);
    Some(match conclusion {
        Conclusion::Nothing => return None,
        Conclusion::Done(outcome) => Ending { error: outcome.error().cloned(), then: Then::Done(outcome), ended },
        Conclusion::Again { error, backoff: wait } => {
            let delay = if wait { backoff(retry_delay, standing.attempt) } else { Duration::ZERO };
            Ending { then: Then::Again { run_at: Micros::now().after(delay) }, ended, error }
        }
    })
}

/// The delay after the attempt `attempt`, where it is `first` after the first: doubled each time, give or take a fifth, so
/// that what failed together does not come back together.
fn backoff(first: Duration, attempt: u32) -> Duration {
    let mut random = [0; 2];
    // Without randomness the delay is merely exact.
    let _ = getrandom::fill(&mut random);
    let jitter = 0.8 + 0.4 * f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX);
    let doubled = first.as_secs_f64() * 2_f64.powi(attempt.saturating_sub(1).min(64).cast_signed());
    Duration::from_secs_f64((doubled * jitter).min(LONGEST_BACKOFF.as_secs_f64()))
}

/// Cuts what a task says about its failure to what is kept of it.
pub fn bound(end: &mut AttemptEnd) {
    let cut = |text: &mut String| text.truncate(text.floor_char_boundary(LONGEST_MESSAGE));
    if let AttemptEnd::Failed { kind, message, .. } = end {
        cut(message);
        if let ErrorKind::Handler { causes } = kind {
            causes.truncate(MOST_CAUSES);
            causes.iter_mut().for_each(cut);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;

    #[test]
    fn nothing_is_written_of_an_attempt_that_lost_its_fence() {
        let endings = |end| endings(&end, 1, true, None, Duration::from_secs(1));
        assert_eq!(endings(AttemptEnd::Fenced), None);
        let (unless_stopped, if_stopped) = endings(AttemptEnd::Returned).expect("it is written");
        assert_eq!(unless_stopped.then, Then::Done(Outcome::Completed));
        assert_eq!(if_stopped.then, Then::Done(Outcome::Cancelled));
    }

    #[test]
    fn delays_double_and_are_bounded() {
        let first = Duration::from_secs(1);
        for (attempt, exact) in [(1, 1.0), (2, 2.0), (5, 16.0), (9, 256.0)] {
            let delay = backoff(first, attempt).as_secs_f64();
            assert!((exact * 0.79..=exact * 1.21).contains(&delay), "attempt {attempt}: {delay}");
        }
        assert_eq!(backoff(first, u32::MAX), LONGEST_BACKOFF);
    }
}

//! What a step of the model asks of a real store.

use std::time::Duration;

use taskwright::{
    domain::{
        AttemptEnd, Conclusion, Ended, ErrorKind, Interruption, Json, Labels, Limits, Micros, Standing, Workload,
        conclude,
    },
    store::{Batch, Claims, Ending, Expected, Finish, IdempotencyClaim, NewInstance, Report, Room, Start, Stop, Then},
};
use uuid::Uuid;

use super::{
    lifecycle::Model,
    row::{BACKOFF, Row, output_json, progress, stated},
    step::{Hint, How, Item, NewStart, Patch, TASKS, Which},
};

impl Model {
    /// The batch that these items are for a store, and how its finishes came about.
    pub(super) fn fill(&self, items: &[Item]) -> (Batch, Vec<How>) {
        let mut ends = Vec::new();
        let mut batch = Batch::new(self.number, self.now, "node".into());
        for item in items {
            match item {
                Item::Start(new) => batch.starts.push(self.start(new, batch.starts.len())),
                Item::Stop { who, deadline, only } => batch.stops.push(Stop {
                    instance: self.pick(*who),
                    deadline: Micros(self.now.0 + deadline * 1_000_000),
                    only: *only,
                }),
                Item::Report { who, attempt, patch } => {
                    let instance = self.pick(*who);
                    batch.reports.push(Report {
                        instance,
                        attempt: self.attempt(instance, *attempt),
                        progress: patch.progress.map(progress),
                        output: patch.output.map(|output| output.map(output_json)),
                        verdict: patch.verdict.map(|verdict| verdict.map(stated)),
                    });
                }
                Item::Finish { who, attempt, how, patch, hint } => {
                    let instance = self.pick(*who);
                    let attempt = self.attempt(instance, *attempt);
                    batch.finishes.push(self.finish(instance, attempt, *how, patch, *hint));
                    ends.push(*how);
                }
                Item::Promote => batch.promote = true,
                Item::Claim { rooms, slots } => {
                    let room = |(task, n): (&str, &u32)| Room {
                        task_id: task.into(),
                        workload: Workload::Local,
                        n: *n,
                        older: true,
                    };
                    let rooms = TASKS.into_iter().zip(rooms).map(room).collect();
                    batch.claims = Some(Claims { rooms, local_slots: *slots, command_slots: 0 });
                }
            }
        }
        (batch, ends)
    }

    /// One of the newest instances; 0 names one that does not exist.
    fn pick(&self, who: usize) -> u64 {
        let count = self.rows.len();
        (if who == 0 || count == 0 { count + 1 } else { count - (who - 1) % count }) as u64
    }

    fn attempt(&self, instance: u64, which: Which) -> u32 {
        let current = self.row(instance).map_or(0, |row| row.attempt);
        match which {
            Which::Current => current,
            Which::Previous => current.saturating_sub(1),
            Which::Next => current + 1,
        }
    }

    fn start(&self, new: &NewStart, place: usize) -> Start {
        let id = Uuid::from_u128((u128::from(self.number) << 32) | place as u128);
        Start {
            instances: vec![NewInstance {
                id,
                task_id: TASKS[new.task].into(),
                workload: Workload::Local,
                inputs: Json::empty_object(),
                limits: Limits {
                    timeout: None,
                    queue_timeout: new.queue_timeout.map(Duration::from_secs),
                    max_attempts: new.attempts,
                    retry_delay: BACKOFF,
                    priority: new.priority,
                },
                labels: Labels::default(),
                run_at: (new.delay > 0).then(|| self.now.after(Duration::from_secs(new.delay))),
                retry_of: None,
            }],
            idempotency: new.key.map(|(key, fingerprint)| IdempotencyClaim {
                principal: "me".into(),
                key: key.to_string().into(),
                fingerprint: [fingerprint; 32],
            }),
        }
    }

    /// A finish as the engine makes it, which carries the ending for both values of "a stop was requested".
    fn finish(&self, instance: u64, attempt: u32, how: How, patch: &Patch, hint: Hint) -> Finish {
        let row = self.row(instance);
        let end = match how {
            How::Returned => AttemptEnd::Returned,
            How::Failed | How::FailedForGood => AttemptEnd::Failed {
                kind: ErrorKind::Exit { exit_code: 3 },
                message: "exit code 3".into(),
                permanent: how == How::FailedForGood,
            },
            How::Stopped => AttemptEnd::Stopped,
            How::Interrupted => AttemptEnd::Interrupted(Interruption::Shutdown),
        };
        let ending = |stop_requested| {
            let standing = Standing {
                attempt,
                attempts_left: row.is_some_and(|row| attempt < row.max_attempts),
                stop_requested,
                verdict: row.and_then(|row| row.verdict).map(stated),
            };
            let conclusion = conclude(&end, &standing);
            let ended = Ended::of(&end, &conclusion);
            match conclusion {
                Conclusion::Done(outcome) => {
                    Ending { error: outcome.error().cloned(), then: Then::Done(outcome), ended }
                }
                Conclusion::Again { error, backoff } => {
                    let run_at = if backoff { self.now.after(BACKOFF) } else { self.now };
                    Ending { then: Then::Again { run_at }, ended, error }
                }
                Conclusion::Nothing => panic!("only what lost its fence ends in nothing"),
            }
        };
        let expected = |row: &Row, version| Expected {
            version,
            task_id: TASKS[row.task].into(),
            started_at: row.started_at.unwrap_or(row.created_at),
        };
        Finish {
            instance,
            attempt,
            expected: match (hint, row) {
                (Hint::None, _) | (_, None) => None,
                (Hint::Right, Some(row)) => Some(expected(row, row.version)),
                (Hint::Stale, Some(row)) => Some(expected(row, row.version.saturating_sub(1))),
            },
            unless_stopped: ending(false),
            if_stopped: ending(true),
            progress: patch.progress.map(progress),
            output: patch.output.map(|output| output.map(output_json)),
            exit_code: None,
            signal: None,
        }
    }
}

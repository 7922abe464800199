//! How attempts end.

use taskwright::{
    domain::{Ended, InstanceKey, Micros, Outcome, Phase, Progress, Status, instance::AttemptRecord},
    store::{Claimed, Ending, Expected, Finish, FinishOutcome, Report, StopOutcome, Written},
};

use super::scene::*;

fn applied(version: u64) -> FinishOutcome {
    FinishOutcome::Applied { version, stopped: false }
}

pub async fn a_finish_takes_the_ending_of_the_row(scene: &Scene) {
    let (plain, stopped) = (scene.running(new("a")).await, scene.running(new("a")).await);
    let deadline = scene.now();
    scene.commit(|batch| batch.stops.push(stop(stopped, deadline))).await;
    let both = vec![finish(plain, 1), finish(stopped, 1)];
    let committed = scene.commit(|batch| batch.finishes = both).await;
    assert_eq!(committed.finishes, [applied(2), FinishOutcome::Applied { version: 3, stopped: true }]);
    let done = |outcome| Phase::Done { outcome, finished_at: scene.now() };
    assert_eq!(scene.get(plain).await.phase, done(Outcome::Completed));
    assert_eq!(scene.get(stopped).await.phase, done(Outcome::Cancelled));
}

/// What a daemon knows of a running instance.
async fn expected(scene: &Scene, number: u64) -> Expected {
    let instance = scene.get(number).await;
    Expected {
        version: instance.version,
        task_id: instance.task_id.clone(),
        started_at: instance.started_at.expect("it runs"),
    }
}

pub async fn what_a_finish_expects_is_a_hint(scene: &Scene) {
    let mut numbers = Vec::new();
    for _ in 0..4 {
        numbers.push(scene.running(new("a")).await);
    }
    let [plain, stopped, changed, over] = numbers[..] else { panic!("four") };
    let began = expected(scene, plain).await;
    let deadline = scene.now();
    scene.commit(|batch| batch.stops.push(stop(stopped, deadline))).await;
    let mut told = report(changed, 1);
    told.progress = Some(Progress::new(0.5, None).unwrap());
    scene.commit(|batch| batch.reports.push(told)).await;
    scene.commit(|batch| batch.finishes.push(finish(over, 1))).await;

    let as_expected =
        |number| Finish { expected: Some(began.clone()), output: Some(Some(json("{}"))), ..finish(number, 1) };
    let alone = scene.commit(|batch| batch.finishes = vec![as_expected(plain)]).await;
    assert_eq!(alone.finishes, [applied(2)]);
    let late = vec![as_expected(stopped), as_expected(changed), as_expected(over), as_expected(999)];
    let committed = scene.commit(|batch| batch.finishes = late).await;
    let fenced = FinishOutcome::Fenced;
    let stopped_now = FinishOutcome::Applied { version: 3, stopped: true };
    assert_eq!(committed.finishes, [stopped_now, applied(3), fenced, fenced]);
    assert_eq!(scene.get(plain).await.version, 2);
    assert_eq!(scene.get(changed).await.progress.value(), 0.5);
    assert_eq!(scene.get(stopped).await.status(), Status::Cancelled);
    assert_eq!(scene.get(over).await.output, None);
}

pub async fn hundreds_of_expected_finishes_beside_starts(scene: &Scene) {
    let mut numbers = Vec::new();
    for _ in 0..300 {
        numbers.push(scene.running(new("a")).await);
    }
    let mut finishes = Vec::new();
    for number in &numbers {
        finishes.push(Finish { expected: Some(expected(scene, *number).await), ..finish(*number, 1) });
    }
    let committed = scene
        .commit(|batch| {
            batch.finishes = finishes;
            batch.starts.push(one(new("a")));
        })
        .await;
    assert_eq!(committed.finishes, vec![applied(2); 300]);
    for number in numbers {
        assert_eq!(scene.get(number).await.status(), Status::Completed);
    }
    assert_eq!(committed.starts.len(), 1);
}

pub async fn a_finish_of_another_attempt_is_fenced(scene: &Scene) {
    let number = scene.running(retried("a")).await;
    let waiting = scene.pending(new("b")).await;
    let at = scene.now();
    scene.commit(|batch| batch.finishes.push(finish_as(number, 1, again(at, error("no", 1))))).await;
    scene.claim("a", 1).await;
    let before = scene.get(number).await;

    let mut late = finish(number, 1);
    late.output = Some(Some(json(r#"{"late":true}"#)));
    late.exit_code = Some(0);
    let strays = vec![late, finish(number, 3), finish(waiting, 0), finish(waiting, 1), finish(999, 1)];
    let committed = scene.commit(|batch| batch.finishes = strays).await;
    assert_eq!(committed.finishes, [FinishOutcome::Fenced; 5]);
    assert_eq!(scene.get(number).await, before);
    assert_eq!(scene.get(waiting).await.status(), Status::Pending);
    assert_eq!(scene.store.attempts(number).await.expect("it reads").len(), 2);
}

pub async fn terminal_is_final(scene: &Scene) {
    let number = scene.running(retried("a")).await;
    let mut done = finish(number, 1);
    done.output = Some(Some(json(r#"{"result":1}"#)));
    scene.commit(|batch| batch.finishes.push(done.clone())).await;
    let before = scene.get(number).await;
    let mut other = finish_as(number, 1, failed(error("late", 1)));
    other.output = Some(None);
    let mut told = report(number, 1);
    told.progress = Some(Progress::new(0.1, None).unwrap());
    told.output = Some(Some(json("{}")));
    let deadline = scene.now();
    let committed = scene
        .commit(|batch| {
            batch.finishes.push(other);
            batch.reports.push(told);
            batch.stops.push(stop(number, deadline));
            batch.claims = Some(claims([room("a", 1)]));
            batch.promote = true;
        })
        .await;
    assert_eq!(committed.finishes, [FinishOutcome::Fenced]);
    assert_eq!(committed.reports, [Written::Done]);
    assert_eq!(committed.stops, [StopOutcome::Done]);
    assert!(committed.claimed.is_empty());
    assert_eq!(scene.get(number).await, before);
}

pub async fn output_and_terminal_status_come_together(scene: &Scene) {
    let number = scene.running(new("a")).await;
    let mut done = finish(number, 1);
    done.output = Some(Some(json(r#"{"result":1}"#)));
    done.progress = Some(Progress::new(1.0, Some("done")).unwrap());
    scene.commit(|batch| batch.finishes.push(done)).await;
    let found = scene.get(number).await;
    assert_eq!((found.status(), found.output.clone()), (Status::Completed, Some(json(r#"{"result":1}"#))));
    assert_eq!((found.progress.value(), found.progress.message.as_deref()), (1.0, Some("done")));
}

pub async fn a_failed_attempt_waits_for_its_retry(scene: &Scene) {
    let number = scene.running(retried("a")).await;
    let run_at = Micros(scene.now().0 + 3 * SECOND);
    scene.commit(|batch| batch.finishes.push(finish_as(number, 1, again(run_at, error("no", 1))))).await;
    let waiting = scene.get(number).await;
    assert_eq!((&waiting.phase, waiting.run_at, waiting.attempt), (&Phase::Pending, run_at, 1));
    assert!(waiting.error().is_none());
    assert!(scene.claim("a", 1).await.is_empty(), "its time has not come");
    let committed = scene.commit(|batch| batch.promote = true).await;
    assert_eq!((committed.promoted, committed.next_due), (vec!["a".into()], None));
    assert_eq!(scene.claim("a", 1).await, [number]);
}

pub async fn a_finish_and_the_claim_of_its_retry_in_one_batch(scene: &Scene) {
    let number = scene.running(retried("a")).await;
    let committed = scene
        .commit(|batch| {
            batch.finishes.push(finish_as(number, 1, again(batch.now, error("no", 1))));
            batch.claims = Some(claims([room("a", 1)]));
        })
        .await;
    assert_eq!(committed.finishes, [applied(2)]);
    assert_eq!(committed.claimed, [Claimed { instance: number, attempt: 2, version: 2, task_id: "a".into() }]);
    let found = scene.get(number).await;
    assert_eq!((found.status(), found.attempt, found.version), (Status::Running, 2, 2));
}

pub async fn finished_is_never_before_started(scene: &Scene) {
    let number = scene.running(new("a")).await;
    let started_at = scene.get(number).await.started_at;
    let mut batch = scene.batch();
    batch.now = Micros(5);
    batch.finishes.push(finish(number, 1));
    scene.store.commit(&batch).await.expect("it commits");
    assert_eq!(scene.get(number).await.finished_at(), started_at);
}

pub async fn two_finishes_of_one_attempt_apply_once(scene: &Scene) {
    let number = scene.running(new("a")).await;
    let both = vec![finish(number, 1), finish_as(number, 1, failed(error("late", 1)))];
    let committed = scene.commit(|batch| batch.finishes = both).await;
    assert_eq!(committed.finishes, [applied(2), FinishOutcome::Fenced]);
    assert_eq!(scene.get(number).await.status(), Status::Completed);
}

pub async fn a_finish_clears_the_output(scene: &Scene) {
    let numbers = [scene.running(new("a")).await, scene.running(new("a")).await];
    let told = numbers.map(|number| {
        let mut told = report(number, 1);
        told.output = Some(Some(json(r#"{"part":1}"#)));
        told
    });
    scene.commit(|batch| batch.reports = told.into()).await;
    let mut cleared = finish(numbers[0], 1);
    cleared.output = Some(None);
    scene.commit(|batch| batch.finishes = vec![cleared, finish(numbers[1], 1)]).await;
    assert_eq!(scene.get(numbers[0]).await.output, None);
    assert_eq!(scene.get(numbers[1]).await.output, Some(json(r#"{"part":1}"#)));
}

/// Short ones and long ones may be kept in different places.
pub async fn the_last_output_counts(scene: &Scene) {
    let of = |length: usize| Some(json(&format!("{{\"x\":\"{}\"}}", "x".repeat(length))));
    let outputs = [of(3), of(248), of(249), None, of(9000), of(8000), of(2), of(7000), None, of(1)];
    let number = scene.running(retried("a")).await;
    for output in &outputs {
        let told = Report { output: Some(output.clone()), ..report(number, 1) };
        scene.commit(|batch| batch.reports.push(told)).await;
        assert_eq!(scene.get(number).await.output, *output);
        // What says nothing of the output leaves it.
        scene.commit(|batch| batch.reports.push(report(number, 1))).await;
        assert_eq!(scene.get(number).await.output, *output);
    }
    for before in &outputs {
        for last in &outputs {
            let number = scene.running(retried("a")).await;
            let told = Report { output: Some(before.clone()), ..report(number, 1) };
            scene.commit(|batch| batch.reports.push(told)).await;
            let at = scene.now();
            let failed = finish_as(number, 1, again(at, error("no", 1)));
            let failed = Finish { output: Some(last.clone()), ..failed };
            scene.commit(|batch| batch.finishes.push(failed)).await;
            assert_eq!(scene.get(number).await.output, *last);
            scene.claim("a", 1).await;
            assert_eq!(scene.get(number).await.output, None);
            let done = Finish { output: Some(before.clone()), ..finish(number, 2) };
            scene.commit(|batch| batch.finishes.push(done)).await;
            assert_eq!(scene.get(number).await.output, *before);
        }
    }
}

pub async fn the_last_progress_stays(scene: &Scene) {
    let number = scene.running(new("a")).await;
    let mut told = report(number, 1);
    told.progress = Some(Progress::new(0.25, Some("quarter")).unwrap());
    scene.commit(|batch| batch.reports.push(told)).await;
    scene.commit(|batch| batch.finishes.push(finish_as(number, 1, failed(error("no", 1))))).await;
    let found = scene.get(number).await;
    assert_eq!((found.progress.value(), found.progress.message.as_deref()), (0.25, Some("quarter")));
    assert_eq!(found.error(), Some(&error("no", 1)));
}

pub async fn attempts_tell_how_each_ended(scene: &Scene) {
    let number = scene.running(retried("a")).await;
    let begun = scene.now();
    assert_eq!(scene.store.attempts(999).await.expect("it reads"), []);
    let running = scene.store.attempts(number).await.expect("it reads");
    assert_eq!((running.len(), running[0].attempt, &running[0].end), (1, 1, &None));
    scene.commit(|batch| batch.finishes.push(finish_as(number, 1, again(begun, error("no", 1))))).await;
    let first_ended = scene.now();
    let waiting = scene.store.attempts(number).await.expect("it reads");
    assert_eq!(waiting.len(), 1);
    scene.claim("a", 1).await;
    scene.commit(|batch| batch.finishes.push(finish_as(number, 2, failed(error("still no", 2))))).await;

    let attempts = scene.store.attempts(number).await.expect("it reads");
    assert_eq!(attempts.iter().map(|attempt| attempt.attempt).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((&*attempts[0].node, attempts[0].started_at), ("node-a", begun));
    let record = |finished_at, error| AttemptRecord {
        finished_at,
        ended: Ended::Failed,
        error: Some(error),
        exit_code: None,
        signal: None,
    };
    assert_eq!(attempts[0].end, Some(record(first_ended, error("no", 1))));
    assert_eq!(attempts[1].end, Some(record(scene.now(), error("still no", 2))));
}

pub async fn attempts_of_a_command_tell_its_exit_code(scene: &Scene) {
    let numbers = [scene.running(new("a")).await, scene.running(new("a")).await, scene.running(new("a")).await];
    let with = |number, exit_code, signal| Finish { exit_code, signal, ..finish(number, 1) };
    let mut broken = with(numbers[1], Some(3), None);
    broken.unless_stopped = failed(error("exit code 3", 1));
    let all = vec![with(numbers[0], Some(0), None), broken, with(numbers[2], None, Some(9))];
    scene.commit(|batch| batch.finishes = all).await;
    let mut ends = Vec::new();
    for number in numbers {
        let end = scene.store.attempts(number).await.expect("it reads").remove(0).end.expect("it ended");
        ends.push((end.ended, end.exit_code, end.signal, end.error.is_some()));
    }
    assert_eq!(
        ends,
        [
            (Ended::Completed, Some(0), None, false),
            (Ended::Failed, Some(3), None, true),
            (Ended::Completed, None, Some(9), false)
        ]
    );
}

pub async fn an_interrupted_attempt_with_a_verdict_tells_both(scene: &Scene) {
    let number = scene.running(new("a")).await;
    let ending = Ending { ended: Ended::Interrupted, ..completed() };
    scene.commit(|batch| batch.finishes.push(finish_as(number, 1, ending))).await;
    assert_eq!(scene.get(number).await.status(), Status::Completed);
    let attempts = scene.store.attempts(number).await.expect("it reads");
    assert_eq!(attempts[0].end.as_ref().map(|end| end.ended), Some(Ended::Interrupted));
}

pub async fn hundreds_of_finishes_in_one_batch(scene: &Scene) {
    let numbers = scene.start((0..300).map(|_| new("a"))).await;
    assert_eq!(scene.claim("a", 300).await, numbers);
    let finishes = numbers
        .iter()
        .map(|number| Finish { output: Some(Some(json(&format!("{{\"result\":{number}}}")))), ..finish(*number, 1) })
        .collect();
    let committed = scene.commit(|batch| batch.finishes = finishes).await;
    assert_eq!(committed.finishes, [applied(3); 300]);
    let keys: Vec<InstanceKey> = numbers.iter().map(|number| InstanceKey::Number(*number)).collect();
    for instance in scene.store.get(&keys).await.expect("it reads") {
        assert_eq!(instance.output, Some(json(&format!("{{\"result\":{}}}", instance.number))));
    }
}

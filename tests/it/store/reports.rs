//! What running attempts report.

use taskwright::{
    domain::{Progress, Status, Verdict, instance::VerdictStatus},
    store::{FinishOutcome, Report, Written},
};

use super::scene::*;

fn progress(value: f64, message: Option<&str>) -> Option<Progress> {
    Some(Progress::new(value, message).expect("a valid progress"))
}

pub async fn a_report_changes_what_it_names(scene: &Scene) {
    let number = scene.running(new("a")).await;
    let first = Report { progress: progress(0.5, Some("half")), ..report(number, 1) };
    let committed = scene.commit(|batch| batch.reports.push(first)).await;
    assert_eq!(committed.reports, [Written::Applied { version: 2 }]);
    let second = Report { output: Some(Some(json(r#"{"a":1}"#))), ..report(number, 1) };
    scene.commit(|batch| batch.reports.push(second)).await;
    let found = scene.get(number).await;
    assert_eq!((found.progress.value(), found.progress.message.as_deref()), (0.5, Some("half")));
    assert_eq!((&found.output, found.version), (&Some(json(r#"{"a":1}"#)), 3));
    assert_eq!((found.updated_at, found.batch), (scene.now(), 3));
    // A progress without a message has none.
    let third = Report { progress: progress(0.75, None), output: Some(None), ..report(number, 1) };
    scene.commit(|batch| batch.reports.push(third)).await;
    let found = scene.get(number).await;
    assert_eq!((found.progress.value(), &found.progress.message, &found.output), (0.75, &None, &None));
}

pub async fn a_report_of_another_attempt_changes_nothing(scene: &Scene) {
    let running = scene.running(retried("a")).await;
    let pending = scene.pending(new("b")).await;
    let done = scene.running(new("c")).await;
    scene.commit(|batch| batch.finishes.push(finish(done, 1))).await;
    let told = |number, attempt| Report {
        progress: progress(0.5, None),
        output: Some(Some(json("{}"))),
        ..report(number, attempt)
    };
    let strays = vec![told(running, 2), told(pending, 0), told(pending, 1), told(done, 1), told(99, 1)];
    let committed = scene.commit(|batch| batch.reports = strays).await;
    use Written::{Done, Fenced, NotFound};
    assert_eq!(committed.reports, [Fenced, Fenced, Fenced, Done, NotFound]);
    for number in [running, pending, done] {
        let found = scene.get(number).await;
        assert_eq!((&found.progress, &found.output), (&Progress::NONE, &None));
    }
}

pub async fn a_report_and_a_finish_in_one_batch(scene: &Scene) {
    let (ends, goes_on) = (scene.running(new("a")).await, scene.running(new("a")).await);
    let told = Report { progress: progress(0.5, None), ..report(goes_on, 1) };
    let twice = Report { progress: progress(0.6, None), ..report(goes_on, 1) };
    let committed = scene
        .commit(|batch| {
            batch.finishes.push(finish(ends, 1));
            batch.reports = vec![told, twice];
        })
        .await;
    assert_eq!(committed.finishes, [FinishOutcome::Applied { version: 2, stopped: false }]);
    // Two changes of one batch are one version.
    assert_eq!(committed.reports, [Written::Applied { version: 2 }; 2]);
    let found = scene.get(goes_on).await;
    assert_eq!((found.progress.value(), found.version), (0.6, 2));
}

pub async fn a_report_after_the_finish_of_its_batch_is_late(scene: &Scene) {
    let number = scene.running(new("a")).await;
    let told = Report { output: Some(Some(json(r#"{"late":1}"#))), ..report(number, 1) };
    let committed = scene
        .commit(|batch| {
            batch.finishes.push(finish(number, 1));
            batch.reports.push(told);
        })
        .await;
    assert_eq!(committed.reports, [Written::Done]);
    let found = scene.get(number).await;
    assert_eq!((found.status(), &found.output), (Status::Completed, &None));
}

pub async fn a_verdict_can_be_withdrawn(scene: &Scene) {
    let number = scene.running(new("a")).await;
    let verdict = Verdict { status: VerdictStatus::Failed, message: Some("why".into()) };
    let told = Report { verdict: Some(Some(verdict.clone())), ..report(number, 1) };
    scene.commit(|batch| batch.reports.push(told)).await;
    assert_eq!(scene.get(number).await.verdict, Some(verdict.clone()));
    let other = Report { progress: progress(0.1, None), ..report(number, 1) };
    scene.commit(|batch| batch.reports.push(other)).await;
    assert_eq!(scene.get(number).await.verdict, Some(verdict));
    let withdrawn = Report { verdict: Some(None), ..report(number, 1) };
    scene.commit(|batch| batch.reports.push(withdrawn)).await;
    assert_eq!(scene.get(number).await.verdict, None);
}

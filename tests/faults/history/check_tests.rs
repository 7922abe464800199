//! The checker against histories in which something is wrong.

use serde_json::{Value, json};

use super::{
    attempts::Said,
    check::{Violation, check},
    event::{Call, Event, Image, What},
    last::LastState,
};

/// An instance as it is shown.
fn image(id: &str, status: &str, version: u64, attempt: u32) -> Image {
    let done = !matches!(status, "pending" | "running");
    Image {
        id: id.to_owned(),
        status: status.to_owned(),
        version,
        attempt,
        max_attempts: 2,
        stop_requested_at: None,
        finished_at: done.then(|| "2026-01-01T00:00:00Z".to_owned()),
        error: Value::Null,
        task_id: "work".to_owned(),
        labels: [("tag".to_owned(), "t".to_owned())].into(),
        output: None,
    }
}

fn stopped(image: Image) -> Image {
    Image { stop_requested_at: Some("2026-01-01T00:00:00Z".to_owned()), ..image }
}

fn start(key: Option<&str>, count: usize) -> Call {
    let key = key.map(str::to_owned);
    Call::Start { tag: "t".to_owned(), key, task: "work".to_owned(), count, retry_of: None }
}

fn invoke(op: u64, call: Call) -> What {
    What::Invoke { op, call }
}

fn ok(op: u64, saw: &[&Image]) -> What {
    What::Ok { op, saw: saw.iter().map(|image| (*image).clone()).collect(), version: None }
}

fn read(op: u64, id: &str) -> What {
    invoke(op, Call::Read { id: id.to_owned() })
}

fn stop(op: u64, id: &str) -> What {
    invoke(op, Call::Stop { id: id.to_owned() })
}

fn report(op: u64, id: &str, attempt: u32, value: &Value) -> What {
    let (id, field, value) = (id.to_owned(), "output".to_owned(), value.clone());
    invoke(op, Call::Report { id, attempt: Some(attempt), field, value })
}

fn written(op: u64, version: u64) -> What {
    What::Ok { op, saw: Vec::new(), version: Some(version) }
}

fn fed(id: &str, image: &Image) -> What {
    What::Fed { id: id.to_owned(), image: Box::new(image.clone()) }
}

fn said(id: &str, attempt: u32, word: &str) -> Said {
    Said { id: id.to_owned(), attempt, pid: 1, word: word.to_owned(), token: String::new() }
}

/// What is found in this history, where the instances are these in the end.
fn found(history: &[What], last: &[&Image], said: &[Said]) -> Vec<Violation> {
    let history: Vec<_> = history.iter().map(|what| Event { at: 0, client: 0, what: what.clone() }).collect();
    let instances = last.iter().map(|image| (image.id.clone(), (*image).clone())).collect();
    check(&history, &LastState { instances }, said)
}

fn id(id: &str) -> String {
    id.to_owned()
}

#[test]
fn a_history_in_which_all_went_well_shows_nothing() {
    let (fresh, running) = (image("a", "pending", 1, 0), image("a", "running", 2, 1));
    let end = Image { output: Some(json!({"n": 1})), ..image("a", "completed", 4, 1) };
    let history = [
        invoke(1, start(Some("k"), 1)),
        What::Unknown { op: 1, why: "gone".to_owned() },
        invoke(2, start(Some("k"), 1)),
        ok(2, &[&fresh]),
        read(3, "a"),
        fed("1.1", &running),
        ok(3, &[&fresh]),
        report(4, "a", 1, &json!({"n": 1})),
        written(4, 3),
        fed("1.2", &Image { version: 3, ..running.clone() }),
        fed("1.3", &end),
        read(5, "a"),
        ok(5, &[&end]),
    ];
    let said = [said("a", 1, "begin"), said("a", 1, "end")];
    assert_eq!(found(&history, &[&end], &said), []);
}

#[test]
fn an_acknowledged_start_that_is_gone_is_lost() {
    let one = image("a", "pending", 1, 0);
    let history = [invoke(1, start(None, 1)), ok(1, &[&one])];
    assert_eq!(found(&history, &[], &[]), [Violation::Lost { id: id("a"), tag: id("t") }]);
    let unknown = [invoke(1, start(None, 1)), What::Unknown { op: 1, why: String::new() }];
    assert_eq!(found(&unknown, &[], &[]), [], "of which nobody knows may be gone");
}

#[test]
fn a_start_is_made_once_and_as_a_whole_or_not_at_all() {
    let (a, b) = (image("a", "completed", 3, 1), image("b", "completed", 3, 1));
    let unknown = What::Unknown { op: 1, why: String::new() };
    let twice = [invoke(1, start(Some("k"), 1)), unknown.clone(), invoke(2, start(Some("k"), 1)), ok(2, &[&b])];
    assert_eq!(found(&twice, &[&a, &b], &[]), [Violation::Duplicated { tag: id("t"), found: 2, of: 1 }]);
    let torn = [invoke(1, start(None, 3)), unknown];
    assert_eq!(found(&torn, &[&a, &b], &[]), [Violation::Torn { tag: id("t"), found: 2, of: 3 }]);
    let refused = [invoke(1, start(None, 1)), What::Fail { op: 1, status: 422 }];
    assert_eq!(found(&refused, &[&a], &[]), [Violation::Unexpected { tag: id("t") }]);
    assert_eq!(found(&[], &[&a], &[]), [Violation::Unexpected { tag: id("t") }], "nobody asked for it");
    assert_eq!(found(&[invoke(1, start(None, 1))], &[&a], &[]), [], "what has no answer is unknown");
}

#[test]
fn what_is_done_stays_as_it_is() {
    let end = Image { output: Some(json!({"n": 1})), ..image("a", "completed", 3, 1) };
    let history = [invoke(1, start(None, 1)), ok(1, &[&image("a", "pending", 1, 0)]), read(2, "a"), ok(2, &[&end])];
    for other in [
        Image { status: id("failed"), ..end.clone() },
        Image { finished_at: Some(id("2026-01-01T00:00:01Z")), ..end.clone() },
        Image { error: json!({"kind": "exit"}), ..end.clone() },
        Image { output: Some(json!({"n": 2})), ..end.clone() },
        Image { version: 4, ..end.clone() },
    ] {
        let found = found(&history, &[&other], &[]);
        assert!(matches!(&found[..], [Violation::ChangedAfterEnd { .. }]), "{other:?}: {found:?}");
    }
    let again = image("a", "running", 4, 2);
    let found = found(&history, &[&again], &[]);
    assert!(found.iter().any(|one| matches!(one, Violation::ChangedAfterEnd { .. })), "{found:?}");
    assert!(found.contains(&Violation::Stuck { id: id("a"), status: id("running") }), "{found:?}");
}

#[test]
fn an_acknowledged_stop_holds() {
    let running = stopped(image("a", "running", 3, 1));
    let history = [invoke(1, start(None, 1)), stop(2, "a"), ok(2, &[&running])];
    for good in ["cancelled", "failed"] {
        assert_eq!(found(&history, &[&stopped(image("a", good, 4, 1))], &[]), [], "{good}");
    }
    for bad in [
        image("a", "cancelled", 4, 1),
        stopped(image("a", "cancelled", 5, 2)),
        stopped(image("a", "completed", 4, 1)),
        stopped(image("a", "running", 4, 1)),
    ] {
        let found = found(&history, &[&bad], &[]);
        assert!(found.iter().any(|one| matches!(one, Violation::ForgottenStop { .. })), "{bad:?}: {found:?}");
    }
    let cancelled = stopped(image("a", "cancelled", 2, 0));
    let history = [invoke(1, start(None, 1)), stop(2, "a"), ok(2, &[&cancelled])];
    assert_eq!(found(&history, &[&cancelled], &[]), []);
    let ran = found(&history, &[&cancelled], &[said("a", 1, "begin")]);
    assert!(ran.contains(&Violation::ForgottenStop { id: id("a"), why: id("another attempt ran") }), "{ran:?}");
    let verdict =
        Call::Report { id: id("a"), attempt: None, field: id("status"), value: json!({"status": "completed"}) };
    let history = [invoke(1, start(None, 1)), stop(2, "a"), ok(2, &[&running]), invoke(3, verdict), written(3, 4)];
    assert_eq!(found(&history, &[&stopped(image("a", "completed", 5, 1))], &[]), [], "its own word counts");
}

#[test]
fn attempts_come_one_after_the_other() {
    let end = image("a", "failed", 9, 2);
    let history = [invoke(1, start(None, 1)), ok(1, &[&image("a", "pending", 1, 0)])];
    let good = [said("a", 1, "begin"), said("a", 1, "beat"), said("a", 2, "begin"), said("a", 2, "end")];
    assert_eq!(found(&history, &[&end], &good), []);
    let overlap = [said("a", 1, "begin"), said("a", 2, "begin"), said("a", 1, "beat")];
    assert_eq!(found(&history, &[&end], &overlap), [Violation::Overlap { id: id("a"), attempt: 1, next: 2 }]);
    let twice = [said("a", 1, "begin"), said("a", 1, "begin")];
    assert_eq!(found(&history, &[&end], &twice), [Violation::RanTwice { id: id("a"), attempt: 1 }]);
    let unknown = found(&history, &[&end], &[said("a", 3, "begin")]);
    let expected = [
        Violation::UnknownAttempt { id: id("a"), attempt: 3, last: 2 },
        Violation::TooManyAttempts { id: id("a"), attempt: 3, most: 2 },
    ];
    assert_eq!(unknown, expected);
    let more = image("a", "failed", 9, 3);
    assert_eq!(found(&history, &[&more], &[]), [Violation::TooManyAttempts { id: id("a"), attempt: 3, most: 2 }]);
}

#[test]
fn what_was_seen_is_never_taken_back() {
    let (two, three, end) = (image("a", "running", 2, 1), image("a", "running", 3, 1), image("a", "completed", 4, 1));
    let begun = [invoke(1, start(None, 1)), ok(1, &[&image("a", "pending", 1, 0)])];
    let back = [&begun[..], &[read(2, "a"), ok(2, &[&three]), read(3, "a"), ok(3, &[&two])]].concat();
    assert_eq!(found(&back, &[&end], &[]), [Violation::WentBack { id: id("a"), from: 3, to: 2 }]);
    let at_once = [&begun[..], &[read(2, "a"), read(3, "a"), ok(2, &[&three]), ok(3, &[&two])]].concat();
    assert_eq!(found(&at_once, &[&end], &[]), [], "who asked before may be answered with what was so then");
    let whole = Image { output: Some(json!({})), ..two.clone() };
    let at_the_end = [&begun[..], &[read(2, "a"), fed("1.1", &end), ok(2, &[&whole])]].concat();
    assert_eq!(found(&at_the_end, &[&end], &[]), [], "also where that is the end");
    let lost = [&begun[..], &[read(2, "a"), ok(2, &[&image("a", "running", 7, 1)])]].concat();
    assert_eq!(found(&lost, &[&end], &[]), [Violation::WentBack { id: id("a"), from: 7, to: 4 }]);
    let told = [&begun[..], &[fed("1.1", &three), read(3, "a"), ok(3, &[&two])]].concat();
    assert_eq!(found(&told, &[&end], &[]), [Violation::WentBack { id: id("a"), from: 3, to: 2 }]);
    let report = [&begun[..], &[report(2, "a", 1, &json!({})), written(2, 9)]].concat();
    assert_eq!(found(&report, &[&end], &[]), [Violation::WentBack { id: id("a"), from: 9, to: 4 }]);
}

#[test]
fn the_feed_goes_forward_and_ends_with_the_end() {
    let (two, three, end) = (image("a", "running", 2, 1), image("a", "running", 3, 1), image("a", "completed", 4, 1));
    let begun = [invoke(1, start(None, 1)), ok(1, &[&image("a", "pending", 1, 0)])];
    let good = [&begun[..], &[fed("1.9", &two), fed("1.10", &three), fed("2.1", &end)]].concat();
    assert_eq!(found(&good, &[&end], &[]), []);
    let id_back = [&begun[..], &[fed("1.10", &two), fed("1.9", &three)]].concat();
    assert_eq!(found(&id_back, &[&end], &[]), [Violation::FeedWentBack { from: id("1.10"), to: id("1.9") }]);
    let version_back = [&begun[..], &[fed("1.1", &three), fed("1.2", &two)]].concat();
    assert!(matches!(&found(&version_back, &[&end], &[])[..], [Violation::FeedWentBack { .. }]));
    let after = Image { version: 5, ..end.clone() };
    let after = found(&[&begun[..], &[fed("1.1", &end), fed("1.2", &after)]].concat(), &[&end], &[]);
    assert!(after.contains(&Violation::FedAfterEnd { id: id("a"), version: 5 }), "{after:?}");
}

#[test]
fn an_attempt_that_is_over_writes_nothing() {
    let (mine, yours) = (json!({"report": 1}), json!({"report": 2}));
    let second = image("a", "running", 5, 2);
    let end = Image { output: Some(mine.clone()), ..image("a", "completed", 8, 2) };
    let begun = [invoke(1, start(None, 1)), ok(1, &[&image("a", "pending", 1, 0)])];
    let stale = [&begun[..], &[read(2, "a"), ok(2, &[&second]), report(3, "a", 1, &mine), written(3, 6)]].concat();
    assert_eq!(found(&stale, &[&end], &[]), [Violation::StaleWrite { id: id("a"), attempt: 1 }]);
    let refused = [&begun[..], &[report(3, "a", 2, &mine), What::Fail { op: 3, status: 409 }]].concat();
    let expected = Violation::RefusedWrite { id: id("a"), found: mine.to_string() };
    assert_eq!(found(&refused, &[&end], &[]), [expected]);
    let kept = [&begun[..], &[report(3, "a", 2, &yours), written(3, 6)]].concat();
    let lost = found(&kept, &[&end], &[said("a", 2, "end")]);
    assert!(matches!(&lost[..], [Violation::LostReport { .. }]), "{lost:?}");
    let overwritten = [&kept[..], &[report(4, "a", 2, &mine), written(4, 7)]].concat();
    assert_eq!(found(&overwritten, &[&end], &[said("a", 2, "end")]), []);
}

#[test]
fn everything_ends_for_a_reason() {
    let begun = [invoke(1, start(None, 1)), ok(1, &[&image("a", "pending", 1, 0)])];
    let uncalled = |why: &str| [Violation::Uncalled { id: id("a"), why: id(why) }];
    assert_eq!(found(&begun, &[&image("a", "cancelled", 4, 1)], &[]), uncalled("it was cancelled"));
    let end = stopped(image("a", "failed", 4, 1));
    assert_eq!(found(&begun, &[&end], &[]), uncalled("it knows of a stop that nobody asked for"));
    let interrupted = |attempt| Image {
        error: json!({"kind": "interrupted", "reason": "shutdown"}),
        ..image("a", "failed", 4, attempt)
    };
    assert_eq!(found(&begun, &[&interrupted(2)], &[]), []);
    assert_eq!(found(&begun, &[&interrupted(1)], &[]), [Violation::GivenUp { id: id("a"), attempt: 1, most: 2 }]);
    let end = image("a", "completed", 4, 2);
    let half = [said("a", 1, "end"), said("a", 2, "begin"), said("a", 2, "beat")];
    assert!(matches!(&found(&begun, &[&end], &half)[..], [Violation::HalfDone { .. }]));
    for (slept, is_half) in [(0.5, false), (0.3, true)] {
        let labels = [("tag".to_owned(), "t".to_owned()), ("seconds".to_owned(), "0.5".to_owned())].into();
        let end = Image { labels, output: Some(json!({"slept": slept})), ..image("a", "completed", 4, 1) };
        assert_eq!(found(&begun, &[&end], &[]).is_empty(), !is_half, "{slept}");
    }
    let verdict =
        Call::Report { id: id("a"), attempt: None, field: id("status"), value: json!({"status": "cancelled"}) };
    let by_its_word = [&begun[..], &[invoke(3, verdict), written(3, 4)]].concat();
    assert_eq!(found(&by_its_word, &[&image("a", "cancelled", 4, 1)], &[]), []);
}

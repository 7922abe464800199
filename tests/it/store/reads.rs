//! Reads of instances.

use taskwright::{
    domain::{InstanceKey, InstanceQuery, LabelFilter, Micros, Status},
    store::{CommitError, FinishOutcome, NewInstance},
};
use uuid::Uuid;

use super::scene::*;

async fn list(scene: &Scene, query: InstanceQuery) -> Vec<u64> {
    let page = scene.store.list(&InstanceQuery { limit: 100, ..query }).await.expect("it reads");
    assert!(!page.more);
    page.items.iter().map(|summary| summary.number).collect()
}

fn label(key: &str, value: Option<&str>) -> LabelFilter {
    LabelFilter { key: key.into(), value: value.map(str::to_owned) }
}

/// One instance of each status, of task `a`, and a pending one of `b`.
async fn one_of_each(scene: &Scene) -> [u64; 6] {
    let completed = scene.running(new("a")).await;
    let failing = scene.running(new("a")).await;
    let running = scene.running(new("a")).await;
    let cancelled = scene.pending(new("a")).await;
    let ends = vec![finish(completed, 1), finish_as(failing, 1, failed(error("no", 1)))];
    scene
        .commit(|batch| {
            batch.finishes = ends;
            batch.stops.push(stop(cancelled, batch.now));
        })
        .await;
    let rest = scene.start([new("a"), new("b")]).await;
    [completed, failing, running, cancelled, rest[0], rest[1]]
}

pub async fn instances_are_found_by_id_and_number(scene: &Scene) {
    let given = [new("a"), new("a"), new("a")];
    let ids = [given[0].id, given[1].id, given[2].id];
    scene.start(given).await;
    let keys = [
        InstanceKey::Id(ids[2]),
        InstanceKey::Number(1),
        InstanceKey::Id(ids[0]),
        InstanceKey::Number(77),
        InstanceKey::Id(Uuid::now_v7()),
        InstanceKey::Number(u64::MAX),
    ];
    let mut found: Vec<u64> =
        scene.store.get(&keys).await.expect("it reads").iter().map(|instance| instance.number).collect();
    found.sort_unstable();
    assert_eq!(found, [1, 3]);
    assert_eq!(scene.store.get(&[]).await.expect("it reads"), []);
    assert_eq!(scene.store.get(&[InstanceKey::Id(Uuid::now_v7())]).await.expect("it reads"), []);
    assert_eq!(scene.store.get(&[InstanceKey::Id(ids[1])]).await.expect("it reads")[0].number, 2);
}

pub async fn summaries_are_instances_without_payloads(scene: &Scene) {
    let [completed, failed, _, cancelled, pending, other] = one_of_each(scene).await;
    let numbers = [other, completed, 77, failed, u64::MAX, cancelled, pending, other];
    let mut found = scene.store.summaries(&numbers).await.expect("it reads");
    found.sort_by_key(|summary| summary.number);
    let keys: Vec<_> = found.iter().map(|summary| InstanceKey::Number(summary.number)).collect();
    let mut whole = scene.store.get(&keys).await.expect("it reads");
    whole.sort_by_key(|instance| instance.number);
    assert_eq!(found.len(), 5);
    assert!(found.iter().zip(&whole).all(|(summary, instance)| *summary == instance.summary));
    assert_eq!(scene.store.summaries(&[]).await.expect("it reads"), []);
}

pub async fn live_instances_match_and_come_in_pages(scene: &Scene) {
    let [_, _, running, _, pending, other] = one_of_each(scene).await;
    let marked = scene.pending(labelled("b", [("k", "v")])).await;
    let live = async |query: InstanceQuery| {
        let statuses =
            if query.statuses.is_empty() { vec![Status::Pending, Status::Running] } else { query.statuses.clone() };
        let limit = query.limit.max(1);
        scene.store.live(&InstanceQuery { statuses, limit, ..query }).await.expect("it reads")
    };
    let all = InstanceQuery { limit: 9, ..InstanceQuery::default() };
    assert_eq!(live(all.clone()).await, [marked, other, pending, running]);
    assert_eq!(live(InstanceQuery { limit: 2, ..all.clone() }).await, [marked, other]);
    assert_eq!(live(InstanceQuery { limit: 2, below: Some(other), ..all.clone() }).await, [pending, running]);
    assert_eq!(live(InstanceQuery { statuses: vec![Status::Running], ..all.clone() }).await, [running]);
    assert_eq!(live(InstanceQuery { task_id: Some("b".into()), ..all.clone() }).await, [marked, other]);
    assert_eq!(live(InstanceQuery { labels: vec![label("k", Some("v"))], ..all.clone() }).await, [marked]);
    let created_before = Some(scene.get(other).await.created_at);
    assert_eq!(live(InstanceQuery { created_before, ..all.clone() }).await, [running]);
}

pub async fn a_list_is_newest_first_in_pages(scene: &Scene) {
    scene.start((0..7).map(|_| new("a"))).await;
    let mut below = None;
    let mut pages = Vec::new();
    loop {
        let query = InstanceQuery { limit: 3, below, ..InstanceQuery::default() };
        let page = scene.store.list(&query).await.expect("it reads");
        let numbers: Vec<u64> = page.items.iter().map(|summary| summary.number).collect();
        below = numbers.last().copied();
        pages.push(numbers);
        if !page.more {
            break;
        }
        // What comes in the meantime is not part of the pages that follow.
        scene.start([new("a")]).await;
    }
    assert_eq!(pages, [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
    let full = InstanceQuery { limit: 9, ..InstanceQuery::default() };
    assert!(!scene.store.list(&full).await.expect("it reads").more);
}

pub async fn lists_filter_by_task(scene: &Scene) {
    scene.start([new("a"), new("b"), new("a")]).await;
    let of = |task: &str| InstanceQuery { task_id: Some(task.into()), ..InstanceQuery::default() };
    assert_eq!(list(scene, of("a")).await, [3, 1]);
    assert_eq!(list(scene, InstanceQuery { below: Some(3), ..of("a") }).await, [1]);
    assert!(list(scene, of("c")).await.is_empty());
}

pub async fn lists_filter_by_status(scene: &Scene) {
    let [completed, failed, running, cancelled, pending, other] = one_of_each(scene).await;
    let of = |statuses: &[Status]| InstanceQuery { statuses: statuses.to_vec(), ..InstanceQuery::default() };
    assert_eq!(list(scene, of(&[Status::Completed])).await, [completed]);
    assert_eq!(list(scene, of(&[Status::Failed])).await, [failed]);
    assert_eq!(list(scene, of(&[Status::Cancelled])).await, [cancelled]);
    assert_eq!(list(scene, of(&[Status::Running])).await, [running]);
    assert_eq!(list(scene, of(&[Status::Pending, Status::Pending])).await, [other, pending]);
    assert_eq!(
        list(scene, of(&[Status::Completed, Status::Pending, Status::Running])).await,
        [other, pending, running, completed]
    );
    assert_eq!(list(scene, of(&Status::ALL)).await.len(), 6);
    // A limit within the merge of several statuses.
    let query = InstanceQuery { limit: 2, ..of(&[Status::Completed, Status::Pending]) };
    let page = scene.store.list(&query).await.expect("it reads");
    assert_eq!(page.items.iter().map(|summary| summary.number).collect::<Vec<_>>(), [other, pending]);
    assert!(page.more);
}

pub async fn lists_filter_by_labels(scene: &Scene) {
    scene
        .start([
            labelled("a", [("team", "blue"), ("env", "prod")]),
            labelled("a", [("team", "red"), ("env", "prod")]),
            labelled("a", [("team", "blue"), ("env", "test"), ("a.b/c-d_e", "x:y")]),
            new("a"),
            labelled("b", [("team", "blue"), ("env", "prod")]),
        ])
        .await;
    let of = |labels: &[LabelFilter]| InstanceQuery { labels: labels.to_vec(), ..InstanceQuery::default() };
    assert_eq!(list(scene, of(&[label("team", Some("blue"))])).await, [5, 3, 1]);
    assert_eq!(list(scene, of(&[label("team", Some("blue")), label("env", Some("prod"))])).await, [5, 1]);
    assert_eq!(list(scene, of(&[label("team", None)])).await, [5, 3, 2, 1]);
    assert_eq!(list(scene, of(&[label("env", None), label("a.b/c-d_e", None)])).await, [3]);
    assert_eq!(list(scene, of(&[label("env", None), label("team", Some("red"))])).await, [2]);
    assert_eq!(list(scene, of(&[label("a.b/c-d_e", Some("x:y"))])).await, [3]);
    assert!(list(scene, of(&[label("team", Some("green"))])).await.is_empty());
    assert_eq!(list(scene, InstanceQuery { below: Some(5), ..of(&[label("team", Some("blue"))]) }).await, [3, 1]);
    assert_eq!(list(scene, InstanceQuery { below: Some(3), ..of(&[label("team", None)]) }).await, [2, 1]);
}

pub async fn lists_filter_by_creation(scene: &Scene) {
    scene.start([new("a")]).await;
    let first = scene.now();
    scene.start([new("a"), new("a")]).await;
    let second = scene.now();
    let query = InstanceQuery::default;
    assert_eq!(list(scene, InstanceQuery { created_after: Some(second), ..query() }).await, [3, 2]);
    assert_eq!(list(scene, InstanceQuery { created_after: Some(Micros(second.0 + 1)), ..query() }).await, [0; 0]);
    assert_eq!(list(scene, InstanceQuery { created_before: Some(second), ..query() }).await, [1]);
    let between = InstanceQuery { created_after: Some(first), created_before: Some(second), ..query() };
    assert_eq!(list(scene, between).await, [1]);
}

pub async fn lists_find_a_stretch_of_time(scene: &Scene) {
    let mut times = Vec::new();
    for _ in 0..60 {
        scene.wait(std::time::Duration::from_secs(7));
        scene.start([new("a"), labelled("b", [("k", "v")])]).await;
        times.push(scene.now());
    }
    for (from, to) in [(0, 60), (0, 1), (59, 60), (13, 14), (20, 47), (30, 30)] {
        let query = InstanceQuery {
            created_after: Some(times[from]),
            created_before: times.get(to).copied(),
            ..InstanceQuery::default()
        };
        let expected: Vec<u64> = (from as u64 * 2 + 1..=to as u64 * 2).rev().collect();
        let page = scene.store.list(&InstanceQuery { limit: 500, ..query.clone() }).await.expect("it reads");
        assert_eq!(page.items.iter().map(|summary| summary.number).collect::<Vec<_>>(), expected, "{from}..{to}");
        let odd = InstanceQuery { labels: vec![label("k", Some("v"))], ..query.clone() };
        assert_eq!(list(scene, odd).await.len(), to - from);
        let below = InstanceQuery { below: Some(60), ..query };
        assert_eq!(list(scene, below).await, expected.into_iter().filter(|n| *n < 60).collect::<Vec<_>>());
    }
}

pub async fn lists_filter_by_creation_whatever_the_clock_did(scene: &Scene) {
    let base = scene.now().0;
    let mut times = Vec::new();
    // Forward, back a little, forward, back an hour, forward far, back again.
    for seconds in [0, 100, 95, 200, 300, -3300, -3200, 90_000, 400, 500] {
        let mut batch = scene.batch();
        batch.now = Micros(base + seconds * SECOND);
        batch.starts = vec![one(new("a"))];
        scene.store.commit(&batch).await.expect("it commits");
        times.push(batch.now);
    }
    for edge in [-4000, -3300, -3000, 0, 96, 100, 250, 400, 501, 90_000, 90_001] {
        let edge = Micros(base + edge * SECOND);
        let numbers = |keep: &dyn Fn(Micros) -> bool| -> Vec<u64> {
            let mut numbers: Vec<u64> =
                (1..).zip(&times).filter(|(_, time)| keep(**time)).map(|(number, _)| number).collect();
            numbers.reverse();
            numbers
        };
        let after = InstanceQuery { created_after: Some(edge), ..InstanceQuery::default() };
        assert_eq!(list(scene, after).await, numbers(&|time| time >= edge), "from {edge}");
        let before = InstanceQuery { created_before: Some(edge), ..InstanceQuery::default() };
        assert_eq!(list(scene, before).await, numbers(&|time| time < edge), "before {edge}");
    }
}

pub async fn filters_combine(scene: &Scene) {
    let [completed, failed, running, cancelled, pending, _] = one_of_each(scene).await;
    let of = |statuses: &[Status]| InstanceQuery {
        task_id: Some("a".into()),
        statuses: statuses.to_vec(),
        ..InstanceQuery::default()
    };
    assert_eq!(list(scene, of(&[Status::Completed, Status::Failed])).await, [failed, completed]);
    assert_eq!(list(scene, of(&[Status::Pending, Status::Cancelled])).await, [pending, cancelled]);
    assert_eq!(list(scene, InstanceQuery { below: Some(running), ..of(&[Status::Running]) }).await, [0; 0]);
    let labelled = scene.start([labelled("a", [("k", "v")]), labelled("b", [("k", "v")])]).await;
    let both = InstanceQuery { labels: vec![label("k", Some("v"))], ..of(&[Status::Pending]) };
    assert_eq!(list(scene, both).await, [labelled[0]]);
}

pub async fn filters_are_values_and_never_sql(scene: &Scene) {
    let odd = "a'; DROP TABLE instances; --\"%_";
    scene.start([new(odd), labelled("b", [("k", odd)])]).await;
    let task = InstanceQuery { task_id: Some(odd.into()), ..InstanceQuery::default() };
    assert_eq!(list(scene, task).await, [1]);
    let value = InstanceQuery { labels: vec![label("k", Some(odd))], ..InstanceQuery::default() };
    assert_eq!(list(scene, value).await, [2]);
    let key = InstanceQuery { labels: vec![label("k", None), label("no\" OR 1", None)], ..InstanceQuery::default() };
    // A key that no label can have: nothing, or a refusal, but never a match.
    let page = scene.store.list(&InstanceQuery { limit: 9, ..key }).await;
    assert!(page.is_err() || page.is_ok_and(|page| page.items.is_empty()));
    assert_eq!(scene.claim(odd, 1).await, [1]);
}

pub async fn the_backlog_names_ready_tasks(scene: &Scene) {
    let empty = scene.store.backlog().await.expect("it reads");
    assert_eq!((empty.pending, empty.ready), (0, vec![]));
    let later = NewInstance { run_at: Some(Micros(scene.now().0 + 100 * SECOND)), ..new("later") };
    scene.start([new("b"), new("a"), later, new("b"), new("c")]).await;
    scene.claim("c", 1).await;
    let backlog = scene.store.backlog().await.expect("it reads");
    assert_eq!((backlog.pending, backlog.ready), (4, vec!["a".into(), "b".into()]));
}

pub async fn running_instances_are_listed(scene: &Scene) {
    let [_, _, running, ..] = one_of_each(scene).await;
    let found = scene.store.running().await.expect("it reads");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0], scene.get(running).await.summary);
}

pub async fn a_refused_batch_changes_nothing(scene: &Scene) {
    let running = scene.running(new("a")).await;
    let before = scene.get(running).await;
    let twin = new("a");
    let mut batch = scene.batch();
    batch.finishes.push(finish(running, 1));
    batch.logs.push(chunk(running, 1, taskwright::domain::Stream::Task, &["line"]));
    batch.starts = vec![one(new("b")), one(twin.clone()), one(twin)];
    let refused = scene.store.commit(&batch).await;
    assert!(matches!(refused, Err(CommitError::Refused(_))), "{refused:?}");
    assert_eq!(scene.get(running).await, before);
    assert_eq!(scene.store.log_extent(running).await.expect("it reads").last, 0);
    // The same without the culprit.
    batch.starts.pop();
    let committed = scene.store.commit(&batch).await.expect("it commits");
    assert_eq!(committed.finishes, [FinishOutcome::Applied { version: 2, stopped: false }]);
    assert_eq!(committed.starts.iter().flat_map(created).collect::<Vec<_>>(), [2, 3]);
}

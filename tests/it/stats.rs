//! `GET /v1/stats`: what there is, and what happened lately.

use serde_json::{Value, json};

use super::contract::Api;
use crate::support::wait_for;

const TASKS: &str = r#"
[[tasks]]
name = "fails"
command = ["sh", "-c", "exit 3"]
"#;

/// The sums over all buckets.
fn sums(stats: &Value) -> [u64; 4] {
    let buckets = stats["buckets"].as_array().expect("buckets");
    ["started", "completed", "failed", "cancelled"]
        .map(|name| buckets.iter().map(|bucket| bucket[name].as_u64().expect("a count")).sum())
}

#[tokio::test]
async fn figures_follow_what_happens() {
    let mut api = Api::with_config(TASKS).await;
    let empty = api.get("/v1/stats").await;
    assert_eq!(empty.status, 200);
    let empty = empty.json();
    let none = json!({"pending":0,"running":0,"completed":0,"failed":0,"cancelled":0});
    assert_eq!((&empty["by_status"], &empty["window"], &empty["bucket"]), (&none, &json!(3600), &json!(60)));
    assert_eq!(empty["durations"], json!({"count":0,"p50":null,"p95":null}));
    assert_eq!(empty["buckets"].as_array().expect("buckets").len(), 60);

    for _ in 0..3 {
        api.post("/v1/definitions/sleep/instances?wait", r#"{"seconds":0.05}"#).await;
    }
    api.post("/v1/definitions/fails/instances?wait", "{}").await;
    let stopped = api.sleep(60.0).await;
    api.delete(&format!("/v1/instances/{stopped}?wait")).await;
    api.sleep(60.0).await;
    api.post("/v1/definitions/sleep/instances?delay=1h", r#"{"seconds":1}"#).await;

    let check = async |api: &Api| {
        let stats = api.get("/v1/stats?window=1h&bucket=1m").await.json();
        assert_eq!(stats["by_status"], json!({"pending":1,"running":1,"completed":3,"failed":1,"cancelled":1}));
        assert_eq!(sums(&stats), [7, 3, 1, 1]);
        assert_eq!(stats["durations"]["count"], 4);
        let (p50, p95) = (stats["durations"]["p50"].as_f64().unwrap(), stats["durations"]["p95"].as_f64().unwrap());
        assert!(p50 > 0.0 && p50 <= p95 && (0.04..5.0).contains(&p95), "{p50} {p95}");
        let of_sleep = api.get("/v1/stats?task_id=sleep&window=2d&bucket=1d").await.json();
        assert_eq!(of_sleep["by_status"], json!({"pending":1,"running":1,"completed":3,"failed":0,"cancelled":1}));
        assert_eq!((sums(&of_sleep), &of_sleep["bucket"]), ([6, 3, 0, 1], &json!(86400)));
        let of_fails = api.get("/v1/stats?task_id=fails").await.json();
        assert_eq!((sums(&of_fails), &of_fails["durations"]["count"]), ([1, 0, 1, 0], &json!(1)));
    };
    check(&api).await;
    api.server.fsck();
    // A crash loses nothing that was counted; what ran is failed now.
    api.server.kill9();
    api.server.restart().await;
    let stats = wait_for("the settled instance", async || {
        let stats = api.get("/v1/stats").await.json();
        (stats["by_status"]["running"] == 0).then_some(stats)
    })
    .await;
    assert_eq!(stats["by_status"], json!({"pending":1,"running":0,"completed":3,"failed":2,"cancelled":1}));
    assert_eq!(sums(&stats), [7, 3, 2, 1]);
    api.server.fsck();
}

#[tokio::test]
async fn buckets_are_aligned_in_order_and_none_is_left_out() {
    let api = Api::start().await;
    for (query, bucket, buckets) in [
        ("", 60, 60),
        ("?window=90", 60, 2),
        ("?window=1h&bucket=5m", 300, 12),
        ("?window=1d", 60, 1440),
        ("?window=7d", 900, 672),
        ("?window=365d&bucket=1d", 86400, 365),
        ("?window=1m&bucket=1d", 86400, 1),
        ("?window=0.5h&bucket=60", 60, 30),
    ] {
        let stats = api.get(&format!("/v1/stats{query}")).await.json();
        assert_eq!(stats["bucket"], bucket, "{query}");
        let starts: Vec<i64> = stats["buckets"]
            .as_array()
            .expect("buckets")
            .iter()
            .map(|found| chrono::DateTime::parse_from_rfc3339(found["start"].as_str().unwrap()).unwrap().timestamp())
            .collect();
        assert_eq!(starts.len(), buckets, "{query}");
        assert!(starts.windows(2).all(|two| two[1] - two[0] == bucket), "{query}");
        assert!(starts.iter().all(|start| start % bucket == 0), "{query}");
        let now = chrono::Utc::now().timestamp();
        let last = *starts.last().expect("one");
        assert!(last <= now && now < last + 2 * bucket, "{query}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let api = Api::start().await;
    for (query, status, place) in [
        ("window=soon", 400, "window"),
        ("bucket=1x", 400, "bucket"),
        ("windw=1h", 400, "windw"),
        ("window", 400, "window"),
        ("window=0", 422, "window"),
        ("window=2d&bucket=1m", 422, "window"),
        ("window=1441d", 422, "window"),
        ("bucket=59s", 422, "bucket"),
        ("bucket=90s", 422, "bucket"),
        ("bucket=2d", 422, "bucket"),
    ] {
        let refused = api.get(&format!("/v1/stats?{query}")).await;
        assert_eq!((refused.status, refused.places()), (status, vec![place.to_owned()]), "{query}: {}", refused.text);
    }
    for query in ["task_id=slep", "task_id=slep&bucket=1s"] {
        let unknown = api.get(&format!("/v1/stats?{query}")).await;
        assert_eq!((unknown.status, unknown.problem().as_str()), (404, "task-definition-not-found"));
        assert!(unknown.text.contains("did you mean `sleep`"), "{}", unknown.text);
    }
    assert_eq!(api.send("POST", "/v1/stats", &[], Some("{}")).await.status, 405);
    assert_eq!(api.text("/v1/stats").await.status, 406);
}

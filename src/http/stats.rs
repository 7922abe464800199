//! `GET /v1/stats`: how many instances there are, and what happened lately.

use std::time::Duration;

use ::http::StatusCode;
use serde::Serialize;

use super::{
    Response,
    accept::Media,
    call::Call,
    problem::{Fault, Problem},
    query::{Parameter, one},
    render, reply,
};
use crate::domain::{Micros, Stats, StatsQuery, Status, duration::Seconds, stats::InvalidWindow};

const PARAMETERS: &[Parameter] = &[one("window"), one("bucket"), one("task_id")];
const WINDOW: Duration = Duration::from_secs(3600);

#[derive(Serialize)]
struct Durations {
    count: u64,
    p50: Option<f64>,
    p95: Option<f64>,
}

#[derive(Serialize)]
struct Bucket {
    start: Micros,
    started: u64,
    completed: u64,
    failed: u64,
    cancelled: u64,
}

/// The figures.
pub async fn show(call: &mut Call) -> Result<Response, Problem> {
    call.accept(&[Media::Json])?;
    let given = call.query(PARAMETERS)?;
    let window = given.duration("window")?.unwrap_or(WINDOW);
    let bucket = given.duration("bucket")?;
    let task_id = given.value("task_id").map(str::to_owned);
    // An unknown task comes first, as everywhere.
    let query = StatsQuery::until(Micros::now(), window, bucket, task_id.clone());
    let query = match query {
        Ok(query) => query,
        Err(error) => {
            if let Some(task_id) = &task_id {
                call.engine().definition(task_id)?;
            }
            let name = if error == InvalidWindow::Bucket { "bucket" } else { "window" };
            return Err(Problem::invalid(vec![Fault::of(name, error.to_string())]));
        }
    };
    let stats = call.engine().stats(query.clone()).await?;
    let body = reply::json(|out| write(out, window, &query, &stats));
    Ok(reply::fresh(StatusCode::OK, Media::Json, body))
}

fn write(out: &mut Vec<u8>, window: Duration, query: &StatsQuery, stats: &Stats) {
    let seconds = |q| stats.durations.quantile(q).map(|duration| duration.as_micros() as f64 / 1e6);
    out.extend_from_slice(b"{\"by_status\":{");
    for (at, (status, n)) in Status::ALL.iter().zip(stats.by_status).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!("\"{status}\":{n}").as_bytes());
    }
    out.extend_from_slice(b"},\"window\":");
    render::value(out, &Seconds(window));
    out.extend_from_slice(b",\"bucket\":");
    render::value(out, &Seconds(query.bucket));
    out.extend_from_slice(b",\"durations\":");
    let durations = Durations { count: stats.durations.count(), p50: seconds(0.5), p95: seconds(0.95) };
    render::value(out, &durations);
    out.extend_from_slice(b",\"buckets\":");
    render::array(out, stats.buckets.iter().enumerate(), |out, (at, happened)| {
        let bucket = Bucket {
            start: query.start(at),
            started: happened.started,
            completed: happened.completed,
            failed: happened.failed,
            cancelled: happened.cancelled,
        };
        render::value(out, &bucket);
    });
    out.push(b'}');
}

//! What `/v1/stats` answers. Never built: these types are what the document says.
#![allow(dead_code, reason = "read by the document, never built")]

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

/// Counts, and what happened lately. Past 8 days what happened is known by the hour, past 62 days by the day: it is
/// counted in the bucket in which that begins.
#[derive(ToSchema)]
pub struct Stats {
    by_status: StatusCounts,
    /// Seconds.
    window: f64,
    /// Seconds.
    bucket: f64,
    durations: Durations,
    /// In order of time, also those in which nothing happened; the last one is still going on.
    buckets: Vec<StatsBucket>,
}

/// How many instances there are.
#[derive(ToSchema)]
pub struct StatusCounts {
    pending: u64,
    running: u64,
    completed: u64,
    failed: u64,
    cancelled: u64,
}

/// How long the latest attempts took of the instances that completed or failed within the buckets, in seconds, within
/// 5 %.
#[derive(ToSchema)]
pub struct Durations {
    count: u64,
    /// Null where there are none.
    p50: Option<f64>,
    /// Null where there are none.
    p95: Option<f64>,
}

/// What happened in a stretch of time.
#[derive(ToSchema)]
pub struct StatsBucket {
    /// A multiple of the bucket's length since 1970.
    start: DateTime<Utc>,
    /// Instances that were accepted.
    started: u64,
    /// Instances that became completed.
    completed: u64,
    /// Instances that became failed.
    failed: u64,
    /// Instances that became cancelled.
    cancelled: u64,
}

//! `/metrics`: what the daemon did and does, as OpenMetrics text.

use std::{fmt, time::Duration};

use ::http::StatusCode;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text},
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
        histogram::Histogram,
    },
    registry::Registry,
};

use super::{
    Response,
    accept::Media,
    call::Call,
    problem::Problem,
    reply,
    router::{Operation, Route},
};
use crate::engine::Engine;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

/// The registry, and the handles that requests count on.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
}

impl Metrics {
    /// Metrics of HTTP and of `engine`.
    pub fn new(engine: Engine) -> Self {
        let mut registry = Registry::with_prefix("taskwright");
        let requests = Family::default();
        registry.register("http_requests", "Requests, by route, method and class of status", requests.clone());
        let durations: Family<RouteLabels, Histogram, fn() -> Histogram> = Family::new_with_constructor(histogram);
        registry.register(
            "http_request_duration_seconds",
            "Time from the end of the head to the answer, without long polls and streams",
            durations.clone(),
        );
        registry.register_collector(Box::new(Figures(engine)));
        Metrics { registry, requests, durations }
    }

    /// Counts one request.
    pub fn count(
        &self,
        route: Option<&'static Route>,
        operation: Option<&'static Operation>,
        status: StatusCode,
        elapsed: Option<Duration>,
    ) {
        let route = route.map_or("none", |route| route.path);
        // Only methods that we have: a client must not be able to make label values.
        let method = operation.map_or("other", |operation| operation.method.as_str());
        let status = match status.as_u16() {
            100..=199 => "1xx",
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&RequestLabels { route, method, status }).inc();
        if let Some(elapsed) = elapsed {
            self.durations.get_or_create(&RouteLabels { route }).observe(elapsed.as_secs_f64());
        }
    }
}

fn histogram() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

/// The engine's figures, read when they are asked for.
struct Figures(Engine);

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures").finish_non_exhaustive()
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let figures = self.0.figures();
        let counters = [
            ("instances_started", "Instances accepted", figures.started),
            ("instances_completed", "Instances that ended completed", figures.completed),
            ("instances_failed", "Instances that ended failed", figures.failed),
            ("instances_cancelled", "Instances that ended cancelled", figures.cancelled),
            ("attempts", "Attempts that began", figures.attempts),
            ("store_commits", "Commits", figures.commits),
            ("store_rows", "Rows written", figures.rows),
            ("instances_purged", "Done instances deleted because they are kept no longer", figures.purged),
            ("store_commit_failures", "Commits that failed", figures.commit_failures),
        ];
        for (name, help, value) in counters {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        let gauges = [
            ("instances_pending", "Instances that are pending", figures.pending),
            ("local_running", "Handlers that run", figures.local_running),
            ("commands_running", "Commands that run", figures.command_running),
            ("blocking_stuck", "Blocking closures that outlived their attempt and hold a slot", figures.stuck_blocking),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// `GET /metrics`
pub async fn show(call: &mut Call) -> Result<Response, Problem> {
    call.query(&[])?;
    let mut body = String::new();
    text::encode(&mut body, &call.app.metrics().registry)
        .map_err(|error| Problem::internal(format!("metrics cannot be written: {error}")))?;
    Ok(reply::with_body(StatusCode::OK, Media::Metrics, body))
}

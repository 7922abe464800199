//! The REST contract: routes, checks, the form of every answer and every refusal.
//!
//! [`router`](router()) holds every route in one table. A request passes `dispatch`, which makes the checks that all
//! requests share in the contract's order and then calls the one plain function of its route. [`serve()`] drives hyper
//! directly, because deadlines on the first byte, the head and a blocked writer need the connection in hand.

mod accept;
mod app;
mod attempts;
mod auth;
mod batch;
mod blocking;
mod body;
mod call;
mod connection;
mod dashboard;
mod deadlines;
mod definitions;
mod dispatch;
#[cfg(feature = "docs-ui")]
mod docs_ui;
mod feed;
mod fields;
mod filter;
mod framing;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod graphql;
mod health;
mod host;
mod instance_events;
mod instances;
mod list;
mod log_stream;
mod logs;
mod metrics;
pub mod openapi;
mod options;
mod origin;
mod preconditions;
mod prefer;
mod pretty;
mod problem;
mod problem_kinds;
mod query;
mod render;
mod reply;
mod report;
mod request_id;
mod retry;
mod root;
mod router;
mod serve;
mod settings;
mod start;
mod stats;
mod stop;
mod stop_many;
mod stream;
mod system;
mod values;

pub use app::App;
pub use router::{mounted, router, routes};
pub use serve::serve;
pub use settings::{Exposure, Scope, Settings, Shown, TokenSettings};

/// What every handler answers.
type Response = ::http::Response<axum::body::Body>;

//! What event streams hold. Never built: these types are what the document says.
#![allow(dead_code, reason = "read by the document, never built")]

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::answers::*;

/// What an event of one instance holds.
pub struct InstanceEvent;

impl PartialSchema for InstanceEvent {
    fn schema() -> RefOr<Schema> {
        instance_without(&["inputs", "result"], "What an event holds: an instance without its inputs and result.")
    }
}

impl ToSchema for InstanceEvent {
    fn name() -> Cow<'static, str> {
        "InstanceEvent".into()
    }
}

/// One line of an event stream as NDJSON.
#[derive(ToSchema)]
pub struct EventLine {
    event: String,
    /// The instance's version.
    id: String,
    data: InstanceEvent,
}

/// What a line of the feed tells.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeedEvent {
    /// The first one: its id is where to resume.
    Ready,
    /// An instance changed.
    Instance,
    /// Changes before this one were lost: read anew what is shown.
    Resync,
}

/// One line of the feed of all instances as NDJSON.
#[derive(ToSchema)]
pub struct FeedLine {
    event: FeedEvent,
    /// `boot.counter`: where to resume after this one.
    id: String,
    data: FeedData,
}

/// Of `instance` its summary; of the others a small object.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum FeedData {
    Instance(Summary),
    Ready(FeedReady),
    Resync(FeedResync),
}

/// What `ready` holds.
#[derive(ToSchema)]
pub struct FeedReady {
    /// Whether it goes on after the id that was given.
    resumed: bool,
}

/// What `resync` holds.
#[derive(ToSchema)]
pub struct FeedResync {
    reason: FeedLoss,
}

/// Why changes were lost.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeedLoss {
    /// The id that was given is too old, or of another server.
    UnknownId,
    /// The reader was too slow.
    Lagged,
}

//! What `/v1/system` answers. Never built: these types are what the document says.
#![allow(dead_code, reason = "read by the document, never built")]

use chrono::{DateTime, Utc};
use utoipa::ToSchema;

/// What a daemon is, what it has room for, and who asks.
#[derive(ToSchema)]
pub struct System {
    version: String,
    /// `server.node`.
    node: String,
    started_at: DateTime<Utc>,
    /// The prefix under which a proxy serves it; empty for none.
    base_path: String,
    store: SystemStore,
    health: SystemHealth,
    slots: SystemSlots,
    /// Every key of the configuration, secrets hidden; empty where the server is part of another program.
    settings: Vec<Setting>,
    you: You,
}

/// Where instances are kept.
#[derive(ToSchema)]
pub struct SystemStore {
    backend: String,
    path: String,
    /// How commits are synced.
    synchronous: String,
    schema: u64,
    /// How much room it takes; null where that cannot be told now.
    bytes: Option<u64>,
    /// How much is free there; null where that cannot be told now.
    disk_free: Option<u64>,
}

/// Whether it takes work.
#[derive(ToSchema)]
pub struct SystemHealth {
    ready: bool,
    draining: bool,
}

/// How many handlers and how many commands may run at once.
#[derive(ToSchema)]
pub struct SystemSlots {
    local: Slots,
    command: Slots,
}

/// Slots of one kind.
#[derive(ToSchema)]
pub struct Slots {
    used: u32,
    total: u32,
}

/// One key of the configuration.
#[derive(ToSchema)]
pub struct Setting {
    /// Such as `server.listen`.
    key: String,
    /// As TOML writes it.
    value: String,
    /// `default`, or the file, the variable or the flag that has set it.
    origin: String,
}

/// Whose token it is; without configured tokens anybody may do everything.
#[derive(ToSchema)]
pub struct You {
    name: Option<String>,
    scopes: Vec<String>,
}

//! Which instances a list holds.

use super::{status::Status, time::Micros};

/// A page of instances, newest first by number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstanceQuery {
    /// Only of this definition.
    pub task_id: Option<String>,
    /// Only in one of these; empty means any.
    pub statuses: Vec<Status>,
    /// Only with all of these labels.
    pub labels: Vec<LabelFilter>,
    /// Only created at this time or later.
    pub created_after: Option<Micros>,
    /// Only created before this time.
    pub created_before: Option<Micros>,
    /// Only with a number below this: where the page before ended.
    pub below: Option<u64>,
    /// The most to return, from 1.
    pub limit: usize,
}

/// A label that an instance must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFilter {
    /// The key.
    pub key: String,
    /// The value; None means any.
    pub value: Option<String>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Whether there are more after the last one.
    pub more: bool,
}

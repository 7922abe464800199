//! Which instances a list holds.

use super::{instance::Summary, status::Status, time::Micros};

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

impl InstanceQuery {
    /// Whether `summary` passes the filters; where the page begins and how long it is does not matter.
    pub fn matches(&self, summary: &Summary) -> bool {
        self.task_id.as_ref().is_none_or(|task_id| **task_id == *summary.task_id)
            && (self.statuses.is_empty() || self.statuses.contains(&summary.status()))
            && self.created_after.is_none_or(|after| summary.created_at >= after)
            && self.created_before.is_none_or(|before| summary.created_at < before)
            && self.labels.iter().all(|label| label.matches(summary))
    }
}

impl LabelFilter {
    fn matches(&self, summary: &Summary) -> bool {
        let carried = summary.labels.get(&self.key);
        carried.is_some_and(|carried| self.value.as_ref().is_none_or(|value| value == carried))
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{Labels, Phase, instance::fixture};

    fn summary() -> Summary {
        let labels = BTreeMap::from([("k".to_owned(), "v".to_owned()), ("l".to_owned(), String::new())]);
        Summary {
            phase: Phase::Running,
            labels: Labels::new(labels).expect("valid"),
            created_at: Micros(50),
            ..fixture::pending()
        }
    }

    #[test]
    fn a_filter_lets_through_what_passes_all_of_it() {
        let any = InstanceQuery::default;
        let label = |key: &str, value: Option<&str>| LabelFilter { key: key.into(), value: value.map(str::to_owned) };
        let labels = |labels: Vec<LabelFilter>| InstanceQuery { labels, ..any() };
        let passing = [
            any(),
            InstanceQuery { task_id: Some("a".into()), ..any() },
            InstanceQuery { statuses: vec![Status::Failed, Status::Running], ..any() },
            InstanceQuery { created_after: Some(Micros(50)), created_before: Some(Micros(51)), ..any() },
            labels(vec![label("k", Some("v")), label("l", None)]),
            InstanceQuery { below: Some(1), limit: 0, ..any() },
        ];
        for query in passing {
            assert!(query.matches(&summary()), "{query:?}");
        }
        let failing = [
            InstanceQuery { task_id: Some("A".into()), ..any() },
            InstanceQuery { statuses: vec![Status::Pending], ..any() },
            InstanceQuery { created_after: Some(Micros(51)), ..any() },
            InstanceQuery { created_before: Some(Micros(50)), ..any() },
            labels(vec![label("k", Some("v")), label("m", None)]),
            labels(vec![label("l", Some("v"))]),
        ];
        for query in failing {
            assert!(!query.matches(&summary()), "{query:?}");
        }
    }
}

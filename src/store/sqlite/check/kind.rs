//! Findings of one kind, of which there may be very many.

use crate::store::Finding;

/// The most findings of one kind that are told one by one.
pub(super) const MOST: usize = 100;

/// Collects the findings of one kind.
pub(in super::super) struct Kind<'f> {
    findings: &'f mut Vec<Finding>,
    what: String,
    told: usize,
    more: u64,
}

impl<'f> Kind<'f> {
    /// None yet; `what` says what they have in common.
    pub(in super::super) fn new(findings: &'f mut Vec<Finding>, what: &str) -> Self {
        Kind { findings, what: what.to_owned(), told: 0, more: 0 }
    }

    /// Adds one, or counts it where there were many.
    pub(in super::super) fn add(&mut self, finding: Finding) {
        if self.told < MOST {
            self.told += 1;
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    /// Says how many were only counted.
    pub(in super::super) fn end(self) {
        if self.more > 0 {
            let detail = format!("… and {} more: {}", self.more, self.what);
            self.findings.push(Finding { instance: None, detail });
        }
    }
}

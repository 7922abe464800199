//! What came of a load.

use std::collections::{HashMap, HashSet};

use super::{
    attempts::Said,
    check::{Violation, check},
    event::{Call, Event, Image, What},
    last::LastState,
};

/// What came of a load.
#[derive(Debug)]
pub struct Findings {
    /// What the daemon did wrong.
    pub violations: Vec<Violation>,
    /// How many requests were sent, or tried to.
    pub asked: usize,
    /// How many were acknowledged.
    pub acknowledged: usize,
    /// Of how many nobody knows what came of them.
    pub unknown: usize,
    /// How many starts took effect without being acknowledged.
    pub recovered: usize,
    /// How many faults there were.
    pub faults: usize,
    /// How many of them left writes behind of which nobody knows whether they were committed.
    pub hit: usize,
    /// The share of the requests that were answered after all was healed.
    pub healed: f64,
    /// The instances in the end.
    pub last: LastState,
    history: Vec<Event>,
}

/// The instances that something was reported for.
pub(super) fn reported(history: &[Event]) -> HashSet<String> {
    let of = |event: &Event| match &event.what {
        What::Invoke { call: Call::Report { id, .. }, .. } => Some(id.clone()),
        _ => None,
    };
    history.iter().filter_map(of).collect()
}

impl Findings {
    /// What these say.
    pub(super) fn of(history: Vec<Event>, last: LastState, said: &[Said]) -> Self {
        let violations = check(&history, &last, said);
        let mut calls: HashMap<u64, (&Call, bool)> = HashMap::new();
        let mut known_tags = HashSet::new();
        let (mut asked, mut acknowledged, mut unknown) = (0, 0, 0);
        let (mut faults, mut hit, mut unhit) = (0, 0, false);
        let (mut is_healed, mut asked_after, mut answered_after) = (false, 0, 0);
        for event in &history {
            match &event.what {
                What::Invoke { op, call } => {
                    calls.insert(*op, (call, is_healed));
                    asked += 1;
                    asked_after += u32::from(is_healed);
                }
                What::Ok { op, .. } => {
                    acknowledged += 1;
                    let Some((call, after)) = calls.get(op) else { continue };
                    answered_after += u32::from(*after);
                    if let Call::Start { tag, .. } = call {
                        known_tags.insert(tag.as_str());
                    }
                }
                What::Fail { op, status } => {
                    let after = calls.get(op).is_some_and(|(_, after)| *after);
                    answered_after += u32::from(after && (400..500).contains(status));
                }
                What::Unknown { op, .. } => {
                    unknown += 1;
                    if unhit && calls.get(op).is_some_and(|(call, _)| call.writes()) {
                        hit += 1;
                        unhit = false;
                    }
                }
                What::Fault { .. } => {
                    faults += 1;
                    unhit = true;
                }
                What::Healed => is_healed = true,
                What::Fed { .. } | What::Resync => {}
            }
        }
        let made: HashSet<&str> = last.instances.values().filter_map(Image::tag).collect();
        let recovered = made.difference(&known_tags).count();
        let healed = if asked_after == 0 { 0.0 } else { f64::from(answered_after) / f64::from(asked_after) };
        Findings { violations, asked, acknowledged, unknown, recovered, faults, hit, healed, last, history }
    }

    /// In one line.
    pub fn summary(&self) -> String {
        format!(
            "{} requests, {} acknowledged, {} unknown; {} instances, {} of them of starts that nobody acknowledged; \
             {} faults, {} of them under writes; {:.1} % answered afterwards; {} violations",
            self.asked,
            self.acknowledged,
            self.unknown,
            self.last.instances.len(),
            self.recovered,
            self.faults,
            self.hit,
            self.healed * 100.0,
            self.violations.len()
        )
    }

    /// Asserts that nothing was wrong, and that something could have been: enough was acknowledged, and at least
    /// `hits` faults came while writes were under way.
    pub fn hold(&self, hits: usize) {
        println!("{}", self.summary());
        if let Some(first) = self.violations.first() {
            for violation in self.violations.iter().take(20) {
                eprintln!("{violation:?}");
            }
            let name = first.about();
            let about = |event: &&Event| serde_json::to_string(event).is_ok_and(|line| line.contains(name));
            for event in self.history.iter().filter(about).take(40) {
                eprintln!("  {}", serde_json::to_string(event).unwrap_or_default());
            }
            panic!("{} violations", self.violations.len());
        }
        assert!(self.healed >= 0.8, "only {:.0} % were answered after all was healed", self.healed * 100.0);
        assert!(self.acknowledged * 4 >= self.asked, "hardly anything was acknowledged: {}", self.summary());
        assert!(self.hit >= hits, "only {} of {} faults came while writes were under way", self.hit, self.faults);
    }
}

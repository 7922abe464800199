//! What a history must not show.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::{
    attempts::Said,
    event::{Call, Event, Image, What},
    last::LastState,
};

/// Something that the daemon did wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// It was acknowledged and is not there.
    Lost { id: String, tag: String },
    /// More instances than were asked for: one key, or one request, with two.
    Duplicated { tag: String, found: usize, of: usize },
    /// A part of what is all or none.
    Torn { tag: String, found: usize, of: usize },
    /// It was refused, and is there.
    Unexpected { tag: String },
    /// A terminal state was seen that later was another.
    ChangedAfterEnd { id: String, saw: String, then: String },
    /// A stop was acknowledged and did not hold.
    ForgottenStop { id: String, why: String },
    /// It is not done, long after everything works.
    Stuck { id: String, status: String },
    /// An attempt went on after the next one had begun.
    Overlap { id: String, attempt: u32, next: u32 },
    /// One attempt was begun twice.
    RanTwice { id: String, attempt: u32 },
    /// An attempt ran that the instance does not know.
    UnknownAttempt { id: String, attempt: u32, last: u32 },
    /// There were more attempts than allowed.
    TooManyAttempts { id: String, attempt: u32, most: u32 },
    /// A version was shown, and later an older one.
    WentBack { id: String, from: u64, to: u64 },
    /// The feed's ids, or an instance's versions in it, did not rise.
    FeedWentBack { from: String, to: String },
    /// The feed told of a change after the end.
    FedAfterEnd { id: String, version: u64 },
    /// An attempt that was over wrote something.
    StaleWrite { id: String, attempt: u32 },
    /// A report was acknowledged and is not in the output.
    LostReport { id: String, expected: String, found: String },
    /// A report was refused and is in the output.
    RefusedWrite { id: String, found: String },
    /// It was stopped, or ended as if it had been, and nobody had asked for that.
    Uncalled { id: String, why: String },
    /// It completed without having done its work.
    HalfDone { id: String, why: String },
    /// It was interrupted, could have run again, and did not.
    GivenUp { id: String, attempt: u32, most: u32 },
}

impl Violation {
    /// The instance, tag or event that it is about.
    pub fn about(&self) -> &str {
        match self {
            Violation::Lost { id, .. }
            | Violation::ChangedAfterEnd { id, .. }
            | Violation::ForgottenStop { id, .. }
            | Violation::Stuck { id, .. }
            | Violation::Overlap { id, .. }
            | Violation::RanTwice { id, .. }
            | Violation::UnknownAttempt { id, .. }
            | Violation::TooManyAttempts { id, .. }
            | Violation::WentBack { id, .. }
            | Violation::FedAfterEnd { id, .. }
            | Violation::StaleWrite { id, .. }
            | Violation::LostReport { id, .. }
            | Violation::RefusedWrite { id, .. }
            | Violation::Uncalled { id, .. }
            | Violation::HalfDone { id, .. }
            | Violation::GivenUp { id, .. } => id,
            Violation::Duplicated { tag, .. } | Violation::Torn { tag, .. } | Violation::Unexpected { tag } => tag,
            Violation::FeedWentBack { to, .. } => to,
        }
    }
}

/// What is wrong with `history`, given the instances as they are `last` and what attempts `said`.
pub fn check(history: &[Event], last: &LastState, said: &[Said]) -> Vec<Violation> {
    let mut found = BTreeSet::new();
    starts(history, last, &mut found);
    images(history, last, &mut found);
    stops(history, last, said, &mut found);
    feed(history, &mut found);
    attempts(last, said, &mut found);
    reports(history, last, said, &mut found);
    ends(history, last, said, &mut found);
    found.into_iter().collect()
}

/// Everything acknowledged is there, once; nothing refused is.
fn starts(history: &[Event], last: &LastState, found: &mut BTreeSet<Violation>) {
    /// What was asked for under one tag.
    struct Started {
        count: usize,
        acknowledged: BTreeSet<String>,
        asked: usize,
        refused: usize,
    }
    let mut tags: BTreeMap<&str, Started> = BTreeMap::new();
    let mut ops: HashMap<u64, &str> = HashMap::new();
    for event in history {
        match &event.what {
            What::Invoke { op, call: Call::Start { tag, count, .. } } => {
                ops.insert(*op, tag);
                let fresh = Started { count: *count, acknowledged: BTreeSet::new(), asked: 0, refused: 0 };
                tags.entry(tag).or_insert(fresh).asked += 1;
            }
            What::Ok { op, saw, .. } => {
                if let Some(started) = ops.get(op).and_then(|tag| tags.get_mut(tag)) {
                    started.acknowledged.extend(saw.iter().map(|image| image.id.clone()));
                }
            }
            What::Fail { op, .. } => {
                if let Some(started) = ops.get(op).and_then(|tag| tags.get_mut(tag)) {
                    started.refused += 1;
                }
            }
            _ => {}
        }
    }
    let mut made: HashMap<&str, usize> = HashMap::new();
    for image in last.instances.values() {
        *made.entry(image.tag().unwrap_or_default()).or_default() += 1;
    }
    for (tag, started) in &tags {
        for id in started.acknowledged.iter().filter(|id| !last.instances.contains_key(*id)) {
            found.insert(Violation::Lost { id: id.clone(), tag: (*tag).to_owned() });
        }
        let there = made.remove(tag).unwrap_or(0);
        let most = started.acknowledged.len().max(there);
        if most > started.count {
            found.insert(Violation::Duplicated { tag: (*tag).to_owned(), found: most, of: started.count });
        } else if there > 0 && there < started.count {
            found.insert(Violation::Torn { tag: (*tag).to_owned(), found: there, of: started.count });
        }
        // What has no answer, or one that tells nothing, may have been made.
        if there > 0 && started.refused == started.asked {
            found.insert(Violation::Unexpected { tag: (*tag).to_owned() });
        }
    }
    found.extend(made.into_keys().map(|tag| Violation::Unexpected { tag: tag.to_owned() }));
}

/// Versions rise, what is done stays as it is, and everything is done in the end.
fn images(history: &[Event], last: &LastState, found: &mut BTreeSet<Violation>) {
    let mut seen = Seen { floors: HashMap::new(), ends: HashMap::new(), found };
    let mut invoked: HashMap<u64, (usize, Option<&str>)> = HashMap::new();
    for (now, event) in history.iter().enumerate() {
        match &event.what {
            What::Invoke { op, call } => {
                let reports_for = match call {
                    Call::Report { id, .. } => Some(id.as_str()),
                    _ => None,
                };
                invoked.insert(*op, (now, reports_for));
            }
            What::Ok { op, saw, version } => {
                let (since, reported_for) = invoked.get(op).copied().unwrap_or((now, None));
                for image in saw {
                    seen.image(image, since, now);
                }
                if let (Some(id), Some(version)) = (reported_for, version) {
                    seen.version(id, *version, since, now);
                }
            }
            // What the feed tells may come late, so it is held against itself only; others are held against it.
            What::Fed { image, .. } => seen.image(image, 0, now),
            _ => {}
        }
    }
    for image in last.instances.values() {
        seen.image(image, history.len(), history.len());
        if !image.is_done() {
            seen.found.insert(Violation::Stuck { id: image.id.clone(), status: image.status.clone() });
        }
    }
}

/// What was shown of each instance so far.
struct Seen<'h, 'f> {
    /// Its highest versions, each with the place in the history from which it was known.
    floors: HashMap<&'h str, Vec<(usize, u64)>>,
    /// How it ended.
    ends: HashMap<&'h str, &'h Image>,
    found: &'f mut BTreeSet<Violation>,
}

impl<'h> Seen<'h, '_> {
    /// Notes that `image` was shown `now` to whoever asked at `since`.
    fn image(&mut self, image: &'h Image, since: usize, now: usize) {
        self.version(&image.id, image.version, since, now);
        if image.attempt > image.max_attempts {
            let (attempt, most) = (image.attempt, image.max_attempts);
            self.found.insert(Violation::TooManyAttempts { id: image.id.clone(), attempt, most });
        }
        let Some(end) = self.ends.get(image.id.as_str()).copied() else {
            if image.is_done() {
                self.ends.insert(&image.id, image);
            }
            return;
        };
        // Who asked before the end may be shown what was before it.
        let is_older = !image.is_done() && image.version < end.version;
        if !is_older && !is_same_end(end, image) {
            let (saw, then) = (end_of(end), end_of(image));
            self.found.insert(Violation::ChangedAfterEnd { id: image.id.clone(), saw, then });
        }
        if image.is_done() && end.output.is_none() {
            self.ends.insert(&image.id, image);
        }
    }

    /// Notes that `version` was shown `now` to whoever asked at `since`.
    fn version(&mut self, id: &'h str, version: u64, since: usize, now: usize) {
        let known = self.floors.entry(id).or_default();
        let before = known.partition_point(|(at, _)| *at < since);
        let floor = before.checked_sub(1).map_or(0, |index| known[index].1);
        if version < floor {
            self.found.insert(Violation::WentBack { id: id.to_owned(), from: floor, to: version });
        }
        if known.last().is_none_or(|(_, highest)| version > *highest) {
            known.push((now, version));
        }
    }
}

fn is_same_end(one: &Image, other: &Image) -> bool {
    (&one.status, &one.finished_at, &one.error, one.version, one.attempt)
        == (&other.status, &other.finished_at, &other.error, other.version, other.attempt)
        && match (&one.output, &other.output) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        }
}

fn end_of(image: &Image) -> String {
    let finished_at = image.finished_at.as_deref().unwrap_or("never");
    format!("{} at {finished_at}, version {}, {}, {:?}", image.status, image.version, image.error, image.output)
}

/// A stop that was acknowledged holds: no further attempt, and an end that a stop may have.
fn stops(history: &[Event], last: &LastState, said: &[Said], found: &mut BTreeSet<Violation>) {
    let mut stopped: HashMap<u64, &str> = HashMap::new();
    let mut verdicts: HashSet<&str> = HashSet::new();
    let mut acknowledged: HashMap<&str, &Image> = HashMap::new();
    for event in history {
        match &event.what {
            What::Invoke { op, call: Call::Stop { id } } => {
                stopped.insert(*op, id);
            }
            What::Invoke { call: Call::Report { id, field, .. }, .. } if field == "status" => {
                verdicts.insert(id);
            }
            What::Ok { op, saw, .. } => {
                if let (Some(id), Some(image)) = (stopped.get(op), saw.first()) {
                    acknowledged.entry(id).or_insert(image);
                }
            }
            _ => {}
        }
    }
    for (id, image) in acknowledged {
        let Some(end) = last.instances.get(id) else { continue };
        let forgotten = |why: &str| Violation::ForgottenStop { id: id.to_owned(), why: why.to_owned() };
        // One that was done already was not stopped.
        if image.is_done() && image.stop_requested_at.is_none() {
            continue;
        }
        if end.stop_requested_at.is_none() {
            found.insert(forgotten("the instance does not know of it"));
        }
        if end.attempt > image.attempt {
            found.insert(forgotten("another attempt followed"));
        }
        if said.iter().any(|said| said.id == id && said.attempt > image.attempt) {
            found.insert(forgotten("another attempt ran"));
        }
        if !end.is_done() {
            found.insert(forgotten("it did not end"));
        }
        if end.status == "completed" && !image.is_done() && !verdicts.contains(id) {
            found.insert(forgotten("it ended as if none had been asked for"));
        }
    }
}

/// The feed goes forward, tells no change twice, and nothing after an end.
fn feed(history: &[Event], found: &mut BTreeSet<Violation>) {
    let position = |id: &str| -> Option<(u64, u64)> {
        let (boot, counter) = id.split_once('.')?;
        Some((boot.parse().ok()?, counter.parse().ok()?))
    };
    let mut at: Option<&str> = None;
    let mut told: HashMap<&str, &Image> = HashMap::new();
    for event in history {
        let What::Fed { id, image } = &event.what else { continue };
        if let Some(before) = at
            && position(id) <= position(before)
        {
            found.insert(Violation::FeedWentBack { from: before.to_owned(), to: id.clone() });
        }
        at = Some(id);
        if let Some(before) = told.insert(&image.id, image) {
            if image.version <= before.version {
                let (from, to) =
                    (format!("{} v{}", image.id, before.version), format!("{} v{}", image.id, image.version));
                found.insert(Violation::FeedWentBack { from, to });
            }
            if before.is_done() {
                found.insert(Violation::FedAfterEnd { id: image.id.clone(), version: image.version });
            }
        }
    }
}

/// Attempts of one instance come one after the other, each once, and no more than allowed.
fn attempts(last: &LastState, said: &[Said], found: &mut BTreeSet<Violation>) {
    let mut newest: HashMap<&str, u32> = HashMap::new();
    let mut begun: HashMap<(&str, u32), i32> = HashMap::new();
    for one in said {
        let highest = newest.entry(&one.id).or_insert(one.attempt);
        if one.attempt < *highest {
            let (attempt, next) = (one.attempt, *highest);
            found.insert(Violation::Overlap { id: one.id.clone(), attempt, next });
        }
        *highest = one.attempt.max(*highest);
        if one.word == "begin" && begun.insert((&one.id, one.attempt), one.pid).is_some() {
            found.insert(Violation::RanTwice { id: one.id.clone(), attempt: one.attempt });
        }
    }
    for (id, attempt) in newest {
        if let Some(end) = last.instances.get(id) {
            if attempt > end.attempt {
                found.insert(Violation::UnknownAttempt { id: id.to_owned(), attempt, last: end.attempt });
            }
            if attempt > end.max_attempts {
                let most = end.max_attempts;
                found.insert(Violation::TooManyAttempts { id: id.to_owned(), attempt, most });
            }
        }
    }
}

/// What an attempt over wrote is nowhere, and what was acknowledged of the last one is there.
fn reports(history: &[Event], last: &LastState, said: &[Said], found: &mut BTreeSet<Violation>) {
    struct Report<'h> {
        id: &'h str,
        attempt: Option<u32>,
        value: &'h Value,
        is_output: bool,
        invoked: usize,
        ended: usize,
        applied: Option<bool>,
    }
    // The attempt that was known to be the newest, from this place in the history on.
    let mut newest: HashMap<&str, Vec<(usize, u32)>> = HashMap::new();
    let mut reports: BTreeMap<u64, Report<'_>> = BTreeMap::new();
    fn note<'h>(newest: &mut HashMap<&'h str, Vec<(usize, u32)>>, now: usize, image: &'h Image) {
        let known = newest.entry(&image.id).or_default();
        if known.last().is_none_or(|(_, attempt)| image.attempt > *attempt) {
            known.push((now, image.attempt));
        }
    }
    for (now, event) in history.iter().enumerate() {
        match &event.what {
            What::Invoke { op, call: Call::Report { id, attempt, field, value } } => {
                let (is_output, ended) = (field == "output", usize::MAX);
                let report = Report { id, attempt: *attempt, value, is_output, invoked: now, ended, applied: None };
                reports.insert(*op, report);
            }
            What::Ok { op, saw, .. } => {
                if let Some(report) = reports.get_mut(op) {
                    (report.ended, report.applied) = (now, Some(true));
                }
                saw.iter().for_each(|image| note(&mut newest, now, image));
            }
            What::Fail { op, .. } => {
                if let Some(report) = reports.get_mut(op) {
                    (report.ended, report.applied) = (now, Some(false));
                }
            }
            What::Fed { image, .. } => note(&mut newest, now, image),
            _ => {}
        }
    }
    let mut outputs: HashMap<&str, Vec<&Report<'_>>> = HashMap::new();
    for report in reports.values() {
        if report.is_output {
            outputs.entry(report.id).or_default().push(report);
        }
        if let (Some(attempt), Some(true)) = (report.attempt, report.applied)
            && let Some(known) = newest.get(report.id)
            && known.iter().any(|(at, newer)| *at < report.invoked && *newer > attempt)
        {
            found.insert(Violation::StaleWrite { id: report.id.to_owned(), attempt });
        }
    }
    for (id, written) in outputs {
        let Some(end) = last.instances.get(id) else { continue };
        let Some(output) = &end.output else { continue };
        let shown = |report: &&&Report<'_>| report.value == output;
        if let Some(report) = written.iter().find(shown) {
            if report.applied == Some(false) {
                found.insert(Violation::RefusedWrite { id: id.to_owned(), found: output.to_string() });
            }
            if report.attempt.is_some_and(|attempt| attempt < end.attempt) {
                let attempt = report.attempt.unwrap_or_default();
                found.insert(Violation::StaleWrite { id: id.to_owned(), attempt });
            }
        }
        // The last report of the last attempt is the output of a command, which sets none itself.
        let of_last = |report: &&&Report<'_>| report.attempt == Some(end.attempt) && report.applied == Some(true);
        let Some(latest) = written.iter().filter(of_last).max_by_key(|report| report.invoked) else { continue };
        let may_be = written.iter().filter(|report| report.applied != Some(false) && report.ended > latest.invoked);
        let ran_as_command = said.iter().any(|said| said.id == id);
        if ran_as_command && !may_be.clone().any(|report| report.value == output) {
            let (expected, found_output) = (latest.value.to_string(), output.to_string());
            found.insert(Violation::LostReport { id: id.to_owned(), expected, found: found_output });
        }
    }
}

/// Everything ends for a reason: what is completed did its work, what is cancelled was stopped, and what was interrupted
/// had no attempt left.
fn ends(history: &[Event], last: &LastState, said: &[Said], found: &mut BTreeSet<Violation>) {
    let mut stopped: HashSet<&str> = HashSet::new();
    let mut verdicts: HashSet<&str> = HashSet::new();
    for event in history {
        match &event.what {
            What::Invoke { call: Call::Stop { id }, .. } => {
                stopped.insert(id);
            }
            What::Invoke { call: Call::Report { id, field, .. }, .. } if field == "status" => {
                verdicts.insert(id);
            }
            _ => {}
        }
    }
    let mut words: HashMap<(&str, u32), &str> = HashMap::new();
    for one in said {
        words.insert((&one.id, one.attempt), &one.word);
    }
    for (id, end) in &last.instances {
        let id = id.as_str();
        if end.stop_requested_at.is_some() && !stopped.contains(id) {
            let why = "it knows of a stop that nobody asked for".to_owned();
            found.insert(Violation::Uncalled { id: id.to_owned(), why });
        }
        if end.status == "failed" && end.error["kind"] == "interrupted" && end.attempt < end.max_attempts {
            let (attempt, most) = (end.attempt, end.max_attempts);
            found.insert(Violation::GivenUp { id: id.to_owned(), attempt, most });
        }
        // By its own word it may end in any way.
        if verdicts.contains(id) {
            continue;
        }
        if end.status == "cancelled" && end.stop_requested_at.is_none() {
            let why = "it was cancelled".to_owned();
            found.insert(Violation::Uncalled { id: id.to_owned(), why });
        }
        if end.status == "completed" {
            if let Some(word) = words.get(&(id, end.attempt)).filter(|word| **word != "end") {
                let why = format!("the last that it said is `{word}`");
                found.insert(Violation::HalfDone { id: id.to_owned(), why });
            }
            let seconds = end.labels.get("seconds").and_then(|text| text.parse::<f64>().ok());
            if let (Some(seconds), Some(output)) = (seconds, &end.output)
                && output["slept"].as_f64().is_none_or(|slept| (slept - seconds).abs() > 1e-6)
            {
                let why = format!("it was to sleep {seconds} s, and its output is {output}");
                found.insert(Violation::HalfDone { id: id.to_owned(), why });
            }
        }
    }
}

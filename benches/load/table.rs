//! The one table, with what must stand beside its figures.

use std::time::Duration;

use crate::{client::Sample, load::Round};

/// The rounds of one connection count.
#[derive(Debug)]
pub(crate) struct Group {
    connections: u16,
    rounds: Vec<Round>,
}

impl Group {
    /// A group without rounds.
    pub(crate) fn new(connections: u16) -> Self {
        Group { connections, rounds: Vec::new() }
    }

    /// Adds a round.
    pub(crate) fn push(&mut self, round: Round) {
        self.rounds.push(round);
    }

    fn median(&self, value: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(value).collect())
    }
}

/// The middle one, or the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

/// Prints the table to standard output, the time of a synced write beside it.
pub(crate) fn print(groups: &[Group]) {
    println!();
    println!(
        "{:>11}  {:<28} {:>10} {:>10} {:>10} {:>9}   of bare in each round",
        "connections", "what", "per second", "p50 ms", "p99 ms", "of bare"
    );
    for group in groups {
        line(group, "bare axum", |round| round.bare.rate(), Some(|round| &round.bare));
        line(group, "taskwright start", |round| round.starts.rate(), Some(|round| &round.starts));
        line(group, "taskwright start→completed", |round| round.completed, None);
        line(group, "taskwright start-and-wait", |round| round.waits.rate(), Some(|round| &round.waits));
    }
    println!();
    for group in groups {
        let sync = group.median(|round| millis(round.sync));
        print!("at {} connections: fdatasync of 4 KiB {sync:.3} ms", group.connections);
        if group.connections == 1 {
            let times = median(
                group
                    .rounds
                    .iter()
                    .map(|round| {
                        millis(round.starts.quantile(0.5)) / (millis(round.sync) + millis(round.bare.quantile(0.5)))
                    })
                    .collect(),
            );
            print!("; one start takes {times:.2} × (one fdatasync + one bare request)");
            let waits = median(
                group
                    .rounds
                    .iter()
                    .map(|round| {
                        millis(round.waits.quantile(0.5)) / (millis(round.sync) + millis(round.bare.quantile(0.5)))
                    })
                    .collect(),
            );
            print!(", one start-and-wait {waits:.2} ×");
        }
        println!();
        println!(
            "at {} connections: on the cores, a request costs bare axum {:.1} µs, a start and its end the daemon {:.1} µs",
            group.connections,
            group.median(|round| micros(round.bare_cpu)),
            group.median(|round| micros(round.cpu)),
        );
    }
    println!("start: sleep {{\"seconds\":0}} by POST /v1/instances, answered after its commit");
    println!("start→completed: of the same starts, the clock stopping when every instance is completed");
    println!("start-and-wait: with ?wait=10, answered when the instance is completed");
}

fn line(group: &Group, what: &str, rate: impl Fn(&Round) -> f64, sample: Option<fn(&Round) -> &Sample>) {
    let latency = |share: f64| {
        sample.map_or("-".to_owned(), |sample| {
            format!("{:.3}", group.median(|round| millis(sample(round).quantile(share))))
        })
    };
    let ratios: Vec<f64> = group.rounds.iter().map(|round| rate(round) / round.bare.rate()).collect();
    let each: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.2}")).collect();
    println!(
        "{:>11}  {what:<28} {:>10} {:>10} {:>10} {:>9.2}   {}",
        group.connections,
        thousands(group.median(&rate)),
        latency(0.5),
        latency(0.99),
        median(ratios),
        each.join(" ")
    );
}

/// In milliseconds.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A whole number with commas.
pub(crate) fn thousands(rate: f64) -> String {
    let digits = format!("{rate:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

//! A figure beside the floor that it must keep.

/// Prints a figure that must not be smaller.
pub(crate) fn at_least(what: &str, measured: f64, floor: f64, unit: &str) {
    line(what, measured, "at least", floor, unit, measured >= floor);
}

/// Prints a figure that must not be larger.
pub(crate) fn at_most(what: &str, measured: f64, floor: f64, unit: &str) {
    line(what, measured, "at most", floor, unit, measured <= floor);
}

fn line(what: &str, measured: f64, bound: &str, floor: f64, unit: &str, met: bool) {
    let verdict = if met { "met" } else { "NOT MET" };
    println!("{what:<44} {:>12} {unit:<12} {bound} {:<10} {verdict}", plain(measured), plain(floor));
}

/// Three digits are enough, and nobody reads a fraction of a thousand.
fn plain(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.2}") } else { crate::table::thousands(value) }
}

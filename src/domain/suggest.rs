//! "Did you mean": the known name nearest to a mistyped one.

/// The known name that a person most likely meant, if one is near enough to say so.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    let distance = |candidate: &str| {
        let other = candidate.chars().count();
        let allowed = 1 + other.max(length) / 3;
        // At least so many letters differ. Comparing takes time and room for every pair of letters, and a client may send
        // a name of megabytes.
        if other.abs_diff(length) > allowed {
            return None;
        }
        let folded = strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase());
        let exact = strsim::damerau_levenshtein(name, candidate);
        // One that has no letter in common is no slip of the pen.
        (folded <= allowed && folded < other.max(length)).then_some((folded, exact))
    };
    let near = known.into_iter().filter_map(|candidate| Some((distance(candidate)?, candidate)));
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// The end of a message about an unknown name: `; did you mean `x`?`, or the list of what there is.
pub fn hint(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(candidate) => format!("; did you mean `{candidate}`?"),
        None => match known {
            [] => String::new(),
            [only] => format!("; known is {only}"),
            _ => format!("; known are {}", known.join(", ")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_nearest_known_name() {
        let known = ["timeout", "queue_timeout", "priority"];
        assert_eq!(nearest("timout", known), Some("timeout"));
        assert_eq!(nearest("zzz", known), None);
        assert_eq!(nearest("", ["a"]), None);
        assert_eq!(nearest("q", ["a", "b"]), None);
        assert_eq!(nearest("N", ["a", "n"]), Some("n"));
        assert_eq!(nearest(&"timeout".repeat(1 << 20), known), None);
        assert_eq!(hint("prioritty", &known), "; did you mean `priority`?");
        assert_eq!(hint("zzz", &known), "; known are timeout, queue_timeout, priority");
        assert_eq!(hint("zzz", &["timeout"]), "; known is timeout");
        assert_eq!(hint("zzz", &[]), "");
    }
}

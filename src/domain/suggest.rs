//! "Did you mean": the known name nearest to a mistyped one.

/// The known name that a person most likely meant, if one is near enough to say so.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count().max(name.chars().count()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The end of a message about an unknown name: `; did you mean `x`?`, or the list of what there is.
pub fn hint(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(candidate) => format!("; did you mean `{candidate}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; known are {}", known.join(", ")),
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
        assert_eq!(hint("prioritty", &known), "; did you mean `priority`?");
    }
}

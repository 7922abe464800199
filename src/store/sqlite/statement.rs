//! Statements over many rows, in a few fixed sizes so that each is prepared once.

use std::sync::OnceLock;

/// The numbers of rows that a statement is made for.
const SIZES: [usize; 5] = [1, 4, 16, 64, 256];

/// A statement with a list of rows in it.
///
/// Parameters are plain `?`: sqlx asks SQLite for the name of each, and a numbered one is a name that is searched
/// for in a list, which made large statements quadratic.
pub struct ManyRows {
    head: &'static str,
    row: &'static str,
    between: &'static str,
    tail: &'static str,
    texts: [OnceLock<&'static str>; SIZES.len()],
}

impl ManyRows {
    /// A statement `head row, row, … tail`.
    pub const fn new(head: &'static str, row: &'static str, tail: &'static str) -> Self {
        ManyRows { head, row, between: ", ", tail, texts: [const { OnceLock::new() }; SIZES.len()] }
    }

    /// A statement `row UNION ALL row …`.
    pub const fn union(row: &'static str) -> Self {
        ManyRows { head: "", row, between: " UNION ALL ", tail: "", texts: [const { OnceLock::new() }; SIZES.len()] }
    }

    /// The text for the largest number of rows that is not above `rows` (not zero), and that number.
    pub fn for_rows(&self, rows: usize) -> (&'static str, usize) {
        let at = SIZES.iter().rposition(|size| *size <= rows).unwrap_or(0);
        let text = self.texts[at].get_or_init(|| {
            let rows = vec![self.row; SIZES[at]].join(self.between);
            // As many texts as there are statements and sizes; they live as long as the program.
            Box::leak(format!("{}{rows}{}", self.head, self.tail).into_boxed_str())
        });
        (text, SIZES[at])
    }
}

/// Cuts `items` into slices of the sizes that `statement` is made for, each with its text.
pub fn pieces<'a, T>(statement: &'a ManyRows, items: &'a [T]) -> impl Iterator<Item = (&'static str, &'a [T])> {
    let mut rest = items;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (text, rows) = statement.for_rows(rest.len());
        let (piece, after) = rest.split_at(rows);
        rest = after;
        Some((text, piece))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_into_the_sizes_that_are_prepared() {
        let statement = ManyRows::new("VALUES ", "(?, ?)", " END");
        assert_eq!(statement.for_rows(3), ("VALUES (?, ?) END", 1));
        assert_eq!(statement.for_rows(5), ("VALUES (?, ?), (?, ?), (?, ?), (?, ?) END", 4));
        let items: Vec<_> = (0..300).collect();
        let sizes: Vec<_> = pieces(&statement, &items).map(|(_, piece)| piece.len()).collect();
        assert_eq!(sizes, [256, 16, 16, 4, 4, 4]);
    }
}

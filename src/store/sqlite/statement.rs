//! Statements over many rows, in a few fixed sizes so that each is prepared once.

use std::sync::OnceLock;

/// The numbers of rows that a statement is made for.
const SIZES: [usize; 5] = [1, 4, 16, 64, 256];

/// A statement with a list of rows in it.
pub struct ManyRows {
    head: &'static str,
    /// One row; `?1`… are shared by all rows, `$1`… are its own.
    row: &'static str,
    between: &'static str,
    tail: &'static str,
    shared: usize,
    columns: usize,
    texts: [OnceLock<&'static str>; SIZES.len()],
}

impl ManyRows {
    /// A statement `head row, row, … tail` with `shared` parameters for all rows and `columns` for each.
    pub const fn new(head: &'static str, row: &'static str, tail: &'static str, shared: usize, columns: usize) -> Self {
        ManyRows { head, row, between: ", ", tail, shared, columns, texts: [const { OnceLock::new() }; SIZES.len()] }
    }

    /// A statement `row UNION ALL row …`.
    pub const fn union(row: &'static str, columns: usize) -> Self {
        ManyRows {
            head: "",
            row,
            between: " UNION ALL ",
            tail: "",
            shared: 0,
            columns,
            texts: [const { OnceLock::new() }; SIZES.len()],
        }
    }

    /// The text for the largest number of rows that is not above `rows` (not zero), and that number.
    pub fn for_rows(&self, rows: usize) -> (&'static str, usize) {
        let at = SIZES.iter().rposition(|size| *size <= rows).unwrap_or(0);
        let text = self.texts[at].get_or_init(|| {
            let mut text = String::from(self.head);
            for row in 0..SIZES[at] {
                if row > 0 {
                    text.push_str(self.between);
                }
                let mut rest = self.row;
                while let Some(start) = rest.find('$') {
                    text.push_str(&rest[..start]);
                    rest = &rest[start + 1..];
                    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                    let column: usize = rest[..digits].parse().unwrap_or(0);
                    text.push('?');
                    text.push_str(&(self.shared + row * self.columns + column).to_string());
                    rest = &rest[digits..];
                }
                text.push_str(rest);
            }
            text.push_str(self.tail);
            // As many texts as there are statements and sizes; they live as long as the program.
            Box::leak(text.into_boxed_str())
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
    fn rows_are_numbered_after_what_they_share() {
        let statement = ManyRows::new("VALUES ", "($1, ?1, $2)", " END", 1, 2);
        assert_eq!(statement.for_rows(3), ("VALUES (?2, ?1, ?3) END", 1));
        assert_eq!(statement.for_rows(5).0, "VALUES (?2, ?1, ?3), (?4, ?1, ?5), (?6, ?1, ?7), (?8, ?1, ?9) END");
        let items: Vec<_> = (0..300).collect();
        let sizes: Vec<_> = pieces(&statement, &items).map(|(_, piece)| piece.len()).collect();
        assert_eq!(sizes, [256, 16, 16, 4, 4, 4]);
    }
}

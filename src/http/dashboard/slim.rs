//! What the browser gets of a file that people read: the same lines without comments and indentation.
//!
//! The types that `tsc` checks are comments, and a fifth of what would go over the wire. Lines stay where they are, so
//! that a browser's error names the line of the source.

/// The text without what only readers need: comments that begin a line, `/** @… */` within one, and indentation.
/// No line of ours begins with `//` or `/*` within a string or template; no string holds `/** @`.
pub fn slim(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_comment = false;
    for line in text.lines() {
        let line = line.trim();
        if in_comment {
            in_comment = !line.contains("*/");
        } else if line.starts_with("/*") && !line.contains("*/") {
            in_comment = true;
        } else if !(line.starts_with("//") || line.starts_with("/*") && line.ends_with("*/")) {
            push_without_types(&mut out, line);
        }
        out.push('\n');
    }
    out
}

fn push_without_types(out: &mut String, mut line: &str) {
    while let Some((before, rest)) = line.split_once("/** @") {
        out.push_str(before);
        line = rest.split_once("*/").map_or("", |(_, after)| after.strip_prefix(' ').unwrap_or(after));
    }
    out.push_str(line);
}

/// The modules that a module needs before it runs, as paths relative to its folder (`./x.js`, `../core/x.js`).
pub fn imports(text: &str) -> impl Iterator<Item = &str> {
    text.split("from").skip(1).filter_map(|rest| {
        let rest = rest.trim_start_matches(' ');
        let quote = rest.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
        let (path, _) = rest[1..].split_once(quote)?;
        path.starts_with('.').then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_indentation_go_and_lines_stay() {
        let text = "// why\n/** One.\n * @param {string} x */\nexport const f = (/** @type {any} */ x) => {\n    /* a */\n    return '//' + x; // kept\n};\n";
        assert_eq!(slim(text), "\n\n\nexport const f = (x) => {\n\nreturn '//' + x; // kept\n};\n");
    }

    #[test]
    fn static_imports_are_found_and_others_are_not() {
        let text =
            "import { a } from './a.js';\nimport{b}from\"../b.js\";\nconst c = import('./c.js'); // from 'npm'\n";
        assert_eq!(imports(text).collect::<Vec<_>>(), ["./a.js", "../b.js"]);
    }
}

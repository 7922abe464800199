//! From a body to an operation that is small enough to be looked at.

use std::borrow::Cow;

use async_graphql::{
    Request, ServerError, Variables,
    parser::{
        parse_query,
        types::{DocumentOperations, ExecutableDocument, OperationType, Selection, SelectionSet},
    },
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::caller::INVALID;
use crate::http::problem::{Fault, Problem};

/// The longest text of a query; values belong into its variables.
const LONGEST_QUERY: usize = 64 << 10;
/// How deep brackets of any kind may stand in each other.
const DEEPEST_BRACKETS: usize = 32;
/// How many selections a query may spell out.
const MOST_SELECTIONS: usize = 256;
/// How many of them may have another name in the answer, so that no mutation is done a thousand times.
const MOST_ALIASES: usize = 16;
/// How often fragments may be used: each use repeats all that is in it.
const MOST_SPREADS: usize = 16;
/// How many operations may stand beside the one that is carried out.
const MOST_OPERATIONS: usize = 8;

/// The largest body where inputs and outputs of `limit` bytes are let through: base64 makes four of three.
pub fn largest_body(limit: usize) -> usize {
    limit.div_ceil(3).saturating_mul(4).saturating_add(LONGEST_QUERY)
}

/// A body, as its shape must be; what else it may hold is left alone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Body<'a> {
    #[serde(borrow)]
    query: Cow<'a, str>,
    #[serde(borrow)]
    operation_name: Option<Cow<'a, str>>,
    variables: Option<Map<String, Value>>,
}

/// Reads the text of a body.
///
/// # Errors
/// 422 where it is no request: the only refusal of one that is told by its status.
pub fn read(text: &str) -> Result<Body<'_>, Problem> {
    let detail = match text.as_bytes().first() {
        Some(b'{') => "must have `query`, the text of an operation; `variables` is an object, `operationName` a text",
        Some(b'[') => "must be one object, not an array: send one operation a request",
        _ => "must be an object with `query`, the text of an operation",
    };
    serde_json::from_str(text).map_err(|_| Problem::invalid(vec![Fault::at("", detail)]))
}

/// The operation that a body asks for.
///
/// # Errors
/// What is wrong with it.
pub fn operation(body: Body<'_>) -> Result<Request, Box<ServerError>> {
    let query = body.query;
    let document = document(&query)?;
    let variables = Variables::from_json(Value::Object(body.variables.unwrap_or_default()));
    let mut request = Request::new(query).variables(variables);
    if let Some(name) = body.operation_name.filter(|name| !name.is_empty()) {
        request = request.operation_name(name);
    }
    request.set_parsed_query(document);
    Ok(request)
}

/// Looks at what came over a WebSocket.
///
/// # Errors
/// What is wrong with it.
pub fn subscription(mut request: Request) -> Result<Request, Box<ServerError>> {
    let document = document(&request.query)?;
    // Each of them, whichever is meant: the parser keeps one that has a name among several.
    for (_, operation) in document.operations.iter() {
        if operation.node.ty != OperationType::Subscription {
            return Err(refusal("send queries and mutations by POST: a WebSocket is for subscriptions"));
        }
        // As GraphQL has it (§5.2.3.1). Here a fragment is none either.
        let fields = &operation.node.selection_set.node.items;
        if !matches!(fields.as_slice(), [field] if matches!(field.node, Selection::Field(_))) {
            return Err(refusal("a subscription asks for one field"));
        }
    }
    request.set_parsed_query(document);
    Ok(request)
}

/// Parses a query that is within the bounds.
fn document(query: &str) -> Result<ExecutableDocument, Box<ServerError>> {
    if query.len() > LONGEST_QUERY {
        return Err(refusal(&format!("the query is longer than {LONGEST_QUERY} bytes: send values as variables")));
    }
    if bracket_depth(query) > DEEPEST_BRACKETS {
        return Err(refusal(&format!("the query has brackets that are more than {DEEPEST_BRACKETS} deep")));
    }
    let document = parse_query(query).map_err(ServerError::from)?;
    check(&document).map_err(|what| refusal(&what))?;
    Ok(document)
}

/// What is wrong with an operation as such.
pub fn refusal(message: &str) -> Box<ServerError> {
    let mut error = ServerError::new(message, None);
    error.extensions.get_or_insert_default().set("code", INVALID);
    Box::new(error)
}

/// How deep the brackets of a query stand in each other, those in texts and comments left out. The parser calls itself for
/// each, and so must not be given too many.
fn bracket_depth(query: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut rest = query.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'{' | b'[' | b'(' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            b'#' => rest = behind(rest, |rest| rest.starts_with(b"\n") || rest.starts_with(b"\r"), 1),
            b'"' if rest.starts_with(b"\"\"") => {
                rest = block(&rest[2..]);
            }
            b'"' => rest = text(rest),
            _ => {}
        }
    }
    deepest
}

/// What follows the first place that `ends`, which is `length` long.
fn behind(mut rest: &[u8], ends: impl Fn(&[u8]) -> bool, length: usize) -> &[u8] {
    while !rest.is_empty() {
        if ends(rest) {
            return rest.get(length..).unwrap_or_default();
        }
        rest = &rest[1..];
    }
    rest
}

/// What follows a text whose first quote is read. One that is not closed on its line is no text, and is refused later.
fn text(mut rest: &[u8]) -> &[u8] {
    loop {
        match rest {
            [] | [b'\n' | b'\r', ..] => return rest,
            [b'\\', _, after @ ..] | [b'\\', after @ ..] => rest = after,
            [b'"', after @ ..] => return after,
            [_, after @ ..] => rest = after,
        }
    }
}

/// What follows a text between three quotes, of which the first three are read.
fn block(mut rest: &[u8]) -> &[u8] {
    loop {
        rest = behind(rest, |rest| rest.starts_with(b"\\\"\"\"") || rest.starts_with(b"\"\"\""), 0);
        match rest {
            [b'\\', b'"', b'"', b'"', after @ ..] => rest = after,
            [b'"', b'"', b'"', after @ ..] => return after,
            _ => return rest,
        }
    }
}

#[derive(Default)]
struct Counts {
    selections: usize,
    aliases: usize,
    spreads: usize,
}

impl Counts {
    fn add(&mut self, set: &SelectionSet) {
        for item in &set.items {
            self.selections += 1;
            match &item.node {
                Selection::Field(field) => {
                    self.aliases += usize::from(field.node.alias.is_some());
                    self.add(&field.node.selection_set.node);
                }
                Selection::FragmentSpread(_) => self.spreads += 1,
                Selection::InlineFragment(fragment) => self.add(&fragment.node.selection_set.node),
            }
        }
    }
}

/// Whether all of a document, used or not, is within the bounds.
fn check(document: &ExecutableDocument) -> Result<(), String> {
    let operations = match &document.operations {
        DocumentOperations::Single(_) => 1,
        DocumentOperations::Multiple(operations) => operations.len(),
    };
    let mut counts = Counts::default();
    for (_, operation) in document.operations.iter() {
        counts.add(&operation.node.selection_set.node);
    }
    for fragment in document.fragments.values() {
        counts.add(&fragment.node.selection_set.node);
    }
    for (what, count, most) in [
        ("operations", operations, MOST_OPERATIONS),
        ("fields and fragments", counts.selections, MOST_SELECTIONS),
        ("aliases", counts.aliases, MOST_ALIASES),
        ("uses of fragments", counts.spreads, MOST_SPREADS),
    ] {
        if count > most {
            return Err(format!("the query has {count} {what}; at most {most} are taken"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str) -> String {
        let body = Body { query: query.into(), operation_name: None, variables: None };
        operation(body).err().map(|error| error.message).unwrap_or_default()
    }

    #[test]
    fn a_body_is_one_object_with_a_query() {
        for good in [
            r#"{"query":"{ a }"}"#,
            r#"{"query":"query A { a } query B { b }","operationName":"B","variables":{"v":1},"extensions":{}}"#,
            r#"{"query":"\u007b a }","operationName":null,"variables":null}"#,
        ] {
            assert!(operation(read(good).expect("a request")).is_ok(), "{good}");
        }
        for bad in [
            r#"[{"query":"{ a }"}]"#,
            "{}",
            "7",
            r#"{"query":null}"#,
            r#"{"query":7}"#,
            r#"{"query":"{ a }","variables":[]}"#,
            r#"{"query":"{ a }","operationName":7}"#,
        ] {
            assert_eq!(read(bad).err().map(|problem| problem.status().as_u16()), Some(422), "{bad}");
        }
        assert_ne!(refused("{ a"), "");
    }

    #[test]
    fn brackets_in_texts_and_comments_do_not_count() {
        for (query, depth) in [
            ("{ a(b: [1, {c: 2}]) }", 4),
            ("{ a } # {{{\n{ b }", 1),
            (r#"{ a(b: "{{{ \" {{{") }"#, 2),
            (r#"{ a(b: """ {{ " {{ \""" {{ """) }"#, 2),
            ("{ a(b: \"\") }", 2),
            ("\"{{\n{", 1),
            ("}}{", 1),
        ] {
            assert_eq!(bracket_depth(query), depth, "{query}");
        }
    }

    #[test]
    fn what_is_too_much_is_refused_before_it_is_parsed_or_checked() {
        for open in ["{a", "{a(b:[", "{a(b:{c:"] {
            let deep = open.replace(&open[..1], "").len() + 1;
            assert!(refused(&open.repeat(20_000 / deep)).contains("deep"), "{open}");
        }
        assert!(refused(&format!("{{ {} }}", "a ".repeat(300))).contains("300 fields"));
        let aliases: String = (0..17).map(|n| format!("b{n}: a ")).collect();
        assert!(refused(&format!("{{ {aliases} }}")).contains("17 aliases"));
        let spreads = "...F ".repeat(17);
        assert!(refused(&format!("{{ {spreads} }} fragment F on Reads {{ a }}")).contains("17 uses of fragments"));
        let operations: String = (0..9).map(|n| format!("query Q{n} {{ a }} ")).collect();
        assert!(refused(&operations).contains("9 operations"));
        assert!(refused(&" ".repeat(LONGEST_QUERY + 1)).contains("longer than"));
    }

    #[test]
    fn what_fits_a_body_fits_as_base64() {
        assert_eq!(largest_body(3), 4 + LONGEST_QUERY);
        assert_eq!(largest_body(4), 8 + LONGEST_QUERY);
        assert_eq!(largest_body(usize::MAX), usize::MAX);
    }
}

//! Which modules of the crate a source names: by `use`, nested or not, by
//! `super`, and by paths inside of code and of macros.

/// Where the modules of the crate's root are named, line and name. `module` is
/// the source's own place, such as `["plan", "guard"]`.
pub fn named(module: &[&str], source: &str) -> Vec<(usize, String)> {
    let mut reader = Reader { tokens: tokens(source), at: 0, found: Vec::new() };
    // Modules that stand in the source itself, by the depth of their braces.
    let (mut inside, mut depth): (Vec<usize>, usize) = (Vec::new(), 0);
    loop {
        match [reader.text(0), reader.text(1), reader.text(2)] {
            ["", ..] => return reader.found,
            ["mod", _, "{"] => {
                depth += 1;
                inside.push(depth);
                reader.at += 3;
            }
            ["{", ..] => {
                depth += 1;
                reader.at += 1;
            }
            ["}", ..] => {
                inside.retain(|opened| *opened < depth);
                depth -= 1;
                reader.at += 1;
            }
            ["crate" | "super", ..] => reader.path(module.len() + inside.len()),
            _ => reader.at += 1,
        }
    }
}

struct Reader<'s> {
    tokens: Vec<(usize, &'s str)>,
    at: usize,
    found: Vec<(usize, String)>,
}

impl<'s> Reader<'s> {
    /// A token from here on; empty behind the last.
    fn text(&self, ahead: usize) -> &'s str {
        self.tokens.get(self.at + ahead).map_or("", |(_, text)| text)
    }

    /// Reads a path, or a tree of them, up to its first name. `depth` says how
    /// far below the crate's root it starts.
    fn path(&mut self, mut depth: usize) {
        loop {
            match self.text(0) {
                "crate" => depth = 0,
                "super" => depth = depth.saturating_sub(1),
                "self" => {}
                "{" => return self.group(depth),
                text if depth == 0 && (is_name(text) || text == "*") => {
                    self.found.push((self.tokens[self.at].0, text.to_owned()));
                    self.at += 1;
                    return;
                }
                _ => return,
            }
            self.at += 1;
            if self.text(0) != "::" {
                return;
            }
            self.at += 1;
        }
    }

    /// Reads every path between two braces.
    fn group(&mut self, depth: usize) {
        let mut open = 0;
        loop {
            match self.text(0) {
                "" => return,
                "{" => open += 1,
                "}" => open -= 1,
                _ => {}
            }
            let starts = open == 1 && matches!(self.text(0), "{" | ",");
            self.at += 1;
            match open {
                0 => return,
                1 if starts => self.path(depth),
                _ => {}
            }
        }
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, numbers, `::` and single characters, with their lines; comments and
/// literals of text are left out.
fn tokens(source: &str) -> Vec<(usize, &str)> {
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < source.len() {
        let rest = &source[at..];
        let length = match rest.as_bytes() {
            [b'/', b'/', ..] => rest.find('\n').unwrap_or(rest.len()),
            [b'/', b'*', ..] => comment(rest),
            _ => literal(rest).unwrap_or_else(|| {
                let token = &rest[..token(rest)];
                if !token.trim().is_empty() {
                    tokens.push((line, token));
                }
                token.len()
            }),
        };
        line += rest[..length].matches('\n').count();
        at += length;
    }
    tokens
}

fn token(rest: &str) -> usize {
    let in_name = |c: char| c.is_alphanumeric() || c == '_';
    match rest.find(|c| !in_name(c)).unwrap_or(rest.len()) {
        0 if rest.starts_with("::") => 2,
        0 => rest.chars().next().map_or(0, char::len_utf8),
        length => length,
    }
}

/// The length of a comment; one may stand in another.
fn comment(rest: &str) -> usize {
    let mut open = 0;
    for (at, pair) in rest.as_bytes().windows(2).enumerate() {
        match pair {
            b"/*" => open += 1,
            b"*/" if open == 1 => return at + 2,
            b"*/" => open -= 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a text or a character in quotes, with its prefix.
fn literal(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        let behind = rest.strip_prefix(prefix).unwrap_or_default().trim_start_matches('#');
        behind.starts_with('"') || (["b", ""].contains(prefix) && behind.starts_with('\''))
    })?;
    let behind = &rest[prefix.len()..];
    let hashes = behind.len() - behind.trim_start_matches('#').len();
    if prefix.ends_with('r') {
        let start = prefix.len() + hashes + 1;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len()));
    }
    if hashes > 0 {
        return None;
    }
    let quote = behind.chars().next()?;
    let mut escaped = false;
    for (at, c) in behind.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(prefix.len() + at + 1),
            // Two characters behind a quote and no other quote: a lifetime.
            _ if quote == '\'' && at > 1 && !behind.starts_with("'\\") => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn each_way_to_name_a_module_is_read() {
    let check = |source: &str, expected: &[(usize, &str)]| {
        let found = named(&["plan", "guard"], source);
        let found: Vec<_> = found.iter().map(|(line, name)| (*line, name.as_str())).collect();
        assert_eq!(found, expected, "{source}");
    };
    check(
        "use crate::plan::Plan;\nlet x = crate::clock::Real; crate::sim::EPOCH",
        &[(1, "plan"), (2, "clock"), (2, "sim")],
    );
    check(
        "use crate::{\n    model::{Claim, text::{a, b}},\n    graph as g, ledger,\n};",
        &[(2, "model"), (3, "graph"), (3, "ledger")],
    );
    check("pub(crate) use crate::*; pub(super) fn f() {}", &[(1, "*")]);
    check("use super::super::apply; use super::held;", &[(1, "apply")]);
    check("use super::{held, super::{round::Round, status}};", &[(1, "round"), (1, "status")]);
    check("fn f(x: &super::super::graph::Graph) -> super::Plan {}", &[(1, "graph")]);
    check("use self::super::super::render;", &[(1, "render")]);
    check(
        "mod tests { use super::super::super::cli; use super::super::held; }\nuse super::super::sim;",
        &[(1, "cli"), (2, "sim")],
    );
    check(
        "fn f() { if x { y } } mod inner { mod more { } use super::super::a; super::super::super::b() }",
        &[(1, "b")],
    );
    check("macro_rules! m { () => { $crate::resource::Problems } }", &[(1, "resource")]);
    check(
        "use crate::apply; call::<crate::plan::Plan>(|| crate::ledger::f::<u8>())",
        &[(1, "apply"), (1, "plan"), (1, "ledger")],
    );
}

#[test]
fn what_is_not_code_names_nothing() {
    let nothing = [
        "// crate::graph\n/// [`crate::graph`]",
        "/* crate::graph /* crate::sim */ crate::cli */",
        "let x = \"crate::graph \\\" crate::sim\";",
        "let x = r#\"crate::graph \" crate::sim\"#; let y = br\"crate::a\";",
        "let x = ('\"', '\\'', b'\"', '\\u{e9}', 'é'); let y: &'static str = \"crate::a\";",
        "pub(crate) fn f<'a>(x: &'a str) -> char { 'a' } // crate::sim",
        "use std::collections::HashMap; use super::held; self.crate_name()",
    ];
    for source in nothing {
        assert_eq!(named(&["plan", "guard"], source), [], "{source}");
    }
    assert_eq!(named(&["plan"], "let c = '\"'; use super::sim; let d = '\"';"), [(1, "sim".to_owned())]);
}

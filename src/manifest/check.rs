//! A located tree against a shape: every violation with its place.
//!
//! What violates the structure is taken out of the tree after it was reported,
//! so that the rest of the document is still checked in the same run.

use std::collections::{HashMap, HashSet};

use super::mistake::{dash, said_of_dash, without_blank};
use super::problem::{Problem, Sink, Source, show};
use super::scalar::{Plain, resolve};
use super::shape::{Shape, TextShape};
use super::tree::{Data, Entry, Node, Span};
use crate::desired::near;
use crate::resource::credential_path;

/// What a walk found.
#[derive(Default)]
pub(super) struct Findings {
    pub problems: Sink,
    pub warnings: Sink,
    /// Where values begin that a warning was given for: an alias repeats its
    /// anchor's place.
    warned: HashSet<u32>,
    /// Violations of length and pattern. The checks of `resource` say the same
    /// in better words, so these speak only where those are silent.
    pub soft: Vec<(Span, Problem)>,
    /// Starts of maps and the fields they lost here: what `resource` says about
    /// absence in them would be an echo.
    pub lost: HashMap<u32, Vec<String>>,
    /// Starts of maps that lack a field they need. It was filled in, so that
    /// the other fields are checked; nothing may be made of the result.
    pub incomplete: HashSet<u32>,
}

/// So many soft findings of a document are kept: they are held against every
/// problem that is found later, and one is enough to stop.
const MAX_SOFT: usize = 200;

/// What stands in for a missing field, in a form that passes every check.
const STAND_INS: [(&str, &str); 4] = [
    ("tenantId", "00000000-0000-0000-0000-000000000000"),
    ("policy", "Observe"),
    ("ownerId", "missing"),
    ("serialNumber", "MISSING-SERIAL"),
];

/// Fields that keep, clear or set a value of the tenant.
const THREE_VALUED: [&str; 4] = ["groupTag", "userPrincipalName", "addressableUserName", "displayName"];

/// Checks a node and takes out what cannot stay. False: the node itself cannot.
pub(super) fn walk(node: &mut Node<'_>, shape: &Shape, name: &str, source: &Source<'_>, out: &mut Findings) -> bool {
    if matches!(node.data, Data::Broken) {
        return false;
    }
    match shape {
        Shape::Object { fields, required } => object(node, fields, required, name, source, out),
        Shape::Words => words(node, name, source, out),
        Shape::List { items, min, max } => list(node, items, (*min, *max), name, source, out),
        Shape::Text(shape) => text(node, shape, name, source, out),
        Shape::Integer { min, max } => integer(node, (*min, *max), name, source, out),
        Shape::Bool => boolean(node, name, source, out),
    }
}

/// Where to point at for a node: a map or list is shown by its first word.
pub(super) fn head(node: &Node<'_>) -> Span {
    match &node.data {
        Data::Map(entries) => entries.first().map_or(node.span, |entry| entry.key_span),
        _ => node.span,
    }
}

fn object(
    node: &mut Node<'_>,
    fields: &[(String, Shape)],
    required: &[String],
    name: &str,
    source: &Source<'_>,
    out: &mut Findings,
) -> bool {
    let (place, start) = (head(node), node.span.start);
    let Data::Map(entries) = &mut node.data else {
        let names = || fields.iter().map(|(field, _)| field.as_str());
        match node.text().and_then(without_blank).filter(|(field, _)| names().any(|name| name == *field)) {
            Some((field, value)) => out.problems.add(|| {
                let hint = format!("write `{field}: {}`", show(value));
                let message = format!("a blank is missing after `{field}:`");
                Problem::error("yaml", message, source.spot(head(node))).hint(hint)
            }),
            None => wrong_type(node, "a map of fields", name, source, out),
        }
        return false;
    };
    let mut lost: Vec<String> = Vec::new();
    entries.retain_mut(|entry| {
        let Some((_, shape)) = fields.iter().find(|(field, _)| *field == entry.key) else {
            if !matches!(entry.value.data, Data::Broken) {
                // Beyond those that are shown, nobody asks what was meant.
                let mut meant = None;
                out.problems.add(|| {
                    let (problem, field) = unknown(&entry.key, entry.key_span, fields, name, source);
                    meant = field;
                    problem
                });
                lost.extend(meant);
            }
            return false;
        };
        let kept = if is_null(&entry.value) {
            out.problems.add(|| null(&entry.key, entry.key_span, source));
            false
        } else {
            walk(&mut entry.value, shape, &entry.key, source, out)
        };
        if !kept {
            lost.push(entry.key.to_string());
        }
        kept
    });
    if !lost.is_empty() {
        out.lost.entry(start).or_default().extend(lost.iter().cloned());
    }
    let mut whole = true;
    for field in required.iter().filter(|field| !entries.iter().any(|entry| entry.key == **field)).collect::<Vec<_>>() {
        // What was there and could not stay was spoken of already.
        if !lost.contains(field) {
            out.problems.add(|| {
                let message = format!("`{field}` is missing in `{name}`");
                let problem = Problem::error("missing-field", message, source.spot(place));
                problem.hint(format!("add `{field}: …`"))
            });
        }
        out.incomplete.insert(start);
        match STAND_INS.iter().find(|(name, _)| name == field) {
            Some((name, text)) => entries.push(Entry {
                key: (*name).into(),
                key_span: place,
                value: Node { span: place, data: Data::Scalar { text: (*text).into(), plain: false } },
            }),
            None => whole = false,
        }
    }
    whole
}

fn is_null(node: &Node<'_>) -> bool {
    matches!(&node.data, Data::Scalar { text, plain: true } if resolve(text) == Plain::Null)
}

fn null(field: &str, at: Span, source: &Source<'_>) -> Problem {
    let hint = if THREE_VALUED.contains(&field) {
        format!("leave the line out to keep the tenant's value, write `{field}: \"\"` to clear it")
    } else {
        "give it a value, or remove the line".to_owned()
    };
    Problem::error("null", format!("`{field}` has no value"), source.spot(at)).hint(hint)
}

/// The problem, and the field that was perhaps meant.
fn unknown(
    key: &str,
    at: Span,
    fields: &[(String, Shape)],
    name: &str,
    source: &Source<'_>,
) -> (Problem, Option<String>) {
    let names: Vec<&str> = fields.iter().map(|(field, _)| field.as_str()).collect();
    if let Some((field, value)) = without_blank(key).filter(|(field, _)| names.contains(field)) {
        let message = format!("a blank is missing after `{field}:`");
        let problem =
            Problem::error("yaml", message, source.spot(at)).hint(format!("write `{field}: {}`", show(value)));
        return (problem, Some(field.to_owned()));
    }
    let message = format!("`{name}` has no field `{}`", show(key));
    let of_defaults = fields.iter().find(|(field, _)| field == "defaults");
    let is_below = of_defaults.is_some_and(|(_, shape)| shape.field(key).is_some());
    let hint = match credential_path(key) {
        Some(hint) => hint.to_owned(),
        None if is_below => format!("`{key}` belongs under `defaults`, indented by two blanks more"),
        None => suggestion(key, &names),
    };
    let problem = Problem::error("unknown-field", message, source.spot(at)).hint(hint);
    (problem, near(key, &names).map(str::to_owned))
}

/// The field that was perhaps meant, else the fields there are.
pub(super) fn suggestion(key: &str, names: &[&str]) -> String {
    match near(key, names) {
        Some(name) => format!("did you mean `{name}`?"),
        None if names.is_empty() => "nothing may stand here".to_owned(),
        None => format!("the fields here are {}", quoted(names)),
    }
}

fn quoted(names: &[impl AsRef<str>]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    names.join(", ")
}

fn list(
    node: &mut Node<'_>,
    items: &Shape,
    (min, max): (usize, usize),
    name: &str,
    source: &Source<'_>,
    out: &mut Findings,
) -> bool {
    let span = node.span;
    let Data::List(nodes) = &mut node.data else {
        match without_dash(node, source) {
            Some((at, write)) => out.problems.add(|| {
                let (message, hint) = said_of_dash(&write);
                Problem::error("yaml", message, source.spot(at)).hint(hint)
            }),
            None => wrong_type(node, "a list", name, source, out),
        }
        // Who has spoken of columns, if not well, is not told that nobody has.
        if name == "use" {
            node.data = Data::List(Vec::new());
            return true;
        }
        return false;
    };
    let count = nodes.len();
    if count < min || count > max {
        let rule =
            if count > max { format!("at most {max} are allowed") } else { format!("at least {min} are needed") };
        let place = nodes.get(max.min(count)).map_or(span, head);
        out.problems.add(|| {
            let message = format!("`{name}` has {count} entries, {rule}");
            let problem = Problem::error("list-size", message, source.spot(place));
            match name {
                _ if count < min => problem,
                "devices" => problem.hint("split it into several documents"),
                "use" => problem.hint("name each column once"),
                _ => problem.hint("remove some"),
            }
        });
    }
    let label = format!("{name}[]");
    for item in nodes {
        if is_null(item) {
            out.problems.add(|| {
                let problem = Problem::error("null", format!("an entry of `{name}` is empty"), source.spot(item.span));
                problem.hint("give it a value, or remove the line")
            });
            item.data = Data::Broken;
        } else if !walk(item, items, &label, source, out) {
            // Stays in the list: the indices of the others must not move.
            item.data = Data::Broken;
        }
    }
    true
}

/// The dash of an entry that has no blank behind it, where one begins a line; and
/// what to write.
fn without_dash(node: &Node<'_>, source: &Source<'_>) -> Option<(Span, String)> {
    let at = head(node);
    let start = at.start as usize;
    let dash_only = start..start + 1;
    // What begins far to the right begins no line.
    if at.column > 200 || source.text.as_bytes().get(start) != Some(&b'-') {
        return None;
    }
    let line = source.line_of(dash_only.clone());
    let is_first = source.text[line.start..start].trim_start().is_empty();
    let write = dash(&source.text[start..line.end]).filter(|_| is_first)?;
    Some((source.span_at(dash_only), write))
}

/// A map of text to text, such as labels.
fn words(node: &mut Node<'_>, name: &str, source: &Source<'_>, out: &mut Findings) -> bool {
    let Data::Map(entries) = &mut node.data else {
        wrong_type(node, "a map", name, source, out);
        return false;
    };
    let any = TextShape { choices: Vec::new(), pattern: None, min: 0, max: usize::MAX };
    entries.retain_mut(|entry| text(&mut entry.value, &any, &entry.key, source, out));
    true
}

fn text(node: &mut Node<'_>, shape: &TextShape, name: &str, source: &Source<'_>, out: &mut Findings) -> bool {
    let Data::Scalar { text, plain } = &node.data else {
        wrong_type(node, "text", name, source, out);
        return false;
    };
    if *plain && let Some(read_as) = not_text(text) {
        out.problems.add(|| {
            let message = format!("`{name}` is text, but without quotes this is {read_as}");
            let hint = format!("quote this: `{}: \"{}\"`", name.trim_end_matches("[]"), show(text));
            Problem::error("unquoted", message, source.spot(node.span)).hint(hint)
        });
        return false;
    }
    if !shape.choices.is_empty() {
        if shape.choices.iter().any(|choice| choice == text) {
            return true;
        }
        out.problems.add(|| {
            let message = format!("`{}` is not a value of `{name}`", show(text));
            let names: Vec<&str> = shape.choices.iter().map(String::as_str).collect();
            let hint = match near(text, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("one of {}", quoted(&names)),
            };
            Problem::error("not-a-choice", message, source.spot(node.span)).hint(hint)
        });
        return false;
    }
    if *plain
        && let Some(inner) = in_typographic_quotes(text)
        && out.warned.insert(node.span.start)
    {
        out.warnings.add(|| {
            let message = format!("the quotation marks of `{}` are a part of the value", show(text));
            let hint = format!("write `{}`; if they are meant: `'{}'`", quote(inner), show(&text.replace('\'', "''")));
            Problem::warning("quotes", message, source.spot(node.span)).hint(hint)
        });
    }
    if *plain && name == "groupTag" && text.contains('#') && out.warned.insert(node.span.start) {
        out.warnings.add(|| {
            let message = format!("`#` is a part of the group tag `{}`", show(text));
            let hint = format!("a comment has a blank before it; if it is meant, quote this: `{}`", quote(text));
            Problem::warning("no-comment", message, source.spot(node.span)).hint(hint)
        });
    }
    let length = text.len();
    let wrong = if length > shape.max && text.chars().count() > shape.max {
        Some(format!("`{name}` is longer than {} characters", shape.max))
    } else if length < shape.min {
        Some(match shape.min {
            1 => format!("`{name}` is empty"),
            min => format!("`{name}` is shorter than {min} characters"),
        })
    } else if shape.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(text.as_ref())) {
        Some(format!("`{name}` does not have the form that is asked for"))
    } else {
        None
    };
    if let Some(message) = wrong.filter(|_| out.soft.len() < MAX_SOFT) {
        let problem = Problem::error("form", message, source.spot(node.span));
        out.soft.push((node.span, problem.hint_opt(example(name, shape).map(str::to_owned))));
    }
    true
}

/// Marks that word processors and web pages put where `"` or `'` was typed.
const TYPOGRAPHIC: [char; 12] = ['“', '”', '„', '‟', '‘', '’', '‚', '‛', '«', '»', '‹', '›'];

/// What stands between two of them: to YAML they are letters.
fn in_typographic_quotes(text: &str) -> Option<&str> {
    let inner = text.strip_prefix(TYPOGRAPHIC)?;
    inner.strip_suffix(TYPOGRAPHIC).or_else(|| inner.strip_suffix(['"', '\'']))
}

fn quote(text: &str) -> String {
    match text.contains(['"', '\\']) {
        true => format!("'{}'", show(&text.replace('\'', "''"))),
        false => format!("\"{}\"", show(text)),
    }
}

/// What a plain scalar is read as, if not as text.
fn not_text(text: &str) -> Option<String> {
    match resolve(text) {
        Plain::Text => None,
        Plain::Null => Some("no value".into()),
        Plain::Bool(value) => Some(format!("`{value}`")),
        Plain::Int(value) => Some(format!("the number {value}")),
        Plain::Float(value) => Some(format!("the number {value}")),
        Plain::Timestamp => Some("a date".into()),
    }
}

fn integer(node: &mut Node<'_>, (min, max): (i64, i64), name: &str, source: &Source<'_>, out: &mut Findings) -> bool {
    let value = match &node.data {
        Data::Scalar { text, plain: true } => resolve(text),
        _ => Plain::Text,
    };
    let Plain::Int(value) = value else {
        wrong_type(node, "a whole number", name, source, out);
        return false;
    };
    if value < min || value > max {
        out.problems.add(|| {
            let range = if max == i64::from(i32::MAX) { format!("{min} or more") } else { format!("{min} to {max}") };
            Problem::error("out-of-range", format!("`{name}` is out of range: {range}"), source.spot(node.span))
        });
        return false;
    }
    true
}

fn boolean(node: &mut Node<'_>, name: &str, source: &Source<'_>, out: &mut Findings) -> bool {
    let ok = matches!(&node.data, Data::Scalar { text, plain: true } if matches!(resolve(text), Plain::Bool(_)));
    if !ok {
        wrong_type(node, "`true` or `false`", name, source, out);
    }
    ok
}

/// How a text is written whose form nobody guesses.
fn example(name: &str, shape: &TextShape) -> Option<&'static str> {
    match (name, shape.min) {
        ("from" | "until", 9) => Some("three letters of the day and the time, as in `Fri 16:00`"),
        ("from" | "until" | "expiresAt", _) => {
            Some("in quotes, with a `T` before the time and its offset behind: `\"2026-12-18T16:00:00+01:00\"`")
        }
        ("name", _) => Some("small letters, digits and hyphens, as in `year-end`"),
        ("timeZone", _) => Some("a name of the IANA database, as in `Europe/Oslo`"),
        _ => None,
    }
}

fn wrong_type(node: &Node<'_>, wanted: &str, name: &str, source: &Source<'_>, out: &mut Findings) {
    let found = match &node.data {
        Data::Scalar { plain: false, .. } => "text",
        Data::Scalar { text, .. } => match resolve(text) {
            Plain::Null => "nothing",
            Plain::Bool(_) => "a yes or no",
            Plain::Int(_) | Plain::Float(_) => "a number",
            Plain::Timestamp | Plain::Text => "text",
        },
        Data::List(_) => "a list",
        Data::Map(_) => "a map",
        Data::Broken => return,
    };
    out.problems.add(|| {
        let problem =
            Problem::error("wrong-type", format!("`{name}` is {wanted}, not {found}"), source.spot(head(node)));
        problem.hint_opt(form(node, wanted, name))
    });
}

/// How a field is written that has the wrong form, with what stands there in its
/// likely place.
fn form(node: &Node<'_>, wanted: &str, name: &str) -> Option<String> {
    let text = node.text().filter(|text| !text.is_empty()).map(show);
    let given = text.as_deref().unwrap_or("…");
    let is_csv = given.to_ascii_lowercase().ends_with(".csv");
    let map = match name {
        "spec" => return Some("put its fields below `spec:`, each indented by two blanks".to_owned()),
        "hardwareHashRef" if is_csv => format!("{{csv: {given}}}"),
        "hardwareHashRef" => format!("{{file: {given}}}"),
        "tenantRef" => format!("{{name: {given}}}"),
        "devices[]" => format!("{{serialNumber: {given}}}"),
        "auth" | "read" | "write" if ["AzureCli", "ManagedIdentity"].contains(&given) => format!("{{type: {given}}}"),
        "auth" | "read" | "write" => format!("{{type: {given}, clientId: …}}"),
        "scope" => format!("{{groupTags: [{given}]}}"),
        "limits" => format!("{{maxUpdates: {given}}}"),
        "endpoints" => format!("{{login: {given}, graph: {given}}}"),
        "secretKeyRef" | "secretRef" | "certificateRef" => format!("{{name: {given}, key: …}}"),
        "keyVaultSecret" => format!("{{vaultUrl: …, name: {given}}}"),
        "defaults" => format!("{{groupTag: {given}}}"),
        "ledger" => format!("{{lineage: {given}}}"),
        "peers[]" => format!("{{ownerId: {given}}}"),
        "tagPolicy[]" => format!("{{groupTag: {given}, paths: […]}}"),
        "devices" if matches!(node.data, Data::Map(_)) => {
            return Some("write `- ` before the first field of each device".to_owned());
        }
        "devices" => format!("[{{serialNumber: {given}}}]"),
        "peers" => format!("[{{ownerId: {given}}}]"),
        "tagPolicy" => format!("[{{groupTag: {given}, paths: […]}}]"),
        _ if wanted == "a list" => format!("[{given}]"),
        _ => return None,
    };
    Some(match name.strip_suffix("[]") {
        Some(_) => format!("write `{map}`"),
        None => format!("write `{name}: {map}`"),
    })
}

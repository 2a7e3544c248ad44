//! Values written into manifests in place: a text and what shall stand in it to
//! the new text, with comments, order, quotes and line ends as they were.
//!
//! Pure. Entries are found by the places that claims have. What comes out is read
//! again, and must say the same but for what was asked: a layout that was not
//! thought of is refused, never guessed.

mod quote;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use compact_str::CompactString;
use serde_json::Value;

use super::tree::{self, Data, Entry, Node, Span};
use super::value::to_json;
use crate::model::{Field, SerialKey, is_unseen};
use quote::{Style, scalar};

/// A value that the entry of a device shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The line of the device's serial number, from 1.
    pub line: u32,
    /// Its column, from 1, in characters.
    pub column: u32,
    /// The serial number that must stand there.
    pub serial: SerialKey,
    /// Which field.
    pub field: Field,
    /// What it shall be; `""` is nothing.
    pub value: CompactString,
}

/// Why an edit is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The text is another one than that which was read.
    #[error("its entry is not where it was read: the file has changed")]
    Moved,
    /// What is changed there would change elsewhere, too.
    #[error("a YAML anchor or alias stands there: what is changed in one place would change in others")]
    Shared,
    /// `|` or `>`.
    #[error("the value is a block of several lines")]
    Block,
    /// Such text is in no manifest.
    #[error("the value has characters that nobody sees")]
    Unseen,
    /// Anything else.
    #[error("its entry is laid out in a way that is not edited in place")]
    Layout,
}

/// A text with the values in it, and the edits that were not made, by their
/// number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The new text.
    pub text: String,
    /// What was left, in the order of the edits.
    pub refused: Vec<(usize, Refusal)>,
}

/// Makes the edits of one manifest, of each field of a device at most one.
#[must_use]
pub fn edited(text: &str, edits: &[Edit]) -> Edited {
    let (documents, mistakes) = documents(text);
    let before: Vec<Value> = documents.iter().map(to_json).collect();
    let found = find(&documents, edits);
    let (mut good, mut refused) = (Vec::new(), Vec::new());
    for (at, edit) in edits.iter().enumerate() {
        match found.device(edit).and_then(|device| change(text, device, edit)) {
            Ok(change) => good.push((at, change)),
            Err(refusal) => refused.push((at, refusal)),
        }
    }
    let holds = |good: &[(usize, Change<'_>)]| {
        let new = spliced(text, &good.iter().map(|(_, change)| change).collect::<Vec<_>>());
        let expected = expected(&before, good.iter().map(|(at, change)| (change.path, &edits[*at])));
        says(&new, expected, mistakes).then_some(new)
    };
    if let Some(text) = holds(&good) {
        return Edited { text, refused };
    }
    // One of them is in the way of all: which, is found out alone.
    let (able, unable) = good.into_iter().partition::<Vec<_>, _>(|one| holds(std::slice::from_ref(one)).is_some());
    refused.extend(unable.into_iter().map(|(at, _)| (at, Refusal::Layout)));
    let new = holds(&able).unwrap_or_else(|| {
        refused.extend(able.iter().map(|(at, _)| (*at, Refusal::Layout)));
        text.to_owned()
    });
    refused.sort_unstable_by_key(|(at, _)| *at);
    Edited { text: new, refused }
}

/// The documents of a text, and how many mistakes are in it: others may have some.
fn documents(text: &str) -> (Vec<Node<'_>>, usize) {
    let (mut documents, mut count) = (Vec::new(), 0);
    tree::documents(text, |node, mistakes| {
        documents.push(node);
        count += mistakes.kept.len() + mistakes.more;
    });
    (documents, count)
}

/// A step from a node to one in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step<'n> {
    Key(&'n str),
    Item(usize),
}

/// The entry of a device: its map, and the way there.
struct Device<'n, 's> {
    map: &'n Node<'s>,
    path: Vec<Step<'n>>,
}

/// Entries by the places of their serial numbers. An entry that several ways lead
/// to is shared by them.
struct Found<'n, 's>(HashMap<(u32, u32), Vec<Device<'n, 's>>>);

impl<'n, 's> Found<'n, 's> {
    fn device(&self, edit: &Edit) -> Result<&Device<'n, 's>, Refusal> {
        let devices = self.0.get(&(edit.line, edit.column)).map_or(&[][..], Vec::as_slice);
        let is_meant = |device: &&Device<'_, '_>| {
            device.map.get("serialNumber").and_then(Node::text).is_some_and(|text| SerialKey::of(text) == edit.serial)
        };
        match devices {
            [device] => Some(device).filter(is_meant).ok_or(Refusal::Moved),
            [] => Err(Refusal::Moved),
            [_, _, ..] => Err(Refusal::Shared),
        }
    }
}

fn find<'n, 's>(documents: &'n [Node<'s>], edits: &[Edit]) -> Found<'n, 's> {
    let mut found = Found(edits.iter().map(|edit| ((edit.line, edit.column), Vec::new())).collect());
    for (at, document) in documents.iter().enumerate() {
        look(document, &mut vec![Step::Item(at)], &mut found);
    }
    found
}

fn look<'n, 's>(node: &'n Node<'s>, path: &mut Vec<Step<'n>>, found: &mut Found<'n, 's>) {
    match &node.data {
        Data::List(items) => {
            for (at, item) in items.iter().enumerate() {
                path.push(Step::Item(at));
                look(item, path, found);
                path.pop();
            }
        }
        Data::Map(entries) => {
            let serial = node.get("serialNumber").map(|serial| (serial.span.line, serial.span.column));
            if let Some(devices) = serial.and_then(|place| found.0.get_mut(&place)) {
                devices.push(Device { map: node, path: path.clone() });
            }
            for entry in entries {
                path.push(Step::Key(&entry.key));
                look(&entry.value, path, found);
                path.pop();
            }
        }
        Data::Scalar { .. } | Data::Broken => {}
    }
}

/// What a text says once the edits are made.
fn expected<'a>(before: &[Value], edits: impl Iterator<Item = (&'a [Step<'a>], &'a Edit)>) -> Option<Vec<Value>> {
    let mut documents = Value::from(before.to_vec());
    for (path, edit) in edits {
        let mut at = &mut documents;
        for step in path {
            at = match step {
                Step::Key(key) => at.get_mut(*key)?,
                Step::Item(item) => at.get_mut(*item)?,
            };
        }
        at.as_object_mut()?.insert(edit.field.name().to_owned(), edit.value.as_str().into());
    }
    match documents {
        Value::Array(documents) => Some(documents),
        _ => None,
    }
}

/// True for a text that says just that, with no more mistakes than there were.
fn says(text: &str, expected: Option<Vec<Value>>, mistakes: usize) -> bool {
    let (documents, count) = documents(text);
    count == mistakes && Some(documents.iter().map(to_json).collect::<Vec<_>>()) == expected
}

/// How one edit is made.
struct Change<'n> {
    path: &'n [Step<'n>],
    how: How,
}

enum How {
    /// A scalar takes the place of another.
    Replace { range: Range<usize>, text: String },
    /// A field comes behind another.
    Insert { behind: Behind, field: Field, text: String },
}

/// The field that a new one comes behind, and how it does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Behind {
    /// Where its value ends.
    end: usize,
    layout: Layout,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Layout {
    /// On a line of its own behind the line that ends there, if that has an end.
    Line { indent: String, eol: &'static str, line_end: usize, has_end: bool },
    /// The same between braces, where a comma stands at each end: `last` has none.
    FlowLine { indent: String, eol: &'static str, line_end: usize, is_last: bool },
    /// On the same line, behind a comma.
    Inline,
}

fn change<'n>(text: &str, device: &'n Device<'n, '_>, edit: &Edit) -> Result<Change<'n>, Refusal> {
    if edit.value.chars().any(is_unseen) {
        return Err(Refusal::Unseen);
    }
    let how = match device.map.entry(edit.field.name()) {
        Some(entry) => replace(text, entry, &edit.value)?,
        None => insert(text, device.map, edit)?,
    };
    Ok(Change { path: &device.path, how })
}

fn replace(text: &str, entry: &Entry<'_>, value: &str) -> Result<How, Refusal> {
    let range = value_of(text, entry)?;
    let style = match text.as_bytes().get(range.start) {
        Some(b'\'') => Style::Single,
        Some(b'"') => Style::Double,
        Some(_) if !range.is_empty() => Style::Plain,
        _ => return Err(Refusal::Layout),
    };
    Ok(How::Replace { range, text: scalar(value, style) })
}

/// Where the scalar of an entry stands, if nothing but a colon and blanks is before
/// it: an anchor would be, or the head of a block. An alias stands elsewhere.
fn value_of(text: &str, entry: &Entry<'_>) -> Result<Range<usize>, Refusal> {
    let (key, range) = (bytes(entry.key_span), bytes(entry.value.span));
    let gap = text.get(key.end..range.start).ok_or(Refusal::Shared)?;
    let head = gap.trim_start().strip_prefix(':').ok_or(Refusal::Layout)?.trim_start();
    match head.chars().next() {
        None if matches!(entry.value.data, Data::Scalar { .. }) => Ok(range),
        Some('&' | '*') => Err(Refusal::Shared),
        Some('|' | '>') => Err(Refusal::Block),
        None | Some(_) => Err(Refusal::Layout),
    }
}

fn bytes(span: Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

/// The fields of a device in the order in which people write them; a new one comes
/// behind the last of those that stand before it.
const ORDER: [&str; 6] =
    ["serialNumber", "registrationId", "groupTag", "userPrincipalName", "addressableUserName", "displayName"];

fn insert(text: &str, map: &Node<'_>, edit: &Edit) -> Result<How, Refusal> {
    let name = edit.field.name();
    let before = &ORDER[..ORDER.iter().position(|other| *other == name).unwrap_or(ORDER.len())];
    let stands = |other: &&str| {
        let entry = map.entry(other)?;
        Some((entry, value_of(text, entry).ok()?.end))
    };
    let why = || map.entry(ORDER[0]).and_then(|entry| value_of(text, entry).err()).unwrap_or(Refusal::Layout);
    let (entry, end) = before.iter().rev().find_map(stands).ok_or_else(why)?;
    let key = bytes(entry.key_span).start;
    let is_flow = text[map.span.start as usize..].starts_with('{');
    let layout = if is_flow { flow(text, key, end) } else { block(text, key, end).ok_or(Refusal::Layout)? };
    let quotes = text[key..].starts_with('"');
    let text = match quotes {
        true => format!("\"{name}\": {}", scalar(&edit.value, Style::Double)),
        false => format!("{name}: {}", scalar(&edit.value, Style::Plain)),
    };
    Ok(How::Insert { behind: Behind { end, layout }, field: edit.field, text })
}

fn block(text: &str, key: usize, end: usize) -> Option<Layout> {
    let prefix = before_on_line(text, key);
    // `- ` of a list is as wide as the indent of what is in it.
    let is_indent = prefix.bytes().all(|byte| matches!(byte, b' ' | b'-'));
    let (line_end, has_end) = line_end(text, end);
    is_indent.then(|| Layout::Line { indent: " ".repeat(prefix.len()), eol: eol(text, end), line_end, has_end })
}

fn flow(text: &str, key: usize, end: usize) -> Layout {
    let prefix = before_on_line(text, key);
    let (line_end, has_end) = line_end(text, end);
    let rest = text[end..line_end].trim();
    let (is_last, rest) = rest.strip_prefix(',').map_or((true, rest), |rest| (false, rest.trim_start()));
    let is_own_line = prefix.bytes().all(|byte| matches!(byte, b' ' | b'\t'));
    if is_own_line && has_end && (rest.is_empty() || rest.starts_with('#')) {
        Layout::FlowLine { indent: prefix.to_owned(), eol: eol(text, end), line_end, is_last }
    } else {
        Layout::Inline
    }
}

fn before_on_line(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    text[start..at].trim_start_matches('\u{feff}')
}

/// Behind the end of the line, and whether it has one.
fn line_end(text: &str, at: usize) -> (usize, bool) {
    text[at..].find('\n').map_or((text.len(), false), |end| (at + end + 1, true))
}

/// How the line ends, else how the first of the text does.
fn eol(text: &str, at: usize) -> &'static str {
    let end = text[at..].find('\n').map(|end| at + end).or_else(|| text.find('\n'));
    if end.is_some_and(|end| text[..end].ends_with('\r')) { "\r\n" } else { "\n" }
}

/// The text with all changes made.
fn spliced(text: &str, changes: &[&Change<'_>]) -> String {
    let mut splices: Vec<(Range<usize>, String)> = Vec::new();
    let mut inserts: BTreeMap<&Behind, BTreeMap<Field, &str>> = BTreeMap::new();
    for change in changes {
        match &change.how {
            How::Replace { range, text } => splices.push((range.clone(), text.clone())),
            How::Insert { behind, field, text } => _ = inserts.entry(behind).or_default().insert(*field, text),
        }
    }
    for (Behind { end, layout }, fields) in inserts {
        let fields: Vec<&str> = fields.into_values().collect();
        let lines = |indent: &str, begin: &str, end: &str| -> String {
            fields.iter().flat_map(|field| [begin, indent, field, end]).collect()
        };
        match layout {
            Layout::Line { indent, eol, line_end, has_end: true } => {
                splices.push((*line_end..*line_end, lines(indent, "", eol)));
            }
            Layout::Line { indent, eol, line_end, has_end: false } => {
                splices.push((*line_end..*line_end, lines(indent, eol, "")));
            }
            Layout::FlowLine { indent, eol, line_end, is_last: false } => {
                splices.push((*line_end..*line_end, lines(indent, "", &format!(",{eol}"))));
            }
            Layout::FlowLine { indent, eol, line_end, is_last: true } => {
                let between = format!(",{eol}{indent}");
                splices.push((*end..*end, ",".to_owned()));
                splices.push((*line_end..*line_end, format!("{indent}{}{eol}", fields.join(&between))));
            }
            Layout::Inline => splices.push((*end..*end, lines("", ", ", ""))),
        }
    }
    splices.sort_by_key(|(range, _)| (range.start, range.end));
    let (mut out, mut at) = (String::with_capacity(text.len() + 64 * splices.len()), 0);
    for (range, new) in splices {
        out.push_str(&text[at..range.start.max(at)]);
        out.push_str(&new);
        at = range.end.max(at);
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests;

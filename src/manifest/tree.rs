//! Text to a located tree: what was written, how (plain or quoted), and where.
//!
//! The parser's events are all there is; nothing is resolved and nothing is
//! known about kinds here. A document that is broken is reported and the next
//! one is read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span as RawSpan};

use super::mistake::{Meant, meant, unquoted};
use super::problem::show;

/// Where a node stands: bytes in the file, line from 1, column from 1 in
/// characters. Files are smaller than 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub start: u32,
    pub end: u32,
    pub line: u32,
    pub column: u32,
}

/// A node of a document.
#[derive(Debug, Clone)]
pub(super) struct Node<'s> {
    pub span: Span,
    pub data: Data<'s>,
}

#[derive(Debug, Clone)]
pub(super) enum Data<'s> {
    Scalar {
        text: Cow<'s, str>,
        plain: bool,
    },
    List(Vec<Node<'s>>),
    Map(Vec<Entry<'s>>),
    /// Something already reported stood here; nobody reports it again.
    Broken,
}

#[derive(Debug, Clone)]
pub(super) struct Entry<'s> {
    pub key: Cow<'s, str>,
    pub key_span: Span,
    pub value: Node<'s>,
}

impl<'s> Node<'s> {
    /// The value of a key of a map.
    #[must_use]
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// A key of a map with its value.
    #[must_use]
    pub(super) fn entry(&self, key: &str) -> Option<&Entry<'s>> {
        match &self.data {
            Data::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The text of a scalar as written, quotes resolved.
    #[must_use]
    pub(super) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// True for a document without content.
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.data, Data::Scalar { text, plain: true } if text.is_empty())
    }
}

/// A mistake of the text itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub code: &'static str,
    pub span: Span,
    /// A second place that the message speaks of.
    pub other: Option<Span>,
    pub message: String,
    pub hint: Option<Cow<'static, str>>,
}

/// The mistakes of a document.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    pub kept: Vec<Mistake>,
    /// How many there are besides.
    pub more: usize,
}

impl Mistakes {
    fn add(&mut self, mistake: impl FnOnce() -> Mistake) {
        if self.kept.len() < MAX_MISTAKES { self.kept.push(mistake()) } else { self.more += 1 }
    }

    /// True if there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

/// Depth at which a document is given up: nothing of ours is near it, and a
/// recursion must have an end.
const MAX_DEPTH: usize = 64;

/// How many bytes the anchors and aliases of one file may add. A set of 500
/// devices that shares a reference needs some 300 KB; a bomb needs gigabytes.
const ALIAS_BUDGET: usize = 16 << 20;

/// So many mistakes of one document are kept; the rest is counted.
const MAX_MISTAKES: usize = 200;

/// So many bytes around a mistake are looked at for what was meant.
const NEAR: usize = 64 << 10;

/// Mistakes of one file after which nobody reads on.
const MAX_SYNTAX_ERRORS: usize = 100;

/// What every document of a cluster begins with.
const ENVELOPE: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];

/// Of a map with keys that stand twice: the first that does, if these are two
/// documents in one. Two keys of the envelope do not stand twice by chance.
fn glued<'e>(entries: &'e [Entry<'_>], twice: &[(usize, usize)]) -> Option<&'e str> {
    let keys = || twice.iter().map(|(_, later)| entries[*later].key.as_ref()).filter(|key| ENVELOPE.contains(key));
    let first = keys().next()?;
    keys().any(|key| key != first).then_some(first)
}

/// Reads all documents of a file in order. `each` gets a document with its
/// mistakes; a document whose syntax is broken comes as `Data::Broken`.
pub(super) fn documents<'s>(source: &'s str, mut each: impl FnMut(Node<'s>, Mistakes)) {
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.emit_unresolved_aliases = true;
    options.flow_nesting_limit = MAX_DEPTH * 2;
    options.block_nesting_limit = MAX_DEPTH * 2;
    let mut reader = Reader {
        parser: Parser::new_from_str_with_options(source, options),
        source,
        anchors: HashMap::new(),
        mistakes: Mistakes::default(),
        budget: ALIAS_BUDGET,
        tag_span: None,
        begins: 0,
    };
    let mut broken = 0;
    loop {
        match reader.parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => return,
            Some(Ok((Event::DocumentStart(..), span))) => {
                reader.anchors.clear();
                let start = reader.span(span);
                reader.begins = start.start as usize;
                let read = reader.document();
                let ok = read.is_ok();
                let root = read.unwrap_or_else(|mistake| {
                    reader.mistakes.add(|| *mistake);
                    Node { span: start, data: Data::Broken }
                });
                each(root, std::mem::take(&mut reader.mistakes));
                if !ok {
                    broken += 1;
                    if broken >= MAX_SYNTAX_ERRORS || !reader.parser.proceed_next_document().unwrap_or(false) {
                        return;
                    }
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                let mistake = reader.syntax(&error);
                let root = Node { span: mistake.span, data: Data::Broken };
                each(root, Mistakes { kept: vec![mistake], more: 0 });
                broken += 1;
                if broken >= MAX_SYNTAX_ERRORS || !reader.parser.proceed_next_document().unwrap_or(false) {
                    return;
                }
            }
        }
    }
}

struct Reader<'s> {
    parser: Parser<'s, granit_parser::StrInput<'s>>,
    source: &'s str,
    /// What an anchor names, and how many bytes that is. `None` where there was
    /// no room for it.
    anchors: HashMap<usize, Option<(Node<'s>, usize)>>,
    mistakes: Mistakes,
    /// Bytes that anchors and aliases may still add.
    budget: usize,
    /// Where the tag of the latest event stands, if it has one.
    tag_span: Option<Span>,
    /// Where the document at hand begins, in bytes.
    begins: usize,
}

/// What a node costs in a list or, with its key, in a map.
const NODE_BYTES: usize = size_of::<Entry<'static>>();

type Read<T> = Result<T, Box<Mistake>>;

impl<'s> Reader<'s> {
    fn document(&mut self) -> Read<Node<'s>> {
        let (event, span) = self.next()?;
        let (node, _) = self.node(event, span, 0)?;
        // The end of the document, or what is wrong behind its content.
        let (_, end) = self.next()?;
        self.begins = end.end as usize;
        Ok(node)
    }

    /// The next event and its place. Where a tag is, is asked at once: the
    /// parser's own places are large, and are moved with every event.
    fn next(&mut self) -> Read<(Event<'s>, Span)> {
        match self.parser.next_event() {
            Some(Ok((event, raw))) => {
                self.tag_span = raw.tag_span().map(|tag| self.span(tag));
                let span = self.span(raw);
                Ok((event, span))
            }
            Some(Err(error)) => Err(Box::new(self.syntax(&error))),
            None => Err(Box::new(Mistake {
                code: "yaml",
                span: self.end(),
                other: None,
                message: "the document ends too early".into(),
                hint: None,
            })),
        }
    }

    /// A node and its size in bytes.
    fn node(&mut self, event: Event<'s>, span: Span, depth: usize) -> Read<(Node<'s>, usize)> {
        if depth > MAX_DEPTH {
            let message = format!("the document is nested deeper than {MAX_DEPTH} levels");
            return Err(Box::new(Mistake { code: "too-deep", span, other: None, message, hint: None }));
        }
        let (data, size, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let mut plain = style == ScalarStyle::Plain;
                if let Some(tag) = tag {
                    if tag.is_yaml_core_schema_tag("str") || tag.parts() == ("", "!") {
                        plain = false;
                    } else {
                        self.tag(span);
                    }
                }
                // A text is its own where escapes and wrapped lines were resolved.
                let size = NODE_BYTES + if matches!(text, Cow::Owned(_)) { text.len() } else { 0 };
                (Data::Scalar { text, plain }, size, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                if tag.is_some() {
                    self.tag(span);
                }
                let (items, size) = self.list(depth)?;
                (Data::List(items), size, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                if tag.is_some() {
                    self.tag(span);
                }
                let (entries, size) = self.map(depth)?;
                (Data::Map(entries), size, anchor)
            }
            Event::Alias(id) => return Ok(self.alias(id, span)),
            // Nobody who writes a pattern such as `*-STD` thinks of anchors.
            Event::UnresolvedAlias(name) => {
                self.mistakes.add(|| {
                    let (text, hint) = unquoted('*', &format!("*{name}"));
                    let message = format!("there is no anchor `{}`, and {text}", show(&name));
                    Mistake { code: "unknown-anchor", span, other: None, message, hint: Some(hint.into()) }
                });
                (Data::Broken, NODE_BYTES, 0)
            }
            _ => {
                let message = "the document has something here that is no value".into();
                return Err(Box::new(Mistake { code: "yaml", span, other: None, message, hint: None }));
            }
        };
        let node = Node { span, data };
        if anchor != 0 {
            // Anchors inside of anchors are copied once for each.
            let has_room = self.pay(size);
            self.anchors.insert(anchor, has_room.then(|| (node.clone(), size)));
            if !has_room {
                self.too_many_aliases(span);
            }
        }
        Ok((node, size))
    }

    fn list(&mut self, depth: usize) -> Read<(Vec<Node<'s>>, usize)> {
        let (mut items, mut total) = (Vec::new(), NODE_BYTES);
        loop {
            let (event, span) = self.next()?;
            if event == Event::SequenceEnd {
                return Ok((items, total));
            }
            let (node, size) = self.node(event, span, depth + 1)?;
            total += size;
            items.push(node);
        }
    }

    fn map(&mut self, depth: usize) -> Read<(Vec<Entry<'s>>, usize)> {
        let (mut entries, mut total): (Vec<Entry<'s>>, _) = (Vec::new(), NODE_BYTES);
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                self.duplicates(&mut entries);
                return Ok((entries, total));
            }
            let (key, key_size) = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let (value, size) = self.node(event, span, depth + 1)?;
            total += key_size + size;
            let (Data::Scalar { text, plain }, key_span) = (key.data, key.span) else {
                self.mistake("key", key.span, "a key is a word, not a list or a map".into(), None);
                continue;
            };
            if plain && text == "<<" {
                let hint = Some("an `AutopilotDeviceSet` has `defaults` for this");
                self.mistake("merge-key", key_span, "merge keys (`<<`) are not supported".into(), hint);
                continue;
            }
            entries.push(Entry { key: text, key_span, value });
        }
    }

    /// Reports keys that stand twice and keeps the first of each.
    fn duplicates(&mut self, entries: &mut Vec<Entry<'s>>) {
        let mut first: Vec<(usize, usize)> = Vec::new();
        if entries.len() <= 32 {
            for later in 1..entries.len() {
                if let Some(earlier) = (0..later).find(|i| entries[*i].key == entries[later].key) {
                    first.push((earlier, later));
                }
            }
        } else {
            let mut seen: HashMap<&str, usize> = HashMap::with_capacity(entries.len());
            for (later, entry) in entries.iter().enumerate() {
                match seen.get(entry.key.as_ref()) {
                    Some(earlier) => first.push((*earlier, later)),
                    None => {
                        seen.insert(&entry.key, later);
                    }
                }
            }
        }
        let glued = glued(entries, &first);
        for (earlier, later) in &first {
            let key = entries[*later].key.as_ref();
            if let Some(begins) = glued.filter(|_| ENVELOPE.contains(&key)) {
                if key == begins {
                    self.mistakes.add(|| Mistake {
                        code: "duplicate-key",
                        span: entries[*later].key_span,
                        other: None,
                        message: "a second document begins here, and no line `---` is before it".into(),
                        hint: Some("write `---` in a line of its own above it".into()),
                    });
                }
                continue;
            }
            self.mistakes.add(|| Mistake {
                code: "duplicate-key",
                span: entries[*later].key_span,
                other: Some(entries[*earlier].key_span),
                message: format!("`{}` stands twice", show(&entries[*later].key)),
                hint: Some("remove one of the two".into()),
            });
        }
        let mut later = first.iter().map(|(_, later)| *later).peekable();
        let mut at = 0;
        entries.retain(|_| {
            at += 1;
            later.next_if_eq(&(at - 1)).is_none()
        });
    }

    /// What the anchor named, at the alias's own place.
    fn alias(&mut self, id: usize, span: Span) -> (Node<'s>, usize) {
        let size = match self.anchors.get(&id) {
            Some(Some((_, size))) => *size,
            // Told where the anchor stands.
            Some(None) => return (Node { span, data: Data::Broken }, NODE_BYTES),
            None => {
                // An alias inside its own anchor: the anchor is not complete yet.
                self.mistake("alias-cycle", span, "this alias stands inside what it names".into(), None);
                return (Node { span, data: Data::Broken }, NODE_BYTES);
            }
        };
        let node = self.pay(size).then(|| self.anchors[&id].as_ref().map(|(node, _)| node.clone())).flatten();
        if let Some(node) = node {
            return (node, size);
        }
        self.too_many_aliases(span);
        (Node { span, data: Data::Broken }, NODE_BYTES)
    }

    /// Takes bytes out of the budget, if there are as many left.
    fn pay(&mut self, bytes: usize) -> bool {
        let left = self.budget.checked_sub(bytes);
        self.budget = left.unwrap_or(self.budget);
        left.is_some()
    }

    fn too_many_aliases(&mut self, span: Span) {
        let message = format!("the anchors and aliases of this file add more than {} MiB", ALIAS_BUDGET >> 20);
        self.mistake("alias-budget", span, message, Some("write the values out"));
    }

    fn tag(&mut self, span: Span) {
        let at = self.tag_span.unwrap_or(span);
        self.mistake("yaml-tag", at, "a YAML tag stands here".into(), Some("remove it; quote the value if it is text"));
    }

    fn mistake(&mut self, code: &'static str, span: Span, message: String, hint: Option<&'static str>) {
        self.mistakes.add(|| Mistake { code, span, other: None, message, hint: hint.map(Cow::Borrowed) });
    }

    fn syntax(&self, error: &granit_parser::ScanError) -> Mistake {
        let stop = self.point(error.marker());
        let stopped_at = stop.start as usize;
        let document = self.broken_document(stopped_at);
        let text = &self.source[document.clone()];
        let info = error.info();
        match meant(text, stopped_at - document.start, &info) {
            Some(Meant { at, code, message, hint }) => {
                let span = self.moved(stop, document.start + at.start..document.start + at.end);
                Mistake { code, span, other: None, message, hint: Some(hint.into()) }
            }
            None => {
                let message = format!("this is not YAML: {info}");
                Mistake { code: "yaml", span: stop, other: None, message, hint: None }
            }
        }
    }

    /// The document around a place, as far as it is near: a mistake is, and a file
    /// may be one document.
    fn broken_document(&self, at: usize) -> Range<usize> {
        let floor = |mut at: usize| {
            while !self.source.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = floor(self.begins.min(at).max(at.saturating_sub(NEAR)));
        let near = floor((at + NEAR).min(self.source.len()));
        // From a line's begin on, so that columns count.
        let line = self.source[start..at].find('\n').filter(|_| start > self.begins).map_or(start, |at| start + at + 1);
        let end = self.source[at..near].find("\n---").map_or(near, |end| at + end + 1);
        line..end
    }

    /// The place of other bytes, near to a place that is known.
    fn moved(&self, known: Span, bytes: Range<usize>) -> Span {
        let (known_at, text) = (known.start as usize, self.source);
        let lines = |from: usize, to: usize| to_u32(text[from..to].matches('\n').count());
        let line = match bytes.start >= known_at {
            true => known.line + lines(known_at, bytes.start),
            false => known.line - lines(bytes.start, known_at),
        };
        let line_start = text[..bytes.start].rfind('\n').map_or(0, |at| at + 1);
        let column = to_u32(text[line_start..bytes.start].chars().count() + 1);
        Span { start: to_u32(bytes.start), end: to_u32(bytes.end), line, column }
    }

    fn end(&self) -> Span {
        let line = self.source.bytes().filter(|b| *b == b'\n').count() + 1;
        let start = to_u32(self.source.len());
        Span { start, end: start, line: to_u32(line), column: 1 }
    }

    fn point(&self, marker: &Marker) -> Span {
        let start = to_u32(marker.byte_offset().unwrap_or(0).min(self.source.len()));
        Span { start, end: start, line: to_u32(marker.line()), column: to_u32(marker.col() + 1) }
    }

    fn span(&self, raw: RawSpan) -> Span {
        let start = self.point(&raw.start);
        let end = raw.end.byte_offset().map_or(start.start, |end| to_u32(end.min(self.source.len())));
        Span { end: end.max(start.start), ..start }
    }
}

/// Files are refused long before this could lose anything.
fn to_u32(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

//! What is wrong, where, and what to do; and how a source line is shown
//! without showing a hash.
//!
//! A problem carries the one line it speaks about, already masked, so that
//! whoever draws it needs no file and cannot print a secret.

use std::ops::Range;
use std::sync::Arc;

use super::tree::Span;
pub use crate::desired::Severity;
use crate::hash::looks_like_hash;

/// Stands where a hash or another long secret was.
const HIDDEN: &str = "‹hidden›";

/// Lines longer than this are cut around the place: one line may be a file.
const EXCERPT_MAX: usize = 400;

/// A place in a file. Line and column count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// As a person at the working directory would write it, with `/`.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A place with the line that stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// Where it is.
    pub place: Place,
    /// Missing for a place that is not in a text, such as a folder.
    pub excerpt: Option<Excerpt>,
}

/// A source line without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// Without its end.
    pub line: String,
    /// The bytes of `line` that the problem is about. Never empty unless the
    /// line is.
    pub range: Range<usize>,
    /// True if the line was cut: columns no longer follow from it.
    pub cut: bool,
}

/// One problem, at one place or at several that contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// A stable short name, such as `duplicate-serial`.
    pub code: &'static str,
    /// A sentence for people; repeats no hash and no user.
    pub message: String,
    /// Never empty; the first is the one to go to.
    pub places: Vec<Spot>,
    /// What they can do.
    pub hint: Option<String>,
}

impl Problem {
    pub(super) fn error(code: &'static str, message: impl Into<String>, spot: Spot) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), places: vec![spot], hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn hint_opt(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into);
        self
    }
}

/// A file's text, with the parts of it that nobody may see.
pub(super) struct Source<'s> {
    pub name: Arc<str>,
    pub text: &'s str,
    /// Sorted byte ranges of hashes.
    secrets: Vec<Range<usize>>,
}

impl<'s> Source<'s> {
    pub(super) fn new(name: Arc<str>, text: &'s str) -> Self {
        Self { name, text, secrets: raw_hashes(text) }
    }

    /// Hashes that stand in the text in one piece.
    pub(super) fn secrets(&self) -> &[Range<usize>] {
        &self.secrets
    }

    /// A hash that only shows when lines are joined or escapes resolved.
    pub(super) fn add_secret(&mut self, span: Span) {
        self.secrets.push(span.start as usize..span.end as usize);
        self.secrets.sort_by_key(|range| range.start);
    }

    pub(super) fn spot(&self, span: Span) -> Spot {
        Spot {
            place: Place { file: self.name.clone(), line: span.line.max(1), column: span.column.max(1) },
            excerpt: Some(self.excerpt(span.start as usize..span.end as usize)),
        }
    }

    /// The place of a byte.
    pub(super) fn span_at(&self, range: Range<usize>) -> Span {
        let before = &self.text[..range.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let small = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Span {
            start: small(range.start),
            end: small(range.end),
            line: small(before.bytes().filter(|b| *b == b'\n').count() + 1),
            column: small(before[line_start..].chars().count() + 1),
        }
    }

    /// The place of a column of a line, up to the end of the word there: for
    /// places that were kept without a length.
    pub(super) fn word_at(&self, line: u32, column: u32) -> Span {
        let start_of_line =
            self.text.split_inclusive('\n').take(line.saturating_sub(1) as usize).map(str::len).sum::<usize>();
        let rest = self.text.get(start_of_line..).unwrap_or_default();
        let rest = rest.split(['\n', '\r']).next().unwrap_or_default();
        let offset: usize = rest.chars().take(column.saturating_sub(1) as usize).map(char::len_utf8).sum();
        let word = &rest[offset..];
        let length = match word.chars().next() {
            Some(quote @ ('"' | '\'')) => word[1..].find(quote).map_or(word.len(), |at| at + 2),
            _ => word.find([' ', ',', '}', ']', '\t']).unwrap_or(word.len()),
        };
        let start = start_of_line + offset;
        let small = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Span { start: small(start), end: small(start + length), line, column }
    }

    fn excerpt(&self, span: Range<usize>) -> Excerpt {
        let start = floor(self.text, span.start.min(self.text.len()));
        let line_start = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let line = self.text[line_start..line_end].trim_end_matches('\r');
        let from = (start - line_start).min(line.len());
        let to = floor(line, span.end.saturating_sub(line_start).clamp(from, line.len()));
        let in_line = |range: &Range<usize>| {
            let start = range.start.clamp(line_start, line_start + line.len()) - line_start;
            let end = range.end.clamp(line_start, line_start + line.len()) - line_start;
            floor(line, start)..floor(line, end)
        };
        let mut secret: Vec<_> = self.secrets.iter().map(in_line).filter(|range| !range.is_empty()).collect();
        secret.extend(long_runs(line));
        let (line, range) = mask(line, from..to, secret);
        cut(&line, range)
    }
}

/// Replaces `secrets` and moves `range` along.
fn mask(line: &str, range: Range<usize>, mut secrets: Vec<Range<usize>>) -> (String, Range<usize>) {
    secrets.sort_by_key(|range| range.start);
    let (mut out, mut at) = (String::with_capacity(line.len()), 0);
    let (mut start, mut end) = (None, None);
    for secret in secrets {
        if secret.end <= at {
            continue;
        }
        let begin = secret.start.max(at);
        let before = out.len();
        out.push_str(&line[at..begin]);
        let hidden = out.len();
        if secret.start >= at {
            out.push_str(HIDDEN);
        }
        for (position, place, inside) in [(range.start, &mut start, hidden), (range.end, &mut end, out.len())] {
            if place.is_none() && position < secret.end {
                *place = Some(if position <= begin { before + position.saturating_sub(at) } else { inside });
            }
        }
        at = secret.end;
    }
    let rest = out.len();
    out.push_str(&line[at..]);
    let start = start.unwrap_or_else(|| rest + range.start.saturating_sub(at));
    let end = end.unwrap_or_else(|| rest + range.end.saturating_sub(at));
    let end = end.max(start);
    (out, start..end)
}

fn cut(line: &str, range: Range<usize>) -> Excerpt {
    // A caret needs a character to stand under.
    let widen = |line: &str, range: Range<usize>| {
        let next = line[range.start..].chars().next().map_or(0, char::len_utf8);
        range.start..range.end.max(range.start + next)
    };
    if line.len() <= EXCERPT_MAX {
        return Excerpt { line: line.to_owned(), range: widen(line, range), cut: false };
    }
    let from = floor(line, range.start.saturating_sub(EXCERPT_MAX / 4));
    let to = floor(line, (from + EXCERPT_MAX).min(line.len()));
    let before = if from > 0 { "…" } else { "" };
    let after = if to < line.len() { "…" } else { "" };
    let text = format!("{before}{}{after}", &line[from..to]);
    let shift = |position: usize| position.min(to) - from + before.len();
    let range = widen(&text, shift(range.start)..shift(range.end));
    Excerpt { line: text, range, cut: true }
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A word of the file, fit to stand in a message: short, one line, no hash.
pub(super) fn show(text: &str) -> String {
    const MAX: usize = 60;
    let (masked, _) = mask(text, 0..0, long_runs(text).collect());
    let mut out: String = masked.chars().take(MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if masked.chars().nth(MAX).is_some() {
        out.push('…');
    }
    out
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Runs of base64 characters that may be a hash or a piece of one: long ones,
/// and shorter ones that start as a hash does. A SHA-256 in hex may be seen.
fn long_runs(line: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    runs(line).filter(|run| {
        let text = &line[run.clone()];
        let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
        (run.len() >= 64 && !hex) || (run.len() >= 24 && hash_start(text).is_some())
    })
}

fn runs(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && !is_base64(bytes[at]) {
            at += 1;
        }
        let start = at;
        while at < bytes.len() && is_base64(bytes[at]) {
            at += 1;
        }
        (start < at).then_some(start..at)
    })
}

/// Where a run begins to look like a hash: `T0E` to `T0H`, the container's
/// magic in base64 (`hardware-hash.md` 1).
fn hash_start(run: &str) -> Option<usize> {
    run.as_bytes().windows(3).position(|w| w[0] == b'T' && w[1] == b'0' && matches!(w[2], b'E'..=b'H'))
}

/// The shortest text that is taken for a hash when it does not start as all
/// known ones do.
const HASH_MIN: usize = 200;

/// True for the text of a scalar that holds a hash, wrapped or not.
pub(super) fn is_raw_hash(text: &str) -> bool {
    if looks_like_hash(text) {
        return true;
    }
    if text.len() >= HASH_MIN && text.bytes().any(|b| b.is_ascii_whitespace()) {
        let joined: String = text.split_ascii_whitespace().collect();
        return !raw_hashes(&joined).is_empty();
    }
    false
}

/// Hashes that stand in a text in one piece.
fn raw_hashes(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    // Looking for the magic first: it is rare, long runs of letters are not.
    for (at, _) in text.match_indices("T0") {
        if found.last().is_some_and(|last| at < last.end) {
            continue;
        }
        let bytes = text.as_bytes();
        if !matches!(bytes.get(at + 2), Some(b'E'..=b'H')) {
            continue;
        }
        let end = at + bytes[at..].iter().take_while(|b| is_base64(**b)).count();
        if end - at >= HASH_MIN || looks_like_hash(&text[at..end]) {
            let start = at - bytes[..at].iter().rev().take_while(|b| is_base64(**b)).count();
            found.push(start..end);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> String {
        format!("T0EwCQAc{}", "AAbc0123".repeat(40))
    }

    fn spot(text: &str, part: &str) -> Excerpt {
        let source = Source::new("a.yaml".into(), text);
        let start = text.find(part).unwrap();
        source.spot(source.span_at(start..start + part.len())).excerpt.unwrap()
    }

    #[test]
    fn a_line_with_a_hash_is_shown_without_it() {
        let text = format!("a: 1\nhash: {} # note\n", hash());
        let excerpt = spot(&text, "# note");
        assert_eq!(excerpt.line, "hash: ‹hidden› # note");
        assert_eq!(&excerpt.line[excerpt.range], "# note");
    }

    #[test]
    fn carets_stand_under_the_mask_when_the_hash_is_meant() {
        let text = format!("hash: \"{}\"", hash());
        let excerpt = spot(&text, &hash());
        assert_eq!(&excerpt.line[excerpt.range], HIDDEN);
        let excerpt = spot(&text, "hash");
        assert_eq!(&excerpt.line[excerpt.range], "hash");
    }

    #[test]
    fn a_very_long_line_is_cut_around_the_place() {
        let text = format!("{}needle{}", "é ".repeat(600), " x".repeat(600));
        let excerpt = spot(&text, "needle");
        assert!(excerpt.cut && excerpt.line.len() < 500);
        assert_eq!(&excerpt.line[excerpt.range], "needle");
    }

    #[test]
    fn wrapped_hashes_are_known_as_text() {
        let wrapped: Vec<String> =
            hash().as_bytes().chunks(60).map(|c| String::from_utf8(c.to_vec()).unwrap()).collect();
        assert!(is_raw_hash(&wrapped.join("\n")));
        assert!(!is_raw_hash(&"lorem ipsum ".repeat(40)));
    }

    #[test]
    fn words_of_messages_are_short_and_hold_no_hash() {
        assert_eq!(show(&hash()), HIDDEN);
        assert!(show(&"x ".repeat(100)).chars().count() <= 61);
    }
}

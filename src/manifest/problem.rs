//! What is wrong, where, and what to do; and how a source line is shown
//! without showing a hash.
//!
//! A problem carries the one line it speaks about, already masked, so that
//! whoever draws it needs no file and cannot print a secret.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use super::secret;
use super::tree::Span;
pub use crate::desired::Severity;
use crate::hash::{has_mark, is_raw_hash, is_surely_piece, pieces, raw_hashes, rest_of, runs};

/// Stands where a hash or another long secret was.
pub(super) const HIDDEN: &str = "‹hidden›";

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
    /// How many it stands for: itself, or all that is not shown of a file.
    pub count: usize,
}

/// So many problems of a file are shown; of the rest, people are told how many
/// there are. Who has this many to correct runs again anyway.
const SHOWN: usize = 200;

impl Problem {
    pub(super) fn error(code: &'static str, message: impl Into<String>, spot: Spot) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), places: vec![spot], hint: None, count: 1 }
    }

    pub(super) fn warning(code: &'static str, message: impl Into<String>, spot: Spot) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message, spot) }
    }

    /// Stands for those of a file that are not shown.
    fn rest(severity: Severity, count: usize, place: Place) -> Self {
        let what = match (severity, count) {
            (Severity::Error, 1) => "error",
            (Severity::Error, _) => "errors",
            (Severity::Warning, 1) => "warning",
            (Severity::Warning, _) => "warnings",
        };
        let message = format!("{count} more {what} of this file are not shown");
        let (places, hint) = (vec![Spot { place, excerpt: None }], Some("correct these, then run again".to_owned()));
        Self { severity, code: MORE, message, places, hint, count }
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

/// The code of what stands for the rest.
const MORE: &str = "more-problems";

/// Problems of one file as they are found. What is beyond those that are shown
/// costs nothing but a count: a small file can have millions. All in it are errors,
/// or all are warnings.
#[derive(Default)]
pub(super) struct Sink {
    found: Vec<Problem>,
    more: usize,
}

impl Sink {
    /// Takes a problem, which is made only if it is shown.
    pub(super) fn add(&mut self, problem: impl FnOnce() -> Problem) {
        if self.is_full() { self.more += 1 } else { self.found.push(problem()) }
    }

    /// True if a further problem is only counted.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= SHOWN
    }

    /// Counts problems that nobody made.
    pub(super) fn skip(&mut self, count: usize) {
        self.more += count;
    }

    pub(super) fn append(&mut self, other: Self) {
        self.more += other.more;
        other.found.into_iter().for_each(|problem| self.add(|| problem));
    }

    pub(super) fn into_vec(self, severity: Severity) -> Vec<Problem> {
        let Self { mut found, more } = self;
        let place = found.last().and_then(|last| last.places.first()).map(|spot| spot.place.clone());
        found.extend(place.filter(|_| more > 0).map(|place| Problem::rest(severity, more, place)));
        found
    }
}

/// How many of a file are shown; and how many more there are, with the place of
/// the first.
#[derive(Default)]
struct Tally {
    shown: usize,
    errors: Option<(usize, Place)>,
    warnings: Option<(usize, Place)>,
}

/// Which of many are shown, by the file and the severity of each, errors first;
/// and what stands for the rest.
pub(super) fn shown(all: impl Iterator<Item = (Severity, Place)> + Clone) -> (Vec<usize>, Vec<Problem>) {
    let mut files: HashMap<Arc<str>, Tally> = HashMap::new();
    let mut kept = Vec::new();
    for wanted in [Severity::Error, Severity::Warning] {
        for (at, (_, place)) in all.clone().enumerate().filter(|(_, (severity, _))| *severity == wanted) {
            let tally = files.entry(Arc::clone(&place.file)).or_default();
            if tally.shown < SHOWN {
                tally.shown += 1;
                kept.push(at);
            } else {
                let rest = if wanted == Severity::Error { &mut tally.errors } else { &mut tally.warnings };
                rest.get_or_insert((0, place)).0 += 1;
            }
        }
    }
    kept.sort_unstable();
    let rest = |(severity, rest): (_, Option<_>)| rest.map(|(count, place)| Problem::rest(severity, count, place));
    let rests = files.into_values().flat_map(|Tally { errors, warnings, .. }| {
        [(Severity::Error, errors), (Severity::Warning, warnings)].into_iter().filter_map(rest)
    });
    (kept, rests.collect())
}

/// The problems that are shown, sorted by place, then by what is wrong: the
/// same in every run.
pub(super) fn limited(problems: Vec<Problem>) -> Vec<Problem> {
    let (rests, mut problems): (Vec<_>, Vec<_>) = problems.into_iter().partition(|problem| problem.code == MORE);
    sort(&mut problems);
    let first = |problem: &Problem| problem.places.first().map(|spot| spot.place.clone());
    let placed = problems.iter().filter_map(|problem| Some((problem.severity, first(problem)?)));
    let (kept, more) = shown(placed);
    let mut kept = kept.into_iter().peekable();
    let mut at = 0;
    problems.retain(|_| {
        at += 1;
        kept.next_if_eq(&(at - 1)).is_some()
    });
    // Several countings of one file are told as one.
    let mut counts: BTreeMap<(Arc<str>, Severity), (usize, Place)> = BTreeMap::new();
    for rest in more.into_iter().chain(rests) {
        let Some(place) = first(&rest) else { continue };
        let (count, last) = counts.entry((Arc::clone(&place.file), rest.severity)).or_insert((0, place.clone()));
        *count += rest.count;
        if *last < place {
            *last = place;
        }
    }
    problems.extend(counts.into_iter().map(|((_, severity), (count, place))| Problem::rest(severity, count, place)));
    sort(&mut problems);
    problems
}

fn sort(problems: &mut [Problem]) {
    problems.sort_by(|a, b| {
        let key = |problem: &Problem| problem.places.first().map(|spot| spot.place.clone());
        (key(a), a.code == MORE, a.code, &a.message).cmp(&(key(b), b.code == MORE, b.code, &b.message))
    });
}

/// A file's text, with the parts of it that nobody may see.
pub(super) struct Source<'s> {
    pub name: Arc<str>,
    pub text: &'s str,
    /// Byte ranges of hashes, sorted and apart.
    secrets: Vec<Range<usize>>,
    /// The same of what stands behind the names of secrets.
    named: Vec<Range<usize>>,
    /// Scalars that hold one only when lines are joined or escapes resolved: where
    /// each begins and ends.
    scalars: BTreeMap<usize, usize>,
    /// Where each line begins, once somebody asks.
    lines: OnceCell<Vec<usize>>,
}

/// So much of a line on both sides of a place is looked at: one line may be the
/// whole file.
const WINDOW: usize = 4096;

impl<'s> Source<'s> {
    pub(super) fn new(name: Arc<str>, text: &'s str) -> Self {
        let (secrets, scalars, lines) = (raw_hashes(text), BTreeMap::new(), OnceCell::new());
        Self { name, text, secrets, named: secret::values(text), scalars, lines }
    }

    /// Hashes that stand in the text, wrapped or in one piece.
    pub(super) fn secrets(&self) -> &[Range<usize>] {
        &self.secrets
    }

    /// A secret that is known by its place; or a hash that only shows when lines are joined or escapes resolved.
    pub(super) fn add_secret(&mut self, span: Span) {
        self.scalars.insert(span.start as usize, span.end as usize);
    }

    /// True if a scalar that was added has a part of this range.
    pub(super) fn is_in_scalar(&self, range: &Range<usize>) -> bool {
        self.scalars.range(..range.end).next_back().is_some_and(|(_, end)| *end > range.start)
    }

    /// The parts of a range that nobody may see.
    fn hidden(&self, range: &Range<usize>) -> Vec<Range<usize>> {
        let of = |all: &[Range<usize>]| {
            let first = all.partition_point(|secret| secret.end <= range.start);
            all[first..].iter().take_while(|secret| secret.start < range.end).cloned().collect::<Vec<_>>()
        };
        let secrets = of(&self.secrets).into_iter().chain(of(&self.named));
        let scalars = self.scalars.range(..range.end).rev().take_while(|(_, end)| **end > range.start);
        secrets.chain(scalars.map(|(start, end)| *start..*end)).collect()
    }

    pub(super) fn spot(&self, span: Span) -> Spot {
        Spot {
            place: Place { file: self.name.clone(), line: span.line.max(1), column: span.column.max(1) },
            excerpt: Some(self.excerpt(span.start as usize..span.end as usize)),
        }
    }

    fn lines(&self) -> &[usize] {
        self.lines.get_or_init(|| {
            let ends = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect()
        })
    }

    /// The place of a byte.
    pub(super) fn span_at(&self, range: Range<usize>) -> Span {
        let line = self.lines().partition_point(|start| *start <= range.start);
        let line_start = self.lines()[line - 1];
        let small = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        Span {
            start: small(range.start),
            end: small(range.end),
            line: small(line),
            column: small(self.text[line_start..range.start].chars().count() + 1),
        }
    }

    /// The line around a place, as far as it is near.
    pub(super) fn line_of(&self, place: Range<usize>) -> Range<usize> {
        let near = floor(self.text, place.start.saturating_sub(WINDOW))
            ..floor(self.text, (place.end + WINDOW).min(self.text.len()));
        let start = self.text[near.start..place.start].rfind('\n').map_or(near.start, |at| near.start + at + 1);
        let end = self.text[place.end..near.end].find(['\n', '\r']).map_or(near.end, |at| place.end + at);
        start..end
    }

    /// The place of a column of a line, up to the end of the word there: for
    /// places that were kept without a length.
    pub(super) fn word_at(&self, line: u32, column: u32) -> Span {
        let start_of_line = self.lines().get(line.saturating_sub(1) as usize).copied().unwrap_or(self.text.len());
        let rest = &self.text[start_of_line..];
        let rest = &rest[..rest.find(['\n', '\r']).unwrap_or(rest.len())];
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
        let window_start = floor(self.text, start.saturating_sub(WINDOW));
        let window_end = floor(self.text, (start + WINDOW).min(self.text.len()));
        let begins = self.text[window_start..start].rfind('\n');
        let ends = self.text[start..window_end].find('\n');
        let line_start = begins.map_or(window_start, |at| window_start + at + 1);
        let line_end = ends.map_or(window_end, |at| start + at);
        let is_part = [begins.is_none() && window_start > 0, ends.is_none() && window_end < self.text.len()];
        let line = self.text[line_start..line_end].trim_end_matches('\r');
        let from = (start - line_start).min(line.len());
        let to = floor(line, span.end.saturating_sub(line_start).clamp(from, line.len()));
        let in_line = |range: Range<usize>| {
            let start = range.start.clamp(line_start, line_start + line.len()) - line_start;
            let end = range.end.clamp(line_start, line_start + line.len()) - line_start;
            floor(line, start)..floor(line, end)
        };
        let hidden = self.hidden(&(line_start..line_end)).into_iter();
        let mut secret: Vec<_> = hidden.map(in_line).filter(|range| !range.is_empty()).collect();
        secret.extend(pieces(line));
        let (line, range) = mask(line, from..to, rest_of(line, &secret));
        cut(&line, range, is_part)
    }
}

/// Replaces what is secret to the end of a line, and moves `range` along.
fn mask(line: &str, range: Range<usize>, secret: Option<Range<usize>>) -> (String, Range<usize>) {
    let Some(secret) = secret else { return (line.to_owned(), range) };
    let masked = format!("{}{HIDDEN}", &line[..secret.start]);
    let end = if range.end > secret.start { masked.len() } else { range.end };
    (masked, range.start.min(secret.start)..end)
}

/// `is_part` says on which sides the line goes on.
fn cut(line: &str, range: Range<usize>, is_part: [bool; 2]) -> Excerpt {
    // A caret needs a character to stand under.
    let widen = |line: &str, range: Range<usize>| {
        let next = line[range.start..].chars().next().map_or(0, char::len_utf8);
        range.start..range.end.max(range.start + next)
    };
    if line.len() <= EXCERPT_MAX && is_part == [false; 2] {
        return Excerpt { line: line.to_owned(), range: widen(line, range), cut: false };
    }
    let from = floor(line, range.start.saturating_sub(EXCERPT_MAX / 4));
    let to = floor(line, (from + EXCERPT_MAX).min(line.len()));
    let before = if from > 0 || is_part[0] { "…" } else { "" };
    let after = if to < line.len() || is_part[1] { "…" } else { "" };
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

/// A word of the file, fit to stand in a message: short, and no hash. What nobody
/// sees in it is written out by whoever draws it.
pub(super) fn show(text: &str) -> String {
    const MAX: usize = 60;
    let start = &text[..floor(text, text.len().min(WINDOW))];
    let (masked, _) = mask(start, 0..0, rest_of(start, &pieces(start).collect::<Vec<_>>()));
    let mut out: String = masked.chars().take(MAX).collect();
    if masked.chars().nth(MAX).is_some() || start.len() < text.len() {
        out.push('…');
    }
    out
}

/// A path as somebody has typed it. A long name is no hash if it has the ending of
/// a file, its words are short, and nothing in it is surely a piece of one.
pub(super) fn show_path(path: &str) -> String {
    const MAX: usize = 160;
    let (stem, ending) = path.rsplit_once('.').unwrap_or_default();
    let is_ending = (1..=5).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_name = is_ending && !stem.is_empty() && path.chars().count() <= MAX && !is_raw_hash(path);
    let is_short = |word: &str| word.len() < 24 && !word.contains(['+', '=']);
    let has_words = path.split(['/', '.', '-', '_', ' ']).all(is_short);
    match is_name && has_words && !has_mark(path) && !runs(path).any(|run| is_surely_piece(&path[run])) {
        true => path.to_owned(),
        false => show(path),
    }
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
    fn a_line_with_a_hash_is_shown_up_to_it() {
        let text = format!("a: 1\nhash: {} # note\n", hash());
        let excerpt = spot(&text, "# note");
        assert_eq!(excerpt.line, "hash: ‹hidden›");
        assert_eq!(&excerpt.line[excerpt.range], HIDDEN);
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

    fn wrapped(width: usize, before: &str) -> String {
        let hash = format!("T0EwCQEAHAAAHAAA{}", "AAbc-_x9".repeat(40));
        let pieces = hash.as_bytes().chunks(width).map(|piece| String::from_utf8_lossy(piece));
        pieces.flat_map(|piece| [before.to_owned(), piece.into_owned(), "\n".to_owned()]).collect()
    }

    #[test]
    fn no_line_of_a_wrapped_hash_is_shown() {
        for (width, before) in [(76, "# "), (20, "  - \""), (8, "    "), (4, "# ")] {
            let text = format!("a: 1\n{}groupTag: X # note\n", wrapped(width, before));
            for (at, line) in text.lines().enumerate() {
                let source = Source::new("a.yaml".into(), &text);
                let line_number = u32::try_from(at).unwrap() + 1;
                let shown = source.spot(source.word_at(line_number, 1)).excerpt.unwrap().line;
                let is_ours = line.starts_with("a:") || line.starts_with("groupTag");
                assert_eq!(is_ours, shown == line, "{width}: {line} as {shown}");
                assert!(is_ours || !shown.contains("AAbc"), "{shown}");
            }
        }
    }

    #[test]
    fn a_piece_of_a_hash_is_hidden_though_it_has_other_characters_than_letters() {
        let excerpt = spot("groupTag: w3Ex+msQbmN8lZ3KKdZR3sYgjAvq/vASqoW6PQPFhx # note", "# note");
        assert_eq!(excerpt.line, "groupTag: ‹hidden›");
    }

    #[test]
    fn words_of_messages_are_short_and_hold_no_hash() {
        assert_eq!(show(&hash()), HIDDEN);
        assert!(show(&"x ".repeat(100)).chars().count() <= 61);
    }
}

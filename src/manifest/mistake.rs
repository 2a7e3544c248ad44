//! What somebody meant whose text is not YAML: the few mistakes that everybody
//! makes, in our words. A parser stops where the text makes no sense to it any
//! more, which is often not where the mistake is.

use std::ops::Range;

use super::problem::show;
use super::secret;

/// A mistake, where it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meant {
    /// Bytes of the text that was looked at.
    pub at: Range<usize>,
    pub code: &'static str,
    pub message: String,
    pub hint: String,
}

impl Meant {
    fn new(at: Range<usize>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { at, code: "yaml", message: message.into(), hint: hint.into() }
    }

    fn dash(line: &Line<'_>, write: &str) -> Self {
        let at = line.whole().start;
        let (message, hint) = said_of_dash(write);
        Self::new(at..at + 1, message, hint)
    }

    fn foreign(line: &Line<'_>, blank: Range<usize>) -> Self {
        let (message, hint) = said_of_blank(line.text, &blank);
        Self::new(line.start + blank.start..line.start + blank.end, message, hint)
    }
}

/// Looks at a document that a parser gave up at byte `at`, for the reason `info`.
pub(super) fn meant(text: &str, at: usize, info: &str) -> Option<Meant> {
    let page = Page::new(text, at);
    page.meant(info).map(|meant| page.without_secrets(meant))
}

/// A text by lines, and the place where the parser stopped.
struct Page<'t> {
    text: &'t str,
    lines: Vec<Line<'t>>,
    at: usize,
    /// The line of it.
    stop: usize,
}

#[derive(Clone, Copy)]
struct Line<'t> {
    start: usize,
    text: &'t str,
}

impl<'t> Line<'t> {
    /// Blanks and tabs before everything else.
    fn indent(&self) -> &'t str {
        &self.text[..self.text.len() - self.text.trim_start_matches([' ', '\t']).len()]
    }

    fn content(&self) -> &'t str {
        self.text.trim_matches([' ', '\t'])
    }

    fn says_something(&self) -> bool {
        !self.content().is_empty() && !self.content().starts_with('#')
    }

    fn whole(&self) -> Range<usize> {
        let start = self.start + self.indent().len();
        start..start + self.content().len()
    }
}

/// Where a line's part begins, and the word there: `-` for an entry of a list.
struct Level<'t> {
    column: usize,
    word: &'t str,
}

impl<'t> Page<'t> {
    fn new(text: &'t str, at: usize) -> Self {
        let mut start = 0;
        let line = |whole: &'t str| {
            let line = Line { start, text: whole.trim_end_matches(['\n', '\r']) };
            start += whole.len();
            line
        };
        let lines: Vec<_> = text.split_inclusive('\n').map(line).collect();
        let stop = lines.partition_point(|line| line.start <= at).saturating_sub(1);
        Self { text, lines, at, stop }
    }

    fn meant(&self, info: &str) -> Option<Meant> {
        self.conflict()
            .or_else(|| self.foreign_blank())
            .or_else(|| self.tab(info))
            .or_else(|| self.escape(info))
            .or_else(|| self.second_colon(info))
            .or_else(|| self.dash(info))
            .or_else(|| self.glued(info))
            .or_else(|| self.first_dash(info))
            .or_else(|| self.indentation(info))
            .or_else(|| self.unclosed(info))
            .or_else(|| self.reserved(info))
    }

    /// Advice repeats a line, and there may be a secret in it.
    fn without_secrets(&self, meant: Meant) -> Meant {
        let line = self.lines.iter().rev().find(|line| line.start <= meant.at.start).map_or("", |line| line.text);
        let (message, hint) = (secret::without(meant.message, line), secret::without(meant.hint, line));
        Meant { message, hint, ..meant }
    }

    fn line(&self) -> Option<&Line<'t>> {
        self.lines.get(self.stop)
    }

    /// The line above that says something.
    fn above(&self, line: usize) -> Option<usize> {
        (0..line).rev().find(|line| self.lines[*line].says_something())
    }

    fn conflict(&self) -> Option<Meant> {
        let is_marker = |line: &&Line<'_>| {
            ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|marker| {
                line.text.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            })
        };
        let line = self.lines.iter().find(is_marker)?;
        let hint = "decide for one side, and delete the lines with `<<<<<<<`, `=======` and `>>>>>>>`";
        Some(Meant { code: "merge-conflict", ..Meant::new(line.whole(), "a merge conflict is left open here", hint) })
    }

    /// In the line of the stop or one that it may belong to.
    fn foreign_blank(&self) -> Option<Meant> {
        let mut line = Some(self.stop);
        for _ in 0..NEAR_LINES {
            let here = &self.lines[line?];
            if let Some(blank) = foreign_blank(here.text) {
                return Some(Meant::foreign(here, blank));
            }
            line = self.above(line?);
        }
        None
    }

    fn tab(&self, info: &str) -> Option<Meant> {
        let is_told = info.contains("tab");
        let stops_here = self.line()?.indent().contains('\t');
        if !is_told && !stops_here {
            return None;
        }
        // A text may go on in the next line, and then it is told where it began.
        let indented =
            self.lines[self.stop..].iter().find(|line| line.indent().contains('\t') && line.says_something());
        let at = match indented {
            Some(line) => line.start + line.text.find('\t')?,
            None => self.at + self.text.get(self.at..)?.find('\t')?,
        };
        let hint = "YAML is indented with blanks, never with tabs";
        Some(Meant::new(at..at + 1, "a tab stands where only blanks may be", hint))
    }

    fn escape(&self, info: &str) -> Option<Meant> {
        if !info.contains("escape") && !info.contains("hex") {
            return None;
        }
        let rest = self.text.get(self.at..)?;
        let mut chars = rest.char_indices().skip_while(|(_, c)| *c != '"').skip(1);
        while let Some((at, c)) = chars.next() {
            if c != '\\' {
                continue;
            }
            let (_, escaped) = chars.next()?;
            let digits = match escaped {
                'x' => 2,
                'u' => 4,
                'U' => 8,
                _ if "0abt\tnvfre \"/\\N_LP\n\r".contains(escaped) => 0,
                _ => usize::MAX,
            };
            let follows = rest[at + 1 + escaped.len_utf8()..].chars().take_while(char::is_ascii_hexdigit);
            if digits == usize::MAX || follows.take(digits).count() < digits {
                let at = self.at + at;
                let message =
                    format!("in double quotes a backslash is special, and `\\{}` means nothing", show_char(escaped));
                let hint = "write paths with `/`; where a backslash is meant, use single quotes: `'a\\b'`";
                return Some(Meant::new(at..at + 1 + escaped.len_utf8(), message, hint));
            }
        }
        None
    }

    /// `groupTag: a: b`.
    fn second_colon(&self, info: &str) -> Option<Meant> {
        let line = self.line().filter(|_| info.contains("mapping values"))?;
        let before = line.text.get(..self.at.checked_sub(line.start)?)?;
        let (key, _) = before.split_once(": ")?;
        let value = line.text[key.len() + 1..].trim();
        let hint = format!("put the value into quotes: `{}: \"{}\"`", show(key.trim_start()), show(value));
        Some(Meant::new(self.at..self.at + 1, "there is a second `:` in this line", hint))
    }

    /// `serialNumber:A1`, in this line or in one that this one seems to go on.
    fn glued(&self, info: &str) -> Option<Meant> {
        if !info.contains("mapping values") && !info.contains("simple key") {
            return None;
        }
        let mut line = Some(self.stop);
        for _ in 0..NEAR_LINES {
            let here = &self.lines[line?];
            let content = here.content().trim_start_matches(['-', ' ', '{', '[']);
            if let Some((key, value)) = without_blank(content) {
                let start = here.start + here.text.find(content)?;
                let message = format!("a blank is missing after `{}:`", show(key));
                let hint = format!("write `{}: {}`", show(key), show(value));
                return Some(Meant::new(start..start + key.len() + 1, message, hint));
            }
            line = self.above(line?);
        }
        let here = self.line().filter(|line| info.contains("simple key") && !line.content().contains(':'))?;
        Some(Meant::new(here.whole(), "this line has no `:`", "a field is written `name: value`"))
    }

    /// `-serialNumber: A1`, in the line of the stop or in the one above.
    fn dash(&self, info: &str) -> Option<Meant> {
        if ["mapping values", "expected key", "'-' indicator", "block", "simple key"]
            .iter()
            .all(|it| !info.contains(it))
        {
            return None;
        }
        let near = [Some(self.stop), self.above(self.stop)].into_iter().flatten();
        near.map(|line| &self.lines[line]).find_map(|line| dash(line.content()).map(|write| Meant::dash(line, &write)))
    }

    /// A list whose first entry has no dash: the second has one, and a parser
    /// stops there.
    fn first_dash(&self, info: &str) -> Option<Meant> {
        let line = self.line().filter(|line| line.content().starts_with("- "))?;
        if !info.contains("expected key") && !info.contains("'-' indicator") && !info.contains("block") {
            return None;
        }
        let column = line.indent().len();
        let says = |at: &usize| self.lines[*at].says_something();
        let parent = (0..self.stop).rev().filter(says).find(|at| self.lines[*at].indent().len() < column)?;
        let first = self.lines[(parent + 1..self.stop).find(says)?];
        let (field, rest) = self.lines[parent].content().trim_start_matches("- ").split_once(':')?;
        if !rest.trim_start().is_empty() && !rest.trim_start().starts_with('#') || first.content().starts_with('-') {
            return None;
        }
        let message = format!("the first entry of `{}` has no `- `", show(field));
        let hint = format!("write `- {}`, and indent what belongs to it as far", show(first.content()));
        Some(Meant::new(first.whole(), message, hint))
    }

    fn indentation(&self, info: &str) -> Option<Meant> {
        let (line, above) = (self.line()?, self.above(self.stop)?);
        let column = line.indent().len();
        let at = line.whole();
        if info.contains("mapping values") {
            let above = self.lines[above];
            let (key, value) = above.content().trim_start_matches("- ").split_once(": ")?;
            if column <= above.indent().len() || value.is_empty() {
                return None;
            }
            let begins = above.text.find(key)?;
            let message =
                format!("this line is indented more than `{}` above it, which has its value already", show(key));
            return Some(Meant::new(at, message, begin(begins, key)));
        }
        if !info.contains("expected key") && !info.contains("'-' indicator") && !info.contains("block") {
            return None;
        }
        let levels = self.levels();
        let is_entry = line.content().starts_with("- ");
        let fits = levels.iter().filter(|level| (level.word == "-") == is_entry);
        // Of two that are as near, the inner one.
        let near = fits.min_by_key(|level| (level.column.abs_diff(column), usize::MAX - level.column))?;
        let message = match levels.iter().any(|level| level.column == column) {
            true => format!("the lines that begin in column {} begin with `- `", column + 1),
            false => format!("this line begins in column {}, and no line that it could belong to does", column + 1),
        };
        Some(Meant::new(at, message, begin(near.column, near.word)))
    }

    /// What a line below the one above the stop could be a part of.
    fn levels(&self) -> Vec<Level<'t>> {
        let mut levels: Vec<Level<'t>> = Vec::new();
        for line in self.lines[..self.stop].iter().filter(|line| line.says_something()) {
            let (mut column, mut content) = (line.indent().len(), line.content());
            if content.starts_with("---") {
                levels.clear();
                continue;
            }
            levels.retain(|level| level.column < column);
            while let Some(rest) = content.strip_prefix("- ") {
                levels.push(Level { column, word: "-" });
                column += content.len() - rest.trim_start().len();
                content = rest.trim_start();
            }
            if let Some((word, _)) = content.split_once(':') {
                levels.push(Level { column, word });
            }
        }
        levels
    }

    fn unclosed(&self, info: &str) -> Option<Meant> {
        let mark = self.text.get(self.at..)?.chars().next();
        if info.contains("unclosed quote") || info.contains("quoted scalar, found unexpected document") {
            let at = self.at..self.at + mark.map_or(0, char::len_utf8);
            return Some(Meant::new(at, "this quotation mark is not closed", "close it at the end of the value"));
        }
        let (open, close) = match () {
            () if info.contains("flow mapping") => ('{', '}'),
            () if info.contains("flow sequence") => ('[', ']'),
            () => return None,
        };
        let mut depth = 0usize;
        let opened = self.text.get(..self.at)?.char_indices().rev().find(|(_, c)| {
            match *c {
                c if c == close => depth += 1,
                c if c == open && depth == 0 => return true,
                c if c == open => depth -= 1,
                _ => {}
            }
            false
        });
        let (at, _) = opened?;
        let message = format!("this `{open}` is not closed, or a `,` is missing behind it");
        Some(Meant::new(at..at + 1, message, format!("put `,` between the parts, and `{close}` behind the last")))
    }

    /// A value that begins with a character that means something in YAML.
    fn reserved(&self, info: &str) -> Option<Meant> {
        let is_alias = info.contains("anchor or alias");
        if !is_alias && !info.contains("unexpected character") {
            return None;
        }
        let line = self.line()?;
        let mut value = self.text.get(self.at..line.start + line.text.len())?.trim_end();
        if is_alias {
            let is_inside = line.text[..self.at - line.start].contains(['[', '{']);
            let ends = |at: &usize| value[..*at].ends_with(' ') && value[*at..].starts_with('#');
            let comment = (0..value.len()).filter(|at| value.is_char_boundary(*at)).find(ends);
            let end = value.find([',', ']', '}']).filter(|_| is_inside).or(comment).unwrap_or(value.len());
            value = value[..end].trim_end();
        }
        let (message, hint) = unquoted(value.chars().next()?, value);
        Some(Meant::new(self.at..self.at + value.len(), message, hint))
    }
}

/// A line and so many above it are looked at for what a parser stumbles over later.
const NEAR_LINES: usize = 3;

/// A value that begins with what means something in YAML: what is said, and what
/// to do.
pub(super) fn unquoted(first: char, value: &str) -> (String, String) {
    let message = format!("a text without quotes does not begin with `{}`", show_char(first));
    (message, format!("quote this: `\"{}\"`", show(value)))
}

/// `- serialNumber: A1`, for an entry of a list with no blank after its dash.
pub(super) fn dash(content: &str) -> Option<String> {
    let entry = content.strip_prefix('-')?;
    if !entry.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '{' | '"' | '\'')) {
        return None;
    }
    Some(match without_blank(entry) {
        Some((key, value)) => format!("- {}: {}", show(key), show(value)),
        None => format!("- {}", show(entry)),
    })
}

pub(super) fn said_of_dash(write: &str) -> (String, String) {
    ("a blank is missing after `-`".to_owned(), format!("write `{write}`"))
}

pub(super) fn said_of_blank(line: &str, blank: &Range<usize>) -> (String, String) {
    let c = line[blank.clone()].chars().next().unwrap_or(' ');
    let name = if c == '\u{a0}' { "no-break space" } else { "blank of another kind" };
    let message = format!("a {name} (U+{:04X}) stands where a blank should be", u32::from(c));
    let plain: String = line.chars().map(|c| if is_foreign(c) { ' ' } else { c }).collect();
    let hint = match plain.trim_end() {
        "" => "delete it".to_owned(),
        plain => format!("write a blank: `{}`", show(plain)),
    };
    (message, hint)
}

/// A blank that YAML takes for a letter, such as the no-break space of a web page.
pub(super) fn is_foreign(c: char) -> bool {
    c.is_whitespace() && !matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// The first of a line that stands where a blank would mean something: before or
/// behind all else, around a colon, behind a dash or a bracket.
pub(super) fn foreign_blank(line: &str) -> Option<Range<usize>> {
    let begin = line.len() - line.trim_start().len();
    if line.is_ascii() || line[begin..].starts_with('#') {
        return None;
    }
    // Blanks that stand together, one run of them after the other.
    let mut at = 0;
    while let Some(start) = line[at..].find(char::is_whitespace).map(|start| at + start) {
        let end = line[start..].find(|c: char| !c.is_whitespace()).map_or(line.len(), |end| start + end);
        let (before, after) = (&line[begin.min(start)..start], &line[end..]);
        let counts = before.is_empty() || before == "-" || before.ends_with([':', '{', '[']);
        if counts || after.is_empty() || after.starts_with(':') {
            let foreign = line[start..end].char_indices().find(|(_, c)| is_foreign(*c));
            if let Some((offset, c)) = foreign {
                return Some(start + offset..start + offset + c.len_utf8());
            }
        }
        at = end;
    }
    None
}

fn begin(column: usize, word: &str) -> String {
    format!("begin it in column {}, below `{}`", column + 1, show(word))
}

fn show_char(c: char) -> String {
    show(c.encode_utf8(&mut [0; 4]))
}

/// A field and its value with no blank between: `serialNumber:A1`. An address has
/// a colon, too.
pub(super) fn without_blank(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once(':')?;
    let is_field = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_glued = !value.is_empty() && !value.starts_with([' ', '\t', '/']);
    (is_field && is_glued).then_some((key, value))
}

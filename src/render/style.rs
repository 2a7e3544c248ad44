//! How text looks: alphabet, colours and width, and how numbers and times are
//! written for people. Text that others wrote is made fit to be seen here.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr;

use super::document::{Symbol, seen, seen_line};

/// How text shall look: told by whoever knows the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// True where colours are seen.
    pub color: bool,
    /// False where only ASCII can be shown.
    pub unicode: bool,
    /// In columns.
    pub width: usize,
    /// False where nobody knows how wide it is, as in a log: a sentence on one
    /// line can be searched for.
    pub wraps: bool,
    /// How much is shown.
    pub detail: Detail,
}

/// How much of a report is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Everything.
    Full,
    /// The totals only (`-q`).
    Totals,
}

/// However narrow a terminal is.
const WRAP_MIN: usize = 30;

impl Default for Look {
    /// Without colour, in UTF-8, 100 columns, everything.
    fn default() -> Self {
        Self { color: false, unicode: true, width: 100, wraps: false, detail: Detail::Full }
    }
}

/// What a piece of text is, from which its colour follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// As the terminal shows text.
    Plain,
    /// What comes into being.
    Add,
    /// What changes.
    Change,
    /// What a rule of ours stops.
    Blocked,
    /// What a fact outside stops.
    Conflict,
    /// What is under way.
    Progress,
    /// What is noted and not written.
    Note,
    /// What matters less.
    Dim,
    /// What a part is about.
    Heading,
    /// A value before.
    Old,
    /// A value after.
    New,
    /// What stops a run.
    Error,
    /// What does not.
    Warning,
}

impl Role {
    fn style(self) -> Style {
        let color = |color: AnsiColor| Style::new().fg_color(Some(color.into()));
        match self {
            Self::Add | Self::New => color(AnsiColor::Green),
            Self::Change => color(AnsiColor::Yellow),
            Self::Blocked => color(AnsiColor::Magenta).bold(),
            Self::Conflict | Self::Error => color(AnsiColor::Red).bold(),
            Self::Progress => color(AnsiColor::Blue),
            Self::Note => color(AnsiColor::Cyan),
            Self::Dim => color(AnsiColor::BrightBlack),
            Self::Plain => Style::new(),
            Self::Heading => Style::new().bold(),
            Self::Old => color(AnsiColor::Red),
            Self::Warning => color(AnsiColor::Yellow).bold(),
        }
    }
}

impl Symbol {
    /// Colour only supports the symbol.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Self::Register => Role::Add,
            Self::Update | Self::Loosen => Role::Change,
            Self::Deregister => Role::Conflict,
            Self::Release | Self::Adopt => Role::Note,
            Self::Awaiting => Role::Progress,
            Self::Unmanaged => Role::Dim,
            Self::Blocked => Role::Blocked,
            Self::Conflict => Role::Conflict,
        }
    }
}

impl Look {
    /// Text in the colour of its role, or as it is.
    #[must_use]
    pub fn paint(&self, role: Role, text: &str) -> String {
        if !self.color || text.is_empty() || role == Role::Plain {
            return text.to_owned();
        }
        let style = role.style();
        format!("{style}{text}{style:#}")
    }

    /// Text that stands out inside a line of a role's colour.
    #[must_use]
    pub fn emphasise(&self, role: Role, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let style = role.style().bold().invert();
        format!("{style}{text}{style:#}")
    }

    /// A symbol in its colour.
    #[must_use]
    pub fn sign(&self, symbol: Symbol) -> String {
        self.paint(symbol.role(), symbol.sign())
    }

    /// What stands between before and after.
    #[must_use]
    pub fn arrow(&self) -> String {
        self.paint(Role::Dim, if self.unicode { "→" } else { "->" })
    }

    /// What stands between the ends of a range.
    #[must_use]
    pub fn dash(&self) -> &'static str {
        if self.unicode { "–" } else { "-" }
    }

    /// What a person may see of text that we did not write, as one line: what
    /// nobody sees, and could make one value look like another, is written out;
    /// and all is ASCII where nothing else can be shown.
    #[must_use]
    pub fn show<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.draw(seen(text))
    }

    /// What is fit to be seen already, as the name of a file in a `Place` is.
    #[must_use]
    pub fn draw<'t>(&self, seen: impl Into<Cow<'t, str>>) -> Cow<'t, str> {
        let seen = seen.into();
        if self.unicode || seen.is_ascii() {
            return seen;
        }
        Cow::Owned(
            seen.chars().flat_map(|c| if c.is_ascii() { vec![c] } else { c.escape_unicode().collect() }).collect(),
        )
    }

    /// Sentences, broken between words where the width ends, where there are so
    /// many columns of other words before each line.
    #[must_use]
    pub fn wrap(&self, text: &str, before: usize) -> String {
        if !self.wraps {
            return text.to_owned();
        }
        broken(text, self.width.saturating_sub(before).max(WRAP_MIN)).join("\n")
    }

    /// The same, each line but the first behind so many blanks.
    #[must_use]
    pub fn hang(&self, text: &str, before: usize) -> String {
        self.wrap(text, before).replace('\n', &format!("\n{}", " ".repeat(before)))
    }

    /// A line that begins at the left edge; what does not fit goes on behind so many
    /// blanks.
    #[must_use]
    pub fn hang_on(&self, line: &str, blanks: usize) -> String {
        if self.wraps { broken_behind(line, self.width, blanks).join("\n") } else { line.to_owned() }
    }

    /// A command for a shell, behind so many columns of other words: what does not
    /// fit goes on in the next line, behind a backslash.
    #[must_use]
    pub fn typed(&self, command: &str, before: usize) -> String {
        const MORE: &str = " \\";
        if !self.wraps || before + columns(command) <= self.width {
            return command.to_owned();
        }
        let room = self.width.saturating_sub(before + MORE.len()).max(WRAP_MIN);
        broken(command, room).join(&format!("{MORE}\n{}", " ".repeat(before)))
    }

    /// A value in quotes, or `(none)`.
    #[must_use]
    pub fn value(&self, text: &str) -> String {
        if text.is_empty() { "(none)".to_owned() } else { format!("\"{}\"", self.show(text)) }
    }
}

/// The lines of sentences, broken between words and never in one: commands and
/// names are copied from them. No line begins what a pipeline takes for a command.
#[must_use]
pub(crate) fn broken(text: &str, width: usize) -> Vec<String> {
    broken_behind(text, width, 0)
}

/// The same, each line but the first behind so many blanks.
fn broken_behind(text: &str, width: usize, blanks: usize) -> Vec<String> {
    let blanks = " ".repeat(blanks);
    let options = textwrap::Options::new(width).break_words(false).subsequent_indent(&blanks);
    let lines = textwrap::wrap(text, options.word_splitter(textwrap::WordSplitter::NoHyphenation));
    // What the first begins with is for whoever writes it behind something.
    let mut lines = lines.iter();
    let first = lines.next().map(ToString::to_string);
    first.into_iter().chain(lines.map(|line| seen_line(line).into_owned())).collect()
}

/// How many columns a text takes.
#[must_use]
pub(crate) fn columns(text: &str) -> usize {
    text.width()
}

/// `1 device`, `2 devices`.
#[must_use]
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", thousands(count), if count == 1 { one } else { many })
}

/// `12345` as `12,345`.
#[must_use]
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `2026-10-04 08:14:07Z`.
#[must_use]
pub(crate) fn moment(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `08:14:07Z`.
#[must_use]
pub(crate) fn time_of_day(at: jiff::Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

/// A stretch of time for people: `45 s`, `4 min 9 s`, `2 h 5 min`.
#[must_use]
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A rough stretch of time: `2–4 min`.
#[must_use]
pub(crate) fn about(low: u64, high: u64, look: &Look) -> String {
    let (unit, size) = match high {
        0..120 => ("s", 1),
        120..7200 => ("min", 60),
        _ => ("h", 3600),
    };
    let (low, high) = (low / size, high.div_ceil(size));
    if low == 0 {
        return format!("up to {high} {unit}");
    }
    if low == high {
        return format!("about {low} {unit}");
    }
    format!("about {low}{}{high} {unit}", look.dash())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ascii_terminal_gets_ascii() {
        let look = Look { unicode: false, ..Look::default() };
        assert_eq!(look.value("Zürich"), "\"Z\\u{fc}rich\"");
        assert_eq!(look.arrow(), "->");
    }

    #[test]
    fn times_and_numbers_are_written_for_people() {
        assert_eq!(
            [duration(9), duration(60), duration(249), duration(7500)],
            ["9 s", "1 min", "4 min 9 s", "2 h 5 min"]
        );
        let look = Look::default();
        assert_eq!(
            [about(90, 240, &look), about(0, 20, &look), about(60, 119, &look)],
            ["about 1–4 min", "up to 20 s", "about 60–119 s"]
        );
        assert_eq!([thousands(7), thousands(1000), thousands(1_234_567)], ["7", "1,000", "1,234,567"]);
    }
}

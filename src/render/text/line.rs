//! One line of columns, whose width is known although it has colours in it. What
//! does not fit goes on under itself, and never breaks in a word: commands and
//! names are copied from it.

use crate::render::document::Symbol;
use crate::render::style::{Look, Role, broken, columns};

/// Words are not stacked one under another, however narrow a terminal is.
const ROOM_MIN: usize = 24;

/// Blanks between pieces that stand side by side.
const GAP: usize = 3;

/// A line under construction.
pub(super) struct Line<'l> {
    look: &'l Look,
    text: String,
    columns: usize,
}

impl<'l> Line<'l> {
    pub(super) fn new(look: &'l Look) -> Self {
        Self { look, text: String::new(), columns: 0 }
    }

    /// A line about a device: its symbol, if it has one, and its serial.
    pub(super) fn start(look: &'l Look, symbol: impl Into<Option<Symbol>>, serial: &str) -> Self {
        let (role, sign) = symbol.into().map_or((Role::Plain, " "), |symbol| (symbol.role(), symbol.sign()));
        Self::new(look).plain("  ").painted(role, sign).plain(" ").plain(&look.show(serial))
    }

    pub(super) fn plain(self, text: &str) -> Self {
        self.painted(Role::Plain, text)
    }

    pub(super) fn painted(mut self, role: Role, text: &str) -> Self {
        self.text.push_str(&self.look.paint(role, text));
        self.columns += columns(text);
        self
    }

    /// Goes to a column; two blanks at least if the line is there already.
    pub(super) fn to(self, column: usize) -> Self {
        if self.columns == 0 {
            return self.plain(&" ".repeat(column));
        }
        let blanks = column.saturating_sub(self.columns).max(2);
        self.plain(&" ".repeat(blanks))
    }

    /// Where the next word would stand.
    pub(super) fn column(&self) -> usize {
        self.columns
    }

    /// True if so many columns are left.
    fn has_room(&self, columns: usize) -> bool {
        self.columns + columns <= self.look.width
    }

    /// Goes on at a column of the next line.
    fn wrap(mut self, column: usize) -> Self {
        self.text.truncate(self.text.trim_end().len());
        self.text.push('\n');
        self.columns = 0;
        self.to(column)
    }

    /// What stays whole: it goes on at a column of the next line if there is no
    /// room for it here.
    pub(super) fn whole(self, role: Role, text: &str, column: usize) -> Self {
        let line = if self.has_room(columns(text)) || self.columns <= column { self } else { self.wrap(column) };
        line.painted(role, text)
    }

    /// Sentences, broken between words, each line under the first.
    pub(super) fn words(self, role: Role, text: &str) -> Self {
        let (column, room) = (self.columns, self.look.width.saturating_sub(self.columns).max(ROOM_MIN));
        let lines = broken(text, room);
        let first = self.painted(role, lines.first().map_or("", |line| line));
        lines.iter().skip(1).fold(first, |line, words| line.wrap(column).painted(role, words))
    }

    /// Pieces that stay whole, each of some words, as many of them side by side as
    /// fit.
    pub(super) fn pieces<'t, P>(self, pieces: impl IntoIterator<Item = P>) -> Self
    where
        P: AsRef<[(Role, &'t str)]>,
    {
        let column = self.columns;
        pieces.into_iter().fold(self, |line, piece| {
            let words = piece.as_ref();
            let wide: usize = words.iter().map(|(_, word)| columns(word)).sum();
            let line = match line.columns == column {
                true => line,
                false if line.has_room(GAP + wide) => line.plain(&" ".repeat(GAP)),
                false => line.wrap(column),
            };
            words.iter().fold(line, |line, (role, word)| line.painted(*role, word))
        })
    }

    /// A second half, at a column of this line if that has room, else under the
    /// first, where it began.
    pub(super) fn half(self, column: usize, text: &str, begin: usize) -> Self {
        let at = column.max(self.columns + 2);
        if at + columns(text) <= self.look.width { self.to(at).plain(text) } else { self.wrap(begin).plain(text) }
    }

    /// What ends at the right edge, on a line of its own if need be.
    pub(super) fn right(self, role: Role, text: &str) -> Self {
        let column = self.look.width.saturating_sub(columns(text));
        self.right_from(column, role, text)
    }

    /// The same, for what begins at a column.
    pub(super) fn right_from(self, column: usize, role: Role, text: &str) -> Self {
        let line = if self.columns > 0 && self.columns + 2 > column { self.wrap(column) } else { self.to(column) };
        line.painted(role, text)
    }

    /// Appends the line to a text.
    pub(super) fn end(self, out: &mut String) {
        out.push_str(self.text.trim_end());
        out.push('\n');
    }
}
